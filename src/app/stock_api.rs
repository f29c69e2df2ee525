//! What `serve` answers about available stock: from WinThor's database page by page, or from a whole reading of whatever
//! ERP is configured, which is kept for a while.
//!
//! Nothing is read before somebody asks, and one at a time: a thousand questions a minute are one reading a minute.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::Failure;
use crate::app::world::{Doors, Machine, Memory};
use crate::config::load::Loaded;
use crate::domain::available::{
    AvailablePage, AvailableQuery, AvailableStock, LocalTime, product_part,
};
use crate::domain::ports::{Clock, PortError, PortResult};
use crate::domain::snapshot::Snapshot;

/// The longest time for one reading.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pages that are kept.
const MOST_PAGES: usize = 64;

/// The source behind the door.
pub struct Shelves {
    loaded: Arc<Loaded>,
    refresh: Duration,
    max_age: Duration,
    /// Milliseconds east of UTC in which changes are told.
    offset_ms: i64,
    kept: Mutex<Kept>,
    /// Held by whoever reads.
    reading: Mutex<()>,
}

/// What was read, and when.
#[derive(Default)]
struct Kept {
    snapshot: Option<(Instant, Arc<Snapshot>)>,
    pages: Vec<(AvailableQuery, Instant, AvailablePage)>,
}

impl Shelves {
    /// Prepares the source; nothing is read yet.
    pub fn new(loaded: &Loaded, refresh: Duration, max_age: Duration, offset_ms: i64) -> Self {
        Self {
            loaded: Arc::new(loaded.clone()),
            refresh,
            max_age,
            offset_ms,
            kept: Mutex::default(),
            reading: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the doors, as a command does, and closes them again.
    fn ask<T>(&self, work: impl FnOnce(&Doors<'_>, &Machine) -> PortResult<T>) -> PortResult<T> {
        let closed = |failure: Failure| PortError::transient(failure.message);
        let machine = Machine::new(&self.loaded).map_err(PortError::transient)?;
        let memory = Memory::open(&self.loaded, &machine, false).map_err(closed)?;
        let doors = Doors::open(&self.loaded, &machine, &memory, PATIENCE).map_err(closed)?;
        work(&doors, &machine)
    }

    fn by_pages(&self) -> bool {
        let winthor = self.loaded.config.erp.winthor.as_ref();
        winthor.is_some_and(|erp| erp.stock_source == crate::config::winthor::WinthorRoad::Sql)
    }

    /// A page of the database, or the same one of a moment ago.
    fn page_of_tables(&self, query: &AvailableQuery) -> PortResult<AvailablePage> {
        let mut query = query.clone();
        if let Some(text) = &query.product {
            let part = product_part(text);
            let wrong = || PortError::rejected(format!("productId: {text:?} is no product"));
            query.product = Some(part.ok_or_else(wrong)?);
        }
        let fresh = |at: &Instant| at.elapsed() < self.refresh;
        {
            let mut kept = self.kept();
            kept.pages.retain(|(_, at, _)| fresh(at));
            if let Some((_, _, page)) = kept.pages.iter().find(|(known, ..)| *known == query) {
                return Ok(page.clone());
            }
        }
        let page = self.ask(|doors, _| match doors.erp.available() {
            Some(tables) => tables.page(&query),
            None => Err(PortError::rejected("this ERP answers no pages")),
        })?;
        let mut kept = self.kept();
        if kept.pages.len() >= MOST_PAGES {
            kept.pages.remove(0);
        }
        kept.pages.push((query, Instant::now(), page.clone()));
        Ok(page)
    }

    /// The last whole reading; a new one when it is due. While one is made, others are answered from the last.
    fn snapshot(&self) -> PortResult<Arc<Snapshot>> {
        let held = || self.kept().snapshot.clone();
        let young = |(at, _): &(Instant, Arc<Snapshot>)| at.elapsed() < self.refresh;
        if let Some((_, snapshot)) = held().filter(young) {
            return Ok(snapshot);
        }
        let usable = |(at, _): &(Instant, Arc<Snapshot>)| at.elapsed() < self.max_age;
        let _alone = match (self.reading.try_lock(), held().filter(usable)) {
            (Ok(alone), _) => alone,
            (Err(_), Some((_, snapshot))) => return Ok(snapshot),
            (Err(_), None) => self.reading.lock().unwrap_or_else(PoisonError::into_inner),
        };
        // Somebody else may have read meanwhile.
        if let Some((_, snapshot)) = held().filter(young) {
            return Ok(snapshot);
        }
        let before = held().map(|(_, snapshot)| snapshot).unwrap_or_default();
        let read = self.ask(|doors, machine| {
            let began = machine.clock.now().plus_ms(self.offset_ms);
            let now = LocalTime::from_ms(began.0).unwrap_or(LocalTime::NONE);
            let levels = doors.erp.stock().read_all(&|_| {})?;
            Ok(Snapshot::new(&levels, &before, now))
        });
        match read {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                self.kept().snapshot = Some((Instant::now(), Arc::clone(&snapshot)));
                Ok(snapshot)
            }
            Err(err) => {
                log::warn!("the stock cannot be read for those who ask: {err}");
                held()
                    .filter(usable)
                    .map(|(_, snapshot)| snapshot)
                    .ok_or(err)
            }
        }
    }
}

impl AvailableStock for Shelves {
    fn page(&self, query: &AvailableQuery) -> PortResult<AvailablePage> {
        if self.by_pages() {
            return self.page_of_tables(query);
        }
        self.snapshot()?.page(query)
    }
}
