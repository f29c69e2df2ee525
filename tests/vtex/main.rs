//! The VTEX adapter on the wire: requests as VTEX's contracts want them, and every answer VTEX may give.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets an unexpected error should stop there; nobody names a test crate"
)]

mod bench;
#[path = "../support/certificates.rs"]
mod certificates;
mod faults;
mod order;
mod requests;
mod stock;
mod tls;
#[path = "../support/wire.rs"]
mod wire;
