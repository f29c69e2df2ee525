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
mod stock;
mod wire;

use std::time::Duration;

use secrecy::SecretString;

use crate::adapters::dragonfish::code::{by_article, parse_reference};
use crate::adapters::dragonfish::session::Session;
use crate::adapters::dragonfish::stock::StockRules;
use crate::adapters::http::calls::Env;
use crate::config::sections::{DragonfishConfig, ErpConfig, Search as SearchMode};
use crate::domain::ids::{BaseCode, ErpCode, SkuRef};
use crate::domain::movement::{ErpDay, FoundMovement, Movement};
use crate::domain::ports::{Listing, Locks, MovementSink, Permit, PortResult, Search, StockSource};
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
        })
    }
}

impl StockSource for Dragonfish<'_> {
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String> {
        parse_reference(reference.as_str(), &self.config.separators)
    }

    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
        by_article(codes)
    }

    fn read(&self, codes: &[ErpCode]) -> PortResult<StockLevels> {
        stock::read(&self.session, &self.rules, &by_article(codes))
    }

    fn read_all(&self, progress: &dyn Fn(u64)) -> PortResult<StockLevels> {
        stock::read_all(&self.session, &self.rules, progress)
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
