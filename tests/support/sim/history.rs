//! One history: a shop's hours with faults, then without, until everything has settled; then the judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use stockbridge::desk::resolve::{Act, Word, resolve, retry};
use stockbridge::domain::effect::{EffectKind, EffectState};
use stockbridge::domain::ids::{OrderId, WarehouseId};
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::NegativeShop;
use stockbridge::domain::time::Moment;
use stockbridge::sandbox::catalogue::{DEPOT, SHOPS, WAREHOUSE, base, products};
use stockbridge::sandbox::dragonfish::model::DragonfishModel;
use stockbridge::sandbox::vtex::model::VtexModel;
use stockbridge::stages::context::Ask;
use stockbridge::stages::runner::{Ending, Stage};
use stockbridge::stages::settings::{Gc, Notices, Poll, Protocol, Push, Settings, Warehouse};

use super::judge;
use super::mutants::Mutant;
use super::process::{Setup, close, connect, known_of, open, run};
use super::shelf::{self, Used};
use super::world::{Rates, Sim, World};

/// How one history ended.
pub struct Outcome {
    /// What must not have happened; empty when the protocol held.
    pub violations: Vec<String>,
    /// Deaths of processes.
    pub deaths: u64,
    /// Faults of calls.
    pub faults: u64,
    /// Orders placed.
    pub orders: usize,
    /// Simulated time, in milliseconds.
    pub simulated: i64,
    /// How often each row of the transition table was taken.
    pub fired: BTreeMap<String, u64>,
    /// How often a statement was replaced by the mutant's.
    pub replaced: u64,
    /// The hash of all that happened.
    pub hash: u64,
    /// How often what went wrong.
    pub rates: Rates,
    /// What happened, where asked for.
    pub trace: Vec<String>,
}

impl Outcome {
    /// Whether a mutant was caught by what it did. One that makes a stage stop with an error has shown nothing: its
    /// statement may be no SQL.
    pub fn caught(&self) -> bool {
        let broke = self.violations.iter().any(|v| v.contains(" broke: "));
        !self.violations.is_empty() && !broke
    }
}

/// The warehouse of the store.
pub fn warehouse() -> WarehouseId {
    WarehouseId::parse(WAREHOUSE).unwrap()
}

/// Cycles without faults in which everything must settle.
const SETTLING: u32 = 60;

pub fn settings() -> Settings {
    let minute = 60_000;
    let hour = 60 * minute;
    Settings {
        account: "tienda".into(),
        cutover: Moment(0),
        warehouses: vec![Warehouse {
            id: warehouse(),
            counted: SHOPS
                .iter()
                .chain(&[DEPOT])
                .map(|code| base(code))
                .collect(),
            movement_base: base(DEPOT),
            remito: true,
            safety: Qty::ZERO,
        }],
        depot: base(DEPOT),
        by_remito: false,
        negative_shop: NegativeShop::Add,
        reverse_on_cancel: true,
        pick_order: vec![],
        safety: BTreeMap::new(),
        start_handling: true,
        handle_without_stock: false,
        searchable: true,
        order_deadline: 4 * 3_600_000,
        workers: 1,
        poll: Poll {
            feed: true,
            list: false,
            manage_feed: true,
            hook: false,
            manage_hook: false,
            sweep_every: 30 * minute,
            sweep_window: 48 * hour,
            ready_sweep_every: 4 * hour,
            reread_every: 20 * minute,
            refs_every: 24 * hour,
            refs_a_run: 400,
            list_last: 30,
            empty_reads: 2,
            unreadable_tries: 20,
            unreadable_after: 24 * hour,
            stuck_after: 24 * hour,
        },
        protocol: Protocol {
            gap: 5_000,
            movement_limit: 120_000,
            movement_settle: 300_000,
            absences_apart: 60_000,
            undecided_after: 24 * hour,
            max_attempts: 5,
            handling_limit: 30_000,
            handling_recheck: 60_000,
            stock_limit: 30_000,
            stock_settle: 60_000,
            backoff_base: 10_000,
            backoff_cap: 120_000,
        },
        push: Push {
            full_every: 20 * minute,
            max_drop_percent: 100,
            max_drop_count: 1000,
            first_times: 1000,
            decrease_when_incomplete: true,
        },
        notices: Notices {
            digest_every: 24 * hour,
            max_resends: 2,
            channels: BTreeMap::new(),
            routes: Vec::new(),
        },
        gc: Gc {
            settled_after: 14 * 24 * hour,
            notices_after: 14 * 24 * hour,
            rejects_after: 14 * 24 * hour,
            records_after: 14 * 24 * hour,
        },
    }
}

/// Draws how often what goes wrong in this history.
fn swarm(rng: &mut fastrand::Rng) -> Rates {
    let overlap = rng.u32(0..100) < 50;
    Rates {
        death: rng.u64(0..60),
        book: rng.u64(0..600),
        read: rng.u64(0..150),
        write: rng.u64(0..400),
        mail: rng.u64(0..300),
        partial: 20,
        too_late: 0,
        overlap,
        lock_broken: overlap && rng.u32(0..100) < 25,
        jumps: rng.u32(0..100) < 30,
        reboots: rng.u32(0..100) < 40,
        restores: rng.u32(0..100) < 25,
        impatient: false,
        hands: false,
        hasty: false,
        stops: 1,
        search_first: true,
    }
}

/// What happens outside without us: sales, payments, cancellations, people.
pub fn nature(world: &mut World) {
    let often = if world.rates.hands { 40 } else { 4 };
    if !world.faults_on || !world.chance(often) {
        return;
    }
    act_outside(world);
    judge::remember_truths(world, &warehouse());
}

fn act_outside(world: &mut World) {
    let now = world.now();
    let ids: Vec<OrderId> = world.vtex.orders.keys().cloned().collect();
    let of_status = |world: &World, wanted: &[&str]| -> Vec<OrderId> {
        let fits = ids
            .iter()
            .filter(|id| wanted.contains(&world.vtex.orders[*id].status));
        fits.cloned().collect()
    };
    let pick = |world: &mut World, wanted: &[&str]| {
        let fits = of_status(world, wanted);
        (!fits.is_empty()).then(|| fits[world.rng.usize(0..fits.len())].clone())
    };
    let act = world.rng.u32(0..100);
    let act = if world.rates.hands && act.is_multiple_of(2) {
        90
    } else {
        act
    };
    match act {
        0..=34 => sell(world),
        35..=49 => {
            let shop = base(SHOPS[world.rng.usize(0..SHOPS.len())]);
            let at = world.rng.usize(0..world.vtex.products.len());
            let variant = world.vtex.products[at].variant.clone();
            world.note("a shop sells");
            world.erp.shop_sale(&shop, &variant, 1);
        }
        50..=59 => {
            if let Some(id) = pick(world, &["payment-pending"]) {
                world.note(&format!("{id} is paid"));
                // Paid after its reservation expired, an order takes goods that nothing holds for it.
                if !world.vtex.orders[&id].holds() {
                    world.act_seen(&id);
                }
                world.vtex.pay(&id, now);
                world.vtex.release(&id, now);
            }
        }
        60..=64 => {
            if let Some(id) = pick(world, &["payment-pending"]) {
                world.note(&format!("{id} expires"));
                world.vtex.expire(&id);
            }
        }
        65..=79 => {
            if let Some(id) = pick(
                world,
                &[
                    "payment-pending",
                    "ready-for-handling",
                    "handling",
                    "start-handling",
                ],
            ) {
                world.note(&format!("{id} is canceled"));
                world.vtex.cancel(&id, now);
            }
        }
        80..=87 => {
            if let Some(id) = pick(world, &["handling"]) {
                let line = world.vtex.orders[&id].lines[0].clone();
                let units = world.rng.u32(1..4);
                world.note(&format!("{id} changes to {units} units"));
                world.act_unseen(&id);
                world.vtex.change(&id, &line.sku, units, now);
            }
        }
        88..=92 => {
            if let Some(id) = pick(world, &["ready-for-handling"]) {
                world.note(&format!("a person starts handling {id}"));
                // A known order is read again before each number that it has a part in, and the date that goes out with
                // the number protects what is acknowledged later, unless the store takes no notice of dates.
                if world.vtex.habits.strict_dates {
                    world.act_dated(&id);
                } else {
                    world.act_unseen(&id);
                }
                let _ = world.vtex.start_handling(&id, now);
            }
        }
        93..=97 => {
            if let Some(id) = pick(world, &["handling"]) {
                world.note(&format!("{id} is invoiced"));
                world.vtex.invoice(&id, now);
            }
        }
        // Its reservation is never acknowledged: the storefront goes on subtracting it.
        _ => {
            if let Some(id) = pick(world, &["ready-for-handling"]) {
                world.note(&format!("{id} is invoiced without handling"));
                world.vtex.invoice(&id, now);
            }
        }
    }
}

fn sell(world: &mut World) {
    if world.vtex.orders.len() >= 12 {
        return;
    }
    let now = world.now();
    let mut lines = BTreeMap::new();
    for _ in 0..world.rng.u32(1..3) {
        let at = world.rng.usize(0..world.vtex.products.len());
        let sku = world.vtex.products[at].sku.clone();
        lines.insert(sku, world.rng.u32(1..3));
    }
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(sku, units)| (sku, warehouse(), units))
        .collect();
    let paid = world.rng.u32(0..100) < 75;
    let id = if paid {
        world.vtex.sell(&lines, now)
    } else {
        world.vtex.place(&lines, now)
    };
    world.note(&format!("{id} is placed: {lines:?}"));
    world.undurable.insert(id);
}

/// A history in the making.
pub struct History {
    setup: Setup,
    rng: fastrand::Rng,
    next_pid: usize,
    keeper: Vec<Connection>,
    backup: Option<(String, i64)>,
    generation: u32,
    name: String,
    last: Vec<Ending>,
}

/// Plays one history.
pub fn play(seed: u64, mutant: Mutant, guards: bool, trace: bool) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5357_4152_4d00);
    let mut rates = swarm(&mut rng);
    let mut more = fastrand::Rng::with_seed(seed ^ 0x494d_5041);
    rates.impatient = more.u32(0..100) < 15;
    rates.hands = more.u32(0..100) < 10;
    rates.hasty = more.u32(0..100) < 10;
    rates.stops = if more.u32(0..100) < 10 { 20 } else { 1 };
    mutant.rates(&mut rates);
    if !guards {
        rates.lock_broken = true;
        rates.overlap = true;
        // What an old copy has lost, the search before the sending alone can find.
        rates.search_first = false;
        rates.restores = false;
    }
    let goods = products(rng.usize(2..5));
    let mut vtex = VtexModel::new(&goods, &[WAREHOUSE]);
    vtex.habits.handling_delay_ms = rng.i64(0..3) * 20_000;
    vtex.habits.strict_dates = rng.bool();
    vtex.habits.lose_every = rng.u64(0..2) * 7;
    let mut settings = settings();
    if rates.impatient {
        settings.protocol.undecided_after = 15 * 60_000;
    }
    mutant.settings(&mut settings);
    let world = World::new(seed, vtex, DragonfishModel::new(&goods), rates, trace);
    let mut history = History::begin(world, settings, mutant, rng);
    history.with(|world| {
        for _ in 0..3 {
            sell(world);
        }
    });
    let cycles = history.rng.u32(10..22);
    for _ in 0..cycles {
        history.disturb();
        history.cycle();
        if history.over() {
            break;
        }
    }
    history.calm();
    history.finish(rates)
}

impl History {
    /// A base in use holds movements of others: they serve as canaries while there is none of ours.
    pub fn begin(world: World, settings: Settings, mutant: Mutant, rng: fastrand::Rng) -> Self {
        // Databases in memory are found by name in the whole process.
        static BEGUN: AtomicU64 = AtomicU64::new(0);
        let name = BEGUN.fetch_add(1, Ordering::Relaxed).to_string();
        // A mutant may change the tables.
        let used = (mutant == Mutant::None).then(shelf::take).flatten();
        let emptied = AtomicBool::new(used.is_some());
        let used = used.unwrap_or_else(|| Used {
            database: format!("state-{name}"),
            stores: vec![],
        });
        let mut history = Self {
            setup: Setup {
                sim: Arc::new(Sim::new(world)),
                settings,
                mutant,
                database: Mutex::new(used.database),
                stores: Mutex::new(used.stores),
                emptied,
            },
            rng,
            next_pid: 1,
            keeper: vec![],
            backup: None,
            generation: 0,
            name,
            last: vec![],
        };
        history.keep();
        history.with(|world| {
            let (shop, variant) = (base(SHOPS[0]), world.vtex.products[0].variant.clone());
            let now = world.now();
            world.erp.make_remito(&shop, &variant, 1, "0-00", now);
            judge::remember_truths(world, &warehouse());
        });
        history
    }

    /// Looks at the world, or changes it.
    pub fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.setup.sim.with(act)
    }

    /// Whether something happened that must not.
    pub fn over(&self) -> bool {
        self.with(|world| !world.violations.is_empty())
    }

    /// A database in memory lives as long as somebody has it open.
    fn keep(&mut self) {
        let name = self.setup.database.lock().unwrap().clone();
        self.keeper.push(connect(&name));
    }

    /// Between two cycles: time, reboots, clock jumps, backups, operators.
    fn disturb(&mut self) {
        let gap = self.rng.i64(30_000..400_000);
        let jump = self.rng.i64(-3_600_000..3_600_000);
        let draws = [
            self.rng.u32(0..100),
            self.rng.u32(0..100),
            self.rng.u32(0..100),
            self.rng.u32(0..100),
        ];
        self.with(|world| {
            let hasty = world.rates.hasty;
            world.advance(if hasty { gap / 20 } else { gap });
            act_outside(world);
            judge::remember_truths(world, &warehouse());
            if world.rates.jumps && draws[0] < 30 {
                world.skew = (world.skew + jump).clamp(-7_200_000, 7_200_000);
                world.note("the wall clock jumps");
            }
            if world.rates.reboots && draws[1] < 15 {
                world.boot += 1;
                world.boot_at = world.t;
                world.note("the machine restarts");
            }
        });
        if self.with(|world| world.rates.restores) {
            if draws[2] < 15 && self.backup.is_none() {
                self.save();
            } else if draws[2] > 85 {
                self.restore();
            }
        }
        if draws[3] < 25 {
            self.operate();
        }
    }

    fn save(&mut self) {
        self.generation += 1;
        let name = format!("backup-{}-{}", self.name, self.generation);
        let held = connect(&name);
        let Some(conn) = self.keeper.last() else {
            return;
        };
        // An empty database has nothing to save.
        if conn
            .execute(&format!("VACUUM INTO 'file:/{name}?vfs=memdb'"), [])
            .is_ok()
        {
            self.keeper.insert(0, held);
            let at = self.with(|world| {
                world.note("the state is backed up");
                world.t
            });
            self.backup = Some((name, at));
        }
    }

    fn restore(&mut self) {
        let Some((backup, at)) = self.backup.clone() else {
            return;
        };
        self.generation += 1;
        let name = format!("state-{}-{}", self.name, self.generation);
        let held = connect(&name);
        let copied = connect(&backup).execute(&format!("VACUUM INTO 'file:/{name}?vfs=memdb'"), []);
        if copied.is_ok() {
            let placed = self.with(|world| world.vtex.orders.keys().cloned().collect());
            let kept = known_of(&held, placed);
            self.keeper.push(held);
            self.setup.stores.lock().unwrap().clear();
            *self.setup.database.lock().unwrap() = name;
            self.with(|world| {
                world.forgotten(at, &kept);
                world.note("an old state is put back");
            });
        }
    }

    /// Runs the stages, as cron does, or two runs at once.
    fn cycle(&mut self) {
        let whole = self.rng.u32(0..100) < 70;
        let stages = |rng: &mut fastrand::Rng| {
            if whole {
                Stage::ALL.to_vec()
            } else {
                vec![Stage::ALL[rng.usize(0..Stage::ALL.len())]]
            }
        };
        let ask = Ask {
            routine: true,
            force: self.rng.u32(0..10) == 0,
            wait: Duration::ZERO,
            ..Ask::default()
        };
        let first = (self.pid(), stages(&mut self.rng));
        let overlap = self.with(|w| w.faults_on && w.rates.overlap) && self.rng.bool();
        self.with(|world| {
            world.turn = first.0;
            world.alive = BTreeSet::from([first.0]);
            world.rebooting = false;
        });
        if !overlap {
            let ended = run(&self.setup, first.0, &first.1, &ask);
            self.last = ended
                .unwrap_or_default()
                .into_iter()
                .map(|(_, e)| e)
                .collect();
            return;
        }
        let second = (self.pid(), stages(&mut self.rng));
        self.with(|world| {
            world.alive.insert(second.0);
        });
        let setup = &self.setup;
        std::thread::scope(|scope| {
            scope.spawn(|| run(setup, first.0, &first.1, &ask));
            scope.spawn(|| run(setup, second.0, &second.1, &ask));
        });
    }

    fn pid(&mut self) -> usize {
        self.next_pid += 1;
        self.next_pid
    }

    /// An operator who looks at the other side before he says anything.
    fn operate(&mut self) {
        let opened = open(&self.setup, 0);
        let store = &opened.store;
        let quiet = self.with(|world| world.late.is_empty() && world.t >= world.blind_until);
        let before = self
            .with(|world| {
                (
                    world.faults_on,
                    std::mem::replace(&mut world.faults_on, false),
                )
            })
            .0;
        let now = self.with(|world| Moment(world.t + world.skew));
        let act = Act {
            who: "operator",
            evidence: "looked",
            now,
            store_time: Moment(self.with(|world| world.t) + 60_000),
        };
        let parked = store.orders_parked(50).unwrap_or_default();
        for order in parked {
            let effects = store.attempts_of(&order.id).unwrap_or_default();
            if quiet && effects.iter().all(|e| !e.state.parks()) {
                let none = self.with(|w| {
                    !w.erp
                        .movements
                        .iter()
                        .any(|m| m.note.contains(order.id.as_str()))
                });
                if none {
                    let _ = resolve(store, &order.id, None, &Word::NotBooked, act);
                }
            }
            let _ = retry(store, &order.id, act);
            for effect in store.attempts_of(&order.id).unwrap_or_default() {
                if effect.state != EffectState::Quarantined || !quiet {
                    continue;
                }
                let there = self.with(|world| {
                    let row = world
                        .erp
                        .movements
                        .iter()
                        .find(|m| m.reference == effect.key);
                    row.map(|m| m.number.to_string())
                });
                let word = match (effect.kind, there) {
                    (EffectKind::Handling, _) => Word::NotBooked,
                    (EffectKind::Movement, Some(number)) => Word::Booked(number),
                    (EffectKind::Movement, None) => Word::NotBooked,
                };
                let _ = resolve(store, &order.id, Some(&effect.operation), &word, act);
            }
        }
        for notice in store.outbox_quarantined(50).unwrap_or_default() {
            let _ = stockbridge::desk::resolve::notice(store, &notice.key, false, act);
        }
        self.with(|world| world.faults_on = before);
        close(&self.setup, opened);
    }

    /// Runs some stages as one process, alone.
    pub fn run_alone(&mut self, stages: &[Stage]) {
        let pid = self.pid();
        self.with(|world| {
            world.turn = pid;
            world.alive = BTreeSet::from([pid]);
        });
        let ask = Ask {
            routine: true,
            ..Ask::default()
        };
        let ended = run(&self.setup, pid, stages, &ask).unwrap_or_default();
        self.last = ended.into_iter().map(|(_, ending)| ending).collect();
    }

    /// Faults end; everything must settle within a number of cycles, plus one.
    pub fn calm(&mut self) {
        self.with(|world| {
            world.faults_on = false;
            world.script = None;
            world.blind_until = 0;
            // Somebody sets the clock right.
            world.skew = 0;
            world.note("no more faults");
        });
        let mut settled = 0;
        for n in 0..SETTLING {
            if self.over() {
                return;
            }
            self.with(|world| world.advance(90_000));
            if n % 5 == 4 {
                self.operate();
            }
            self.run_alone(&Stage::ALL);
            let quiet = self.last.iter().all(|e| *e == Ending::Done) && self.right();
            settled = if quiet { settled + 1 } else { 0 };
            // What was lost on the feed is found by a sweep.
            if settled >= 2 && n >= 3 && self.all_known() {
                return;
            }
        }
    }

    fn right(&self) -> bool {
        let counted = SHOPS
            .iter()
            .chain(&[DEPOT])
            .map(|code| base(code))
            .collect();
        self.with(|world| {
            let rows = stockbridge::sandbox::oracle::numbers_of(
                &world.erp,
                &world.vtex,
                &warehouse(),
                &counted,
            );
            world.late.is_empty()
                && rows.iter().all(stockbridge::sandbox::oracle::Row::right)
                && stockbridge::sandbox::oracle::bookkeeping_of(&world.erp, &world.vtex).is_empty()
        })
    }

    fn all_known(&self) -> bool {
        let opened = open(&self.setup, 0);
        let ids: Vec<_> = self.with(|world| world.vtex.orders.keys().cloned().collect());
        let known = ids
            .iter()
            .all(|id| matches!(opened.store.order(id), Ok(Some(_))));
        close(&self.setup, opened);
        known
    }

    /// Judges the settled world.
    pub fn finish(self, rates: Rates) -> Outcome {
        if !self.over() {
            let opened = open(&self.setup, 0);
            let (state, last) = (opened.lookup.lock().unwrap(), &self.last);
            self.with(|world| judge::settled(world, &state, &warehouse(), last));
            drop(state);
            close(&self.setup, opened);
        }
        if self.setup.mutant == Mutant::None {
            shelf::give(Used {
                database: self.setup.database.into_inner().unwrap(),
                stores: self.setup.stores.into_inner().unwrap(),
            });
        }
        let Ok(sim) = Arc::try_unwrap(self.setup.sim) else {
            unreachable!("every process has ended");
        };
        let world = sim.into_world();
        Outcome {
            hash: world.trace_hash(),
            violations: world.violations,
            deaths: world.deaths,
            faults: world.faults,
            orders: world.vtex.orders.len(),
            simulated: world.t - 1_790_000_000_000,
            fired: world.fired,
            replaced: world.replaced,
            rates,
            trace: world.trace.unwrap_or_default(),
        }
    }
}
