//! A deterministic simulator: the real stages over real SQLite (shared in memory), the sandbox's models behind the ports,
//! several interleaved processes, deaths, faults, clock jumps, reboots and restored backups. One seed is one history.
//!
//! Modelled: every port call and every commit is a point at which a process may die, pause or hand over to another; a
//! write may be lost, refused before or after its effect, answered late, or applied up to `settle` after its limit;
//! listings lag, are partial (and say so), or show nothing for a while (which only a canary tells). Not modelled here:
//! the wire (tests/dragonfish, tests/vtex), torn files and system calls (examples/crash), the Dragonfish service's own
//! lock, which lives in its adapter.

#![allow(dead_code, reason = "each program uses its part")]

pub mod history;
pub mod judge;
pub mod life;
pub mod mutants;
pub mod peers;
pub mod process;
pub mod shelf;
pub mod world;
