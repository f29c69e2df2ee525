//! WinThor by two roads: what its packagings are called (`code`), how its services are reached (`session`, `wire`), what
//! stock they tell of (`stock`), what it holds of the store's orders (`orders`), and what `doctor` asks (`checks`); and
//! its database (`sql`, `sql_text`).
//!
//! Nothing is ever written there.

pub mod code;

mod checks;
mod orders;
mod session;
pub mod sql;
mod sql_checks;
mod sql_orders;
mod sql_page;
mod sql_rows;
mod sql_stock;
pub mod sql_text;
mod stock;
mod wire;

use secrecy::SecretString;

use crate::adapters::http::calls::Env;
use crate::adapters::winthor::session::Session;
use crate::config::winthor::WinthorConfig;
use crate::domain::ids::BaseCode;
use crate::domain::movement::{ErpDay, FoundMovement, Movement};
use crate::domain::ports::{Listing, MovementSink, Permit, PortError, PortResult, Search};
use crate::domain::time::Moment;

/// What a [`Winthor`] is made of.
pub struct Setup<'a> {
    /// Its section of the configuration.
    pub config: &'a WinthorConfig,
    /// The branches that count.
    pub branches: Vec<BaseCode>,
    /// The user's password.
    pub password: SecretString,
    /// Clocks, chance and the host's gate.
    pub env: Env<'a>,
}

/// A WinThor installation.
pub struct Winthor<'a> {
    config: &'a WinthorConfig,
    branches: Vec<BaseCode>,
    session: Session<'a>,
}

impl<'a> Winthor<'a> {
    /// Prepares the services' client without touching the network.
    ///
    /// # Errors
    ///
    /// A sentence for a person when the configuration cannot be used.
    pub fn new(setup: Setup<'a>) -> Result<Self, String> {
        Ok(Self {
            config: setup.config,
            branches: setup.branches,
            session: Session::new(setup.config, setup.password, setup.env)?,
        })
    }
}

const NOT_BOOKED: &str = "WinThor takes the store's orders by itself; nothing is booked there";

/// The place of movements, where none are booked.
pub struct NothingBooked;

impl MovementSink for NothingBooked {
    fn check(&self, _: &Movement) -> Result<(), String> {
        Ok(())
    }

    fn book(&self, _: &Movement, _: &Permit<'_>) -> PortResult<FoundMovement> {
        Err(PortError::rejected(NOT_BOOKED))
    }

    fn find(&self, _: &BaseCode, _: &Search) -> PortResult<Listing> {
        Ok(Listing::Inconclusive(NOT_BOOKED.to_owned()))
    }

    fn days(&self, _: Moment) -> Vec<ErpDay> {
        Vec::new()
    }
}
