//! `doctor`: everything that must hold for the pipeline to work, looked at without changing anything.

use std::fmt;

use serde::Serialize;

use crate::domain::ports::{Check, CheckOutcome};
use crate::store::Store;

/// The probe of the state file's integrity.
pub const INTEGRITY: &str = "state.integrity";

/// The answers of all probes.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// One answer per probe.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Tells whether something does not work.
    pub fn failed(&self) -> bool {
        self.checks
            .iter()
            .any(|check| check.outcome == CheckOutcome::Fail)
    }
}

/// Looks at the state file: its integrity, its size in words, what waits for a person.
pub fn check_store(store: &Store) -> Vec<Check> {
    let integrity = match store.integrity() {
        Ok(found) if found.is_empty() => {
            Check::new(INTEGRITY, CheckOutcome::Ok, "the state file is sound")
        }
        Ok(found) => Check::new(INTEGRITY, CheckOutcome::Fail, found.join("; "))
            .hint("stop cron, then stockbridge backup restore FILE"),
        Err(err) => Check::new(INTEGRITY, CheckOutcome::Fail, err.to_string()),
    };
    let unmapped = match store.skus_unmapped() {
        Ok(rows) if rows.is_empty() => Check::new(
            "state.skus",
            CheckOutcome::Ok,
            "every known SKU has an ERP code",
        ),
        Ok(rows) => Check::new(
            "state.skus",
            CheckOutcome::Warn,
            format!("{} SKUs have no ERP code", rows.len()),
        )
        .hint("stockbridge sku list --unmapped"),
        Err(err) => Check::new("state.skus", CheckOutcome::Fail, err.to_string()),
    };
    vec![integrity, unmapped]
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let mark = match check.outcome {
                CheckOutcome::Ok => "ok  ",
                CheckOutcome::Warn => "WARN",
                CheckOutcome::Fail => "FAIL",
                CheckOutcome::Skipped => "--  ",
            };
            writeln!(f, "{mark} {:<24} {}", check.name, check.detail)?;
            if let Some(hint) = &check.hint {
                writeln!(f, "     {:<24} hint: {hint}", "")?;
            }
        }
        Ok(())
    }
}
