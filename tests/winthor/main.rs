//! WinThor's database through real drivers against real databases: what its statements say of a small shop, what faults
//! do, and that the texts hold nothing that Oracle 11.2 refuses.

#![cfg(feature = "odbc")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "../support/erp_wire.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod erp_wire;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../support/winthor_rig.rs"]
mod winthor_rig;

mod faults;
mod orders;
mod page;
mod stock;
mod texts;
