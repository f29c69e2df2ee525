//! One simulated process: opens the state, runs stages, may die at any point.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use stockbridge::domain::effect::EffectKind;
use stockbridge::domain::ids::OrderId;
use stockbridge::domain::ports::{Clock, MovementSink, StockSource, Storefront};
use stockbridge::domain::time::Moment;
use stockbridge::stages::context::{Ask, Context};
use stockbridge::stages::runner::{Ending, Stage, run_stage};
use stockbridge::stages::settings::Settings;
use stockbridge::store::instance::{Here, Mark};
use stockbridge::store::watch::Watch;
use stockbridge::store::{Identity, OpenOptions, Store};

use super::mutants::Mutant;
use super::peers::{Peers, SimLocks};
use super::shelf;
use super::world::{Death, Sim};

/// What every process of a history shares.
pub struct Setup {
    /// The world.
    pub sim: Arc<Sim>,
    /// What the configuration says.
    pub settings: Settings,
    /// What is broken on purpose.
    pub mutant: Mutant,
    /// The name of the state database, which a restore changes.
    pub database: Mutex<String>,
    /// Stores of ended processes: preparing their statements anew takes longer than all that a process does.
    pub stores: Mutex<Vec<Opened>>,
    /// Whether the stores are of a state that was emptied, and is nobody's yet.
    pub emptied: AtomicBool,
}

/// A store, whose points count for the process that has it.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Another connection, for looking up what is durable.
    pub lookup: Mutex<Connection>,
    process: Arc<Mutex<Process>>,
}

/// Who has a store. A store may outlive its world.
#[derive(Clone)]
struct Process {
    sim: Weak<Sim>,
    pid: usize,
}

/// Opens a connection to a shared database in memory.
pub fn connect(name: &str) -> Connection {
    let uri = format!("file:/{name}?vfs=memdb");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(uri, flags).unwrap();
    // A busy database is another process at its commit, which is over when the baton comes.
    conn.busy_timeout(Duration::from_millis(200)).unwrap();
    conn.set_prepared_statement_cache_capacity(64);
    conn
}

/// Those of some orders that the state knows.
pub fn known_of(state: &Connection, orders: BTreeSet<OrderId>) -> BTreeSet<OrderId> {
    let sql = "SELECT count(*) FROM orders WHERE order_id = ?1";
    let known = |id: &OrderId| {
        let count = state
            .prepare_cached(sql)
            .and_then(|mut s| s.query_row([id.as_str()], |row| row.get(0)));
        count.unwrap_or(0_i64) > 0
    };
    orders.into_iter().filter(known).collect()
}

struct Points {
    process: Arc<Mutex<Process>>,
    lookup: Mutex<Connection>,
    mutant: Mutant,
}

impl Points {
    fn process(&self) -> (Arc<Sim>, usize) {
        let process = self.process.lock().unwrap();
        (process.sim.upgrade().unwrap(), process.pid)
    }
}

impl Watch for Points {
    fn before_commit(&self) {
        let (sim, pid) = self.process();
        sim.inner_point(pid, "before a commit");
    }

    fn after_commit(&self) {
        let (sim, pid) = self.process();
        let open = sim.with(|world| {
            world.committed(pid);
            world.undurable.clone()
        });
        if !open.is_empty() {
            let known = known_of(&self.lookup.lock().unwrap(), open);
            sim.with(|world| world.undurable.retain(|id| !known.contains(id)));
        }
        sim.point(pid, "after a commit");
    }

    fn fired(&self, row: &str, kind: EffectKind) {
        let (sim, pid) = self.process();
        sim.with(|world| {
            let row = match (row, kind) {
                ("T15", EffectKind::Handling) => "T15 (handling)",
                (row, _) => row,
            };
            world.note(&format!("p{pid} {row}"));
            *world.fired.entry(row.to_owned()).or_insert(0) += 1;
        });
    }

    fn statement(&self, sql: &str) -> Option<String> {
        let replaced = self.mutant.statement(sql);
        if replaced.is_some() {
            self.process().0.with(|world| world.replaced += 1);
        }
        replaced
    }
}

/// Opens the state as a process does.
pub fn open(setup: &Setup, pid: usize) -> Opened {
    let name = setup.database.lock().unwrap().clone();
    let options = OpenOptions {
        path: name.clone().into(),
        wal: false,
        identity: Identity {
            account: setup.settings.account.clone(),
            erp: "dragonfish WOO".into(),
        },
        instance_id: "simulated".into(),
        machine: None,
        now: setup.sim.with(|world| Moment(world.t + world.skew)),
    };
    let process = Process {
        sim: Arc::downgrade(&setup.sim),
        pid,
    };
    if let Some(mut opened) = setup.stores.lock().unwrap().pop() {
        if setup.emptied.swap(false, Ordering::SeqCst) {
            opened.store.claim_emptied(&options).unwrap();
        }
        *opened.process.lock().unwrap() = process;
        return opened;
    }
    let process = Arc::new(Mutex::new(process));
    let watch = Points {
        process: Arc::clone(&process),
        lookup: Mutex::new(connect(&name)),
        mutant: setup.mutant,
    };
    let mut conn = connect(&name);
    shelf::furnish(&mut conn);
    Opened {
        store: Store::watched_over(conn, &options, Box::new(watch)).unwrap(),
        lookup: Mutex::new(connect(&name)),
        process,
    }
}

/// Takes back the store of a process that has ended; what it had begun was rolled back when it unwound.
pub fn close(setup: &Setup, opened: Opened) {
    setup.stores.lock().unwrap().push(opened);
}

/// Runs some stages as one process, and all of them as long as cron goes on in its place; the endings of those that ended,
/// `None` when the last one died.
pub fn run(setup: &Setup, pid: usize, stages: &[Stage], ask: &Ask) -> Option<Vec<(Stage, Ending)>> {
    setup.sim.begin(pid);
    let mut ended = run_once(setup, pid, stages, ask);
    while setup.sim.end(pid) {
        ended = run_once(setup, pid, &Stage::ALL, ask);
    }
    ended
}

fn run_once(
    setup: &Setup,
    pid: usize,
    stages: &[Stage],
    ask: &Ask,
) -> Option<Vec<(Stage, Ending)>> {
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| open(setup, pid))).ok()?;
    let ended =
        std::panic::catch_unwind(AssertUnwindSafe(|| work(setup, pid, &opened, stages, ask)));
    close(setup, opened);
    match ended {
        Ok(ended) => Some(ended),
        Err(payload) if payload.is::<Death>() => None,
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let what = format!("a panic: {}", text.unwrap_or_default());
            setup.sim.with(|world| world.violate(&what));
            None
        }
    }
}

fn work(
    setup: &Setup,
    pid: usize,
    opened: &Opened,
    stages: &[Stage],
    ask: &Ask,
) -> Vec<(Stage, Ending)> {
    let sim = &setup.sim;
    let mark = sim.with(|world| world.mark.clone());
    let store = &opened.store;
    if let Some(sql) = setup.mutant.at_start() {
        let conn = connect(&setup.database.lock().unwrap().clone());
        // A busy database is tried by the next process.
        let _ = conn.execute_batch(sql);
    }
    let protocol = &setup.settings.protocol;
    let lookup = &opened.lookup;
    let durable = |order: &str| {
        let sql = "SELECT (SELECT count(*) FROM orders WHERE order_id = ?1) + (SELECT count(*) FROM rejects WHERE subject = ?1)";
        let lookup = lookup.lock().unwrap();
        let known = lookup
            .prepare_cached(sql)
            .and_then(|mut s| s.query_row([order], |row| row.get(0)));
        known.unwrap_or(1_i64) > 0
    };
    let state_of = |key: &str| {
        let lookup = lookup.lock().unwrap();
        let state = lookup
            .prepare_cached("SELECT state FROM attempts WHERE key = ?1")
            .and_then(|mut s| s.query_row([key], |row| row.get(0)));
        state.ok()
    };
    let peers = Peers {
        sim,
        pid,
        limits: (
            protocol.movement_limit,
            protocol.movement_settle.max(300_000),
            protocol.stock_limit,
            protocol.stock_settle.max(60_000),
        ),
        counted: setup.settings.warehouses[0].counted.clone(),
        durable: &durable,
        state_of: &state_of,
        ahead: Mutex::new(None),
        mark: Mutex::new(None),
    };
    let here = Here {
        machine: None,
        now: peers.now(),
        boot: peers.boot(),
        boot_id: peers.boot_id(),
        hold_ms: protocol.longest_write(),
    };
    if !setup.mutant.forgets_restores() {
        store.recognise(mark.as_ref(), &here).unwrap();
    }
    let instance = store.instance().unwrap();
    *peers.mark.lock().unwrap() = Some(Mark {
        instance: instance.id,
        generation: instance.generation,
        seq: 0,
    });
    let locks = SimLocks {
        sim: Arc::clone(sim),
        pid,
    };
    let wrapped = setup.mutant.wrap(&peers);
    let (storefront, stock, movements): (&dyn Storefront, &dyn StockSource, &dyn MovementSink) =
        (&wrapped, &wrapped, &wrapped);
    let stop = AtomicBool::new(false);
    let ctx = Context {
        order_book: None,
        store,
        storefront,
        stock,
        movements,
        notifier: &peers,
        clock: &wrapped,
        rng: &peers,
        locks: &locks,
        water: &peers,
        settings: &setup.settings,
        ask,
        now: peers.now(),
        deadline: peers.boot().plus_ms(50_000),
        stop: &stop,
        progress: &|_, _| {},
    };
    stages
        .iter()
        .map(|stage| {
            let outcome = run_stage(&ctx, *stage, "run", &|_| 0);
            sim.with(|world| {
                world.note(&format!(
                    "p{pid} {} ends {:?}",
                    stage.as_str(),
                    outcome.ending
                ));
                if world.trace.is_some() {
                    for line in &outcome.report.lines {
                        world.note(&format!("p{pid}   {line}"));
                    }
                }
                if outcome.ending == Ending::Broken {
                    let message = outcome.message.clone().unwrap_or_default();
                    world.violate(&format!("{} broke: {message}", stage.as_str()));
                }
            });
            (*stage, outcome.ending)
        })
        .collect()
}
