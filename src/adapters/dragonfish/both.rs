//! Two readings of the same stock, one by each road, made into one.
//!
//! Both tell what lies there: `Stock` and `COCANT`. What is committed is in neither, so equal means equal. Two things are
//! no contradiction: a base of which one road says nothing (nobody knows whether the service lists a base without
//! stock), and a variant that one road does not know while the other shows nothing but zeros.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::sql::OnDisagreement;
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::qty::Qty;
use crate::domain::stock::{StockLevels, VariantLevels};

/// How a reading by both roads is named.
const ROAD: &str = "api and sql";

/// What two roads together say of one variant.
enum Joint {
    /// They agree, or only one of them says something.
    Agreed(VariantLevels),
    /// They give two figures, in one sentence.
    Differ(String),
}

/// Returns the variants of which the roads gave two figures.
pub(super) fn doubtful(api: &StockLevels, sql: &StockLevels) -> Vec<ErpCode> {
    codes(api, sql)
        .into_iter()
        .filter(|code| {
            let joint = joint(api.variants.get(code), sql.variants.get(code));
            matches!(joint, Some(Joint::Differ(_)))
        })
        .collect()
}

/// Puts what was read again in the place of what was read first.
pub(super) fn renew(levels: &mut StockLevels, again: StockLevels) {
    levels.variants.extend(again.variants);
    levels.missing.extend(again.missing);
}

/// Makes one reading of two.
pub(super) fn merge(api: &StockLevels, sql: &StockLevels, rule: OnDisagreement) -> StockLevels {
    let mut levels = StockLevels {
        road: ROAD.into(),
        ..StockLevels::default()
    };
    for code in codes(api, sql) {
        let (by_api, by_sql) = (api.variants.get(&code), sql.variants.get(&code));
        let level = match joint(by_api, by_sql) {
            None => continue,
            Some(Joint::Agreed(level)) => level,
            Some(Joint::Differ(told)) => {
                let chosen = match rule {
                    OnDisagreement::Hold => Some(VariantLevels::Unreadable(told.clone())),
                    OnDisagreement::Api => by_api.cloned(),
                    OnDisagreement::Sql => by_sql.cloned(),
                };
                levels.doubts.insert(code.clone(), told);
                match chosen {
                    Some(level) => level,
                    None => continue,
                }
            }
        };
        levels.variants.insert(code, level);
    }
    // Only what neither road has read is missing.
    for (base, why) in &api.missing {
        if let Some(too) = sql.missing.get(base) {
            levels
                .missing
                .insert(base.clone(), format!("{why}; by SQL: {too}"));
        }
    }
    if !levels.missing.is_empty() {
        let absent = |level: &VariantLevels| matches!(level, VariantLevels::Absent);
        levels.variants.retain(|_, level| !absent(level));
    }
    levels
}

fn codes(api: &StockLevels, sql: &StockLevels) -> BTreeSet<ErpCode> {
    let codes = api.variants.keys().chain(sql.variants.keys());
    codes.cloned().collect()
}

fn joint(api: Option<&VariantLevels>, sql: Option<&VariantLevels>) -> Option<Joint> {
    let (api, sql) = match (api, sql) {
        (Some(api), Some(sql)) => (api, sql),
        (Some(one), None) | (None, Some(one)) => return Some(Joint::Agreed(one.clone())),
        (None, None) => return None,
    };
    Some(match (api, sql) {
        (VariantLevels::Known(api), VariantLevels::Known(sql)) => known(api, sql),
        (VariantLevels::Absent, VariantLevels::Absent) => Joint::Agreed(VariantLevels::Absent),
        (VariantLevels::Absent, VariantLevels::Known(bases)) => {
            alone(bases, "the service does not know it, the tables say")
        }
        (VariantLevels::Known(bases), VariantLevels::Absent) => {
            alone(bases, "the tables do not know it, the service says")
        }
        // A road that contradicts itself, or speaks of packs, confirms nothing.
        (unclear @ (VariantLevels::Unreadable(_) | VariantLevels::Packed(_)), _)
        | (_, unclear @ (VariantLevels::Unreadable(_) | VariantLevels::Packed(_))) => {
            Joint::Agreed(unclear.clone())
        }
    })
}

fn known(api: &BTreeMap<BaseCode, Qty>, sql: &BTreeMap<BaseCode, Qty>) -> Joint {
    let differ: Vec<_> = api
        .iter()
        .filter_map(|(base, by_api)| {
            let by_sql = sql.get(base).filter(|by_sql| *by_sql != by_api)?;
            Some(format!(
                "base {base}: the service says {by_api}, the tables {by_sql}"
            ))
        })
        .collect();
    if !differ.is_empty() {
        return Joint::Differ(differ.join("; "));
    }
    let mut bases = sql.clone();
    bases.extend(api.iter().map(|(base, qty)| (base.clone(), *qty)));
    Joint::Agreed(VariantLevels::Known(bases))
}

fn alone(bases: &BTreeMap<BaseCode, Qty>, told: &str) -> Joint {
    let some: Vec<_> = bases
        .iter()
        .filter(|(_, qty)| !qty.is_zero())
        .map(|(base, qty)| format!("{qty} in base {base}"))
        .collect();
    if some.is_empty() {
        return Joint::Agreed(VariantLevels::Known(bases.clone()));
    }
    Joint::Differ(format!("{told} {}", some.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> ErpCode {
        ErpCode::parse("A-N-1").unwrap()
    }

    fn levels(level: Option<VariantLevels>) -> StockLevels {
        StockLevels {
            variants: level.into_iter().map(|level| (code(), level)).collect(),
            ..StockLevels::default()
        }
    }

    fn stock(cells: &[(&str, &str)]) -> Option<VariantLevels> {
        let cells = cells
            .iter()
            .map(|(base, qty)| (BaseCode::parse(base).unwrap(), Qty::parse(qty).unwrap()));
        Some(VariantLevels::Known(cells.collect()))
    }

    fn told(
        api: Option<VariantLevels>,
        sql: Option<VariantLevels>,
        rule: OnDisagreement,
    ) -> StockLevels {
        merge(&levels(api), &levels(sql), rule)
    }

    #[test]
    fn equal_figures_and_silence_agree() {
        let hold = OnDisagreement::Hold;
        for (api, sql, wanted) in [
            (
                stock(&[("A", "3"), ("B", "0")]),
                stock(&[("A", "3.00"), ("B", "0")]),
                stock(&[("A", "3"), ("B", "0")]),
            ),
            (
                stock(&[("A", "3")]),
                stock(&[("A", "3"), ("B", "2")]),
                stock(&[("A", "3"), ("B", "2")]),
            ),
            (
                Some(VariantLevels::Absent),
                stock(&[("A", "0")]),
                stock(&[("A", "0")]),
            ),
            (None, stock(&[("A", "1")]), stock(&[("A", "1")])),
        ] {
            let joint = told(api, sql, hold);
            assert_eq!(joint.variants.get(&code()), wanted.as_ref());
            assert!(joint.doubts.is_empty());
        }
    }

    #[test]
    fn two_figures_hold_the_number_or_one_road_is_believed() {
        let api = || stock(&[("A", "3"), ("B", "1")]);
        let sql = || stock(&[("A", "5"), ("B", "1")]);
        let held = told(api(), sql(), OnDisagreement::Hold);
        let sentence = "base A: the service says 3, the tables 5";
        assert_eq!(
            held.variants[&code()],
            VariantLevels::Unreadable(sentence.into())
        );
        assert_eq!(held.doubts[&code()], sentence);
        assert_eq!(
            told(api(), sql(), OnDisagreement::Api)
                .variants
                .get(&code()),
            api().as_ref()
        );
        assert_eq!(
            told(api(), sql(), OnDisagreement::Sql)
                .variants
                .get(&code()),
            sql().as_ref()
        );
        let gone = told(Some(VariantLevels::Absent), sql(), OnDisagreement::Hold);
        assert!(gone.doubts[&code()].contains("does not know it"));
    }
}
