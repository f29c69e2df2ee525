//! What all simulated processes share: true time, the peers, chance, the baton, and the log of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use stockbridge::domain::ids::{BaseCode, OrderId, SkuId, WarehouseId};
use stockbridge::domain::time::Moment;
use stockbridge::sandbox::dragonfish::model::{Draft, DragonfishModel};
use stockbridge::sandbox::vtex::model::VtexModel;
use stockbridge::store::instance::Mark;

use super::judge::Truth;

/// Chances, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// A process dies at a point.
    pub death: u64,
    /// A movement call goes wrong.
    pub book: u64,
    /// A read goes wrong.
    pub read: u64,
    /// A stock write or a start of handling goes wrong.
    pub write: u64,
    /// A notice goes wrong.
    pub mail: u64,
    /// A listing lacks a page.
    pub partial: u64,
    /// Of a movement's faults: it takes effect later than it may (breaks an assumption; must be detected).
    pub too_late: u64,
    /// Two processes run at once.
    pub overlap: bool,
    /// Locks hold nobody back.
    pub lock_broken: bool,
    /// The wall clock jumps.
    pub jumps: bool,
    /// The machine restarts.
    pub reboots: bool,
    /// Backups are put back.
    pub restores: bool,
    /// People are called after minutes, not after a day.
    pub impatient: bool,
    /// People start the handling of orders more often than we do.
    pub hands: bool,
    /// A run follows the one before within seconds: writes that were given up land beside newer ones.
    pub hasty: bool,
    /// How often of 2,000 points a process is stopped for minutes.
    pub stops: u32,
    /// A movement is looked for before it is sent.
    pub search_first: bool,
}

/// A write that takes effect after its call was given up.
#[derive(Debug, Clone)]
pub enum Late {
    /// A movement.
    Book(BaseCode, Draft),
    /// A start of handling.
    Handle(OrderId),
    /// A stock write.
    Set(SkuId, WarehouseId, i64, Moment),
}

/// A notice that arrived.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its key.
    pub key: String,
    /// Its kind.
    pub kind: &'static str,
    /// The order it is about.
    pub order: Option<OrderId>,
    /// Whether it says that it may be a second one.
    pub marked: bool,
}

/// Everything outside the processes.
pub struct World {
    /// True time, in milliseconds; the peers' clock.
    pub t: i64,
    /// Which boot this is.
    pub boot: u32,
    /// When it began.
    pub boot_at: i64,
    /// How far the wall clock is ahead of true time.
    pub skew: i64,
    /// The web store.
    pub vtex: VtexModel,
    /// The ERP.
    pub erp: DragonfishModel,
    /// Chance.
    pub rng: fastrand::Rng,
    /// How often what goes wrong.
    pub rates: Rates,
    /// Whether anything goes wrong now.
    pub faults_on: bool,
    /// Writes under way without a caller.
    pub late: Vec<(i64, Late)>,
    /// From when a movement is listed, by number.
    pub listed_from: BTreeMap<i64, i64>,
    /// Until when the ERP's listings show nothing at all.
    pub blind_until: i64,
    /// Who holds which lock.
    pub locks: BTreeMap<String, usize>,
    /// The mark beside the state file.
    pub mark: Option<Mark>,
    /// What people received.
    pub mails: Vec<Mail>,
    /// How often each row of the transition table was taken.
    pub fired: BTreeMap<String, u64>,
    /// How often a statement was replaced by a mutant's.
    pub replaced: u64,
    /// Deaths so far.
    pub deaths: u64,
    /// Faults so far.
    pub faults: u64,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// What happened, when it is to be shown.
    pub trace: Option<Vec<String>>,
    /// Which process may go on.
    pub turn: usize,
    /// Processes that run.
    pub alive: BTreeSet<usize>,
    /// Processes that are stopped while others go on, and until when.
    pub asleep: BTreeMap<usize, i64>,
    /// All processes die at their next point.
    pub rebooting: bool,
    /// Stock writes and starts of handling under way.
    pub writing: BTreeMap<usize, &'static str>,
    /// The instants at which each SKU's truth changed, for judging a push.
    pub truths: BTreeMap<SkuId, Vec<Truth>>,
    /// What people did that a push cannot know before the order is read.
    pub unknowable: Vec<Unknowable>,
    /// Orders that no durable row knows yet.
    pub undurable: BTreeSet<OrderId>,
    /// The orders that each process has read, the last one last.
    pub read_by: BTreeMap<usize, Vec<OrderId>>,
    /// Faults at given steps instead of faults by chance.
    pub script: Option<Script>,
    hash: DefaultHasher,
    limit: u64,
    points: u64,
}

/// An act on an order that only a reading of it can show: a number whose own reading began before is not judged.
pub struct Unknowable {
    /// The order.
    pub order: OrderId,
    /// The SKUs of its lines.
    pub skus: Vec<SkuId>,
    /// When what a process read of it became durable.
    pub known_at: Option<i64>,
}

/// Where a fault can be: each has its own faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Between two calls or commits.
    Point,
    /// At a read.
    Read,
    /// At a write, or at a notice.
    Write,
}

/// A fault of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies there.
    Die,
    /// The process dies while the write is under way, which is applied or not.
    DieDuring(bool),
    /// The read is answered with an error; `true`: access is denied.
    Fail(bool),
    /// The write meets this fate.
    Meets(Fate),
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is applied and answered.
    Good,
    /// It was certainly not sent.
    NotSent,
    /// The request is lost.
    Lost,
    /// It is applied and the answer is lost.
    ReplyLost,
    /// It is applied after the caller has given up.
    Late,
    /// An error of the server.
    Broken {
        /// Applied all the same.
        applied: bool,
    },
    /// Refused for good.
    Refused,
    /// Access denied.
    Denied,
}

impl Step {
    /// All that can go wrong there.
    pub fn faults(self) -> Vec<Fault> {
        let fates = [
            Fate::NotSent,
            Fate::Lost,
            Fate::ReplyLost,
            Fate::Late,
            Fate::Broken { applied: true },
            Fate::Broken { applied: false },
            Fate::Refused,
            Fate::Denied,
        ];
        match self {
            Self::Point => vec![Fault::Die],
            Self::Read => vec![Fault::Fail(false), Fault::Fail(true)],
            Self::Write => [Fault::DieDuring(true), Fault::DieDuring(false)]
                .into_iter()
                .chain(fates.map(Fault::Meets))
                .collect(),
        }
    }
}

/// Faults by the number of the step at which they strike.
#[derive(Debug, Default)]
pub struct Script {
    /// Each with its step.
    pub faults: Vec<(usize, Fault)>,
    /// The steps taken so far.
    pub steps: Vec<Step>,
}

/// A process died: unwinds to its top.
pub struct Death;

/// The world behind its lock, and the baton.
pub struct Sim {
    world: Mutex<World>,
    turn: Condvar,
}

/// A process that stands so long, in milliseconds, lets the others go on.
const STOPPED: i64 = 1_000;

/// From one run of cron to the next.
const CRON: i64 = 60_000;

/// Points in one history, against one that never ends.
const MOST_POINTS: u64 = 400_000;

impl World {
    /// A person does to an order what only a reading of it can show.
    pub fn act_unseen(&mut self, order: &OrderId) {
        for read in self.read_by.values_mut() {
            read.retain(|id| id != order);
        }
        self.act(order, None);
    }

    /// A person does to an order what every number shows that is read from now on, since a known order is read again
    /// before. Of one that no durable row knows, or that an old state has forgotten, nobody can know.
    pub fn act_seen(&mut self, order: &OrderId) {
        self.act_known(order, self.t);
    }

    /// The same, of what the date that goes out with a number makes harmless for one that is under way.
    pub fn act_dated(&mut self, order: &OrderId) {
        self.act_known(order, i64::MIN);
    }

    fn act_known(&mut self, order: &OrderId, at: i64) {
        if self.undurable.contains(order) {
            self.act_unseen(order);
        } else {
            self.act(order, Some(at));
        }
    }

    fn act(&mut self, order: &OrderId, known_at: Option<i64>) {
        let lines = self.vtex.orders[order].lines.iter();
        self.unknowable.push(Unknowable {
            order: order.clone(),
            skus: lines.map(|line| line.sku.clone()).collect(),
            known_at,
        });
    }

    /// What a process has read is durable now.
    pub fn committed(&mut self, pid: usize) {
        let t = self.t;
        let Some(read) = self.read_by.get(&pid) else {
            return;
        };
        for act in &mut self.unknowable {
            if act.known_at.is_none() && read.contains(&act.order) {
                act.known_at = Some(t);
            }
        }
    }

    /// What became durable from an instant on is lost, and all but some orders.
    pub fn forgotten(&mut self, since: i64, kept: &BTreeSet<OrderId>) {
        self.undurable = self.vtex.orders.keys().cloned().collect();
        self.undurable.retain(|id| !kept.contains(id));
        for act in &mut self.unknowable {
            let lost = self.undurable.contains(&act.order);
            act.known_at = act.known_at.filter(|at| *at < since && !lost);
        }
    }

    /// Whether a number read as of `from` could not know what a person has done to the SKU's orders.
    pub fn unjudged(&self, sku: &SkuId, from: i64) -> bool {
        let open = |act: &Unknowable| act.known_at.is_none_or(|at| at >= from);
        self.unknowable
            .iter()
            .any(|act| act.skus.contains(sku) && open(act))
    }

    /// Begins a world.
    pub fn new(
        seed: u64,
        vtex: VtexModel,
        erp: DragonfishModel,
        rates: Rates,
        trace: bool,
    ) -> Self {
        Self {
            t: 1_790_000_000_000,
            boot: 1,
            boot_at: 1_789_999_000_000,
            skew: 0,
            vtex,
            erp,
            rng: fastrand::Rng::with_seed(seed),
            rates,
            faults_on: true,
            late: vec![],
            listed_from: BTreeMap::new(),
            blind_until: 0,
            locks: BTreeMap::new(),
            mark: None,
            mails: vec![],
            fired: BTreeMap::new(),
            replaced: 0,
            deaths: 0,
            faults: 0,
            violations: vec![],
            trace: trace.then(Vec::new),
            turn: 0,
            alive: BTreeSet::new(),
            asleep: BTreeMap::new(),
            rebooting: false,
            writing: BTreeMap::new(),
            truths: BTreeMap::new(),
            unknowable: vec![],
            undurable: BTreeSet::new(),
            read_by: BTreeMap::new(),
            script: None,
            hash: DefaultHasher::new(),
            limit: MOST_POINTS,
            points: 0,
        }
    }

    /// Draws with a chance in thousandths, never without faults.
    pub fn chance(&mut self, thousandths: u64) -> bool {
        self.rng.u64(0..1000) < thousandths
    }

    /// Takes a step of the script, where there is one: the fault that strikes here.
    pub fn step(&mut self, step: Step) -> Option<Fault> {
        let script = self.script.as_mut()?;
        let at = script.steps.len();
        script.steps.push(step);
        let fault = script.faults.iter().find(|(n, _)| *n == at)?.1;
        self.note(&format!("step {at}: {fault:?}"));
        Some(fault)
    }

    /// True time as the peers tell it.
    pub fn now(&self) -> Moment {
        Moment(self.t)
    }

    /// Writes down what happened.
    pub fn note(&mut self, what: &str) {
        (self.t, what).hash(&mut self.hash);
        let line = format!("{:>9} {what}", self.t - 1_790_000_000_000);
        if let Some(trace) = &mut self.trace {
            trace.push(line);
        }
    }

    /// The hash of all that happened.
    pub fn trace_hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Gives the turn to another process, one that is awake or wakes up first; `false` when it stays with this one.
    fn hand_over(&mut self, pid: usize) -> bool {
        let wakes = |p: &usize| self.asleep.get(p).copied().unwrap_or(i64::MIN);
        let awake = |p: &usize| wakes(p) <= self.t;
        let others: Vec<_> = self.alive.iter().copied().filter(|p| *p != pid).collect();
        let ready: Vec<_> = others.iter().copied().filter(awake).collect();
        if !ready.is_empty() {
            self.turn = ready[self.rng.usize(0..ready.len())];
            return true;
        }
        if awake(&pid) {
            return false;
        }
        let first = self.alive.iter().copied().min_by_key(wakes);
        self.turn = first.unwrap_or(pid);
        self.turn != pid
    }

    /// Goes on with a process that was stopped, once its time has come.
    fn wake(&mut self, pid: usize) {
        if let Some(until) = self.asleep.remove(&pid) {
            self.advance((until - self.t).max(0));
            self.note(&format!("p{pid} goes on"));
        }
    }

    /// Lets time pass, and late writes take effect.
    pub fn advance(&mut self, ms: i64) {
        self.t += ms;
        loop {
            let due = self
                .late
                .iter()
                .enumerate()
                .filter(|(_, (at, _))| *at <= self.t);
            let Some((i, _)) = due.min_by_key(|(i, (at, _))| (*at, *i)) else {
                break;
            };
            let (at, late) = self.late.remove(i);
            self.note(&format!("late write of {at} takes effect: {late:?}"));
            match late {
                Late::Book(base, draft) => {
                    let movement = self.enter(&base, draft);
                    // By then the listing shows it: a lag on top would break an assumption.
                    self.listed_from.insert(movement.number, at);
                }
                Late::Handle(id) => {
                    let now = self.now();
                    let _ = self.vtex.start_handling(&id, now);
                }
                Late::Set(sku, warehouse, quantity, as_of) => {
                    self.vtex.set_quantity(&sku, &warehouse, quantity, as_of);
                }
            }
        }
        let now = self.now();
        self.vtex.tick(now);
    }

    /// Enters a movement in the ERP; the same key twice is the one thing that must never happen.
    pub fn enter(
        &mut self,
        base: &BaseCode,
        draft: Draft,
    ) -> stockbridge::sandbox::dragonfish::model::Movement {
        let key = draft.reference.clone();
        let twice = self
            .erp
            .movements
            .iter()
            .any(|m| !m.annulled && m.reference == key);
        if twice && key.starts_with("V1") {
            self.violate(&format!("I1: {key} is booked twice"));
        }
        let now = self.now();
        let movement = self.erp.enter(base, draft, now);
        let lag = if self.faults_on && self.chance(100) {
            self.rng.i64(0..120_000)
        } else {
            0
        };
        self.listed_from.insert(movement.number, self.t + lag);
        movement
    }

    /// Records what must not have happened.
    pub fn violate(&mut self, what: &str) {
        self.note(&format!("VIOLATION {what}"));
        if self.violations.len() < 10 {
            self.violations.push(what.to_owned());
        }
    }
}

impl Sim {
    /// Puts a world behind its lock.
    pub fn new(world: World) -> Self {
        Self {
            world: Mutex::new(world),
            turn: Condvar::new(),
        }
    }

    /// Looks at the world, or changes it.
    pub fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the history and hands out the world.
    pub fn into_world(self) -> World {
        self.world
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A point at which the process may die, pause, or hand over.
    pub fn point(&self, pid: usize, what: &str) {
        let mut world = self.lock();
        world.points += 1;
        world.note(&format!("p{pid} {what}"));
        let pause = match world.rng.u32(0..2000) {
            n if n < world.rates.stops => world.rng.i64(10_000..700_000),
            n if n < world.rates.stops + 9 => world.rng.i64(1_000..12_000),
            _ => world.rng.i64(1..60),
        };
        let pause = if world.faults_on {
            pause
        } else {
            pause.min(60)
        };
        if pause >= STOPPED && world.alive.len() > 1 {
            let until = world.t + pause;
            world.asleep.insert(pid, until);
        } else {
            world.advance(pause);
        }
        super::history::nature(&mut world);
        if pid != 0 && world.step(Step::Point) == Some(Fault::Die) {
            self.die(world, pid, what);
        }
        let death = world.rates.death;
        if world.points > world.limit {
            world.violate("I17: the history does not end");
            world.limit = u64::MAX;
            world.rebooting = true;
        }
        if world.rebooting || (world.faults_on && world.chance(death)) {
            self.die(world, pid, what);
        }
        let hand_over =
            world.asleep.contains_key(&pid) || (world.alive.len() > 1 && world.rng.bool());
        if hand_over && world.hand_over(pid) {
            self.turn.notify_all();
            while world.turn != pid {
                world = self
                    .turn
                    .wait(world)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        world.wake(pid);
        if world.rebooting {
            self.die(world, pid, what);
        }
    }

    /// A point within a transaction: the process may die, nobody else goes on.
    pub fn inner_point(&self, pid: usize, what: &str) {
        let mut world = self.lock();
        if pid != 0 && world.step(Step::Point) == Some(Fault::Die) {
            self.die(world, pid, what);
        }
        let death = world.rates.death;
        if pid != 0 && world.faults_on && world.chance(death) {
            self.die(world, pid, what);
        }
    }

    /// Ends the process here, with the baton in hand until it has unwound.
    pub fn die(&self, mut world: MutexGuard<'_, World>, pid: usize, what: &str) -> ! {
        world.deaths += 1;
        world.note(&format!("p{pid} dies at {what}"));
        drop(world);
        std::panic::resume_unwind(Box::new(Death));
    }

    /// Waits for the baton at the beginning of a process.
    pub fn begin(&self, pid: usize) {
        let mut world = self.lock();
        while world.turn != pid {
            world = self
                .turn
                .wait(world)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands the baton on at the end of a process, and frees its locks.
    ///
    /// While all others are stopped, cron starts the next process: `true`, the baton stays, and a minute has gone by.
    pub fn end(&self, pid: usize) -> bool {
        let mut world = self.lock();
        world.asleep.remove(&pid);
        world.writing.remove(&pid);
        world.locks.retain(|_, holder| *holder != pid);
        let next = world.t + CRON;
        let stopped = |p: &usize| world.asleep.get(p).is_some_and(|until| *until > next);
        let mut others = world.alive.iter().filter(|p| **p != pid).peekable();
        if !world.rebooting && others.peek().is_some() && others.all(stopped) {
            world.read_by.remove(&pid);
            world.advance(CRON);
            world.note(&format!("cron goes on as p{pid}"));
            return true;
        }
        world.alive.remove(&pid);
        if let Some(next) = world.alive.first().copied() {
            world.turn = next;
        }
        self.turn.notify_all();
        false
    }
}
