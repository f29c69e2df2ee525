//! What a stage may touch: the store, the doors, the clock, and its settings. Built once, by the composition root.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::domain::ids::{OrderId, Seq, SkuId};
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::ports::{
    Clock, Held, HighWater, Locks, MovementSink, Notifier, OrderBook, Permit, Rng, StockSource,
    Storefront,
};
use crate::domain::time::{BootTime, Moment};
use crate::stages::report::{Halt, StageResult};
use crate::stages::settings::Settings;
use crate::store::instance::Instance;
use crate::store::orders::OrderRow;
use crate::store::outbox::Target;
use crate::store::{Due, Store, StoreError, StoreResult, Tx};

/// What a stage may touch.
pub struct Context<'a> {
    /// The memory.
    pub store: &'a Store,
    /// The web store.
    pub storefront: &'a dyn Storefront,
    /// The ERP as a source of stock.
    pub stock: &'a dyn StockSource,
    /// The ERP as the place where movements are booked.
    pub movements: &'a dyn MovementSink,
    /// The ERP as the place where somebody else brings the storefront's orders; then no movement is booked from here.
    pub order_book: Option<&'a dyn OrderBook>,
    /// The way to people.
    pub notifier: &'a dyn Notifier,
    /// The clocks.
    pub clock: &'a dyn Clock,
    /// Chance.
    pub rng: &'a dyn Rng,
    /// Locks between processes.
    pub locks: &'a dyn Locks,
    /// The mark beside the memory.
    pub water: &'a dyn HighWater,
    /// What the configuration says.
    pub settings: &'a Settings,
    /// What this invocation asks for.
    pub ask: &'a Ask,
    /// Wall time, read once per run.
    pub now: Moment,
    /// No item starts after this.
    pub deadline: BootTime,
    /// Set when the process was asked to stop.
    pub stop: &'a AtomicBool,
    /// Told how far long work has come: done, in all.
    pub progress: &'a dyn Fn(u64, u64),
}

/// What one invocation asks for beyond the stage's ordinary work.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Only these orders; all when empty.
    pub orders: Vec<OrderId>,
    /// Backfill from here.
    pub since: Option<Moment>,
    /// Backfill to here.
    pub until: Option<Moment>,
    /// Only these SKUs.
    pub skus: Vec<SkuId>,
    /// Every mapped SKU.
    pub all: bool,
    /// One of the runs that cron starts all the time: what needs no minute's pace is done now and then.
    pub routine: bool,
    /// Skip backoff and brakes. Never moves an unknown or quarantined effect.
    pub force: bool,
    /// At most so many items.
    pub limit: Option<u32>,
    /// How long to wait for a lock.
    pub wait: Duration,
}

/// The mark that holds how far the storefront's clock is ahead.
const CLOCK_AHEAD: &str = "clock_ahead";

/// How much later the storefront's clock may stand than its last `Date` tells.
const DATE_MARGIN_MS: i64 = 2000;

/// The longest time that anything is made to wait, but for a longer backoff in the configuration.
const LONGEST_WAIT_MS: i64 = 3_600_000;

/// How far the storefront's clock and ours may stand apart beyond what is known.
const CLOCKS_APART_MS: i64 = 3 * 3_600_000;

/// Items listed per query; reaching it is a warning, the next run goes on.
pub const BATCH: u32 = 500;

impl Context<'_> {
    /// Tells whether this invocation is about the order.
    pub fn wants(&self, id: &OrderId) -> bool {
        self.ask.orders.is_empty() || self.ask.orders.contains(id)
    }

    /// Returns which items may be tried again; with `--force` every item may be.
    pub fn due(&self) -> Due {
        let longest = self.settings.protocol.backoff_cap.max(LONGEST_WAIT_MS);
        Due {
            by: if self.ask.force {
                Moment(i64::MAX)
            } else {
                self.now
            },
            absurd: self.now.plus_ms(longest),
        }
    }

    /// Returns when an item that failed so often may be tried again.
    pub fn next_try(&self, failures: i64) -> Moment {
        self.now.plus_ms(self.settings.backoff(failures, self.rng))
    }

    /// Returns an instant in the storefront's time that is not before now.
    ///
    /// Its clock is known from the `Date` of its last answer: whole seconds, and older than the answer's way. A fact
    /// dated too early would seem to be covered by a push that it is not covered by.
    pub fn store_time(&self) -> Moment {
        self.clock
            .now()
            .plus_ms(self.clock_ahead_ms() + DATE_MARGIN_MS)
    }

    /// Returns how far the storefront's clock is ahead of ours: by its last answer, or by that of an earlier run.
    pub fn clock_ahead_ms(&self) -> i64 {
        let remembered = || self.store.mark(CLOCK_AHEAD).ok().flatten().unwrap_or(0);
        self.storefront.clock_ahead_ms().unwrap_or_else(remembered)
    }

    /// Remembers how far the storefront's clock is ahead, when it changed by more than an answer's way.
    pub fn keep_clock(&self) -> StoreResult<()> {
        let Some(ahead) = self.storefront.clock_ahead_ms() else {
            return Ok(());
        };
        if self
            .store
            .mark(CLOCK_AHEAD)?
            .is_none_or(|known| ahead.abs_diff(known) > 1000)
        {
            self.store.write(|tx| tx.set_mark(CLOCK_AHEAD, ahead))?;
        }
        Ok(())
    }

    /// Makes what was just claimed durable beside the memory too, before it is sent.
    pub fn mark(&self, seq: Seq) -> StageResult {
        self.water
            .raise(seq)
            .map_err(|err| Halt::Store(StoreError::Io(err)))
    }

    /// Tells whether nothing may be booked yet, since this memory is an old copy and a write of the lost time may still
    /// take effect.
    pub fn held(&self) -> StageResult<bool> {
        let (boot, boot_id) = (self.clock.boot(), self.clock.boot_id());
        Ok(self
            .store
            .held(boot, &boot_id, self.settings.protocol.longest_write())?)
    }

    /// Returns the permission to send one claimed write.
    pub fn permit(&self, send_by: BootTime) -> Permit<'_> {
        Permit {
            clock: self.clock,
            send_by,
        }
    }

    /// Queues a notice within a transaction.
    pub fn notify(
        &self,
        tx: &Tx<'_>,
        kind: NoticeKind,
        subject: &str,
        body: &NoticeBody,
    ) -> StoreResult<()> {
        let mut targets = self.settings.notices.targets(kind, body);
        if matches!(
            kind,
            NoticeKind::RemitoChanged | NoticeKind::RemitoWithdrawn
        ) {
            // A shop that was asked for goods must learn that it is not asked any more, by whichever notice it was asked.
            for row in tx.outbox_about(subject)? {
                let target = Target {
                    channel: row.channel,
                    base: row.base,
                };
                if target.base.is_some() && !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        self.notify_by(tx, kind, subject, body, &targets)
    }

    /// Queues a notice for some channels only.
    pub fn notify_by(
        &self,
        tx: &Tx<'_>,
        kind: NoticeKind,
        subject: &str,
        body: &NoticeBody,
        targets: &[Target],
    ) -> StoreResult<()> {
        let every = self.settings.notices.digest_every;
        let again = self.may_be_told(tx, body)?;
        tx.notify(kind, subject, body, targets, self.now, every, again)
    }

    /// Tells whether a memory that was lost may have told people of this order already.
    fn may_be_told(&self, tx: &Tx<'_>, body: &NoticeBody) -> StoreResult<bool> {
        let instance = tx.instance()?;
        let order = match &body.order {
            Some(id) => tx.order(id)?,
            None => None,
        };
        Ok(order.is_some_and(|order| self.may_be_lost(&instance, &order)))
    }

    /// Tells whether an order may have been handled in a time that this memory has lost.
    pub fn may_be_lost(&self, instance: &Instance, order: &OrderRow) -> bool {
        let Some(restored) = instance.restored_at else {
            return false;
        };
        // The order's instant is the storefront's, the other is ours.
        let until = restored.plus_ms(self.clock_ahead_ms().max(0) + CLOCKS_APART_MS);
        order.created.is_none_or(|created| created < until)
    }

    /// Takes the lock that keeps stock writes and starts of handling apart; waits as long as one write may take.
    pub fn storefront_lock(&self) -> StageResult<Option<Box<dyn Held>>> {
        let longest = self
            .settings
            .protocol
            .stock_limit
            .max(self.settings.protocol.handling_limit);
        self.locks
            .hold("vtex", crate::stages::settings::duration(longest))
            .map_err(Halt::Lock)
    }
}

/// Keeps a stage within its deadline: the first item always starts, later ones only while there is time.
pub struct Pace<'a> {
    ctx: &'a Context<'a>,
    started: RefCell<u32>,
}

impl<'a> Pace<'a> {
    /// Starts counting.
    pub fn new(ctx: &'a Context<'a>) -> Self {
        Self {
            ctx,
            started: RefCell::new(0),
        }
    }

    /// Tells whether one more item may start, and counts it.
    pub fn next(&self) -> bool {
        let mut started = self.started.borrow_mut();
        let in_time = *started == 0 || self.ctx.clock.boot() < self.ctx.deadline;
        let may = in_time
            && !self.ctx.stop.load(Ordering::Relaxed)
            && self.ctx.ask.limit.is_none_or(|n| *started < n);
        if may {
            *started += 1;
        }
        may
    }
}

/// Applies `work` to every item on a bounded pool of threads; the answers stand in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let workers = workers.clamp(1, items.len().max(1));
    if workers == 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((at, item)) = {
                    Some(next.fetch_add(1, Ordering::Relaxed))
                        .and_then(|i| Some((i, items.get(i)?)))
                } {
                    let answer = work(item);
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((at, answer));
                }
            });
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

/// Returns the distinct items in order.
pub fn distinct<T: Ord + Clone>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    items
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_answers_stand_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let doubled = in_parallel(&items, 8, |n| n * 2);
        assert_eq!(doubled, items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert!(in_parallel(&[] as &[u64], 8, |n| *n).is_empty());
    }
}
