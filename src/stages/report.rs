//! What a stage answers: counts, sentences for people, and how it ended.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::ports::PortError;
use crate::store::StoreError;

/// What a stage did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How many of what, by name.
    pub counts: BTreeMap<String, u64>,
    /// What happened, one sentence each.
    pub lines: Vec<String>,
    /// Items that will be tried again.
    pub waiting: u64,
    /// Items that need a person.
    pub person: u64,
    /// Calls that got an answer.
    pub reached: u64,
    /// Calls that got none.
    pub unreached: u64,
}

/// Sentences kept in one report; the log has them all.
const MOST_LINES: usize = 1000;

impl Report {
    /// Counts something.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts several of something.
    pub fn add(&mut self, what: &str, n: usize) {
        if n > 0 {
            *self.counts.entry(what.to_owned()).or_insert(0) +=
                u64::try_from(n).unwrap_or(u64::MAX);
        }
    }

    /// Says what happened to an item, in the report and in the log.
    pub fn say(&mut self, subject: &str, sentence: impl Into<String>) {
        let sentence = sentence.into();
        log::info!(subject = subject; "{sentence}");
        if self.lines.len() < MOST_LINES {
            self.lines.push(sentence);
        }
    }

    /// Counts an item that will be tried again, with the reason.
    pub fn wait(&mut self, subject: &str, reason: impl Into<String>) {
        self.waiting += 1;
        self.say(subject, reason);
    }

    /// Counts an item that needs a person.
    pub fn person(&mut self, subject: &str, reason: impl Into<String>) {
        self.person += 1;
        let reason = reason.into();
        log::warn!(subject = subject; "{reason}");
        if self.lines.len() < MOST_LINES {
            self.lines.push(reason);
        }
    }

    /// Notes how a call ended, and passes it on; denied access stops the stage.
    pub fn called<T>(
        &mut self,
        result: Result<T, PortError>,
    ) -> Result<Result<T, PortError>, Halt> {
        match &result {
            Ok(_) | Err(PortError::Rejected { .. } | PortError::Uncertain { .. }) => {
                self.reached += 1
            }
            Err(PortError::Transient { .. }) => self.unreached += 1,
            Err(PortError::Denied { reason }) => return Err(Halt::Denied(reason.clone())),
        }
        Ok(result)
    }
}

/// Why a stage stopped before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// An outside system denied access.
    #[error("access denied: {0}")]
    Denied(String),
    /// The memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many numbers would have changed sharply.
    #[error("{0}")]
    Brake(String),
    /// A lock could not be made.
    #[error("{0}")]
    Lock(String),
}

/// What a stage returns.
pub type StageResult<T = ()> = Result<T, Halt>;
