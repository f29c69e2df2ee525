//! A VTEX store: orders, reservations, stock, feed. [`model`] is what it remembers, [`server`] how it is asked.

pub mod documents;
mod hook;
pub mod model;
pub mod server;
