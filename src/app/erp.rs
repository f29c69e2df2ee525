//! Which ERP a shop has, and how it is reached.

use crate::adapters::dragonfish::{self, Dragonfish};
use crate::adapters::http::calls::Env;
use crate::adapters::winthor::{self, Winthor};
use crate::app::world::{Memory, secret};
use crate::app::{Failure, settings};
use crate::config::load::Loaded;
use crate::config::secret::SecretSource;
use crate::config::sections::{Config, DragonfishConfig};
use crate::config::statements;
use crate::config::winthor::WinthorConfig;
use crate::domain::ports::{Check, Checks, MovementSink, OrderBook, StockSource};
use crate::exit::Exit;

/// The ERP.
pub enum Erp<'a> {
    /// Zoo Logic's.
    Dragonfish(Box<Dragonfish<'a>>),
    /// TOTVS'.
    Winthor(Box<Winthor<'a>>),
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
            Self::Winthor(erp) => erp.as_ref(),
        }
    }

    /// Returns it as the place where movements are booked.
    pub fn movements(&self) -> &dyn MovementSink {
        match self {
            Self::Dragonfish(erp) => erp.as_ref(),
            Self::Winthor(erp) => erp.as_ref(),
        }
    }

    /// Returns it as the place where somebody else brings the storefront's orders, where it is one.
    pub fn order_book(&self) -> Option<&dyn OrderBook> {
        match self {
            Self::Dragonfish(_) => None,
            Self::Winthor(erp) => Some(erp.as_ref()),
        }
    }

    /// Returns Dragonfish, for what only it can tell.
    pub fn dragonfish(&self) -> Option<&Dragonfish<'a>> {
        match self {
            Self::Dragonfish(erp) => Some(erp),
            Self::Winthor(_) => None,
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
    let setup = winthor::Setup {
        config,
        branches: settings::counted_bases(&settings::settings(&loaded.config)),
        password: secret(loaded, "erp.winthor.password", &config.password)?,
        env,
    };
    let erp = Winthor::new(setup).map_err(|err| Failure::new(Exit::Config, err))?;
    Ok(Erp::Winthor(Box::new(erp)))
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
        named.push(("erp.winthor.password".to_owned(), &erp.password));
    }
    named
}

/// Reads every statement that replaces one of ours, for `config check`.
pub fn check_statements(config: &Config) -> Result<(), String> {
    let sql = config
        .erp
        .dragonfish
        .as_ref()
        .and_then(|erp| erp.sql.as_ref());
    sql.map_or(Ok(()), |sql| statements::read(&sql.statements).map(|_| ()))
}
