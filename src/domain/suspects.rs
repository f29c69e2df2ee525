//! What else the ERP's rows say about an order: movements of ours that we do not remember, and movements that a person
//! may have entered in place of ours.

use std::collections::BTreeSet;

use crate::domain::ids::{BaseCode, OrderId};
use crate::domain::movement::{
    Direction, FoundMovement, Movement, MovementKey, Operation, marker_order,
};
use crate::domain::time::Moment;

/// How much earlier than its claim a row may seem to have been entered: the ERP's clock and ours are never equal.
const CLOCKS_APART_MS: i64 = 5 * 60_000;
/// Operations of one order that are tried when only the key of a row is left.
const MOST_OPERATIONS: u32 = 20;

/// Reads which movement of the order a row is, by the marker in its note or the key in its reference.
///
/// The key must be the one derived from account, base, order and operation, so nobody else's text can pass for ours.
pub fn own(
    account: &str,
    base: &BaseCode,
    order: &OrderId,
    row: &FoundMovement,
) -> Option<(Operation, MovementKey)> {
    let derived = |operation| MovementKey::derive(account, base, order, operation);
    let note = row.note.to_uppercase();
    let head = format!("VTEX {} #", marker_order(order).to_uppercase());
    for (at, _) in note.match_indices(&head) {
        let tail = note.get(at + head.len()..).unwrap_or_default();
        let Some((operation, tail)) = tail.split_once(' ') else {
            continue;
        };
        let key = tail.split_once('.').map(|(key, _)| key);
        if let Some(operation) = Operation::parse(operation)
            && key == Some(derived(operation).as_str())
        {
            return Some((operation, derived(operation)));
        }
    }
    let reference = row.reference.trim().to_uppercase();
    if !MovementKey::looks_like(&reference) {
        return None;
    }
    [Direction::Out, Direction::In]
        .into_iter()
        .flat_map(|direction| (1..=MOST_OPERATIONS).map(move |number| (direction, number)))
        .map(|(direction, number)| Operation { direction, number })
        .map(|operation| (operation, derived(operation)))
        .find(|(_, key)| key.as_str() == reference)
}

/// Tells whether a row bears a marker or key of this program, whatever order it belongs to.
pub fn marked(row: &FoundMovement) -> bool {
    let note = row.note.to_uppercase();
    let in_note = note.match_indices("VTEX ").any(|(at, _)| {
        let words: Vec<_> = note
            .get(at..)
            .unwrap_or_default()
            .splitn(5, ' ')
            .take(4)
            .collect();
        let key = words.get(3).and_then(|word| word.split_once('.'));
        key.is_some_and(|(key, _)| MovementKey::looks_like(key))
    });
    in_note || MovementKey::looks_like(&row.reference.trim().to_uppercase())
}

/// What is known about a movement that is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<'a> {
    /// When it was last claimed; `None` when it never was.
    pub at: Option<Moment>,
    /// The keys of its order that are remembered.
    pub known: &'a BTreeSet<MovementKey>,
    /// Rows of which a person has said that they are something else.
    pub dismissed: &'a [String],
}

/// Why a person must look at rows that are not the movement itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// In one sentence.
    pub reason: String,
    /// The ERP's ids of the rows.
    pub ids: Vec<String>,
}

/// Looks for rows that speak against sending the movement: one of ours that is not remembered, or a twin.
///
/// A twin is a row without any marker that a person may have entered in place of ours: for an outgoing movement, one
/// that names the order and goes out; for one that was sent before, one of the same goods entered after it was sent.
pub fn suspicion(
    account: &str,
    movement: &Movement,
    rows: &[FoundMovement],
    claimed: Claimed<'_>,
) -> Option<Suspicion> {
    let rows = || {
        rows.iter()
            .filter(|row| !claimed.dismissed.contains(&row.id))
    };
    let name = |row: &FoundMovement| row.number.clone().unwrap_or_else(|| row.id.clone());
    for row in rows() {
        let own = own(account, &movement.base, &movement.order, row);
        if let Some((operation, key)) = own.filter(|(_, key)| !claimed.known.contains(key)) {
            return Some(Suspicion {
                reason: format!(
                    "movement {} is this order's {operation} {key}, which is not remembered here",
                    name(row)
                ),
                ids: vec![row.id.clone()],
            });
        }
    }
    let order = marker_order(&movement.order).to_uppercase();
    let outgoing = movement.operation.direction == Direction::Out;
    let twins: Vec<_> = rows()
        .filter(|row| !marked(row))
        .filter(|row| {
            let names_order =
                outgoing && row.direction == Some(Direction::Out) && names(&row.note, &order);
            let same = claimed.at.is_some_and(|at| {
                row.same_goods(movement)
                    && row
                        .created
                        .is_none_or(|created| created >= at.plus_ms(-CLOCKS_APART_MS))
            });
            names_order || same
        })
        .collect();
    let first = twins.first()?;
    Some(Suspicion {
        reason: format!(
            "movement {} has no marker and may be this sale, entered by a person",
            name(first)
        ),
        ids: twins.iter().map(|row| row.id.clone()).collect(),
    })
}

/// Tells whether a note names the order as a whole word: another order's id may begin with ours.
fn names(note: &str, order: &str) -> bool {
    let note = note.to_uppercase();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    note.match_indices(order).any(|(at, _)| {
        let before = note.get(..at).and_then(|text| text.chars().next_back());
        let after = note
            .get(at + order.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ids::ErpCode;
    use crate::domain::qty::Qty;

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

    fn row(note: &str, reference: &str, direction: Direction, units: i64) -> FoundMovement {
        FoundMovement {
            id: "A1".into(),
            number: Some("7".into()),
            direction: Some(direction),
            base: None,
            note: note.into(),
            reference: reference.into(),
            lines: Some(BTreeMap::from([(
                ErpCode::parse("ART1-N01-42").unwrap(),
                Qty::whole(units),
            )])),
            day: None,
            created: Some(Moment(1_000_000_000)),
        }
    }

    fn judged(movement: &Movement, row: FoundMovement, at: Option<i64>) -> Option<Suspicion> {
        let known = BTreeSet::from([movement.key.clone()]);
        let claimed = Claimed {
            at: at.map(Moment),
            known: &known,
            dismissed: &[],
        };
        suspicion("tienda", movement, &[row], claimed)
    }

    #[test]
    fn a_movement_of_ours_that_is_not_remembered_is_told_by_note_or_reference() {
        let (first, second) = (movement("S1"), movement("S2"));
        let own = |row: &FoundMovement| own("tienda", &first.base, &first.order, row);
        let full = row(&second.marker().to_lowercase(), "", Direction::Out, 1);
        assert_eq!(own(&full).unwrap().1, second.key);
        let bare = row("", second.key.as_str(), Direction::Out, 1);
        assert_eq!(own(&bare).unwrap().0, second.operation);
        let forged = row(
            "VTEX 1234567890123-01 #S2 V1AAAAAAAAAAAAA.",
            "V1AAAAAAAAAAAAA",
            Direction::Out,
            1,
        );
        assert_eq!(own(&forged), None);
        assert!(judged(&first, full, None).is_some());
        assert_eq!(
            judged(&second, row(&second.marker(), "", Direction::Out, 1), None),
            None
        );
    }

    #[test]
    fn a_sale_that_a_person_entered_is_a_twin() {
        let ours = movement("S1");
        let by_hand = || row("pedido 1234567890123-01", "-", Direction::Out, 9);
        assert!(judged(&ours, by_hand(), None).is_some());
        for other in [
            row("pedido 1234567890123-011", "-", Direction::Out, 9),
            row(
                "remito manual pedido 1234567890123-01",
                "R",
                Direction::In,
                2,
            ),
            row(
                "VTEX 1234567890123-01 #C1 V1AAAAAAAAAAAAA.",
                "-",
                Direction::Out,
                9,
            ),
        ] {
            assert_eq!(judged(&ours, other.clone(), None), None, "{other:?}");
        }
        assert_eq!(
            judged(&movement("C1"), by_hand(), None),
            None,
            "only a sale"
        );
    }

    #[test]
    fn the_same_goods_entered_after_the_claim_are_a_twin() {
        let ours = movement("S1");
        let bare = |units| row("venta mostrador", "-", Direction::Out, units);
        assert!(judged(&ours, bare(2), Some(1_000_000_000)).is_some());
        assert!(
            judged(&ours, bare(2), Some(1_000_200_000)).is_some(),
            "clocks differ"
        );
        assert_eq!(
            judged(&ours, bare(2), Some(1_001_000_000)),
            None,
            "before the claim"
        );
        assert_eq!(
            judged(&ours, bare(3), Some(1_000_000_000)),
            None,
            "other goods"
        );
        assert_eq!(judged(&ours, bare(2), None), None, "never sent");
    }

    #[test]
    fn what_a_person_dismissed_is_no_longer_suspected() {
        let ours = movement("S1");
        let known = BTreeSet::new();
        let dismissed = ["A1".to_owned()];
        let claimed = Claimed {
            at: None,
            known: &known,
            dismissed: &dismissed,
        };
        let rows = [row("pedido 1234567890123-01", "-", Direction::Out, 2)];
        assert_eq!(suspicion("tienda", &ours, &rows, claimed), None);
    }
}
