//! The trade's words and rules, pure: no input or output, no clock, no client library.
//!
//! Read in this order: [`ids`] and [`qty`] name things, [`order`] is what a sale is, [`movement`] what the ERP
//! books for it, [`effect`] the states of every external write, [`stock`] the quantity rule,
//! [`packaging`] how packagings share one stock, [`notice`] what people
//! are told, [`ports`] the doors to the outside.

pub mod available;
pub mod effect;
pub mod ids;
pub mod movement;
pub mod notice;
pub mod order;
pub mod packaging;
pub mod ports;
pub mod qty;
pub mod snapshot;
pub mod stock;
pub mod suspects;
pub mod time;
