//! The last run of each stage, and the append-only record of what operators did.

use std::collections::BTreeMap;

use rusqlite::named_params;

use crate::domain::time::Moment;
use crate::store::{Store, StoreResult, Tx, json_as, to_json};

/// The last run of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Which stage.
    pub stage: String,
    /// Which run, as on its log lines.
    pub run_id: String,
    /// When it began.
    pub started_at: Moment,
    /// When it ended.
    pub ended_at: Moment,
    /// How it ended.
    pub exit_code: i64,
    /// What it did, by name.
    pub counts: BTreeMap<String, u64>,
    /// Why it stopped early, if it did.
    pub message: Option<String>,
}

impl Store {
    /// Lists the last run of each stage.
    pub fn runs(&self) -> StoreResult<Vec<RunRow>> {
        self.many(include_str!("../../sql/store/runs_all.sql"), [], |row| {
            Ok(RunRow {
                stage: row.get(0)?,
                run_id: row.get(1)?,
                started_at: Moment(row.get(2)?),
                ended_at: Moment(row.get(3)?),
                exit_code: row.get(4)?,
                counts: json_as(row, 5)?,
                message: row.get(6)?,
            })
        })
    }

    /// Returns when the last run of a stage ended, by the clock of that time.
    pub fn run_ended(&self, stage: &str) -> StoreResult<Option<Moment>> {
        let sql = include_str!("../../sql/store/run_ended.sql");
        self.maybe(sql, named_params! { ":stage": stage }, |row| {
            Ok(Moment(row.get(0)?))
        })
    }
}

impl Tx<'_> {
    /// Records a run.
    pub fn put_run(&self, run: &RunRow) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/run_put.sql"),
            named_params! { ":stage": run.stage, ":run_id": run.run_id, ":started_at": run.started_at.0,
                ":ended_at": run.ended_at.0, ":exit_code": run.exit_code, ":counts": to_json(&run.counts)?,
                ":message": run.message },
        )?;
        Ok(())
    }

    /// Ends every wait: of a clock that was set back since, they would last longer than meant.
    pub fn end_waits(&self) -> StoreResult<()> {
        let sql = include_str!("../../sql/store/waits_end.sql");
        Ok(self.conn.execute_batch(sql)?)
    }

    /// Records what an operator did.
    pub fn audit(
        &self,
        who: &str,
        act: &str,
        subject: &str,
        detail: &str,
        now: Moment,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/audit_add.sql"),
            named_params! { ":now": now.0, ":who": who, ":act": act, ":subject": subject, ":detail": detail },
        )?;
        Ok(())
    }
}
