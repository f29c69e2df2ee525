//! A database behind its gate: nothing is asked without leave, and no call reaches past the run's deadline.

use std::time::Duration;

use crate::adapters::http::calls::Env;
use crate::adapters::odbc::fault::{Fault, Kind};
use crate::adapters::odbc::link::Limits;
use crate::domain::ports::CallOutcome;

/// What every call to one database goes through.
pub struct Gated<'a> {
    /// Clocks, the gate and the run's deadline.
    pub env: Env<'a>,
    /// The database's name for the gate.
    pub host: String,
    /// How long a call may take when there is time enough.
    pub limits: Limits,
}

impl Gated<'_> {
    /// Acts with the gate's leave, within what is left of the run, and tells the gate how it ended.
    pub fn call<T>(&self, act: impl FnOnce(Limits) -> Result<T, Fault>) -> Result<T, Fault> {
        let limits = self.left()?;
        self.env
            .gate
            .admit(&self.host)
            .map_err(|err| Fault::new(Kind::Busy, err.to_string()))?;
        let result = act(limits);
        let cut_short = limits.silence < self.limits.silence || limits.total < self.limits.total;
        let outcome = match &result {
            Ok(_) => CallOutcome::Answered,
            Err(fault) => match fault.kind {
                Kind::Busy | Kind::Refused => CallOutcome::Answered,
                Kind::Denied => CallOutcome::Denied,
                // Given up because the run ends: that says nothing about the server.
                Kind::TimedOut if cut_short => return result,
                Kind::Broken | Kind::TimedOut | Kind::Driver => CallOutcome::Failed,
            },
        };
        self.env.gate.report(&self.host, outcome);
        result
    }

    /// Returns the limits of a call that begins now.
    fn left(&self) -> Result<Limits, Fault> {
        let Some(until) = self.env.until else {
            return Ok(self.limits);
        };
        let left_ms = until.0.saturating_sub(self.env.clock.boot().0);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        if left.is_zero() {
            return Err(Fault::new(Kind::TimedOut, "the run's time is up"));
        }
        Ok(Limits {
            connect: self.limits.connect.min(left),
            silence: self.limits.silence.min(left),
            total: self.limits.total.min(left),
        })
    }
}
