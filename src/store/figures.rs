//! Figures for a monitor that no stage needs.

use crate::store::{Store, StoreResult};

/// What was sent, and how often again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Quantities sent, ever.
    pub pushes: i64,
    /// Open effects that were sent more than once.
    pub effects_retried: i64,
    /// Failures in a row of the numbers to look at, added up.
    pub push_failures: i64,
}

impl Store {
    /// Returns the figures; only open work is looked at.
    pub fn figures(&self) -> StoreResult<Figures> {
        self.one(include_str!("../../sql/store/figures.sql"), [], |row| {
            Ok(Figures {
                pushes: row.get(0)?,
                effects_retried: row.get(1)?,
                push_failures: row.get(2)?,
            })
        })
    }
}
