//! What a polite client owes a host: its gate is asked before and told after every call, reads are repeated a little,
//! writes never.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::fmt::rfc2822;
use serde::de::DeserializeOwned;

use crate::adapters::http::client::{Answer, HttpClient, HttpError, Request};
use crate::adapters::http::json::{JsonError, is_web_page, parse_json};
use crate::domain::ports::{CallOutcome, Clock, Gate, Permit, PortError, PortResult, Rng};
use crate::domain::time::{BootTime, Moment};

/// How often a read is sent at most.
const MAX_ATTEMPTS: u32 = 3;
/// The longest pause between two attempts that nobody asked for.
const MAX_PAUSE_MS: u64 = 8_000;
/// Upper bound of the first pause; doubles with each further one.
const FIRST_PAUSE_MS: u64 = 500;
/// Repeats that a run may always make; beyond it one per ten requests.
const FREE_RETRIES: u64 = 3;
/// The longest wait that a host is granted.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// No answer has told the host's time yet.
const UNTOLD: i64 = i64::MIN;

/// What an adapter is handed of the world besides its own configuration.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The clocks.
    pub clock: &'a dyn Clock,
    /// Chance, for the pauses between attempts.
    pub rng: &'a dyn Rng,
    /// The memory of how hosts want to be treated.
    pub gate: &'a dyn Gate,
    /// The run's deadline: no pause reaches beyond it.
    pub until: Option<BootTime>,
    /// The wait after a "too many requests" that names none.
    pub min_retry_after: Duration,
}

/// What an adapter makes of an answer to a read.
#[derive(Debug)]
pub enum Verdict<T> {
    /// Usable.
    Take(T),
    /// A fault that may pass: try again.
    Again(String),
    /// Unusable, and no repeat would change that.
    Refuse(String),
    /// Access was denied.
    Deny(String),
    /// The host asked to wait; `None` when it did not say how long.
    Wait(String, Option<Duration>),
}

impl<T> Verdict<T> {
    /// Judges by the status alone; `None` for 2xx and 404, which only the operation can judge.
    pub fn of_status(answer: &Answer, now: Moment) -> Option<Self> {
        let text = status_text(answer);
        Some(match answer.status {
            200..=299 | 404 => return None,
            // Not followed: the next host would be handed our keys.
            300..=399 => Self::Refuse(format!("{text}: a redirect, which is never followed")),
            401 | 403 => Self::Deny(text),
            429 => Self::Wait(text, retry_after(answer, now)),
            503 => match retry_after(answer, now) {
                Some(wait) => Self::Wait(text, Some(wait)),
                None => Self::Again(text),
            },
            408 | 423 | 425 | 500.. => Self::Again(text),
            _ => Self::Refuse(text),
        })
    }

    /// Wraps a parsed body.
    pub fn of_json(parsed: Result<T, JsonError>) -> Self {
        match parsed {
            Ok(value) => Self::Take(value),
            Err(JsonError::Transport(reason)) => Self::Again(reason),
            Err(JsonError::Unusable(reason)) => Self::Refuse(reason),
        }
    }
}

/// What follows one attempt of a read.
enum Step<T> {
    /// Its result stands.
    End(PortResult<T>),
    /// Another attempt may help; with the wait that the host asked for.
    Repeat(String, Option<Duration>),
}

/// The calls of one run to one host.
pub struct Calls<'a> {
    client: HttpClient,
    env: Env<'a>,
    n_requests: AtomicU64,
    n_retries: AtomicU64,
    clock_ahead_ms: AtomicI64,
}

impl<'a> Calls<'a> {
    /// Wraps a client.
    pub fn new(client: HttpClient, env: Env<'a>) -> Self {
        Self {
            client,
            env,
            n_requests: AtomicU64::new(0),
            n_retries: AtomicU64::new(0),
            clock_ahead_ms: AtomicI64::new(UNTOLD),
        }
    }

    /// Returns the client.
    pub fn client(&self) -> &HttpClient {
        &self.client
    }

    /// Returns what the adapter was handed.
    pub fn env(&self) -> Env<'a> {
        self.env
    }

    /// Returns how far the host's clock is ahead of ours by its last answer, in milliseconds; `None` before the first.
    ///
    /// The header has whole seconds and is older than its arrival, so the figure errs towards the past.
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        Some(self.clock_ahead_ms.load(Ordering::Relaxed)).filter(|ms| *ms != UNTOLD)
    }

    /// Sends a read, at most three times, until `judge` takes or refuses the answer.
    ///
    /// # Errors
    ///
    /// [`PortError::Transient`] when the attempts or the time are used up, or the host asked for more time than there
    /// is; [`PortError::Rejected`] and [`PortError::Denied`] as judged.
    pub fn read<T>(
        &self,
        request: &Request,
        judge: impl Fn(&Answer) -> Verdict<T>,
    ) -> PortResult<T> {
        let mut attempt = 1;
        loop {
            self.env.gate.admit(self.client.host())?;
            let (outcome, step) = self.attempt(request, &judge);
            self.report(outcome);
            let (reason, asked) = match step {
                Step::End(end) => {
                    return end.map_err(|err| self.located(request, err));
                }
                Step::Repeat(reason, asked) => (reason, asked),
            };
            let pause = self.pause(attempt).max(asked.unwrap_or_default());
            if attempt == MAX_ATTEMPTS || !self.fits(pause) || !self.may_retry() {
                return Err(PortError::Transient {
                    reason: self.describe(request, &reason),
                    retry_after: asked,
                });
            }
            self.env.clock.sleep(pause);
            attempt += 1;
        }
    }

    /// Sends a read once and decides what follows.
    fn attempt<T>(
        &self,
        request: &Request,
        judge: &impl Fn(&Answer) -> Verdict<T>,
    ) -> (CallOutcome, Step<T>) {
        let answer = match self.send(request.clone()) {
            Ok(answer) => answer,
            Err(HttpError::TooLarge(reason)) => {
                let end = Step::End(Err(PortError::rejected(reason)));
                return (CallOutcome::Answered, end);
            }
            // A certificate does not become true within seconds.
            Err(err @ HttpError::BadTls(_)) => {
                let end = Step::End(Err(PortError::transient(err.to_string())));
                return (CallOutcome::Failed, end);
            }
            Err(err @ (HttpError::NotSent(_) | HttpError::Lost(_))) => {
                return (CallOutcome::Failed, Step::Repeat(err.to_string(), None));
            }
        };
        match judge(&answer) {
            Verdict::Take(value) => (CallOutcome::Answered, Step::End(Ok(value))),
            Verdict::Refuse(reason) => (
                CallOutcome::Answered,
                Step::End(Err(PortError::rejected(reason))),
            ),
            Verdict::Deny(reason) => (
                CallOutcome::Denied,
                Step::End(Err(PortError::denied(reason))),
            ),
            Verdict::Again(reason) => (CallOutcome::Failed, Step::Repeat(reason, None)),
            Verdict::Wait(reason, wait) => {
                let wait = wait.unwrap_or(self.env.min_retry_after);
                (
                    CallOutcome::Throttled(wait),
                    Step::Repeat(reason, Some(wait)),
                )
            }
        }
    }

    /// Sends a read whose answer is JSON; `None` when the host says 404.
    pub fn read_json<T: DeserializeOwned>(&self, request: &Request) -> PortResult<Option<T>> {
        self.read(request, |answer| {
            if let Some(verdict) = Verdict::of_status(answer, self.env.clock.now()) {
                return verdict;
            }
            if answer.status == 404 {
                // A page of some proxy says nothing about the thing asked for.
                return if is_web_page(answer) {
                    Verdict::Refuse("404 with a web page instead of data".to_owned())
                } else {
                    Verdict::Take(None)
                };
            }
            Verdict::of_json(parse_json(answer).map(Some))
        })
    }

    /// Sends a write once; the permit is checked at the last instant. Returns the answer whatever its status.
    ///
    /// # Errors
    ///
    /// [`PortError::Transient`] when certainly nothing was sent, [`PortError::Uncertain`] when it may have been.
    pub fn write(&self, request: Request, permit: Option<&Permit<'_>>) -> PortResult<Answer> {
        self.env.gate.admit(self.client.host())?;
        // Finding the host can take seconds: that belongs before the last look at the claim.
        let ready = self.client.ready();
        if ready.is_ok()
            && let Some(permit) = permit
        {
            permit.check()?;
        }
        let title = request.title();
        let sent = ready.and_then(|()| self.send(request));
        match sent {
            Ok(answer) => {
                self.report(self.outcome(&answer));
                Ok(answer)
            }
            Err(err) => {
                self.report(CallOutcome::Failed);
                let reason = format!("{title} at {}: {err}", self.client.host());
                Err(err.of_write(reason))
            }
        }
    }

    /// Writes an error's text: what was done, where, and what came of it.
    pub fn describe(&self, request: &Request, reason: &str) -> String {
        format!("{} at {}: {reason}", request.title(), self.client.host())
    }

    /// Adds to an error's reason what was done and where.
    fn located(&self, request: &Request, err: PortError) -> PortError {
        match err {
            PortError::Transient {
                reason,
                retry_after,
            } => PortError::Transient {
                reason: self.describe(request, &reason),
                retry_after,
            },
            PortError::Uncertain { reason } => {
                PortError::uncertain(self.describe(request, &reason))
            }
            PortError::Rejected { reason } => PortError::rejected(self.describe(request, &reason)),
            PortError::Denied { reason } => PortError::denied(self.describe(request, &reason)),
        }
    }

    /// Returns how long an answer asks to wait, by the rules of this run; the configured minimum for a 429 without.
    pub fn asked_wait(&self, answer: &Answer) -> Option<Duration> {
        let asked = retry_after(answer, self.env.clock.now());
        match answer.status {
            429 => Some(asked.unwrap_or(self.env.min_retry_after)),
            _ => asked,
        }
    }

    fn outcome(&self, answer: &Answer) -> CallOutcome {
        match (answer.status, self.asked_wait(answer)) {
            (401 | 403, _) => CallOutcome::Denied,
            (429 | 503, Some(wait)) => CallOutcome::Throttled(wait),
            (500.., _) => CallOutcome::Failed,
            _ => CallOutcome::Answered,
        }
    }

    fn report(&self, outcome: CallOutcome) {
        self.env.gate.report(self.client.host(), outcome);
    }

    fn send(&self, request: Request) -> Result<Answer, HttpError> {
        self.n_requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.client.execute(request)?;
        if let Some(date) = answer.header("date").and_then(|text| http_date(&text)) {
            let ahead = date.ms_since(self.env.clock.now());
            self.clock_ahead_ms.store(ahead, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn pause(&self, attempt: u32) -> Duration {
        let bound = FIRST_PAUSE_MS
            .saturating_mul(1 << (attempt - 1))
            .min(MAX_PAUSE_MS);
        Duration::from_millis(self.env.rng.uniform(bound))
    }

    fn fits(&self, pause: Duration) -> bool {
        let ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        match self.env.until {
            Some(until) => self.env.clock.boot().plus_ms(ms) < until,
            None => pause <= Duration::from_millis(MAX_PAUSE_MS),
        }
    }

    /// Takes one repeat from the run's budget.
    fn may_retry(&self) -> bool {
        let budget = FREE_RETRIES.max(self.n_requests.load(Ordering::Relaxed) / 10);
        self.n_retries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < budget).then_some(n + 1)
            })
            .is_ok()
    }
}

/// Writes a status with its reason phrase, for errors.
pub fn status_text(answer: &Answer) -> String {
    match answer.reason_phrase.as_str() {
        "" => format!("{} (no readable reason)", answer.status),
        phrase => format!("{} {phrase}", answer.status),
    }
}

/// Sorts the status of an answer to a read that is no success; what the host may say on a repeat is transient.
pub fn classify_read(answer: &Answer, reason: String, now: Moment) -> PortError {
    match Verdict::<()>::of_status(answer, now) {
        Some(Verdict::Deny(_)) => PortError::denied(reason),
        Some(Verdict::Again(_)) => PortError::transient(reason),
        Some(Verdict::Wait(_, retry_after)) => PortError::Transient {
            reason,
            retry_after,
        },
        Some(Verdict::Refuse(_) | Verdict::Take(())) | None => PortError::rejected(reason),
    }
}

/// Sorts the status of an answer to a write that must not be repeated blindly: only a refusal in the vendor's own
/// words is one, everything else leaves the outcome open.
pub fn classify_write(answer: &Answer, reason: String) -> PortError {
    match answer.status {
        401 | 403 => PortError::denied(reason),
        400 | 404 | 409 | 413 | 415 | 422 => PortError::rejected(reason),
        _ => PortError::uncertain(reason),
    }
}

/// Reads a `Retry-After`: seconds or a date; never negative, at most an hour; `None` when absent or unreadable.
pub fn retry_after(answer: &Answer, now: Moment) -> Option<Duration> {
    let text = answer.header("retry-after")?;
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() < text.len() {
            return Some(Duration::ZERO);
        }
        let seconds = digits.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs);
        return Some(seconds.min(MAX_RETRY_AFTER));
    }
    // The host's own clock, where it shows it: ours may be minutes off.
    let now = answer
        .header("date")
        .and_then(|date| http_date(&date))
        .unwrap_or(now);
    let ms = http_date(text)?.ms_since(now).max(0);
    Some(Duration::from_millis(ms.unsigned_abs()).min(MAX_RETRY_AFTER))
}

/// Reads an HTTP date.
pub fn http_date(text: &str) -> Option<Moment> {
    let date = rfc2822::parse(text.trim()).ok()?;
    Some(Moment(date.timestamp().as_millisecond()))
}
