//! SQL over ODBC, for every adapter that reads an ERP's database: how a connection is named (`connect`), what a
//! driver's error means (`fault`, `vendors`), how values are bound (`values`), a
//! worker thread with its own deadline around every call (`link`), and leave for each from the gate (`gated`).
//!
//! It only reads, binds every value, fetches text as UTF-16 and numbers as text. It never waits for a driver longer
//! than it was told to, and it never shows a connection string.

pub mod connect;
pub mod fault;
pub mod gated;
pub mod link;
pub mod values;
mod vendors;
#[cfg(feature = "odbc")]
mod worker;
