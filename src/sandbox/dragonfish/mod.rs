//! A Dragonfish installation: bases with stock, movements, log-in. [`model`] remembers, [`server`] answers.

pub mod model;
pub mod server;
