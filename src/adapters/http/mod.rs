//! What every adapter over HTTP needs: one client per host, answers with limits, bounded repeats of reads.
//!
//! [`client`] sends one request and says how it ended; [`json`] reads an answer strictly; [`calls`] adds what a
//! polite client owes the host (gate, waiting times, retries of reads, none of writes); [`text`] makes foreign text
//! safe to show. This room knows no vendor and never logs a header or a body.

pub mod calls;
pub mod client;
pub mod json;
pub mod text;
