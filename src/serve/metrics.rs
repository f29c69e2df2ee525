//! What a monitor reads: Prometheus's text form. Figures of the state file are cheap queries over open work.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::domain::order::OrderState;
use crate::domain::time::Moment;
use crate::serve::Shared;
use crate::serve::health::PATIENCE;
use crate::serve::limits::Budgets;
use crate::store::figures::Figures;
use crate::store::inbox::InboxDepth;
use crate::store::runs::RunRow;
use crate::store::{Store, StoreResult};

/// The count under which `poll` tells how many events wait on the feed.
const FEED_DEPTH: &str = "events on the feed";

/// What became of a request of the hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The order is in the inbox.
    Taken,
    /// VTEX tried whether we answer.
    Trial,
    /// Another account's order.
    OtherAccount,
    /// What is no order's id.
    NoOrder,
    /// No right header.
    Denied,
    /// No event.
    Malformed,
    /// The state file could not take it.
    Busy,
}

impl Heard {
    const ALL: [Self; 7] = [
        Self::Taken,
        Self::Trial,
        Self::OtherAccount,
        Self::NoOrder,
        Self::Denied,
        Self::Malformed,
        Self::Busy,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Trial => "trial",
            Self::OtherAccount => "other-account",
            Self::NoOrder => "no-order",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
        }
    }
}

/// Upper bounds of the times to answer, in milliseconds.
const BOUNDS_MS: [u64; 9] = [1, 5, 10, 25, 50, 100, 250, 1000, 3000];

/// What was counted since the door was opened.
#[derive(Default)]
pub(super) struct Counts {
    heard: [AtomicU64; 7],
    limited: AtomicU64,
    within: [AtomicU64; 9],
    answers: AtomicU64,
    time_us: AtomicU64,
    /// Answers of the stock API by status.
    stock: Mutex<BTreeMap<u16, u64>>,
    /// What each source may still ask.
    pub budgets: Budgets,
    complained: Mutex<Option<Instant>>,
}

/// A state file that refuses is told of in the log this often; every refusal is counted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

impl Counts {
    /// Counts a request of the hook.
    pub fn hook(&self, heard: Heard, took: Duration) {
        if heard == Heard::OtherAccount && self.count_of(heard) == 0 {
            log::warn!("the hook tells of another account's orders; they are counted and left out");
        }
        let one = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let all = Heard::ALL.iter().zip(&self.heard);
        all.filter(|(which, _)| **which == heard)
            .for_each(|(_, counter)| {
                one(counter);
            });
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bound = BOUNDS_MS.iter().zip(&self.within);
        if let Some((_, counter)) = bound.into_iter().find(|(bound, _)| us <= **bound * 1000) {
            one(counter);
        }
        one(&self.answers);
        self.time_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Counts an answer of the stock API.
    pub fn stock(&self, status: StatusCode) {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        *stock.entry(status.as_u16()).or_default() += 1;
    }

    /// Counts a request that was too much from its source.
    pub fn limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells whether the log may be told of a refusal again.
    pub fn may_complain(&self) -> bool {
        let mut last = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = last.is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY);
        if may {
            *last = Some(now);
        }
        may
    }

    fn count_of(&self, heard: Heard) -> u64 {
        let mut all = Heard::ALL.iter().zip(&self.heard);
        let found = all.find(|(which, _)| **which == heard);
        found.map_or(0, |(_, counter)| counter.load(Ordering::Relaxed))
    }
}

/// What the state file holds.
struct Held {
    orders: BTreeMap<OrderState, (u64, Moment)>,
    effects: Vec<(String, i64)>,
    notices: Vec<(String, i64)>,
    pushes_due: i64,
    figures: Figures,
    inbox: InboxDepth,
    runs: Vec<RunRow>,
    hosts: Vec<(String, i64, Moment)>,
}

impl Held {
    fn look(store: &Store) -> StoreResult<Self> {
        Ok(Self {
            orders: store.order_states()?,
            effects: store.effects_waiting()?,
            notices: store.outbox_counts()?,
            pushes_due: store.pushes_due_count()?,
            figures: store.figures()?,
            inbox: store.inbox_depth()?,
            runs: store.runs()?,
            hosts: store.gates()?,
        })
    }
}

/// Shows the figures.
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let mut page = Page::default();
    page.counts(&shared);
    let held = shared.desk.read(PATIENCE, Held::look).await;
    page.one(
        "state_file_readable",
        "gauge",
        "Whether the state file could be read just now",
        u8::from(held.is_ok()),
    );
    match held {
        Ok(held) => page.held(&held, shared.clock.now()),
        Err(err) => log::warn!("metrics without the state file: {err}"),
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    (StatusCode::OK, [(CONTENT_TYPE, kind)], page.0).into_response()
}

/// A page in Prometheus's text form. Writing into memory cannot fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn about(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP stockbridge_{name} {help}");
        let _ = writeln!(self.0, "# TYPE stockbridge_{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "stockbridge_{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            let text = text.replace('\n', "\\n");
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.about(name, kind, help);
        self.value(name, &[], value);
    }

    fn many<T: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (String, T)>,
    ) {
        self.about(name, "gauge", help);
        for (text, value) in values {
            self.value(name, &[(label, &text)], value);
        }
    }

    fn counts(&mut self, shared: &Shared) {
        let counts = &shared.counts;
        let name = "hook_requests_total";
        self.about(
            name,
            "counter",
            "Requests of the hook by what became of them",
        );
        for heard in Heard::ALL {
            self.value(name, &[("outcome", heard.as_str())], counts.count_of(heard));
        }
        let limited = counts.limited.load(Ordering::Relaxed);
        self.one(
            "requests_limited_total",
            "counter",
            "Requests refused since their source asked too much",
            limited,
        );
        let stock = counts.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.options.stock.is_some() {
            let name = "stock_api_requests_total";
            self.about(name, "counter", "Answers of the stock API by status");
            for (status, n) in stock.iter() {
                self.value(name, &[("status", &status.to_string())], n);
            }
        }
        drop(stock);
        let name = "hook_answer_seconds";
        self.about(
            name,
            "histogram",
            "Time from a request of the hook to its answer",
        );
        let bucket = format!("{name}_bucket");
        let mut sum = 0;
        for (bound, counter) in BOUNDS_MS.iter().zip(&counts.within) {
            sum += counter.load(Ordering::Relaxed);
            self.value(&bucket, &[("le", &thousandth(*bound, 3))], sum);
        }
        let answers = counts.answers.load(Ordering::Relaxed);
        self.value(&bucket, &[("le", "+Inf")], answers);
        let us = counts.time_us.load(Ordering::Relaxed);
        self.value(&format!("{name}_sum"), &[], thousandth(us, 6));
        self.value(&format!("{name}_count"), &[], answers);
        if let Some(bell) = &shared.bell {
            let (runs, exit) = bell.runs();
            let help = "Runs of the stages that the hook caused";
            self.one("woken_runs_total", "counter", help, runs);
            let help = "Exit code of the last such run";
            self.one("woken_run_exit_code", "gauge", help, exit);
        }
    }

    fn held(&mut self, held: &Held, now: Moment) {
        let age = |at: Moment| thousandth(now.ms_since(at).max(0).unsigned_abs(), 3);
        let orders = || held.orders.iter();
        self.many(
            "orders",
            "Open orders by state",
            "state",
            orders().map(|(state, (n, _))| (state.as_str().to_owned(), *n)),
        );
        self.many(
            "orders_oldest_seconds",
            "Age of the oldest open order by state",
            "state",
            orders().map(|(state, (_, oldest))| (state.as_str().to_owned(), age(*oldest))),
        );
        let lower = |(name, n): &(String, i64)| (name.to_lowercase(), *n);
        self.many(
            "effects",
            "Movements and starts of handling that are not final, by state",
            "state",
            held.effects.iter().map(lower),
        );
        self.many(
            "notices",
            "Notices that were not sent, by state",
            "state",
            held.notices.iter().map(lower),
        );
        let gauge = "gauge";
        let help = "Open effects that were sent more than once";
        self.one("effects_retried", gauge, help, held.figures.effects_retried);
        let help = "Numbers to look at";
        self.one("pushes_due", gauge, help, held.pushes_due);
        let help = "Failures in a row of the numbers to look at, added up";
        self.one("push_failures", gauge, help, held.figures.push_failures);
        let help = "Quantities sent";
        self.one("pushes_total", "counter", help, held.figures.pushes);
        let help = "Orders that the hook told of and poll has not read";
        self.one("inbox_orders", gauge, help, held.inbox.orders);
        let oldest = held.inbox.oldest.map_or_else(|| "0".to_owned(), age);
        let help = "Age of the oldest of them";
        self.one("inbox_oldest_seconds", gauge, help, oldest);
        self.runs(&held.runs, &age);
        self.many(
            "host_failures",
            "Failures in a row of an outside host",
            "host",
            held.hosts.iter().map(|(host, n, _)| (host.clone(), *n)),
        );
        let left = |until: Moment| thousandth(until.ms_since(now).max(0).unsigned_abs(), 3);
        self.many(
            "host_waits_seconds",
            "How long an outside host is still left alone (breaker, or it asked to wait)",
            "host",
            held.hosts
                .iter()
                .map(|(host, _, until)| (host.clone(), left(*until))),
        );
    }

    fn runs(&mut self, runs: &[RunRow], age: &dyn Fn(Moment) -> String) {
        let stage = |run: &RunRow| run.stage.clone();
        self.many(
            "run_age_seconds",
            "Time since the last run of a stage",
            "stage",
            runs.iter().map(|run| (stage(run), age(run.ended_at))),
        );
        let took = |run: &RunRow| run.ended_at.ms_since(run.started_at).max(0).unsigned_abs();
        self.many(
            "run_duration_seconds",
            "How long the last run of a stage took",
            "stage",
            runs.iter()
                .map(|run| (stage(run), thousandth(took(run), 3))),
        );
        self.many(
            "run_exit_code",
            "How the last run of a stage ended",
            "stage",
            runs.iter().map(|run| (stage(run), run.exit_code)),
        );
        let name = "run_count";
        self.about(name, "gauge", "What the last run of a stage did");
        for run in runs {
            for (what, n) in &run.counts {
                self.value(name, &[("stage", &run.stage), ("what", what)], n);
            }
        }
        let poll = runs.iter().find(|run| run.stage == "poll");
        if let Some(poll) = poll {
            let depth = poll.counts.get(FEED_DEPTH).copied().unwrap_or(0);
            let help = "Events on the storefront's feed when poll last looked";
            self.one("feed_events", "gauge", help, depth);
        }
    }
}

/// Writes a count of thousandths, or of millionths, as a decimal.
fn thousandth(n: u64, digits: u32) -> String {
    let unit = 10_u64.pow(digits);
    let width = usize::try_from(digits).unwrap_or(0);
    format!("{}.{:0width$}", n / unit, n % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut page = Page::default();
        page.value("x", &[("a", "q\"\\\n"), ("b", "c")], thousandth(1234, 3));
        assert_eq!(page.0, "stockbridge_x{a=\"q\\\"\\\\\\n\",b=\"c\"} 1.234\n");
        assert_eq!(thousandth(7, 6), "0.000007");
    }

    #[test]
    fn every_answer_is_counted_once() {
        let counts = Counts::default();
        counts.hook(Heard::Taken, Duration::from_millis(7));
        counts.hook(Heard::Denied, Duration::from_secs(60));
        assert_eq!(counts.count_of(Heard::Taken), 1);
        assert_eq!(counts.count_of(Heard::Busy), 0);
        let within: u64 = counts
            .within
            .iter()
            .map(|n| n.load(Ordering::Relaxed))
            .sum();
        assert_eq!((within, counts.answers.load(Ordering::Relaxed)), (1, 2));
    }
}
