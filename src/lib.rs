//! stockbridge keeps the stock of a VTEX store true against the retailer's ERP.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that meets an unexpected error should stop there"
    )
)]

pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod desk;
pub mod domain;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod stages;
pub mod store;
