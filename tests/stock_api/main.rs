//! The available-stock interface as a consumer meets it: the real binary, against the sandbox's own services.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that meets an unexpected error should stop there; a process is waited for in real time; seeds are told"
)]

#[path = "../support/erp_wire.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod erp_wire;

mod answers;
mod conformance;
mod served;
