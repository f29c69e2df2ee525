//! Runs one stage: its lock, its work, the record of it.

use serde::Serialize;

use crate::domain::time::Moment;
use crate::stages::context::Context;
use crate::stages::report::{Halt, Report, StageResult};
use crate::stages::{gc, move_stock, notify, poll, push_stock, reserve};
use crate::store::StoreError;
use crate::store::runs::RunRow;

/// Smaller steps back are a clock's daily corrections, or the end of a process that ran beside this one.
const SET_BACK_MS: i64 = 60_000;

/// The stages, in pipeline order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Learn of orders.
    Poll,
    /// Reserve their goods.
    Reserve,
    /// Book their movements, start handling.
    Move,
    /// Publish quantities.
    PushStock,
    /// Send notices.
    Notify,
    /// Forget what is settled and old.
    Gc,
}

impl Stage {
    /// All stages, in pipeline order.
    pub const ALL: [Self; 6] = [
        Self::Poll,
        Self::Reserve,
        Self::Move,
        Self::PushStock,
        Self::Notify,
        Self::Gc,
    ];

    /// Returns the stage's name on the command line and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Reserve => "reserve",
            Self::Move => "move",
            Self::PushStock => "push-stock",
            Self::Notify => "notify",
            Self::Gc => "gc",
        }
    }

    fn work(self, ctx: &Context<'_>, report: &mut Report) -> StageResult {
        match self {
            Self::Poll => poll::run(ctx, report),
            Self::Reserve => reserve::run(ctx, report),
            Self::Move => move_stock::run(ctx, report),
            Self::PushStock => push_stock::run(ctx, report),
            Self::Notify => notify::run(ctx, report),
            Self::Gc => gc::run(ctx, report),
        }
    }
}

/// How a stage ended; the exit codes of the command line follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything done, or nothing to do.
    Done,
    /// Some items failed or wait, and will be tried again.
    Partial,
    /// Something needs a person.
    Person,
    /// An outside system was unreachable for the whole run.
    Unreachable,
    /// An outside system denied access.
    Denied,
    /// Another process runs the stage.
    Locked,
    /// Disk full, input/output error.
    Io,
    /// The state file is broken, or this program is.
    Broken,
}

/// The outcome of one stage.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Which stage.
    pub stage: Stage,
    /// How it ended.
    pub ending: Ending,
    /// What it did.
    #[serde(flatten)]
    pub report: Report,
    /// Why it stopped early.
    pub message: Option<String>,
    /// When it began.
    pub started_at: Moment,
    /// When it ended.
    pub ended_at: Moment,
}

/// Runs a stage under its lock and records the run. `code` translates the ending for the record.
pub fn run_stage(
    ctx: &Context<'_>,
    stage: Stage,
    run_id: &str,
    code: &dyn Fn(Ending) -> u8,
) -> Outcome {
    let started_at = ctx.clock.now();
    let mut report = Report::default();
    let worked = match ctx.locks.hold(stage.as_str(), ctx.ask.wait) {
        Ok(Some(_held)) => {
            Some(after_a_clock_set_back(ctx, stage).and_then(|()| stage.work(ctx, &mut report)))
        }
        Ok(None) => None,
        Err(reason) => Some(Err(Halt::Lock(reason))),
    };
    let (ending, message) = judge(worked, &report);
    let outcome = Outcome {
        stage,
        ending,
        report,
        message,
        started_at,
        ended_at: ctx.clock.now(),
    };
    if ending != Ending::Locked
        && let Err(err) = record(ctx, &outcome, run_id, code(ending))
    {
        log::warn!("the run of {} is not recorded: {err}", stage.as_str());
    }
    outcome
}

/// Waits are instants of the wall clock. When it was set back, those that it wrote before last as much longer: they end.
fn after_a_clock_set_back(ctx: &Context<'_>, stage: Stage) -> StageResult {
    let ended = ctx.store.run_ended(stage.as_str())?;
    if ended.is_some_and(|at| at.ms_since(ctx.now) > SET_BACK_MS) {
        log::warn!(
            "the clock was set back since the last run of {}; what waits is tried again",
            stage.as_str()
        );
        ctx.store.write(|tx| tx.end_waits())?;
    }
    Ok(())
}

fn judge(worked: Option<StageResult>, report: &Report) -> (Ending, Option<String>) {
    match worked {
        None => (
            Ending::Locked,
            Some("another process runs this stage".into()),
        ),
        Some(Err(halt)) => {
            let ending = match &halt {
                Halt::Denied(_) => Ending::Denied,
                Halt::Store(StoreError::Busy(_)) => Ending::Partial,
                Halt::Store(StoreError::Io(_)) => Ending::Io,
                Halt::Store(StoreError::Broken(_) | StoreError::Bug(_)) | Halt::Lock(_) => {
                    Ending::Broken
                }
                Halt::Brake(_) => Ending::Person,
            };
            (ending, Some(halt.to_string()))
        }
        Some(Ok(())) if report.unreached > 0 && report.reached == 0 => (Ending::Unreachable, None),
        Some(Ok(())) if report.person > 0 => (Ending::Person, None),
        Some(Ok(())) if report.waiting > 0 => (Ending::Partial, None),
        Some(Ok(())) => (Ending::Done, None),
    }
}

fn record(
    ctx: &Context<'_>,
    outcome: &Outcome,
    run_id: &str,
    exit_code: u8,
) -> Result<(), StoreError> {
    ctx.keep_clock()?;
    ctx.store.write(|tx| {
        tx.put_run(&RunRow {
            stage: outcome.stage.as_str().to_owned(),
            run_id: run_id.to_owned(),
            started_at: outcome.started_at,
            ended_at: outcome.ended_at,
            exit_code: i64::from(exit_code),
            counts: outcome.report.counts.clone(),
            message: outcome.message.clone(),
        })
    })?;
    ctx.water.raise(ctx.store.seq()?).map_err(StoreError::Io)
}
