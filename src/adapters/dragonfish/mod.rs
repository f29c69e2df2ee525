//! Dragonfish ("Color y Talle") over its REST service: reads stock, books movements and finds them again.
//!
//! It books nothing twice and repeats no booking; it never writes by another road, never follows a link from an
//! answer, and never takes silence for zero. Reading order: `code` (what a variant is called), `session` (how the
//! service is spoken to), `stock`, `movement`, `checks`.

mod both;
mod checks;
mod code;
mod dates;
mod lookups;
mod movement;
mod session;
mod sql;
mod stock;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::SecretString;

use crate::adapters::dragonfish::code::{by_article, parse_reference};
use crate::adapters::dragonfish::session::Session;
use crate::adapters::dragonfish::sql::{Parts, Sql, may_fall_back};
use crate::adapters::dragonfish::stock::StockRules;
use crate::adapters::http::calls::Env;
use crate::adapters::odbc::connect::{Login, Target};
use crate::config::sections::{DragonfishConfig, ErpConfig, Search as SearchMode};
use crate::config::sql::{SqlConfig, StockRoad};
use crate::config::statements::Statement;
use crate::domain::ids::{BaseCode, ErpCode, SkuRef};
use crate::domain::movement::{ErpDay, FoundMovement, Movement};
use crate::domain::notice::Attribute;
use crate::domain::ports::{
    Changes, Listing, Locks, MovementSink, Permit, PortError, PortResult, Search, StockSource,
};
use crate::domain::stock::StockLevels;
use crate::domain::time::Moment;

/// What a [`Dragonfish`] is made of.
pub struct Setup<'a> {
    /// The ERP section of the configuration.
    pub erp: &'a ErpConfig,
    /// Its section on Dragonfish.
    pub config: &'a DragonfishConfig,
    /// The bases that count, blocked ones left out, the virtual depot among them when it counts.
    pub counted: Vec<BaseCode>,
    /// The longest movement call, connecting included (`protocol.movement_limit`).
    pub movement_limit: Duration,
    /// The client's token.
    pub token: SecretString,
    /// The password of the SQL login, where there is one.
    pub sql_password: Option<SecretString>,
    /// The operator's own statements, read and checked ([`crate::config::statements::read`]).
    pub statements: BTreeMap<Statement, String>,
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
    sql: Option<Sql<'a>>,
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
            config,
            mut counted,
            movement_limit,
            token,
            sql_password,
            statements,
            env,
            locks,
        } = setup;
        counted.retain(|base| !erp.blocked_bases.contains(base));
        // Goods leave a shop when they enter the depot: read in this order, a remito between two reads is never
        // counted in both.
        counted.sort_by_key(|base| (*base != erp.depot, base.clone()));
        counted.dedup();
        let session = Session::new(config, movement_limit, token, env, locks)?;
        let sql = config.sql.as_ref().map(|sql| {
            let named = counted.iter().chain(&erp.blocked_bases);
            Sql::new(Parts {
                config: sql,
                target: target(sql, sql_password),
                total: config.stock_timeout.duration(),
                statements,
                env,
                named: named.chain([&erp.depot]).cloned().collect(),
                offset_min: session.offset_min(),
            })
        });
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
            session,
            sql,
        })
    }

    /// Reads by the configured road, and by the other one when that failed and the configuration allows it.
    fn by_road(
        &self,
        api: &dyn Fn() -> PortResult<StockLevels>,
        sql: &dyn Fn(&Sql<'_>) -> PortResult<StockLevels>,
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
            StockRoad::Both => return self.by_both(api(), sql()),
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

    /// Makes one reading of two. Where they differ, both are asked once more: a sale between them is no contradiction.
    fn by_both(
        &self,
        api: PortResult<StockLevels>,
        sql: PortResult<StockLevels>,
    ) -> PortResult<StockLevels> {
        let (mut api, mut sql) = match (api, sql) {
            (Ok(api), Ok(sql)) => (api, sql),
            (Ok(mut alone), Err(err)) | (Err(err), Ok(mut alone)) if may_fall_back(&err) => {
                log::warn!(
                    "stock is read by one road, and not compared, since the other failed: {err}"
                );
                alone.road.push_str(" (the other road failed)");
                return Ok(alone);
            }
            (Err(err), _) | (_, Err(err)) => return Err(err),
        };
        let doubtful = both::doubtful(&api, &sql);
        if let (1..=AGAIN, Some(tables)) = (doubtful.len(), &self.sql) {
            let again = stock::read(&self.session, &self.rules, &by_article(&doubtful))
                .and_then(|by_api| Ok((by_api, tables.read(&self.rules, &doubtful)?)));
            match again {
                Ok((by_api, by_sql)) => {
                    both::renew(&mut api, by_api);
                    both::renew(&mut sql, by_sql);
                }
                Err(err) => {
                    log::warn!("what two roads tell differently cannot be read again: {err}")
                }
            }
        }
        Ok(both::merge(&api, &sql, self.config.on_disagreement))
    }
}

/// The most variants that are read again because two roads differ; more than these are no sales of the last minute.
const AGAIN: usize = 200;
/// Variants of one reading where only tables are read: a statement takes many as easily as one.
const AT_ONCE: usize = 200;

/// Names the server and who logs in.
fn target(sql: &SqlConfig, password: Option<SecretString>) -> Target {
    let login = match (&sql.user, password) {
        (user, Some(password)) => Login::Sql {
            user: user.clone().unwrap_or_default(),
            password,
        },
        (_, None) => Login::Integrated,
    };
    Target {
        driver: sql.driver.clone(),
        server: sql.server.clone(),
        login,
        encrypt: sql.encrypt,
        trust_certificate: sql.trust_server_certificate,
        verbatim: sql.connection_string.clone(),
    }
}

impl StockSource for Dragonfish<'_> {
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String> {
        parse_reference(reference.as_str(), &self.config.separators)
    }

    fn attributes(&self, code: &ErpCode) -> Vec<Attribute> {
        code::attributes(code)
    }

    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
        match self.config.stock_source {
            StockRoad::Sql => codes.chunks(AT_ONCE).map(<[_]>::to_vec).collect(),
            // The service may have to be asked, and is asked by article.
            StockRoad::Api | StockRoad::ApiThenSql | StockRoad::SqlThenApi | StockRoad::Both => {
                by_article(codes)
            }
        }
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
            &|sql| sql.read_all(&self.rules, None, progress),
        )
    }

    fn read_wanted(
        &self,
        wanted: &BTreeSet<ErpCode>,
        progress: &dyn Fn(u64),
    ) -> PortResult<StockLevels> {
        self.by_road(
            &|| {
                let mut levels = stock::read_all(&self.session, &self.rules, progress)?;
                levels.variants.retain(|code, _| wanted.contains(code));
                Ok(levels)
            },
            &|sql| sql.read_all(&self.rules, Some(wanted), progress),
        )
    }

    fn changed_since(&self, watermark: Option<i64>) -> PortResult<Option<Changes>> {
        let Some(sql) = &self.sql else {
            return Ok(None);
        };
        match sql.changed_since(&self.rules, watermark) {
            Ok(changes) => Ok(changes),
            // Stock itself has another road, and the full comparison finds every change: no reason to stop.
            Err(err) if self.config.stock_source != StockRoad::Sql => {
                log::warn!("what changed at the ERP is not known: {err}");
                Ok(None)
            }
            Err(err) => Err(err),
        }
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
            SearchMode::Searchable => {
                let told = movement::find(&self.session, self.config, base, search)?;
                Ok(match &self.sql {
                    Some(sql) => sql.weigh(base, search, told),
                    None => told,
                })
            }
        }
    }

    fn days(&self, sent: Moment) -> Vec<ErpDay> {
        dates::days_around(sent, self.session.offset_min())
    }
}
