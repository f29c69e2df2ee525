//! What `serve` answers about available stock: from WinThor's database page by page, or from a whole reading of whatever
//! ERP is configured, which is kept for a while.
//!
//! Nothing is read before somebody asks. A whole reading has a thread of its own, and there is one at a time: a thousand
//! questions a minute are one reading a minute, nobody waits for it who can be answered from the last one, and an ERP that
//! fails is left alone for a moment whoever asks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::adapters::host::HostClock;
use crate::app::Failure;
use crate::app::world::{Doors, Machine, Memory};
use crate::config::load::Loaded;
use crate::domain::available::{
    AvailablePage, AvailableQuery, AvailableStock, LocalTime, product_part,
};
use crate::domain::ports::{Clock, PortError, PortResult};
use crate::domain::snapshot::Snapshot;
use crate::domain::stock::VariantLevels;
use crate::domain::time::BootTime;

/// The longest time for one reading.
const LONGEST: Duration = Duration::from_secs(600);
/// How long an ERP is left alone after a reading that failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Pages that are kept.
const MOST_PAGES: usize = 64;

/// How old what is told may be.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// A question makes a new reading when the last one is older.
    pub refresh: Duration,
    /// Nothing older is told.
    pub most: Duration,
    /// How long a question waits for a reading under way.
    pub patience: Duration,
}

/// The source behind the door.
pub struct Shelves(Arc<Inside>);

struct Inside {
    loaded: Loaded,
    clock: HostClock,
    ages: Ages,
    /// Milliseconds east of UTC in which changes are told.
    offset_ms: i64,
    kept: Mutex<Kept>,
    /// Told when a reading has ended.
    ended: Condvar,
}

/// What was read, and when.
#[derive(Default)]
struct Kept {
    /// The last whole reading, and when it began.
    snapshot: Option<(BootTime, Arc<Snapshot>)>,
    /// A reading is under way.
    reading: bool,
    /// The last reading failed, and when.
    failure: Option<(Instant, PortError)>,
    pages: Vec<(AvailableQuery, Instant, AvailablePage)>,
}

impl Shelves {
    /// Prepares the source; nothing is read yet.
    pub fn new(loaded: &Loaded, clock: HostClock, ages: Ages, offset_ms: i64) -> Self {
        Self(Arc::new(Inside {
            loaded: loaded.clone(),
            clock,
            ages,
            offset_ms,
            kept: Mutex::default(),
            ended: Condvar::new(),
        }))
    }

    /// Returns the last whole reading. A new one is begun when it is due, and waited for only where no other can be told.
    fn snapshot(&self) -> PortResult<Arc<Snapshot>> {
        let inside = &self.0;
        let until = Instant::now() + inside.ages.patience;
        let mut kept = inside.kept();
        loop {
            let since = |age| inside.since(age);
            let young = |age: Duration| {
                let kept = kept.snapshot.as_ref();
                kept.filter(|(at, _)| *at >= since(age))
                    .map(|(_, snapshot)| Arc::clone(snapshot))
            };
            if let Some(fresh) = young(inside.ages.refresh) {
                return Ok(fresh);
            }
            let usable = young(inside.ages.most);
            let failed = kept.failure.as_ref();
            let failed = failed.filter(|(at, _)| at.elapsed() < PAUSE);
            let failed = failed.map(|(_, err)| err.clone());
            if !kept.reading && failed.is_none() {
                begin(inside)?;
                kept.reading = true;
            }
            match (usable, failed, kept.reading) {
                (Some(usable), ..) => return Ok(usable),
                (None, Some(err), false) => return Err(err),
                (None, ..) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PortError::transient("the stock is still being read"));
            }
            let woken = inside.ended.wait_timeout(kept, left);
            kept = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A page of the database, or the same one of a moment ago.
    fn page_of_tables(&self, query: &AvailableQuery) -> PortResult<AvailablePage> {
        let inside = &self.0;
        let mut query = query.clone();
        if let Some(text) = &query.product {
            let part = product_part(text);
            let wrong = || PortError::rejected(format!("productId: {text:?} is no product"));
            query.product = Some(part.ok_or_else(wrong)?);
        }
        {
            let mut kept = inside.kept();
            let refresh = inside.ages.refresh;
            kept.pages.retain(|(_, at, _)| at.elapsed() < refresh);
            if let Some((_, _, page)) = kept.pages.iter().find(|(known, ..)| *known == query) {
                return Ok(page.clone());
            }
        }
        let began = Instant::now();
        let page = inside.ask(|doors| match doors.erp.available() {
            Some(tables) => tables.page(&query),
            None => Err(PortError::transient("this ERP answers no pages")),
        });
        let page = page.map_err(|err| untold(&err))?;
        let mut kept = inside.kept();
        if kept.pages.len() >= MOST_PAGES {
            kept.pages.remove(0);
        }
        kept.pages.push((query, began, page.clone()));
        Ok(page)
    }
}

impl AvailableStock for Shelves {
    fn page(&self, query: &AvailableQuery) -> PortResult<AvailablePage> {
        let erp = self.0.loaded.config.erp.winthor.as_ref();
        if erp.is_some_and(|erp| erp.stock_source == crate::config::winthor::WinthorRoad::Sql) {
            return self.page_of_tables(query);
        }
        let snapshot = self.snapshot()?;
        snapshot.page(query, self.0.since(self.0.ages.most))
    }
}

impl Inside {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time so long ago.
    fn since(&self, age: Duration) -> BootTime {
        let ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        self.clock.boot().plus_ms(-ms)
    }

    /// Opens the doors, as a command does, and closes them again.
    fn ask<T>(&self, work: impl FnOnce(&Doors<'_>) -> PortResult<T>) -> PortResult<T> {
        let closed = |failure: Failure| PortError::transient(failure.message);
        let machine = Machine::new(&self.loaded).map_err(PortError::transient)?;
        let memory = Memory::open(&self.loaded, &machine, false).map_err(closed)?;
        let doors = Doors::open(&self.loaded, &machine, &memory, LONGEST).map_err(closed)?;
        work(&doors)
    }

    /// Reads the whole stock.
    fn read(&self) -> PortResult<(BootTime, Snapshot)> {
        let before = self.kept().snapshot.clone();
        let before = before.map(|(_, snapshot)| snapshot).unwrap_or_default();
        let began = self.clock.boot();
        let levels = self.ask(|doors| doors.erp.stock().read_all(&|_| {}))?;
        for (base, why) in &levels.missing {
            log::warn!("{base} could not be read for those who ask for stock: {why}");
        }
        let unreadable = |level: &&VariantLevels| matches!(level, VariantLevels::Unreadable(_));
        let n = levels.variants.values().filter(unreadable).count();
        if n > 0 {
            log::warn!("{n} variants could not be read for those who ask for stock");
        }
        // A change is told as of now: whoever has asked meanwhile asks on from an earlier time.
        let now = self.clock.now().plus_ms(self.offset_ms);
        let now = LocalTime::from_ms(now.0).unwrap_or(LocalTime::NONE);
        Ok((began, Snapshot::new(&levels, &before, now, began)))
    }
}

/// What an ERP refuses is no fault of the question.
fn untold(err: &PortError) -> PortError {
    PortError::transient(err.to_string())
}

/// Begins a reading on a thread of its own; when the door closes it ends with the process, since it only reads.
fn begin(inside: &Arc<Inside>) -> PortResult<()> {
    let inside = Arc::clone(inside);
    let thread = std::thread::Builder::new().name("stock".into());
    let begun = thread.spawn(move || Reading::of(inside).run());
    let failed = |err| PortError::transient(format!("no thread to read the stock: {err}"));
    begun.map(|_| ()).map_err(failed)
}

/// A reading under way; however it ends, those who wait are told.
struct Reading {
    inside: Arc<Inside>,
    read: PortResult<(BootTime, Snapshot)>,
}

impl Reading {
    fn of(inside: Arc<Inside>) -> Self {
        let read = Err(PortError::transient("the reading broke"));
        Self { inside, read }
    }

    fn run(mut self) {
        self.read = self.inside.read();
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let read = std::mem::replace(&mut self.read, Err(PortError::transient("told")));
        let mut kept = self.inside.kept();
        kept.reading = false;
        match read {
            Ok((began, snapshot)) => {
                kept.snapshot = Some((began, Arc::new(snapshot)));
                kept.failure = None;
            }
            Err(err) => {
                log::warn!("the stock cannot be read for those who ask: {err}");
                kept.failure = Some((Instant::now(), untold(&err)));
            }
        }
        drop(kept);
        self.inside.ended.notify_all();
    }
}
