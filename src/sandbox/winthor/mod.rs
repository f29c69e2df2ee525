//! A stateful fake of a WinThor installation: its model, and its services over loopback.

pub mod model;
pub mod server;
