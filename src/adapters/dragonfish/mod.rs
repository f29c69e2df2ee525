//! Dragonfish ("Color y Talle") over its REST service: reads stock, books movements and finds them again.
//!
//! It books nothing twice and repeats no booking; it never writes by another road, never follows a link from an
//! answer, and never takes silence for zero. Reading order: `code` (what a variant is called), `session` (how the
//! service is spoken to), `stock`, `movement`, `checks`.

mod checks;
mod code;
mod dates;
mod movement;
mod session;
mod sql;
mod stock;
mod wire;

use std::time::Duration;

use secrecy::SecretString;

use crate::adapters::dragonfish::code::{by_article, parse_reference};
use crate::adapters::dragonfish::session::Session;
use crate::adapters::dragonfish::sql::{Sql, may_fall_back};
use crate::adapters::dragonfish::stock::StockRules;
use crate::adapters::http::calls::Env;
use crate::adapters::odbc::connect::{Login, Target};
use crate::adapters::odbc::link::Limits;
use crate::config::sections::{DragonfishConfig, ErpConfig, Search as SearchMode, StockRoad};
use crate::domain::ids::{BaseCode, ErpCode, SkuRef};
use crate::domain::movement::{ErpDay, FoundMovement, Movement};
use crate::domain::ports::{
    Listing, Locks, MovementSink, Permit, PortError, PortResult, Search, StockSource,
};
use crate::domain::stock::StockLevels;
use crate::domain::time::Moment;

/// What a [`Dragonfish`] is made of.
pub struct Setup<'a> {
    /// The ERP section of the configuration.
    pub erp: &'a ErpConfig,
    /// The bases that count, blocked ones left out, the virtual depot among them when it counts.
    pub counted: Vec<BaseCode>,
    /// The longest movement call, connecting included (`protocol.movement_limit`).
    pub movement_limit: Duration,
    /// The client's token.
    pub token: SecretString,
    /// The password of the SQL login, where there is one.
    pub sql_password: Option<SecretString>,
    /// Clocks, chance and the host's gate.
    pub env: Env<'a>,
    /// Locks between processes.
    pub locks: &'a dyn Locks,
}

/// A Dragonfish service.
pub struct Dragonfish<'a> {
    config: &'a DragonfishConfig,
    depot: &'a BaseCode,
    rules: StockRules,
    session: Session<'a>,
    sql: Option<Sql>,
}

impl<'a> Dragonfish<'a> {
    /// Prepares the service's client without touching the network.
    ///
    /// # Errors
    ///
    /// A sentence for a person when the configuration cannot be used (address, quiet hours).
    pub fn new(setup: Setup<'a>) -> Result<Self, String> {
        let Setup {
            erp,
            mut counted,
            movement_limit,
            token,
            sql_password,
            env,
            locks,
        } = setup;
        let config = &erp.dragonfish;
        counted.retain(|base| !erp.blocked_bases.contains(base));
        // Goods leave a shop when they enter the depot: read in this order, a remito between two reads is never
        // counted in both.
        counted.sort_by_key(|base| (*base != erp.depot, base.clone()));
        counted.dedup();
        Ok(Self {
            config,
            depot: &erp.depot,
            rules: StockRules {
                bases: counted,
                field: config.stock_field,
                sizes_ignore_zeros: config.sizes_ignore_zeros,
                unlisted: config.unlisted_base,
                page_size: config.page_size,
                timeout: config.stock_timeout.duration(),
            },
            session: Session::new(config, movement_limit, token, env, locks)?,
            sql: tables(config, sql_password),
        })
    }

    /// Reads by the configured road, and by the other one when that failed and the configuration allows it.
    fn by_road(
        &self,
        api: &dyn Fn() -> PortResult<StockLevels>,
        sql: &dyn Fn(&Sql) -> PortResult<StockLevels>,
    ) -> PortResult<StockLevels> {
        let sql = || match &self.sql {
            Some(tables) => sql(tables),
            None => Err(PortError::rejected(
                "read stock by SQL: erp.dragonfish.sql is not configured",
            )),
        };
        let (first, second): (&dyn Fn() -> _, &dyn Fn() -> _) = match self.config.stock_source {
            StockRoad::Api => return api(),
            StockRoad::Sql => return sql(),
            StockRoad::ApiThenSql => (api, &sql),
            StockRoad::SqlThenApi => (&sql, api),
        };
        match first() {
            Err(err) if may_fall_back(&err) => {
                log::warn!("stock is read by the other road, since the first failed: {err}");
                let mut levels = second()?;
                levels.road.push_str(" (the first road failed)");
                Ok(levels)
            }
            read => read,
        }
    }
}

/// Prepares the way to the tables, without a connection.
fn tables(config: &DragonfishConfig, password: Option<SecretString>) -> Option<Sql> {
    let sql = config.sql.as_ref()?;
    let login = match (&sql.user, password) {
        (user, Some(password)) => Login::Sql {
            user: user.clone().unwrap_or_default(),
            password,
        },
        (_, None) => Login::Integrated,
    };
    let target = Target {
        driver: sql.driver.clone(),
        server: sql.server.clone(),
        login,
        encrypt: sql.encrypt,
        trust_certificate: sql.trust_server_certificate,
        verbatim: sql.connection_string.clone(),
    };
    let limits = Limits {
        connect: sql.connect_timeout.duration(),
        silence: sql.statement_timeout.duration(),
        total: config.stock_timeout.duration(),
    };
    Some(Sql::new(target, limits))
}

impl StockSource for Dragonfish<'_> {
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String> {
        parse_reference(reference.as_str(), &self.config.separators)
    }

    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
        by_article(codes)
    }

    fn read(&self, codes: &[ErpCode]) -> PortResult<StockLevels> {
        self.by_road(
            &|| stock::read(&self.session, &self.rules, &by_article(codes)),
            &|sql| sql.read(&self.rules, codes),
        )
    }

    fn read_all(&self, progress: &dyn Fn(u64)) -> PortResult<StockLevels> {
        self.by_road(
            &|| stock::read_all(&self.session, &self.rules, progress),
            &|sql| sql.read_all(&self.rules, progress),
        )
    }
}

impl MovementSink for Dragonfish<'_> {
    fn check(&self, movement: &Movement) -> Result<(), String> {
        movement::body(self.config, movement).map(drop)
    }

    fn book(&self, movement: &Movement, permit: &Permit<'_>) -> PortResult<FoundMovement> {
        movement::book(&self.session, self.config, movement, permit)
    }

    fn find(&self, base: &BaseCode, search: &Search) -> PortResult<Listing> {
        match self.config.search {
            SearchMode::Blind => Ok(Listing::Inconclusive("the search is switched off".into())),
            SearchMode::Searchable => movement::find(&self.session, self.config, base, search),
        }
    }

    fn days(&self, sent: Moment) -> Vec<ErpDay> {
        dates::days_around(sent, self.session.offset_min())
    }
}
