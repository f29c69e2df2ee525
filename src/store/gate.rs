//! How each host wants to be treated, remembered across processes, so that sixty short runs an hour behave as one
//! polite client.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::named_params;

use crate::domain::ports::{CallOutcome, Clock, Gate, PortError, PortResult};
use crate::domain::time::Moment;
use crate::store::{OpenOptions, Store, StoreResult};

/// The numbers of a gate.
#[derive(Debug, Clone, Copy)]
pub struct GateSettings {
    /// Failures in a row that open the breaker.
    pub breaker_failures: i64,
    /// How long an open breaker keeps calls away; after it, one failing probe opens it again.
    pub breaker_open: Duration,
    /// The longest wait a host can ask for.
    pub longest_wait: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct HostState {
    failures: i64,
    not_before: Moment0,
}

/// Milliseconds since 1970; zero when nothing is to be waited for.
type Moment0 = i64;

/// The gate of all hosts, with a connection of its own: it is asked while calls run on worker threads.
pub struct StoreGate<'a> {
    store: Mutex<Store>,
    clock: &'a dyn Clock,
    settings: GateSettings,
    hosts: Mutex<BTreeMap<String, HostState>>,
}

impl<'a> StoreGate<'a> {
    /// Opens the gate on a state file that is already open elsewhere.
    pub fn open(
        options: &OpenOptions,
        clock: &'a dyn Clock,
        settings: GateSettings,
    ) -> StoreResult<Self> {
        let store = Store::open(options)?;
        let hosts = store
            .gates()?
            .into_iter()
            .map(|(host, failures, not_before)| {
                let state = HostState {
                    failures,
                    not_before: not_before.0,
                };
                (host, state)
            });
        let hosts = Mutex::new(hosts.collect());
        Ok(Self {
            store: Mutex::new(store),
            clock,
            settings,
            hosts,
        })
    }

    fn keep(&self, host: &str, state: HostState) {
        let Ok(store) = self.store.lock() else { return };
        let written = store.write(|tx| {
            tx.run(
                include_str!("../../sql/store/gate_put.sql"),
                named_params! { ":host": host, ":failures": state.failures, ":not_before": state.not_before },
            )
        });
        if let Err(err) = written {
            log::warn!(host = host; "the waiting time of {host} is not remembered: {err}");
        }
    }
}

impl Gate for StoreGate<'_> {
    fn admit(&self, host: &str) -> PortResult<()> {
        let state = self
            .hosts
            .lock()
            .map(|hosts| hosts.get(host).copied())
            .unwrap_or_default()
            .unwrap_or_default();
        let wait = state.not_before.saturating_sub(self.clock.now().0);
        let wait = Duration::from_millis(wait.max(0).unsigned_abs());
        // A wait longer than any that is given was written while the clock stood wrong.
        if wait.is_zero() || wait > self.settings.longest_wait {
            return Ok(());
        }
        Err(PortError::Transient {
            reason: format!(
                "{host} is left alone for another {} s",
                wait.as_secs().max(1)
            ),
            retry_after: Some(wait),
        })
    }

    fn report(&self, host: &str, outcome: CallOutcome) {
        let now = self.clock.now();
        let Ok(mut hosts) = self.hosts.lock() else {
            return;
        };
        let old = hosts.get(host).copied().unwrap_or_default();
        let later = |wait: Duration| {
            let ms = wait.min(self.settings.longest_wait).as_millis();
            now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX)).0
        };
        let new = match outcome {
            CallOutcome::Answered => HostState::default(),
            CallOutcome::Failed => {
                let failures = old.failures.saturating_add(1);
                let open = failures >= self.settings.breaker_failures;
                let not_before = if open {
                    later(self.settings.breaker_open)
                } else {
                    old.not_before
                };
                HostState {
                    failures,
                    not_before,
                }
            }
            CallOutcome::Throttled(wait) => HostState {
                failures: old.failures,
                not_before: later(wait),
            },
            CallOutcome::Denied => HostState {
                failures: old.failures,
                not_before: later(self.settings.breaker_open),
            },
        };
        if new != old {
            hosts.insert(host.to_owned(), new);
            drop(hosts);
            self.keep(host, new);
        }
    }
}

impl Store {
    /// Lists what is remembered about hosts: name, failures in a row, until when it is left alone.
    pub fn gates(&self) -> StoreResult<Vec<(String, i64, Moment)>> {
        self.many(include_str!("../../sql/store/gates_all.sql"), [], |row| {
            Ok((row.get(0)?, row.get(1)?, Moment(row.get(2)?)))
        })
    }
}
