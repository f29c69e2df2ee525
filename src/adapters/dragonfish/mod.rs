//! Dragonfish over HTTP.

mod code;
mod dates;
