//! What the ERP books for an order, and how one of its movements is recognised again.
//!
//! The ERP's movement call has no idempotency key, so every movement carries its own: a 15-character [`MovementKey`]
//! in the ERP's short reference field, and a marker sentence in its note.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::ids::{BaseCode, ErpCode, OrderId};
use crate::domain::qty::Qty;
use crate::domain::time::Moment;

/// Which way goods go in the base of the movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Out of the base: a sale.
    Out,
    /// Into the base: a reversal or correction.
    In,
}

impl Direction {
    /// Returns the direction's name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }

    /// Parses [`Direction::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "out" => Some(Self::Out),
            "in" => Some(Self::In),
            _ => None,
        }
    }
}

/// The number of one movement of an order: `S1, S2 …` outgoing, `C1, C2 …` incoming; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Operation {
    /// Which way the goods go.
    pub direction: Direction,
    /// From 1, rising per order and direction.
    pub number: u32,
}

impl Operation {
    /// Parses `S1` or `C12`.
    pub fn parse(text: &str) -> Option<Self> {
        let (letter, digits) = text.split_at_checked(1)?;
        let direction = match letter {
            "S" => Direction::Out,
            "C" => Direction::In,
            _ => return None,
        };
        let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| canonical)?;
        Some(Self { direction, number })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.direction {
            Direction::Out => 'S',
            Direction::In => 'C',
        };
        write!(f, "{letter}{}", self.number)
    }
}

impl TryFrom<String> for Operation {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not an operation like S1 or C2"))
    }
}

impl From<Operation> for String {
    fn from(operation: Operation) -> Self {
        operation.to_string()
    }
}

/// The natural key of one movement: `V1` and 65 bits of a SHA-256 in Crockford base 32, 15 characters in all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MovementKey(String);

/// Crockford's base 32: no I, L, O or U, so that a person can read a key aloud.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl MovementKey {
    /// Derives the key of one movement of one order in one base of one store account.
    pub fn derive(account: &str, base: &BaseCode, order: &OrderId, operation: Operation) -> Self {
        let digest = Sha256::digest(format!("{account}\n{base}\n{order}\n{operation}"));
        let bit = |i: usize| usize::from(digest[i / 8] >> (7 - i % 8) & 1);
        let letters = (0..13).map(|c| (0..5).fold(0, |value, i| value << 1 | bit(c * 5 + i)));
        let text = letters
            .map(|value| char::from(CROCKFORD[value]))
            .collect::<String>();
        Self(format!("V1{text}"))
    }

    /// Reads a key back from the store.
    pub fn from_store(text: String) -> Self {
        Self(text)
    }

    /// Tells whether `text` has the form of a key of ours.
    pub fn looks_like(text: &str) -> bool {
        text.len() == 15 && text.starts_with("V1") && text.bytes().all(|b| CROCKFORD.contains(&b))
    }

    /// Returns the 15 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MovementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One movement to be booked: all lines of one order in one base, in one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// The order it belongs to.
    pub order: OrderId,
    /// Which movement of the order it is; gives its direction.
    pub operation: Operation,
    /// The base whose stock changes.
    pub base: BaseCode,
    /// The natural key.
    pub key: MovementKey,
    /// Positive units per variant.
    pub lines: BTreeMap<ErpCode, u32>,
}

impl Movement {
    /// Returns the marker that stands first in the ERP's note: `VTEX <orderId> #S1 <key>.`
    pub fn marker(&self) -> String {
        format!(
            "VTEX {} #{} {}.",
            marker_order(&self.order),
            self.operation,
            self.key
        )
    }
}

/// Returns the order id as the marker writes it: what an ERP's LIKE would take for a wildcard becomes `-`.
pub fn marker_order(order: &OrderId) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
            c
        } else {
            '-'
        }
    };
    order.as_str().chars().map(plain).collect()
}

/// A movement as the ERP shows it: in a listing, or as the answer to a booking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundMovement {
    /// The ERP's internal id.
    pub id: String,
    /// The number people know it by.
    pub number: Option<String>,
    /// Which way; `None` when the answer did not say.
    pub direction: Option<Direction>,
    /// The base it stands in, where the row names one.
    pub base: Option<BaseCode>,
    /// The note (Dragonfish `Observacion`).
    pub note: String,
    /// The short reference (Dragonfish `Remito`).
    pub reference: String,
    /// Units per variant; `None` when a line could not be read.
    pub lines: Option<BTreeMap<ErpCode, Qty>>,
    /// The ERP's day it stands on, where it could be read.
    pub day: Option<ErpDay>,
    /// When it was entered, where it could be read.
    pub created: Option<Moment>,
}

/// A day of the ERP's calendar, `2026-01-31`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErpDay(String);

impl ErpDay {
    /// Reads a day back from the store or takes it from an adapter; it must have the form `2026-01-31`.
    pub fn parse(text: &str) -> Option<Self> {
        let form = text.bytes().enumerate().all(|(at, b)| match at {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
        (text.len() == 10 && form).then(|| Self(text.to_owned()))
    }

    /// Returns the ten characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErpDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FoundMovement {
    /// Tells whether the note holds the whole marker, or the reference is the whole key.
    fn bears(&self, movement: &Movement) -> (bool, bool) {
        let note = self
            .note
            .to_uppercase()
            .contains(&movement.marker().to_uppercase());
        let reference = self.reference.trim().to_uppercase() == movement.key.as_str();
        (note, reference)
    }

    /// Tells whether direction and lines are those of `movement`, whatever its marks.
    pub fn same_goods(&self, movement: &Movement) -> bool {
        let wanted = movement
            .lines
            .iter()
            .map(|(code, units)| (code, Qty::whole(i64::from(*units))));
        self.direction == Some(movement.operation.direction)
            && self
                .lines
                .as_ref()
                .is_some_and(|lines| lines.iter().map(|(code, qty)| (code, *qty)).eq(wanted))
    }
}

/// What a set of ERP rows says about one movement of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// No row bears its marker or key.
    Absent,
    /// Exactly one row is this movement; `Some` warning when one of marker and key was missing.
    Booked(Box<FoundMovement>, Option<String>),
    /// The rows contradict each other or the movement; a person must look.
    Conflict(String),
}

/// Looks for one movement among the rows of a conclusive listing or in the answer to its booking.
///
/// A row matches when the whole marker stands in its note or the whole key is its reference, and direction and lines
/// are equal.
pub fn sight(movement: &Movement, rows: &[FoundMovement]) -> Sighting {
    let bearers: Vec<_> = rows
        .iter()
        .filter(|row| row.bears(movement) != (false, false))
        .collect();
    let row = match bearers.as_slice() {
        [] => return Sighting::Absent,
        [row] => *row,
        rows => {
            let ids: Vec<_> = rows
                .iter()
                .map(|row| row.number.as_deref().unwrap_or(&row.id))
                .collect();
            return Sighting::Conflict(format!(
                "{} stands in {} movements: {}",
                movement.key,
                rows.len(),
                ids.join(", ")
            ));
        }
    };
    let number = row.number.as_deref().unwrap_or(&row.id);
    if !row.same_goods(movement) {
        return Sighting::Conflict(format!(
            "movement {number} bears {} with other lines or direction",
            movement.key
        ));
    }
    let reference = row.reference.trim().to_uppercase();
    if MovementKey::looks_like(&reference) && reference != movement.key.as_str() {
        return Sighting::Conflict(format!(
            "movement {number} bears two keys, {} and {reference}",
            movement.key
        ));
    }
    let warning = match row.bears(movement) {
        (true, true) => None,
        (true, false) => Some(format!(
            "movement {number} has lost its key in the reference field"
        )),
        (false, _) => Some(format!("movement {number} has lost its marker in the note")),
    };
    Sighting::Booked(Box::new(row.clone()), warning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movement(operation: &str) -> Movement {
        let base = BaseCode::parse("WOO").unwrap();
        let order = OrderId::parse("1234567890123-01").unwrap();
        let operation = Operation::parse(operation).unwrap();
        let key = MovementKey::derive("tienda", &base, &order, operation);
        let lines = BTreeMap::from([(ErpCode::parse("ART1-N01-42").unwrap(), 2)]);
        Movement {
            order,
            operation,
            base,
            key,
            lines,
        }
    }

    fn found(movement: &Movement) -> FoundMovement {
        FoundMovement {
            id: "A1".into(),
            number: Some("7".into()),
            direction: Some(movement.operation.direction),
            base: None,
            note: movement.marker(),
            reference: movement.key.to_string(),
            lines: Some(
                movement
                    .lines
                    .iter()
                    .map(|(c, u)| (c.clone(), Qty::whole(i64::from(*u))))
                    .collect(),
            ),
            day: None,
            created: None,
        }
    }

    #[test]
    fn key_and_marker_are_those_of_the_published_vector() {
        assert_eq!(
            movement("S1").marker(),
            "VTEX 1234567890123-01 #S1 V1BKFRX6CDHMYHQ."
        );
        assert_eq!(movement("C1").key.as_str(), "V1DPQT846PWB98S");
        assert!(MovementKey::looks_like("V1BKFRX6CDHMYHQ"));
    }

    #[test]
    fn operations_round_trip_and_refuse_other_spellings() {
        for text in ["S1", "C12"] {
            assert_eq!(Operation::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "S", "X1", "S01", "S-1", "s1", "ñ1", "S99999999999"] {
            assert_eq!(Operation::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_movement_is_recognised_padded_and_upper_cased() {
        let ours = movement("S1");
        let mut row = found(&ours);
        row.note = format!("  {}   VENTA_VTEX ", ours.marker().to_lowercase());
        row.reference = format!("{}   ", ours.key);
        assert!(matches!(sight(&ours, &[row]), Sighting::Booked(_, None)));
    }

    #[test]
    fn one_of_marker_and_key_is_enough_and_warned() {
        let ours = movement("S1");
        let mut cut = found(&ours);
        cut.note = "VTEX 12345".into();
        assert!(matches!(sight(&ours, &[cut]), Sighting::Booked(_, Some(_))));
        let mut bare = found(&ours);
        bare.reference = "-".into();
        assert!(matches!(
            sight(&ours, &[bare]),
            Sighting::Booked(_, Some(_))
        ));
    }

    #[test]
    fn e11_another_orders_id_as_prefix_is_not_ours() {
        let ours = movement("S1");
        let mut other = found(&movement("C1"));
        other.note = "VTEX 1234567890123-011 #S1 V1AAAAAAAAAAAAA.".into();
        other.reference = "V1AAAAAAAAAAAAA".into();
        assert_eq!(sight(&ours, &[other]), Sighting::Absent);
    }

    #[test]
    fn e12_two_matches_other_goods_and_two_keys_are_conflicts() {
        let ours = movement("S1");
        assert!(matches!(
            sight(&ours, &[found(&ours), found(&ours)]),
            Sighting::Conflict(_)
        ));
        let mut other_way = found(&ours);
        other_way.direction = Some(Direction::In);
        assert!(matches!(sight(&ours, &[other_way]), Sighting::Conflict(_)));
        let mut two_keys = found(&ours);
        two_keys.reference = movement("C1").key.to_string();
        assert!(matches!(sight(&ours, &[two_keys]), Sighting::Conflict(_)));
    }
}
