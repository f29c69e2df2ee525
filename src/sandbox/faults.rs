//! What goes wrong, by plan or by chance, and the log of every call.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::sandbox::http::{Mischief, Reply};

/// How long a call is held.
const HOLD: Duration = Duration::from_millis(30);

/// Before or after the call took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The effect does not happen.
    Before,
    /// The effect happens, its answer goes wrong.
    After,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends without an answer.
    Reset,
    /// No answer for so many milliseconds, then the end.
    Hang(u64),
    /// The answer ends in its middle.
    Cut,
    /// A status with an ordinary body.
    Status(u16),
    /// A status, and these words wherever a body or a header may hold words.
    Says(u16, &'static str),
    /// 429, with so many seconds to wait where given.
    TooMany(Option<u64>),
    /// 423, discarded.
    Locked,
}

impl Fault {
    /// Returns the answer that this fault makes of a good one.
    pub fn spoil(self, good: Reply) -> Reply {
        let with = |mischief| Reply {
            mischief,
            ..good.clone()
        };
        match self {
            Self::Reset => with(Mischief::Reset),
            Self::Hang(ms) => with(Mischief::Hang(ms)),
            Self::Cut if good.body.len() > 1 => with(Mischief::Cut),
            Self::Cut => with(Mischief::Reset),
            Self::Status(status) => {
                Reply::text(status, "a fault of the sandbox").reason("Sandbox Fault")
            }
            Self::Says(status, words) => {
                let error =
                    serde_json::json!({ "code": words, "message": words, "exception": words });
                let body = serde_json::json!({ "error": error, "Message": words, "InformacionAdicional": words });
                Reply::json(status, &body).header("X-Words", words)
            }
            Self::TooMany(None) => Reply::text(429, "too many requests"),
            Self::TooMany(Some(seconds)) => {
                Reply::text(429, "too many requests").header("Retry-After", &seconds.to_string())
            }
            Self::Locked => Reply::text(423, "Unable to acquire lock for key"),
        }
    }
}

/// One call that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number over all systems, from 1.
    pub number: u64,
    /// `vtex` or `dragonfish`.
    pub system: &'static str,
    /// What it asks for.
    pub operation: &'static str,
    /// With what.
    pub detail: String,
}

/// A fault that waits for its call.
#[derive(Debug, Clone)]
struct Rule {
    number: Option<u64>,
    operation: Option<&'static str>,
    times: u32,
    when: When,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Call>,
    rules: Vec<Rule>,
    rate_percent: u8,
    chance: Option<fastrand::Rng>,
    fired: u64,
    hold: Option<(u64, When, Sender<()>)>,
}

/// The faults of all systems of one sandbox.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

impl Faults {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes the call with this number go wrong; numbers count over all systems from the last [`Faults::clear`].
    pub fn at_call(&self, number: u64, when: When, fault: Fault) {
        self.inner().rules.push(Rule {
            number: Some(number),
            operation: None,
            times: 1,
            when,
            fault,
        });
    }

    /// Makes the next calls of an operation go wrong.
    pub fn on(&self, operation: &'static str, times: u32, when: When, fault: Fault) {
        self.inner().rules.push(Rule {
            number: None,
            operation: Some(operation),
            times,
            when,
            fault,
        });
    }

    /// Makes so many percent of all calls go wrong by chance.
    pub fn by_chance(&self, percent: u8, seed: u64) {
        let mut inner = self.inner();
        inner.rate_percent = percent;
        inner.chance = Some(fastrand::Rng::with_seed(seed));
    }

    /// Holds the call with this number for a moment and says so: its caller can be killed while it waits.
    pub fn hold_at(&self, number: u64, when: When) -> Receiver<()> {
        let (tell, told) = channel();
        self.inner().hold = Some((number, when, tell));
        told
    }

    fn held(&self) -> Option<(When, Sender<()>)> {
        let mut inner = self.inner();
        let calls = u64::try_from(inner.calls.len()).unwrap_or(u64::MAX);
        let (_, when, tell) = inner.hold.take_if(|(number, ..)| *number <= calls)?;
        Some((when, tell))
    }

    /// Forgets the calls and takes every fault away.
    pub fn clear(&self) {
        *self.inner() = Inner::default();
    }

    /// Returns every call since the last [`Faults::clear`].
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// Returns how many faults have fired.
    pub fn fired(&self) -> u64 {
        self.inner().fired
    }

    /// Notes a call and says what goes wrong with it.
    pub fn next(
        &self,
        system: &'static str,
        operation: &'static str,
        detail: String,
    ) -> Option<(When, Fault)> {
        let mut inner = self.inner();
        let number = u64::try_from(inner.calls.len()).unwrap_or(u64::MAX) + 1;
        inner.calls.push(Call {
            number,
            system,
            operation,
            detail,
        });
        let hit = inner.rules.iter().position(|rule| {
            rule.times > 0
                && rule.number.is_none_or(|n| n == number)
                && rule.operation.is_none_or(|o| o == operation)
        });
        if let Some(at) = hit {
            inner.rules[at].times -= 1;
            inner.fired += 1;
            return Some((inner.rules[at].when, inner.rules[at].fault));
        }
        let rate = inner.rate_percent;
        let chance = inner.chance.as_mut()?;
        if chance.u8(0..100) >= rate {
            return None;
        }
        let when = if chance.bool() {
            When::Before
        } else {
            When::After
        };
        let fault = [
            Fault::Reset,
            Fault::Cut,
            Fault::Status(500),
            Fault::Status(503),
        ][chance.usize(0..4)];
        inner.fired += 1;
        Some((when, fault))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a held call holds a real process"
    )]
    /// Runs a call: notes it, lets it take effect unless it fails before, spoils its answer where it must.
    pub fn run(
        &self,
        system: &'static str,
        operation: &'static str,
        detail: String,
        effect: impl FnOnce() -> Reply,
    ) -> Reply {
        let fault = self.next(system, operation, detail);
        let hold = self.held();
        let pause = |at: When| {
            if let Some((_, tell)) = hold.as_ref().filter(|(when, _)| *when == at) {
                let _ = tell.send(());
                std::thread::sleep(HOLD);
            }
        };
        pause(When::Before);
        let reply = match fault {
            None => effect(),
            Some((When::Before, fault)) => fault.spoil(Reply::text(500, "not done")),
            Some((When::After, fault)) => fault.spoil(effect()),
        };
        pause(When::After);
        reply
    }
}
