//! WinThor's own database (Oracle; the same texts run on PostgreSQL and MariaDB): one connection, statements that only
//! read, and nothing asked without the gate's leave or past the run's deadline.
//!
//! Reading order: `sql_text` (what is asked), this file (how), `sql_rows` (what rows mean), `sql_stock` (figures and what
//! changed), `sql_orders` (the store's orders, as the ERP holds them), `sql_page` (pages of the stock interface),
//! `sql_checks`.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use rust_decimal::Decimal;
use secrecy::SecretString;

use crate::adapters::http::calls::Env;
use crate::adapters::odbc::connect::OracleTarget;
use crate::adapters::odbc::fault::{Fault, Kind};
use crate::adapters::odbc::gated::Gated;
use crate::adapters::odbc::link::{Limits, Link, Query, Rows};
use crate::adapters::winthor::code::SkuCode;
use crate::adapters::winthor::sql_text::{self, Slots, Statement};
use crate::config::winthor::{CallOrigin, WinthorConfig};
use crate::config::winthor_sql::{WinthorSqlConfig, WinthorStatement};
use crate::domain::ids::BaseCode;
use crate::domain::qty::Qty;
use crate::domain::time::BootTime;

/// Values in one list: Oracle takes a thousand.
pub(super) const AT_ONCE: usize = 1000;
/// How often in a row a connection may break before it is left alone: a worker left behind by a time-out stays until its
/// driver returns.
const CONNECTIONS: u32 = 2;
/// For how long it is left alone; longer than a run, so this is for a process that stays.
const REST_MS: i64 = 60_000;

/// Which products count, as the services' own parameters say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters {
    /// Only products flagged for e-commerce.
    pub web: bool,
    /// Only this category.
    pub category: Option<u64>,
    /// Only this subcategory.
    pub subcategory: Option<u64>,
    /// Only this section.
    pub section: Option<u64>,
    /// Only this department.
    pub department: Option<u64>,
    /// Only this supplier.
    pub provider: Option<u64>,
    /// Only products marked for resale, or only the others.
    pub resale: Option<bool>,
    /// Only these types of merchandise; empty for all.
    pub types: Vec<String>,
}

impl Filters {
    /// Returns what the configuration says, which holds for both roads.
    pub fn of(config: &WinthorConfig) -> Self {
        let id = |id: u32| (id != 0).then(|| u64::from(id));
        let types = config.merchandise_types.split(',').map(str::trim);
        Self {
            web: config.call_origin != CallOrigin::Wsh,
            category: id(config.category),
            subcategory: id(config.subcategory),
            section: id(config.section),
            department: id(config.department),
            provider: id(config.provider),
            resale: config.resale,
            types: types.filter(|t| !t.is_empty()).map(str::to_owned).collect(),
        }
    }

    /// Adds the conditions to what a statement is filled with.
    pub(super) fn add_to(&self, slots: Slots) -> Slots {
        let id = |id: Option<u64>| id.map(|id| id.to_string());
        slots
            .values("category", id(self.category))
            .values("subcategory", id(self.subcategory))
            .values("section", id(self.section))
            .values("department", id(self.department))
            .values("provider", id(self.provider))
            .values("type", self.types.iter().cloned())
            .switch("web", self.web)
            .switch("resale", self.resale == Some(true))
            .switch("not_resale", self.resale == Some(false))
    }
}

/// What a [`WinthorSql`] is made of.
pub struct SqlSetup<'a> {
    /// Its section of the configuration.
    pub config: &'a WinthorSqlConfig,
    /// The branches that count.
    pub branches: Vec<BaseCode>,
    /// What a shop's references are.
    pub sku_code: SkuCode,
    /// Whether packagings are sold, each with its share of the product's stock.
    pub packaging_sales: bool,
    /// Which products count.
    pub filters: Filters,
    /// The password of the login, where there is one.
    pub password: Option<SecretString>,
    /// The operator's own statements, by name.
    pub statements: BTreeMap<WinthorStatement, String>,
    /// Clocks, the gate and the run's deadline.
    pub env: Env<'a>,
}

/// WinThor's database.
pub struct WinthorSql<'a> {
    pub(super) config: &'a WinthorSqlConfig,
    pub(super) branches: Vec<BaseCode>,
    pub(super) sku_code: SkuCode,
    pub(super) packaging_sales: bool,
    pub(super) filters: Filters,
    pub(super) gated: Gated<'a>,
    /// Whether the database was seen to have every branch.
    pub(super) branches_seen: AtomicBool,
    statements: BTreeMap<WinthorStatement, Statement>,
    target: OracleTarget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    /// How often in a row the connection broke or did not come to be, and when it last did.
    failures: u32,
    failed: Option<BootTime>,
}

impl<'a> WinthorSql<'a> {
    /// Prepares the way to the database, without a connection.
    ///
    /// # Errors
    ///
    /// A sentence that names a statement of the operator's own which cannot be used.
    pub fn new(setup: SqlSetup<'a>) -> Result<Self, String> {
        let SqlSetup {
            config,
            mut branches,
            sku_code,
            packaging_sales,
            filters,
            password,
            statements: texts,
            env,
        } = setup;
        branches.sort();
        branches.dedup();
        let mut statements = BTreeMap::new();
        for name in WinthorStatement::ALL {
            let text = texts
                .get(&name)
                .map_or(sql_text::text(name), String::as_str);
            let parsed = Statement::parse(name, text)
                .map_err(|why| format!("erp.winthor.sql.statements.{name}: {why}"))?;
            statements.insert(name, parsed);
        }
        let target = OracleTarget {
            driver: config.driver.clone(),
            dbq: config.dbq.clone(),
            user: config.user.clone(),
            password,
            fetch_buffer: config.fetch_buffer,
            verbatim: config.connection_string.clone(),
        };
        let host = match config.dbq.as_str() {
            "" => "winthor database".to_owned(),
            dbq => format!("winthor database {dbq}"),
        };
        let limits = Limits {
            connect: config.connect_timeout.duration(),
            silence: config.statement_timeout.duration(),
            total: config.total_timeout.duration(),
        };
        Ok(Self {
            config,
            branches,
            sku_code,
            packaging_sales,
            filters,
            gated: Gated { env, host, limits },
            branches_seen: AtomicBool::new(false),
            statements,
            target,
            state: Mutex::default(),
        })
    }

    /// Returns what every statement about these branches is filled with.
    pub(super) fn slots(&self, branches: &[BaseCode]) -> Slots {
        Slots::default()
            .values("branch", branches.iter().map(BaseCode::to_string))
            .values("letter", [self.config.package_letter.clone()])
            .fragment("available", sql_text::available(self.config))
            .fragment("package", sql_text::package(self.config))
            .fragment("order_column", self.config.order_column.clone())
            .switch(
                "packagings_for_ecommerce",
                self.config.packagings_for_ecommerce,
            )
            .switch("packagings_active", self.config.packagings_active)
    }

    /// Applies a branch's percentage for the store to its available stock, exactly. A shortage is not made smaller.
    pub(super) fn offered(&self, branch: &BaseCode, stock: Qty) -> Qty {
        match self.config.ecommerce_percent.get(branch) {
            Some(percent) if !stock.is_negative() => {
                let hundredth = Decimal::new(1, 2);
                Qty::from_decimal(stock.decimal() * percent.decimal() * hundredth)
            }
            Some(_) | None => stock,
        }
    }

    /// Runs one statement and hands its rows over bunch by bunch.
    pub(super) fn ask(
        &self,
        statement: WinthorStatement,
        slots: &Slots,
        widths: &[usize],
        take: &mut dyn FnMut(&Rows),
    ) -> Result<u64, Fault> {
        let parsed = self.statements.get(&statement);
        let parsed = parsed.ok_or_else(|| Fault::new(Kind::Refused, "no such statement"))?;
        let (text, values) = parsed
            .render(&self.config.owner, slots)
            .map_err(|why| Fault::new(Kind::Refused, format!("statement {statement} {why}")))?;
        let query = Query {
            text,
            values,
            widths: widths.to_vec(),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let link = match state.link.take() {
            Some(link) => link,
            None => self.connect(&mut state)?,
        };
        let result = self
            .gated
            .call(|limits| link.query_within(query, limits, take));
        match &result {
            Err(fault) if fault.ends_connection() => self.note(&mut state),
            Ok(_) | Err(_) => {
                state.link = Some(link);
                state.failures = 0;
            }
        }
        result.map_err(|fault| Fault::new(fault.kind, format!("{statement}: {fault}")))
    }

    fn connect(&self, state: &mut State) -> Result<Link, Fault> {
        let rested =
            |since: BootTime| self.gated.env.clock.boot().0.saturating_sub(since.0) >= REST_MS;
        if state.failures >= CONNECTIONS && !state.failed.is_some_and(rested) {
            return Err(Fault::new(
                Kind::Broken,
                "its connection broke twice in a row; it is left alone for a minute",
            ));
        }
        let connection = self.target.string();
        let connection = connection.map_err(|why| Fault::new(Kind::Driver, why))?;
        let opened = self.gated.call(|limits| Link::open(connection, limits));
        if opened.is_err() {
            self.note(state);
        }
        opened
    }

    fn note(&self, state: &mut State) {
        state.failures = state.failures.saturating_add(1);
        state.failed = Some(self.gated.env.clock.boot());
    }
}
