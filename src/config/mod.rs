//! Configuration: defaults, then the file, then an environment file, then the environment, then flags; validated once.
//!
//! Secrets are named here, never held: [`secret::SecretSource::resolve`] reads one when an adapter is built.

pub mod span;

pub mod sections;

pub mod sql;

pub mod statements;

pub mod winthor;

pub mod channels;

pub mod serve;

pub mod secret;

pub mod child;

pub mod load;

pub mod validate;

mod channels_check;

mod dragonfish;

pub mod winthor_sql;

pub mod show;

/// The annotated example, as `config init` writes it.
pub const EXAMPLE: &str = include_str!("../../examples/stockbridge.toml");

/// The annotated example of a shop with WinThor.
pub const WINTHOR_EXAMPLE: &str = include_str!("../../examples/stockbridge-winthor.toml");
