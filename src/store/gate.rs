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
    /// The most requests to one host within a minute, by all processes together.
    pub requests_a_minute: i64,
}

/// How many requests a process takes from the budget at once: one commit for all of them. What it does not use is lost to
/// the minute, never spent twice.
const LEASE: i64 = 20;
const MINUTE_MS: i64 = 60_000;

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
    /// Requests taken from the budget and not made yet, with their minute.
    leases: Mutex<BTreeMap<String, (i64, i64)>>,
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
            leases: Mutex::default(),
        })
    }

    /// Takes one request from the host's budget of this minute.
    fn take(&self, host: &str) -> PortResult<()> {
        let now = self.clock.now().0;
        let minute = now.div_euclid(MINUTE_MS);
        let mut leases = self
            .leases
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((leased_in, left)) = leases.get_mut(host)
            && *leased_in == minute
            && *left > 0
        {
            *left -= 1;
            return Ok(());
        }
        let leased = self.lease(host, minute).unwrap_or_else(|err| {
            // Counting must not stop the work: the host's own limit still holds.
            log::warn!(host = host; "some requests to {host} are not counted: {err}");
            LEASE
        });
        if leased == 0 {
            let rest = MINUTE_MS - now.rem_euclid(MINUTE_MS);
            return Err(PortError::Transient {
                reason: format!(
                    "{host} was asked {} times within this minute; hint: protocol.requests_a_minute",
                    self.settings.requests_a_minute
                ),
                retry_after: Some(Duration::from_millis(rest.unsigned_abs())),
            });
        }
        leases.insert(host.to_owned(), (minute, leased - 1));
        Ok(())
    }

    /// Takes some requests from the budget, for this process alone; none when it is used up.
    fn lease(&self, host: &str, minute: i64) -> StoreResult<i64> {
        let store = self
            .store
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        store.write(|tx| {
            let params = named_params! { ":host": host, ":minute": minute };
            let sql = include_str!("../../sql/store/gate_taken.sql");
            let taken = tx.many(sql, params, |row| row.get::<_, i64>(0))?;
            let taken = taken.first().copied().unwrap_or(0);
            let lease = self
                .settings
                .requests_a_minute
                .saturating_sub(taken)
                .clamp(0, LEASE);
            if lease > 0 {
                tx.run(
                    include_str!("../../sql/store/gate_take.sql"),
                    named_params! { ":host": host, ":minute": minute, ":taken": taken + lease },
                )?;
            }
            Ok(lease)
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
            return self.take(host);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::time::{BootId, BootTime};
    use crate::store::Identity;

    /// A clock that stands where it is put.
    struct Still(AtomicI64);

    impl Clock for Still {
        fn now(&self) -> Moment {
            Moment(self.0.load(Ordering::SeqCst))
        }
        fn boot(&self) -> BootTime {
            BootTime(0)
        }
        fn boot_id(&self) -> BootId {
            BootId(String::new())
        }
        fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn a_minutes_budget_is_shared_by_all_processes_and_ends_with_the_minute() {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            path: folder.path().join("state.sqlite"),
            wal: true,
            identity: Identity {
                account: "tienda".into(),
                erp: "dragonfish WOO".into(),
            },
            instance_id: "i".into(),
            machine: None,
            now: Moment(1),
        };
        let clock = Still(AtomicI64::new(90_000));
        let settings = GateSettings {
            breaker_failures: 5,
            breaker_open: Duration::from_secs(60),
            longest_wait: Duration::from_secs(3600),
            requests_a_minute: 50,
        };
        let open = || StoreGate::open(&options, &clock, settings).unwrap();
        let (first, second) = (open(), open());
        let made =
            |gate: &StoreGate<'_>| (0..100).take_while(|_| gate.admit("store").is_ok()).count();
        assert!(second.admit("store").is_ok());
        assert_eq!(made(&first) + 1 + made(&second), 50);
        let Err(PortError::Transient { retry_after, .. }) = open().admit("store") else {
            panic!("a new process begins with a new budget");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(30)));
        assert!(first.admit("erp").is_ok(), "each host has its own");
        clock.0.store(120_000, Ordering::SeqCst);
        assert_eq!(made(&first), 50);
    }
}
