//! The long-running door as a process: what it takes, what it refuses, what it survives.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test that meets an unexpected error should stop there; a process is waited for in real time; some tell figures"
)]

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/door.rs"]
mod door;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../support/shop.rs"]
mod shop;

mod bad_input;
mod life;
mod orders;
mod pressure;
