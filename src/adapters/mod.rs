//! The only rooms that speak foreign languages. Each implements ports of [`crate::domain::ports`].

pub mod command;
pub mod dragonfish;
pub mod host;
pub mod http;
pub mod mail;
pub mod odbc;
pub mod vtex;
pub mod webhook;
pub mod whatsapp;
pub mod winthor;
