//! Differences between the books here and on the other side that a person must look at, until they are gone.

use rusqlite::named_params;

use crate::domain::time::Moment;
use crate::store::{Store, StoreResult, Tx};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What kind of difference (`twice`, `gone`, `changed`, `unknown`).
    pub kind: String,
    /// What it is about: the key of a movement.
    pub subject: String,
    /// What was seen, one sentence.
    pub detail: String,
    /// What a person can do about it.
    pub correction: String,
}

impl Store {
    /// Lists the open differences, oldest first.
    pub fn findings(&self, limit: u32) -> StoreResult<Vec<Finding>> {
        let sql = include_str!("../../sql/store/findings_all.sql");
        self.many(sql, named_params! { ":limit": limit }, |row| {
            Ok(Finding {
                kind: row.get(0)?,
                subject: row.get(1)?,
                detail: row.get(2)?,
                correction: row.get(3)?,
            })
        })
    }
}

impl Tx<'_> {
    /// Records a difference, or that it is still there.
    pub fn put_finding(&self, finding: &Finding, now: Moment) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/finding_put.sql"),
            named_params! { ":kind": finding.kind, ":subject": finding.subject, ":detail": finding.detail,
                ":correction": finding.correction, ":now": now.0 },
        )?;
        Ok(())
    }

    /// Forgets the differences of a kind that were not seen since `since`.
    pub fn drop_findings(&self, kind: &str, since: Moment) -> StoreResult<usize> {
        self.run(
            include_str!("../../sql/store/findings_gone.sql"),
            named_params! { ":kind": kind, ":since": since.0 },
        )
    }
}
