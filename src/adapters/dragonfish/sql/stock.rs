//! Reading stock from the bases' own tables (`ZooLogic.COMB`), and which of it changed.
//!
//! A variant with more than one row in a base is unreadable: the product keeps one, and nobody can tell which of two
//! counts. A whole base is read as a stream, of which only what was asked for is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::dragonfish::code::{Variant, split};
use crate::adapters::dragonfish::sql::statements::stock_of;
use crate::adapters::dragonfish::sql::{Sql, State};
use crate::adapters::dragonfish::stock::StockRules;
use crate::adapters::odbc::fault::Fault;
use crate::adapters::odbc::link::{Query, Rows};
use crate::config::sections::UnlistedBase;
use crate::config::statements::Statement;
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::ports::{Changes, PortError, PortResult};
use crate::domain::qty::Qty;
use crate::domain::stock::{StockLevels, VariantLevels};
use crate::domain::time::Moment;

/// Variants asked for at once: the server takes 2100 values, three for each.
const AT_ONCE: usize = 500;
/// The most changed variants of one reading; beyond it the full comparison is what finds them.
const MOST_CHANGES: usize = 20_000;
/// How far a base that cannot be read holds the watermark back; afterwards the full comparison is what finds its changes.
const HELD_BACK_MS: i64 = 3_600_000;

impl Sql<'_> {
    /// Reads variants in the bases that count.
    pub(in crate::adapters::dragonfish) fn read(
        &self,
        rules: &StockRules,
        codes: &[ErpCode],
    ) -> PortResult<StockLevels> {
        let wanted = Wanted::new(rules, codes);
        let variants: Vec<_> = wanted.variants.iter().cloned().collect();
        let queries = stock_of(&self.parts.statements, &variants, AT_ONCE);
        let table = self.table(rules, &queries, None, &|_| {})?;
        Ok(wanted.levels(rules, table, "sql"))
    }

    /// Reads every variant of the bases that count, and keeps those that are wanted, or all.
    pub(in crate::adapters::dragonfish) fn read_all(
        &self,
        rules: &StockRules,
        wanted: Option<&BTreeSet<ErpCode>>,
        progress: &dyn Fn(u64),
    ) -> PortResult<StockLevels> {
        let queries = [self.query(Statement::StockAll, Vec::new())];
        let road = "sql bulk";
        if let Some(codes) = wanted {
            let wanted = Wanted::new(rules, codes);
            let table = self.table(rules, &queries, Some(&wanted.variants), progress)?;
            return Ok(wanted.levels(rules, table, road));
        }
        let table = self.table(rules, &queries, None, progress)?;
        let mut levels = StockLevels {
            road: road.into(),
            ..StockLevels::default()
        };
        let mut spelled: BTreeMap<ErpCode, BTreeSet<Variant>> = BTreeMap::new();
        for variant in table.rows.keys() {
            let spellings = spellings(rules, variant);
            for spelling in &spellings {
                if let Ok(code) = spelling.code() {
                    let of_code = spelled.entry(code).or_default();
                    of_code.extend(spellings.iter().cloned());
                }
            }
        }
        for (code, spellings) in spelled {
            let level = table.level(rules, spellings.iter());
            levels.variants.insert(code, level);
        }
        levels.missing = table.missing;
        Ok(levels)
    }

    /// Reads the same statements in one base after another, the virtual depot first.
    fn table(
        &self,
        rules: &StockRules,
        queries: &[Query],
        wanted: Option<&BTreeSet<Variant>>,
        progress: &dyn Fn(u64),
    ) -> PortResult<Table> {
        let mut state = self.state();
        self.learn_bases(&mut state)?;
        let mut table = Table::default();
        let (mut n_rows, mut last) = (0_u64, None);
        for base in &rules.bases {
            let mut part = BTreeMap::new();
            let mut count = |rows: &Rows| {
                n_rows = n_rows.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                progress(n_rows);
                gather(rows, wanted, &mut part);
            };
            match self.ask_all(&mut state, base, queries, &mut count) {
                // Half a base is none: its rows join only once all of them were read.
                Ok(()) => {
                    for (variant, cell) in part {
                        let of_variant = table.rows.entry(variant).or_default();
                        of_variant.insert(base.clone(), cell);
                    }
                }
                Err(fault) => {
                    state.tell(base, &fault);
                    table.missing.insert(base.clone(), fault.to_string());
                    last = Some(fault);
                }
            }
        }
        match last {
            Some(fault) if table.missing.len() == rules.bases.len() => {
                Err(fault.port("read stock by SQL"))
            }
            Some(_) | None => Ok(table),
        }
    }

    fn ask_all(
        &self,
        state: &mut State,
        base: &BaseCode,
        queries: &[Query],
        take: &mut dyn FnMut(&Rows),
    ) -> Result<(), Fault> {
        for query in queries {
            self.ask(state, base, query.clone(), take)?;
        }
        Ok(())
    }

    /// Tells which variants' rows were written since a watermark of the server's own clock.
    pub(in crate::adapters::dragonfish) fn changed_since(
        &self,
        rules: &StockRules,
        watermark: Option<i64>,
    ) -> PortResult<Option<Changes>> {
        if !self.parts.config.changes {
            return Ok(None);
        }
        let mut state = self.state();
        self.learn_bases(&mut state)?;
        let now = self.clock(&mut state, &rules.bases)?;
        let overlap_ms = self.parts.config.changes_overlap.ms();
        let next = now.plus_ms(-overlap_ms);
        let Some(before) = watermark else {
            return Ok(Some(Changes {
                codes: Vec::new(),
                watermark: next.0,
            }));
        };
        // A clock that was set back, or stood wrong, must not make a reading that begins in its future.
        let since = Moment(before.min(next.0));
        let Some([day, time]) = day_and_time(since) else {
            return Err(PortError::rejected(format!(
                "read changes by SQL: {since} is no time of day"
            )));
        };
        let mut changed: BTreeSet<Variant> = BTreeSet::new();
        let (mut n_failed, mut last) = (0, None);
        for base in &rules.bases {
            let values = vec![day.clone(), day.clone(), time.clone()];
            let query = self.query(Statement::StockChanged, values);
            let read = self.ask(&mut state, base, query, &mut |rows| {
                changed.extend((0..rows.len()).filter_map(|row| variant(rows, row)));
                // What is beyond counting is not kept, only known to be too much.
                while changed.len() > MOST_CHANGES + 1 {
                    changed.pop_last();
                }
            });
            if let Err(fault) = read {
                state.tell(base, &fault);
                n_failed += 1;
                last = Some(fault);
            }
        }
        match last {
            Some(fault) if n_failed == rules.bases.len() => {
                return Err(fault.port("read changes by SQL"));
            }
            Some(_) | None => {}
        }
        if changed.len() > MOST_CHANGES {
            log::warn!(
                "more than {MOST_CHANGES} variants changed since {since}; the full comparison finds them"
            );
            changed.clear();
        }
        let codes: BTreeSet<_> = changed
            .iter()
            .flat_map(|variant| spellings(rules, variant))
            .filter_map(|variant| variant.code().ok())
            .collect();
        let watermark = if n_failed == 0 {
            next
        } else {
            since.max(next.plus_ms(-HELD_BACK_MS))
        };
        Ok(Some(Changes {
            codes: codes.into_iter().collect(),
            watermark: watermark.0,
        }))
    }

    /// Reads the server's clock through the first base that answers.
    fn clock(&self, state: &mut State, bases: &[BaseCode]) -> PortResult<Moment> {
        let mut last = None;
        for base in bases {
            let mut told = None;
            let query = self.query(Statement::Clock, Vec::new());
            let read = self.ask(state, base, query, &mut |rows| {
                told = rows.cell(0, 0).map(str::to_owned);
            });
            match (read, told) {
                (Err(fault), _) => {
                    state.tell(base, &fault);
                    last = Some(fault.port("read the clock by SQL"));
                }
                (Ok(_), told) => {
                    let text = told.unwrap_or_default();
                    let naive = text.trim().replace(' ', "T");
                    return Moment::parse(&format!("{naive}Z")).ok_or_else(|| {
                        PortError::rejected(format!(
                            "read the clock by SQL: {text:?} is no instant"
                        ))
                    });
                }
            }
        }
        Err(last.unwrap_or_else(|| PortError::rejected("read the clock by SQL: no base counts")))
    }
}

/// Writes a moment of the server's clock as a day, which every language setting of the server reads alike, and a time.
fn day_and_time(at: Moment) -> Option<[String; 2]> {
    let text = at.floor_second().to_string();
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    Some([format!("{day}T00:00:00"), time.to_owned()])
}

/// Returns the spellings under which a variant may stand in a table.
fn spellings(rules: &StockRules, variant: &Variant) -> Vec<Variant> {
    if rules.sizes_ignore_zeros {
        variant.spellings()
    } else {
        vec![variant.clone()]
    }
}

/// What is asked for.
struct Wanted {
    codes: Vec<(ErpCode, Result<Variant, String>)>,
    /// All spellings of it.
    variants: BTreeSet<Variant>,
}

impl Wanted {
    fn new<'c>(rules: &StockRules, codes: impl IntoIterator<Item = &'c ErpCode>) -> Self {
        let codes: Vec<_> = codes
            .into_iter()
            .map(|code| (code.clone(), split(code)))
            .collect();
        let variants = codes
            .iter()
            .filter_map(|(_, variant)| variant.as_ref().ok());
        let variants = variants.flat_map(|v| spellings(rules, v)).collect();
        Self { codes, variants }
    }

    fn levels(self, rules: &StockRules, table: Table, road: &str) -> StockLevels {
        let mut levels = StockLevels {
            road: road.into(),
            ..StockLevels::default()
        };
        for (code, variant) in self.codes {
            let level = match variant {
                Ok(variant) => table.level(rules, spellings(rules, &variant).iter()),
                Err(why) => VariantLevels::Unreadable(why),
            };
            // A base that was not read may be the one that knows it.
            if table.missing.is_empty() || !matches!(level, VariantLevels::Absent) {
                levels.variants.insert(code, level);
            }
        }
        levels.missing = table.missing;
        levels
    }
}

/// What a base says of one variant.
type Cell = Result<Qty, String>;

/// Reads a row's key; an article without colours or sizes has no reference of three parts, so nobody asks for it.
fn variant(rows: &Rows, row: usize) -> Option<Variant> {
    let cell = |column| rows.cell(row, column).unwrap_or_default();
    Variant::new(cell(0), cell(1), cell(2)).ok()
}

/// Reads rows of article, colour, size and quantity; those that nobody wants are not kept.
fn gather(rows: &Rows, wanted: Option<&BTreeSet<Variant>>, into: &mut BTreeMap<Variant, Cell>) {
    for row in 0..rows.len() {
        let Some(variant) = variant(rows, row) else {
            continue;
        };
        if wanted.is_some_and(|wanted| !wanted.contains(&variant)) {
            continue;
        }
        let qty = match rows.cell(row, 3) {
            Some(text) => Qty::parse(text).map_err(|err| err.to_string()),
            None => Err("its quantity is NULL".into()),
        };
        into.entry(variant)
            .and_modify(|cell| *cell = Err("it has more than one row".into()))
            .or_insert(qty);
    }
}

/// What was read.
#[derive(Default)]
struct Table {
    rows: BTreeMap<Variant, BTreeMap<BaseCode, Cell>>,
    missing: BTreeMap<BaseCode, String>,
}

impl Table {
    /// Decides what the rows of one variant, under all its spellings, mean.
    fn level<'v>(
        &self,
        rules: &StockRules,
        spellings: impl Iterator<Item = &'v Variant>,
    ) -> VariantLevels {
        let mut bases: BTreeMap<BaseCode, Qty> = BTreeMap::new();
        let found = spellings.filter_map(|variant| self.rows.get(variant));
        for (base, cell) in found.flatten() {
            let twice = bases.contains_key(base);
            match cell {
                Ok(qty) if !twice => drop(bases.insert(base.clone(), *qty)),
                Ok(_) => {
                    return VariantLevels::Unreadable(format!(
                        "base {base}: two spellings of one size"
                    ));
                }
                Err(why) => return VariantLevels::Unreadable(format!("base {base}: {why}")),
            }
        }
        if bases.is_empty() {
            return VariantLevels::Absent;
        }
        match rules.unlisted {
            UnlistedBase::Missing => {}
            UnlistedBase::ZeroIfSeen => {
                let read = |base: &&BaseCode| !self.missing.contains_key(*base);
                for base in rules.bases.iter().filter(read) {
                    bases.entry(base.clone()).or_insert(Qty::ZERO);
                }
            }
        }
        VariantLevels::Known(bases)
    }
}

/// Tells whether another road may be tried after this failure. What the ERP answered, zero included, is no failure.
pub(in crate::adapters::dragonfish) fn may_fall_back(err: &PortError) -> bool {
    match err {
        PortError::Transient { .. } | PortError::Denied { .. } => true,
        PortError::Uncertain { .. } | PortError::Rejected { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_road_is_taken_on_failures_only() {
        assert!(may_fall_back(&PortError::transient("down")));
        assert!(may_fall_back(&PortError::denied("401")));
        assert!(!may_fall_back(&PortError::rejected("no such article")));
        assert!(!may_fall_back(&PortError::uncertain("?")));
    }

    #[test]
    fn an_instant_is_written_so_that_every_server_reads_it_alike() {
        let at = Moment::parse("2026-01-31T09:05:07.250Z").unwrap();
        let [day, time] = day_and_time(at).unwrap();
        assert_eq!(
            [day.as_str(), time.as_str()],
            ["2026-01-31T00:00:00", "09:05:07"]
        );
    }
}
