//! Reading stock from the bases' own tables (`ZooLogic.COMB`), one connection for each base.
//!
//! A base that is offline or refuses is missing, never zero, and is spoken of once a run. A variant with more than one
//! row in a base is unreadable: the product keeps one, and nobody can tell which of two counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::adapters::dragonfish::code::{Variant, split};
use crate::adapters::dragonfish::stock::StockRules;
use crate::adapters::odbc::connect::Target;
use crate::adapters::odbc::fault::{Fault, Kind};
use crate::adapters::odbc::link::{Limits, Link, Query, Rows};
use crate::config::sections::UnlistedBase;
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::ports::{Check, CheckOutcome, PortError, PortResult};
use crate::domain::qty::Qty;
use crate::domain::stock::{StockLevels, VariantLevels};

/// Variants asked for at once: the server takes 2100 values, three for each.
const AT_ONCE: usize = 500;
/// What the name of a base's database begins with.
const PREFIX: &str = "DRAGONFISH_";
/// The most characters of article, colour, size and quantity, blanks and sign included.
const WIDTHS: [usize; 4] = [15, 6, 5, 24];

const BASES: &str = include_str!("../../../sql/dragonfish/bases.sql");
const CAN_WRITE: &str = include_str!("../../../sql/dragonfish/can_write.sql");
const STOCK_MANY: &str = include_str!("../../../sql/dragonfish/stock_many.sql");
const STOCK_ALL: &str = include_str!("../../../sql/dragonfish/stock_all.sql");

/// The bases behind a SQL Server.
pub(super) struct Sql {
    target: Target,
    limits: Limits,
    state: Mutex<State>,
}

/// What one run has learned so far.
#[derive(Default)]
struct State {
    /// The state of each database, by name in upper case; `None` before the server was asked.
    bases: Option<BTreeMap<String, String>>,
    links: BTreeMap<BaseCode, Link>,
    /// How often a base was connected to.
    opened: BTreeMap<BaseCode, u32>,
    /// Bases whose fault is on the log already.
    told: BTreeSet<BaseCode>,
}

impl Sql {
    pub(super) fn new(target: Target, limits: Limits) -> Self {
        Self {
            target,
            limits,
            state: Mutex::default(),
        }
    }

    /// Reads variants in the bases that count.
    pub(super) fn read(&self, rules: &StockRules, codes: &[ErpCode]) -> PortResult<StockLevels> {
        let mut wanted: Vec<(Variant, ErpCode)> = Vec::new();
        let mut levels = StockLevels::default();
        for code in codes {
            match split(code) {
                Ok(variant) => wanted.push((variant, code.clone())),
                Err(why) => {
                    let unreadable = VariantLevels::Unreadable(why);
                    levels.variants.insert(code.clone(), unreadable);
                }
            }
        }
        let mut asked: Vec<Variant> = Vec::new();
        for (variant, _) in &wanted {
            if rules.sizes_ignore_zeros {
                asked.extend(variant.spellings());
            } else {
                asked.push(variant.clone());
            }
        }
        asked.sort();
        asked.dedup();
        let queries: Vec<Query> = asked.chunks(AT_ONCE).map(stock_of).collect();
        let table = self.table(rules, &queries, &|_| {})?;
        for (variant, code) in wanted {
            let spellings = if rules.sizes_ignore_zeros {
                variant.spellings()
            } else {
                vec![variant]
            };
            let level = table.level(rules, &spellings);
            levels.variants.insert(code, level);
        }
        levels.missing = table.missing;
        if !levels.missing.is_empty() {
            // A base that was not read may be the one that knows it.
            levels
                .variants
                .retain(|_, level| !matches!(level, VariantLevels::Absent));
        }
        levels.road = "sql".into();
        Ok(levels)
    }

    /// Reads every variant of the bases that count.
    pub(super) fn read_all(
        &self,
        rules: &StockRules,
        progress: &dyn Fn(u64),
    ) -> PortResult<StockLevels> {
        let query = Query {
            text: STOCK_ALL.into(),
            values: Vec::new(),
            widths: WIDTHS.to_vec(),
        };
        let table = self.table(rules, &[query], progress)?;
        let mut levels = StockLevels {
            road: "sql bulk".into(),
            ..StockLevels::default()
        };
        let mut spelled: BTreeMap<ErpCode, Vec<Variant>> = BTreeMap::new();
        for variant in table.rows.keys() {
            let spellings = if rules.sizes_ignore_zeros {
                variant.spellings()
            } else {
                vec![variant.clone()]
            };
            for spelling in &spellings {
                if let Ok(code) = spelling.code() {
                    let of_code = spelled.entry(code).or_default();
                    of_code.extend(spellings.iter().cloned());
                }
            }
        }
        for (code, mut spellings) in spelled {
            spellings.sort();
            spellings.dedup();
            let level = table.level(rules, &spellings);
            levels.variants.insert(code, level);
        }
        levels.missing = table.missing;
        Ok(levels)
    }

    /// Asks each base that counts whether it can be read, and whether the login could write there, which it should not.
    pub(super) fn checks(&self, bases: &[BaseCode]) -> Vec<Check> {
        let name = "erp.sql";
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(err) = self.learn_bases(&mut state) {
            return vec![Check::new(name, CheckOutcome::Fail, err.to_string())];
        }
        let query = Query {
            text: CAN_WRITE.into(),
            values: Vec::new(),
            widths: vec![11],
        };
        let check = |base: &BaseCode| {
            let mut writes = None;
            let asked = self.ask(
                &mut state,
                base,
                std::slice::from_ref(&query),
                &mut |rows| {
                    writes = rows.cell(0, 0).map(|cell| cell != "0");
                },
            );
            match (asked, writes) {
                (Err(fault), _) => {
                    Check::new(name, CheckOutcome::Fail, format!("base {base}: {fault}"))
                }
                (Ok(()), Some(false)) => {
                    Check::new(name, CheckOutcome::Ok, format!("base {base} can be read"))
                }
                (Ok(()), Some(true)) => Check::new(
                    name,
                    CheckOutcome::Warn,
                    format!("the login can write to base {base}"),
                )
                .hint("give it db_datareader and nothing else"),
                (Ok(()), None) => Check::new(
                    name,
                    CheckOutcome::Fail,
                    format!("base {base} has no ZooLogic.COMB for this login"),
                ),
            }
        };
        bases.iter().map(check).collect()
    }

    /// Reads the same statements in one base after another, the virtual depot first.
    fn table(
        &self,
        rules: &StockRules,
        queries: &[Query],
        progress: &dyn Fn(u64),
    ) -> PortResult<Table> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.learn_bases(&mut state)?;
        let mut table = Table::default();
        let (mut n_rows, mut last) = (0_u64, None);
        for base in &rules.bases {
            let mut part = BTreeMap::new();
            let mut count = |rows: &Rows| {
                n_rows = n_rows.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                progress(n_rows);
                gather(rows, &mut part);
            };
            match self.ask(&mut state, base, queries, &mut count) {
                // Half a base is none: its rows join only once all of them were read.
                Ok(()) => {
                    for (variant, cell) in part {
                        table
                            .rows
                            .entry(variant)
                            .or_default()
                            .insert(base.clone(), cell);
                    }
                }
                Err(fault) => {
                    if state.told.insert(base.clone()) {
                        log::warn!("base {base} cannot be read by SQL: {fault}");
                    }
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

    /// Asks the server once a run which bases it has: a wrong login shows here, before it is tried on every base.
    fn learn_bases(&self, state: &mut State) -> PortResult<()> {
        if state.bases.is_some() {
            return Ok(());
        }
        let mut bases = BTreeMap::new();
        let query = Query {
            text: BASES.into(),
            values: Vec::new(),
            widths: vec![128, 60],
        };
        self.connect(None)
            .and_then(|link| {
                link.query(query, &mut |rows| {
                    for row in 0..rows.len() {
                        let cell =
                            |column| rows.cell(row, column).unwrap_or_default().to_uppercase();
                        bases.insert(cell(0), cell(1));
                    }
                })
            })
            .map_err(|fault| fault.port("list the bases by SQL"))?;
        state.bases = Some(bases);
        Ok(())
    }

    fn ask(
        &self,
        state: &mut State,
        base: &BaseCode,
        queries: &[Query],
        take: &mut dyn FnMut(&Rows),
    ) -> Result<(), Fault> {
        let name = format!("{PREFIX}{base}").to_uppercase();
        match state.bases.as_ref().and_then(|bases| bases.get(&name)) {
            Some(online) if online == "ONLINE" => {}
            Some(other) => {
                return Err(Fault::new(Kind::Busy, format!("{name} is {other}")));
            }
            None => {
                return Err(Fault::new(
                    Kind::Refused,
                    format!("the server shows no database {name} to this login"),
                ));
            }
        }
        for query in queries {
            let link = match state.links.remove(base) {
                Some(link) => link,
                None => self.reopen(state, base, &name)?,
            };
            let result = link.query(query.clone(), take);
            if result
                .as_ref()
                .err()
                .is_none_or(|fault| !fault.ends_connection())
            {
                state.links.insert(base.clone(), link);
            }
            result?;
        }
        Ok(())
    }

    /// Connects to a base, at most twice a run: a worker left behind by a time-out stays until its driver returns.
    fn reopen(&self, state: &mut State, base: &BaseCode, name: &str) -> Result<Link, Fault> {
        let opened = state.opened.entry(base.clone()).or_default();
        if *opened >= 2 {
            return Err(Fault::new(
                Kind::Broken,
                "its connection broke twice in this run",
            ));
        }
        *opened += 1;
        self.connect(Some(name))
    }

    fn connect(&self, database: Option<&str>) -> Result<Link, Fault> {
        let connection = self.target.string(database);
        let connection = connection.map_err(|why| Fault::new(Kind::Driver, why))?;
        Link::open(connection, self.limits)
    }
}

/// Puts together the statement that reads these variants: constant fragments and repeated `?`, nothing else.
fn stock_of(variants: &[Variant]) -> Query {
    let (head, rest) = STOCK_MANY
        .split_once("/*each*/")
        .unwrap_or((STOCK_MANY, ""));
    let (each, tail) = rest.split_once("/*or*/").unwrap_or((rest, ""));
    let mut text = head.to_owned();
    for number in 0..variants.len() {
        if number > 0 {
            text.push_str(" OR ");
        }
        text.push_str(each);
    }
    text.push_str(tail);
    let values = variants
        .iter()
        .flat_map(|variant| [&variant.article, &variant.color, &variant.size].map(String::clone));
    Query {
        text,
        values: values.collect(),
        widths: WIDTHS.to_vec(),
    }
}

/// What a base says of one variant.
type Cell = Result<Qty, String>;

/// Reads rows of article, colour, size and quantity.
fn gather(rows: &Rows, into: &mut BTreeMap<Variant, Cell>) {
    for row in 0..rows.len() {
        let cell = |column| rows.cell(row, column).unwrap_or_default();
        // An article without colours or sizes has no reference of three parts, so nobody asks for it.
        let Ok(variant) = Variant::new(cell(0), cell(1), cell(2)) else {
            continue;
        };
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
    fn level(&self, rules: &StockRules, spellings: &[Variant]) -> VariantLevels {
        let mut bases: BTreeMap<BaseCode, Qty> = BTreeMap::new();
        let found = spellings
            .iter()
            .filter_map(|variant| self.rows.get(variant));
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
                for base in rules
                    .bases
                    .iter()
                    .filter(|base| !self.missing.contains_key(base))
                {
                    bases.entry(base.clone()).or_insert(Qty::ZERO);
                }
            }
        }
        VariantLevels::Known(bases)
    }
}

/// Tells whether another road may be tried after this failure. What the ERP answered, zero included, is no failure.
pub(super) fn may_fall_back(err: &PortError) -> bool {
    match err {
        PortError::Transient { .. } | PortError::Denied { .. } => true,
        PortError::Uncertain { .. } | PortError::Rejected { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_for_many_grows_by_marks_only() {
        let variant = |size: &str| Variant::new("A B", "N01", size).unwrap();
        let one = stock_of(&[variant("1")]);
        let two = stock_of(&[variant("1"), variant("2")]);
        assert_eq!(one.values, ["A B", "N01", "1"]);
        assert_eq!(two.values.len(), 6);
        assert_eq!(one.text.matches('?').count(), 3);
        assert_eq!(two.text.matches('?').count(), 6);
        assert_eq!(two.text.matches(" OR ").count(), 1);
        assert!(!two.text.contains("A B"));
    }

    #[test]
    fn the_other_road_is_taken_on_failures_only() {
        assert!(may_fall_back(&PortError::transient("down")));
        assert!(may_fall_back(&PortError::denied("401")));
        assert!(!may_fall_back(&PortError::rejected("no such article")));
        assert!(!may_fall_back(&PortError::uncertain("?")));
    }
}
