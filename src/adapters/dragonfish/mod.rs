//! Dragonfish over HTTP.
