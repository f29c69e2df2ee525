//! What the bases' tables say of movements, of sales documents and of bar codes.
//!
//! It is a second witness. What it says can make a doubt out of the service's answer, and can answer where the service's
//! own listing proved nothing; it never turns an answer of the service into another one.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::dragonfish::code::{Variant, split};
use crate::adapters::dragonfish::sql::Sql;
use crate::adapters::dragonfish::sql::statements::{NOTE_WIDTH, anywhere, key};
use crate::adapters::http::text::one_line;
use crate::adapters::odbc::link::Rows;
use crate::config::sql::Witness;
use crate::config::statements::Statement;
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::movement::{Direction, ErpDay, FoundMovement};
use crate::domain::ports::{Listing, PortError, PortResult, Search};
use crate::domain::qty::Qty;
use crate::domain::suspects;
use crate::domain::time::Moment;

/// A bar code of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::adapters::dragonfish) struct BarCode {
    /// The code.
    pub(in crate::adapters::dragonfish) code: String,
    /// How many units one stands for.
    pub(in crate::adapters::dragonfish) units: Qty,
}

/// Sales documents of one kind in one base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::adapters::dragonfish) struct Paper {
    /// The base.
    pub(in crate::adapters::dragonfish) base: BaseCode,
    /// The kind's number (`FACTTIPO`).
    pub(in crate::adapters::dragonfish) kind: String,
    /// How many.
    pub(in crate::adapters::dragonfish) count: String,
}

/// A movement as the tables show it.
struct Row {
    found: FoundMovement,
    annulled: bool,
    /// The note reached the most that is read, so its end may be missing.
    cut: bool,
}

impl Sql<'_> {
    /// Weighs the service's listing against the tables, where the configuration asks for it.
    pub(in crate::adapters::dragonfish) fn weigh(
        &self,
        base: &BaseCode,
        search: &Search,
        told: Listing,
    ) -> Listing {
        match (told, self.parts.config.movement_witness) {
            (told, Witness::Never) | (told @ Listing::Complete(_), Witness::Doubt) => told,
            (Listing::Inconclusive(why), Witness::Doubt | Witness::Always) => {
                match self.movements(base, search).and_then(believed) {
                    Ok(rows) => {
                        log::info!(
                            "the movements of base {base} are listed by SQL, since the service's listing proves nothing: {why}"
                        );
                        Listing::Complete(rows)
                    }
                    Err(err) => Listing::Inconclusive(format!("{why}; by SQL: {err}")),
                }
            }
            (Listing::Complete(rows), Witness::Always) => match self.movements(base, search) {
                Ok(seen) => agreed(rows, seen, search),
                Err(err) => {
                    // The service's word alone is what counts where no second witness is configured.
                    log::warn!("the movements of base {base} have no second witness: {err}");
                    Listing::Complete(rows)
                }
            },
        }
    }

    /// Lists the movements of a base by SQL.
    fn movements(&self, base: &BaseCode, search: &Search) -> PortResult<Vec<Row>> {
        let query = match search {
            Search::Text(text) => {
                let pattern = anywhere(text);
                self.query(Statement::MovementsText, vec![pattern.clone(), pattern])
            }
            Search::Day(day) => {
                let day = format!("{}T00:00:00", day.as_str());
                self.query(Statement::MovementsDay, vec![day.clone(), day])
            }
        };
        let mut state = self.state();
        self.learn_bases(&mut state)?;
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let mut wrong = None;
        let offset_min = self.parts.offset_min;
        self.ask(&mut state, base, query, &mut |bunch| {
            for row in 0..bunch.len() {
                if let Err(why) = take(bunch, row, base, offset_min, &mut rows) {
                    wrong = Some(why);
                }
            }
        })
        .map_err(|fault| fault.port("list movements by SQL"))?;
        match wrong {
            Some(why) => Err(PortError::rejected(format!("list movements by SQL: {why}"))),
            None => Ok(rows.into_values().collect()),
        }
    }

    /// Looks in every base that counts for sales documents that bear an order's id; a base that fails is left out.
    pub(in crate::adapters::dragonfish) fn papers(
        &self,
        bases: &[BaseCode],
        order: &str,
    ) -> PortResult<Vec<Paper>> {
        let mut state = self.state();
        self.learn_bases(&mut state)?;
        let mut papers = Vec::new();
        let (mut n_failed, mut last) = (0, None);
        for base in bases {
            let query = self.query(Statement::Sales, vec![anywhere(order)]);
            let read = self.ask(&mut state, base, query, &mut |rows| {
                for row in 0..rows.len() {
                    let cell = |column| whole(rows.cell(row, column).unwrap_or_default());
                    papers.push(Paper {
                        base: base.clone(),
                        kind: cell(0),
                        count: cell(1),
                    });
                }
            });
            if let Err(fault) = read {
                state.tell(base, &fault);
                n_failed += 1;
                last = Some(fault);
            }
        }
        match last {
            Some(fault) if n_failed == bases.len() => {
                Err(fault.port("look for sales documents by SQL"))
            }
            Some(_) | None => Ok(papers),
        }
    }

    /// Returns the bar codes of a variant as a base knows them.
    pub(in crate::adapters::dragonfish) fn bar_codes(
        &self,
        base: &BaseCode,
        code: &ErpCode,
    ) -> PortResult<Vec<BarCode>> {
        let variant = split(code).map_err(PortError::rejected)?;
        let mut found = Vec::new();
        let mut state = self.state();
        self.learn_bases(&mut state)?;
        let query = self.query(Statement::Barcodes, key(&variant).to_vec());
        self.ask(&mut state, base, query, &mut |rows| {
            for row in 0..rows.len() {
                found.push(BarCode {
                    code: rows.cell(row, 0).unwrap_or_default().trim().to_owned(),
                    units: units(rows.cell(row, 1)),
                });
            }
        })
        .map_err(|fault| fault.port("read bar codes by SQL"))?;
        Ok(found)
    }

    /// Returns the variant that a bar code stands for in a base, and how many units of it.
    pub(in crate::adapters::dragonfish) fn of_bar_code(
        &self,
        base: &BaseCode,
        bar_code: &str,
    ) -> PortResult<Option<(ErpCode, Qty)>> {
        let mut found = Vec::new();
        let mut state = self.state();
        self.learn_bases(&mut state)?;
        let query = self.query(Statement::Barcode, vec![bar_code.to_owned()]);
        self.ask(&mut state, base, query, &mut |rows| {
            for row in 0..rows.len() {
                let cell = |column| rows.cell(row, column).unwrap_or_default();
                let variant = Variant::new(cell(0), cell(1), cell(2));
                found.push((variant.and_then(|v| v.code()), units(rows.cell(row, 3))));
            }
        })
        .map_err(|fault| fault.port("read a bar code by SQL"))?;
        match found.pop() {
            // The column is the table's key; two rows mean that it is another table.
            Some(_) if !found.is_empty() => Err(PortError::rejected(format!(
                "bar code {bar_code} stands for more than one variant"
            ))),
            Some((Ok(code), units)) => Ok(Some((code, units))),
            Some((Err(why), _)) => Err(PortError::rejected(format!("bar code {bar_code}: {why}"))),
            None => Ok(None),
        }
    }
}

/// Chooses the bar code that a person knows: the first that begins with a digit, else the longest.
pub(in crate::adapters::dragonfish) fn chosen(codes: &[BarCode]) -> Option<&BarCode> {
    let digit = |code: &&BarCode| code.code.starts_with(|c: char| c.is_ascii_digit());
    codes.iter().find(digit).or_else(|| {
        // Of equally long ones the first, so that the choice does not jump.
        let longest = codes.iter().map(|code| code.code.chars().count()).max()?;
        codes
            .iter()
            .find(|code| code.code.chars().count() == longest)
    })
}

/// One unit where nothing, or nothing sensible, is said.
fn units(text: Option<&str>) -> Qty {
    let read = text.and_then(|text| Qty::parse(text).ok());
    read.filter(|qty| *qty > Qty::ZERO).unwrap_or(Qty::whole(1))
}

/// A number as text, without the decimals of its column.
fn whole(text: &str) -> String {
    Qty::parse(text).map_or_else(|_| one_line(text, 20), |qty| qty.to_string())
}

/// Adds one row of the listing: a movement, or a further line of one.
fn take(
    rows: &Rows,
    row: usize,
    base: &BaseCode,
    offset_min: i64,
    into: &mut BTreeMap<String, Row>,
) -> Result<(), String> {
    let cell = |column| rows.cell(row, column).unwrap_or_default().trim();
    let id = one_line(cell(0), 60);
    if id.is_empty() {
        return Err("a movement has no CODIGO".into());
    }
    let movement = into.entry(id.clone()).or_insert_with(|| {
        let day = ErpDay::parse(cell(6));
        let entered = ErpDay::parse(cell(7)).or_else(|| day.clone());
        let entered = entered.and_then(|day| Moment::parse(&format!("{day}T{}Z", cell(8))));
        Row {
            annulled: !matches!(cell(5), "" | "0"),
            cut: rows
                .cell(row, 4)
                .is_some_and(|note| note.chars().count() >= NOTE_WIDTH),
            found: FoundMovement {
                id,
                number: Some(whole(cell(1))).filter(|number| number != "0" && !number.is_empty()),
                direction: match whole(cell(2)).as_str() {
                    "1" => Some(Direction::In),
                    "2" => Some(Direction::Out),
                    _ => None,
                },
                base: Some(base.clone()),
                note: cell(4).to_owned(),
                reference: cell(3).to_owned(),
                lines: Some(BTreeMap::new()),
                day,
                created: entered.map(|local| local.plus_ms(-offset_min * 60_000)),
            },
        }
    });
    // A movement without a line comes with an empty one, and its goods are then none.
    if cell(9).is_empty() {
        return Ok(());
    }
    let line = Variant::new(cell(9), cell(10), cell(11))
        .and_then(|variant| variant.code())
        .and_then(|code| Ok((code, Qty::parse(cell(12)).map_err(|err| err.to_string())?)));
    match (line, &mut movement.found.lines) {
        (Ok((code, qty)), Some(lines)) => {
            let sum = lines.entry(code).or_default();
            *sum = *sum + qty;
        }
        (Ok(_), None) => {}
        // One line that cannot be read hides all: a part of the goods would be other goods.
        (Err(_), lines) => *lines = None,
    }
    Ok(())
}

/// Turns the tables' rows into a listing, unless they show what the service could not have shown.
fn believed(rows: Vec<Row>) -> PortResult<Vec<FoundMovement>> {
    for row in &rows {
        if let Some(why) = doubt(row) {
            return Err(PortError::rejected(why));
        }
    }
    Ok(rows.into_iter().map(|row| row.found).collect())
}

/// A movement of ours that a person annulled is neither there nor never made: a person must look.
fn doubt(row: &Row) -> Option<String> {
    let name = row.found.number.as_ref().unwrap_or(&row.found.id);
    if row.cut {
        return Some(format!(
            "the note of movement {name} is too long to be read"
        ));
    }
    (row.annulled && suspects::marked(&row.found))
        .then(|| format!("movement {name} was annulled by a person"))
}

/// Compares both witnesses: what one lists and the other does not, or what is annulled, makes a doubt.
fn agreed(rows: Vec<FoundMovement>, seen: Vec<Row>, search: &Search) -> Listing {
    let upper = |text: &str| text.trim().to_uppercase();
    let bears = |row: &&FoundMovement| match search {
        // The service also finds a text in fields that are not asked for here.
        Search::Text(text) => {
            let text = upper(text);
            upper(&row.note).contains(&text) || upper(&row.reference).contains(&text)
        }
        Search::Day(_) => true,
    };
    let told: BTreeSet<_> = rows
        .iter()
        .filter(bears)
        .map(|row| upper(&row.id))
        .collect();
    let stored: BTreeSet<_> = seen.iter().map(|row| upper(&row.found.id)).collect();
    if let Some(why) = seen.iter().find_map(doubt) {
        return Listing::Inconclusive(format!("{why}, which the service does not tell"));
    }
    if told == stored {
        return Listing::Complete(rows);
    }
    let only = |ours: &BTreeSet<String>, theirs: &BTreeSet<String>| ours.difference(theirs).count();
    Listing::Inconclusive(format!(
        "the service lists {} movements that the tables do not, and the tables {} that the service does not",
        only(&told, &stored),
        only(&stored, &told)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar_code(code: &str) -> BarCode {
        BarCode {
            code: code.into(),
            units: Qty::whole(1),
        }
    }

    #[test]
    fn the_bar_code_shown_begins_with_a_digit_or_is_the_longest() {
        let best = |codes: &[&str]| {
            let codes: Vec<_> = codes.iter().map(|code| bar_code(code)).collect();
            chosen(&codes).map(|code| code.code.clone())
        };
        assert_eq!(
            best(&["ART!N01!42", "7790001", "7790002000"]).as_deref(),
            Some("7790001")
        );
        assert_eq!(
            best(&["AB", "ART!N01!42", "XYZ!N01!42"]).as_deref(),
            Some("ART!N01!42")
        );
        assert_eq!(best(&[]), None);
    }

    fn row(id: &str, annulled: bool) -> Row {
        Row {
            annulled,
            cut: false,
            found: FoundMovement {
                id: id.into(),
                number: Some("7".into()),
                direction: Some(Direction::Out),
                base: None,
                note: "VTEX 1234567890123-01 #S1 V1BKFRX6CDHMYHQ.".into(),
                reference: "V1BKFRX6CDHMYHQ".into(),
                lines: None,
                day: None,
                created: None,
            },
        }
    }

    #[test]
    fn two_witnesses_that_differ_prove_nothing() {
        let search = Search::Text("1234567890123-01".into());
        let agree = |told: &[&str], seen: &[(&str, bool)]| {
            let told = told.iter().map(|id| row(id, false).found).collect();
            let seen = seen
                .iter()
                .map(|(id, annulled)| row(id, *annulled))
                .collect();
            agreed(told, seen, &search)
        };
        assert!(
            matches!(agree(&["a"], &[("A ", false)]), Listing::Complete(rows) if rows.len() == 1)
        );
        assert!(matches!(agree(&[], &[]), Listing::Complete(rows) if rows.is_empty()));
        for (told, seen) in [
            (&[][..], &[("A", false)][..]),
            (&["A"], &[]),
            (&["A"], &[("B", false)]),
            (&["A"], &[("A", true)]),
        ] {
            assert!(
                matches!(agree(told, seen), Listing::Inconclusive(_)),
                "{told:?} {seen:?}"
            );
        }
    }

    #[test]
    fn an_annulled_movement_of_ours_is_no_absence() {
        assert!(believed(vec![row("A", true)]).is_err());
        let mut strangers = row("B", true);
        strangers.found.note = "a person's".into();
        strangers.found.reference.clear();
        assert_eq!(believed(vec![strangers]).unwrap().len(), 1);
    }
}
