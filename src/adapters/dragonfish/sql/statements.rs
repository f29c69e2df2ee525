//! The statements themselves, compiled in, and the widest answer that each column may give.

use std::collections::BTreeMap;

use crate::adapters::dragonfish::code::Variant;
use crate::adapters::odbc::link::Query;
use crate::config::statements::{EACH, OR, Statement};

/// The most characters of a note that are read (`MOBS varchar(max)`); a note this long may have been cut.
pub(super) const NOTE_WIDTH: usize = 4000;

/// Returns the text that is compiled in.
fn compiled_in(statement: Statement) -> &'static str {
    match statement {
        Statement::Bases => include_str!("../../../../sql/dragonfish/bases.sql"),
        Statement::CanWrite => include_str!("../../../../sql/dragonfish/can_write.sql"),
        Statement::Clock => include_str!("../../../../sql/dragonfish/clock.sql"),
        Statement::StockMany => include_str!("../../../../sql/dragonfish/stock_many.sql"),
        Statement::StockAll => include_str!("../../../../sql/dragonfish/stock_all.sql"),
        Statement::StockChanged => include_str!("../../../../sql/dragonfish/stock_changed.sql"),
        Statement::Barcodes => include_str!("../../../../sql/dragonfish/barcodes.sql"),
        Statement::Barcode => include_str!("../../../../sql/dragonfish/barcode.sql"),
        Statement::MovementsText => include_str!("../../../../sql/dragonfish/movements_text.sql"),
        Statement::MovementsDay => include_str!("../../../../sql/dragonfish/movements_day.sql"),
        Statement::Sales => include_str!("../../../../sql/dragonfish/sales.sql"),
    }
}

/// The most characters of each column, blanks and signs included.
fn widths(statement: Statement) -> Vec<usize> {
    /// Article, colour and size.
    const KEY: [usize; 3] = [15, 6, 5];
    /// A figure, and a small whole number.
    const FIGURE: usize = 24;
    match statement {
        Statement::Bases => vec![128, 60],
        Statement::CanWrite => vec![FIGURE],
        Statement::Clock => vec![30],
        Statement::StockChanged => KEY.to_vec(),
        Statement::StockMany | Statement::StockAll | Statement::Barcode => {
            [&KEY[..], &[FIGURE]].concat()
        }
        Statement::Barcodes => vec![40, FIGURE],
        Statement::MovementsText | Statement::MovementsDay => [
            &[38, FIGURE, FIGURE, 15, NOTE_WIDTH, FIGURE, 10, 10, 8][..],
            &KEY,
            &[FIGURE],
        ]
        .concat(),
        Statement::Sales => vec![FIGURE, FIGURE],
    }
}

/// Returns the operator's own text of a statement, or the one compiled in.
fn text(own: &BTreeMap<Statement, String>, statement: Statement) -> &str {
    own.get(&statement)
        .map_or_else(|| compiled_in(statement), String::as_str)
}

/// Puts a statement and its values together.
pub(super) fn query(
    own: &BTreeMap<Statement, String>,
    statement: Statement,
    values: Vec<String>,
) -> Query {
    Query {
        text: text(own, statement).to_owned(),
        values,
        widths: widths(statement),
    }
}

/// Returns the statements that read these variants, at most so many in each: constant fragments and repeated `?`,
/// nothing else. A text without a part to repeat is asked once for each variant.
pub(super) fn stock_of(
    own: &BTreeMap<Statement, String>,
    variants: &[Variant],
    at_once: usize,
) -> Vec<Query> {
    let whole = text(own, Statement::StockMany);
    let parts = whole
        .split_once(EACH)
        .and_then(|(head, rest)| Some((head, rest.split_once(OR)?)));
    let at_once = if parts.is_some() { at_once } else { 1 };
    let query = |variants: &[Variant]| {
        let mut text = String::new();
        match parts {
            Some((head, (each, tail))) => {
                text.push_str(head);
                for number in 0..variants.len() {
                    if number > 0 {
                        text.push_str(" OR ");
                    }
                    text.push_str(each);
                }
                text.push_str(tail);
            }
            None => text.push_str(whole),
        }
        Query {
            text,
            values: variants.iter().flat_map(key).collect(),
            widths: widths(Statement::StockMany),
        }
    };
    variants.chunks(at_once.max(1)).map(query).collect()
}

/// Returns a variant as the three values of its key.
pub(super) fn key(variant: &Variant) -> [String; 3] {
    [&variant.article, &variant.color, &variant.size].map(String::clone)
}

/// Makes of a text the pattern that finds it anywhere, its wildcards escaped by an exclamation mark.
pub(super) fn anywhere(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '[' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(size: &str) -> Variant {
        Variant::new("A B", "N01", size).unwrap()
    }

    #[test]
    fn every_statement_of_ours_has_the_shape_that_a_replacement_must_have() {
        for statement in Statement::ALL {
            let text = compiled_in(statement);
            assert_eq!(statement.check(text), Ok(()), "{statement}");
            assert_eq!(widths(statement).len(), statement.columns(), "{statement}");
        }
        let plan = include_str!("../../../../sql/dragonfish/stock_plan.sql");
        assert_eq!(Statement::StockMany.check(plan), Ok(()));
    }

    #[test]
    fn a_statement_for_many_grows_by_marks_only() {
        let none = BTreeMap::new();
        let queries = stock_of(&none, &["1", "2", "3"].map(variant), 2);
        let marks: Vec<_> = queries
            .iter()
            .map(|q| q.text.matches('?').count())
            .collect();
        assert_eq!(marks, [6, 3]);
        assert_eq!(queries[0].values.len(), 6);
        assert_eq!(queries[1].values, ["A B", "N01", "3"]);
        assert_eq!(queries[0].text.matches(" OR ").count(), 1);
        assert!(!queries[0].text.contains("A B"));
    }

    #[test]
    fn a_statement_without_a_part_to_repeat_is_asked_for_each() {
        let text = "SELECT A, B, C, D FROM T WHERE A = ? AND B = ? AND C = ?".to_owned();
        let own = BTreeMap::from([(Statement::StockMany, text.clone())]);
        let queries = stock_of(&own, &["1", "2"].map(variant), 500);
        assert_eq!(queries.len(), 2);
        assert!(
            queries
                .iter()
                .all(|q| q.text == text && q.values.len() == 3)
        );
    }

    #[test]
    fn a_pattern_finds_the_text_and_nothing_like_it() {
        assert_eq!(anywhere("50%_[x]!"), "%50!%!_![x]!!%");
    }
}
