//! stockbridge keeps the stock of a VTEX store true against the retailer's ERP.
//!
//! # The map
//!
//! Read the rooms in this order; an arrow means "may name".
//!
//! - [`domain`]: the trade's words and rules. Names nothing but itself.
//! - [`store`]: SQLite, the only memory. → domain
//! - [`stages`]: the pipeline, one stage per invocation. → domain, store
//! - [`desk`]: what an operator asks. → domain, store
//! - [`serve`]: the long-running door: VTEX's hook, health, metrics. → domain, store
//! - [`config`]: one file, environment, flags; validated once. → domain's value types
//! - [`adapters`]: the only rooms that speak foreign languages. → domain, their own configuration section
//! - [`cli`], [`exit`], [`logging`]: the contract with cron and the operator.
//! - [`app`]: the composition root, which sees every room.
//! - `sandbox` (feature): stateful fakes of the outside systems. → domain's value types, nothing else
//!
//! # What always holds
//!
//! 1. No write transaction is open while a network call is in flight.
//! 2. No external write happens without a committed attempt row and a natural key.
//! 3. Orders store facts; their state is derived. Only effects have states, and they change by one table.
//! 4. Vendor words stop at the adapter.
//! 5. What guards against a duplicate uses time since boot; wall time is for people, days and the storefront.
//! 6. Nothing is deleted except by `gc`, which never touches open work or a key.
//! 7. Stages do not call stages. They meet in the store.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that meets an unexpected error should stop there"
    )
)]

pub mod domain;

pub mod store;

pub mod stages;

pub mod desk;

pub mod serve;

pub mod config;

pub mod adapters;

pub mod cli;
pub mod exit;
pub mod logging;

pub mod app;

#[cfg(feature = "sandbox")]
pub mod sandbox;
