//! Configuration: defaults, then the file, then the environment, then flags; validated once.

pub mod secret;
pub mod sections;
pub mod span;
pub mod validate;
