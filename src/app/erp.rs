//! Which ERP a shop has, and how it is reached.

use std::sync::Arc;

use crate::adapters::dragonfish::{self, Dragonfish};
use crate::adapters::http::calls::Env;
use crate::adapters::winthor::sql::{Filters, SqlSetup, WinthorSql};
use crate::adapters::winthor::{self, Winthor, sql_text};
use crate::app::world::{Memory, secret};
use crate::app::{Failure, settings};
use crate::config::load::Loaded;
use crate::config::secret::SecretSource;
use crate::config::sections::{Config, DragonfishConfig};
use crate::config::winthor::{WinthorConfig, WinthorRoad};
use crate::config::{statements, winthor_sql};
use crate::domain::available::AvailableStock;
use crate::domain::ports::{Check, Checks, MovementSink, OrderBook, StockSource};
use crate::exit::Exit;

/// The ERP.
pub enum Erp<'a> {
    /// Zoo Logic's.
    Dragonfish(Box<Dragonfish<'a>>),
    /// TOTVS'.
    Winthor(Box<WinthorRoads<'a>>),
}

/// The roads to WinThor: one for stock and one for orders, often the same.
pub struct WinthorRoads<'a> {
    stock: Road<'a>,
    orders: Road<'a>,
}

/// A road to WinThor.
#[derive(Clone)]
enum Road<'a> {
    Api(Arc<Winthor<'a>>),
    Sql(Arc<WinthorSql<'a>>),
}

impl WinthorRoads<'_> {
    fn checks(&self) -> Vec<Check> {
        let of = |road: &Road<'_>| match road {
            Road::Api(api) => api.checks(),
            Road::Sql(sql) => sql.checks(),
        };
        let mut checks = of(&self.stock);
        if matches!(
            (&self.stock, &self.orders),
            (Road::Api(_), Road::Sql(_)) | (Road::Sql(_), Road::Api(_))
        ) {
            checks.extend(of(&self.orders));
        }
        checks
    }
}

impl<'a> Erp<'a> {
    /// Resolves the secrets and builds the adapter, without touching the network.
    pub fn open(loaded: &'a Loaded, memory: &'a Memory<'_>, env: Env<'a>) -> Result<Self, Failure> {
        let erp = &loaded.config.erp;
        match (&erp.dragonfish, &erp.winthor) {
            (Some(config), _) => dragonfish(loaded, config, memory, env),
            (None, Some(config)) => winthor(loaded, config, env),
            (None, None) => Err(Failure::new(Exit::Config, "no ERP is configured")),
        }
    }

    /// Returns it as a source of stock.
    pub fn stock(&self) -> &dyn StockSource {
        match self {
            Self::Dragonfish(erp) => erp.as_ref(),
            Self::Winthor(erp) => match &erp.stock {
                Road::Api(api) => api.as_ref(),
                Road::Sql(sql) => sql.as_ref(),
            },
        }
    }

    /// Returns it as the place where movements are booked.
    pub fn movements(&self) -> &dyn MovementSink {
        match self {
            Self::Dragonfish(erp) => erp.as_ref(),
            Self::Winthor(_) => &winthor::NothingBooked,
        }
    }

    /// Returns it as the place where somebody else brings the storefront's orders, where it is one.
    pub fn order_book(&self) -> Option<&dyn OrderBook> {
        match self {
            Self::Dragonfish(_) => None,
            Self::Winthor(erp) => match &erp.orders {
                Road::Api(api) => Some(api.as_ref()),
                Road::Sql(sql) => Some(sql.as_ref()),
            },
        }
    }

    /// Returns Dragonfish, for what only it can tell.
    pub fn dragonfish(&self) -> Option<&Dragonfish<'a>> {
        match self {
            Self::Dragonfish(erp) => Some(erp),
            Self::Winthor(_) => None,
        }
    }

    /// Returns it as a source of pages of available stock, where its database is read.
    pub fn available(&self) -> Option<&dyn AvailableStock> {
        match self {
            Self::Dragonfish(_) => None,
            Self::Winthor(erp) => match &erp.stock {
                Road::Api(_) => None,
                Road::Sql(sql) => Some(sql.as_ref()),
            },
        }
    }

    /// Runs its probes.
    pub fn checks(&self) -> Vec<Check> {
        match self {
            Self::Dragonfish(erp) => erp.checks(),
            Self::Winthor(erp) => erp.checks(),
        }
    }
}

fn dragonfish<'a>(
    loaded: &'a Loaded,
    config: &'a DragonfishConfig,
    memory: &'a Memory<'_>,
    env: Env<'a>,
) -> Result<Erp<'a>, Failure> {
    let wrong = |err: String| Failure::new(Exit::Config, err);
    let whole = &loaded.config;
    let sql = config.sql.as_ref();
    let setup = dragonfish::Setup {
        erp: &whole.erp,
        config,
        counted: settings::counted_bases(&settings::settings(whole)),
        movement_limit: whole.protocol.movement_limit.duration(),
        token: secret(loaded, "erp.dragonfish.token", &config.token)?,
        sql_password: match sql.and_then(|sql| sql.password.as_ref()) {
            Some(source) => Some(secret(loaded, "erp.dragonfish.sql.password", source)?),
            None => None,
        },
        statements: match sql {
            Some(sql) => statements::read(&sql.statements).map_err(wrong)?,
            None => std::collections::BTreeMap::new(),
        },
        env,
        locks: &memory.locks,
    };
    let erp = Dragonfish::new(setup).map_err(wrong)?;
    Ok(Erp::Dragonfish(Box::new(erp)))
}

fn winthor<'a>(
    loaded: &'a Loaded,
    config: &'a WinthorConfig,
    env: Env<'a>,
) -> Result<Erp<'a>, Failure> {
    let stock = road(loaded, config, config.stock_source, env)?;
    let orders = match config.orders_road() {
        same if same == config.stock_source => stock.clone(),
        other => road(loaded, config, other, env)?,
    };
    Ok(Erp::Winthor(Box::new(WinthorRoads { stock, orders })))
}

fn road<'a>(
    loaded: &'a Loaded,
    config: &'a WinthorConfig,
    road: WinthorRoad,
    env: Env<'a>,
) -> Result<Road<'a>, Failure> {
    let wrong = |err: String| Failure::new(Exit::Config, err);
    let branches = settings::counted_bases(&settings::settings(&loaded.config));
    match (road, &config.sql, &config.password) {
        (WinthorRoad::Api, _, Some(password)) => {
            let setup = winthor::Setup {
                config,
                branches,
                password: secret(loaded, "erp.winthor.password", password)?,
                env,
            };
            let api = Winthor::new(setup).map_err(wrong)?;
            Ok(Road::Api(Arc::new(api)))
        }
        (WinthorRoad::Sql, Some(sql), _) => {
            let password = sql.password.as_ref();
            let password =
                password.map(|source| secret(loaded, "erp.winthor.sql.password", source));
            let setup = SqlSetup {
                config: sql,
                branches,
                sku_code: config.sku_code,
                packaging_sales: config.packaging_sales,
                filters: Filters::of(config),
                password: password.transpose()?,
                statements: winthor_sql::read(&sql.statements).map_err(wrong)?,
                env,
            };
            let sql = WinthorSql::new(setup).map_err(wrong)?;
            Ok(Road::Sql(Arc::new(sql)))
        }
        (WinthorRoad::Api, _, None) => Err(wrong("erp.winthor.password is missing".into())),
        (WinthorRoad::Sql, None, _) => Err(wrong("erp.winthor.sql is missing".into())),
    }
}

/// Lists the ERP's secrets with the keys they stand under.
pub fn secrets(config: &Config) -> Vec<(String, &SecretSource)> {
    let mut named = Vec::new();
    if let Some(erp) = &config.erp.dragonfish {
        named.push(("erp.dragonfish.token".to_owned(), &erp.token));
        let password = erp.sql.as_ref().and_then(|sql| sql.password.as_ref());
        named.extend(password.map(|source| ("erp.dragonfish.sql.password".to_owned(), source)));
    }
    if let Some(erp) = &config.erp.winthor {
        let password = erp.password.as_ref();
        named.extend(password.map(|source| ("erp.winthor.password".to_owned(), source)));
        let password = erp.sql.as_ref().and_then(|sql| sql.password.as_ref());
        named.extend(password.map(|source| ("erp.winthor.sql.password".to_owned(), source)));
    }
    named
}

/// Reads every statement that replaces one of ours, for `config check`.
pub fn check_statements(config: &Config) -> Result<(), String> {
    let dragonfish = config
        .erp
        .dragonfish
        .as_ref()
        .and_then(|erp| erp.sql.as_ref());
    if let Some(sql) = dragonfish {
        statements::read(&sql.statements)?;
    }
    let winthor = config.erp.winthor.as_ref().and_then(|erp| erp.sql.as_ref());
    if let Some(sql) = winthor {
        for (name, text) in winthor_sql::read(&sql.statements)? {
            sql_text::Statement::parse(name, &text)
                .map_err(|why| format!("erp.winthor.sql.statements.{name}: {why}"))?;
        }
    }
    Ok(())
}
