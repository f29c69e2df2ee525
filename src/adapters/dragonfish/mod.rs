//! Dragonfish over HTTP.

mod code;
mod dates;
mod session;
mod wire;
