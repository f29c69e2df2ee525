//! The doors to the outside. Adapters implement them, stages call them, tests and the demo put models behind them.
//!
//! Every call blocks, is bounded by its adapter's own limits, and ends in a [`PortError`] whose variant is a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{BaseCode, ErpCode, OrderId, Seq, SkuId, SkuRef, WarehouseId};
use crate::domain::movement::{ErpDay, FoundMovement, Movement};
use crate::domain::notice::{Attribute, Notice};
use crate::domain::order::{FeedEvent, OrderDocument};
use crate::domain::stock::{HeldOrder, StockLevels, UNLIMITED};
use crate::domain::time::{BootId, BootTime, Moment};

/// Why an outside call did not do what was asked; each variant is one decision of the caller.
///
/// Reasons are one line, safe to log and to show: no secret, no personal data, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Certainly without effect (a read, an absolute write, or never sent): try again after a backoff.
    #[error("{reason}")]
    Transient {
        /// What happened.
        reason: String,
        /// How long the other side asked to wait.
        retry_after: Option<Duration>,
    },
    /// A write was sent and its answer says nothing certain: read back before acting again.
    #[error("outcome unknown: {reason}")]
    Uncertain {
        /// What happened.
        reason: String,
    },
    /// The other side refused, or its answer is unusable for this item: go on with the others.
    #[error("{reason}")]
    Rejected {
        /// What happened, with the other side's own words.
        reason: String,
    },
    /// Access was denied: stop the stage at once.
    #[error("access denied: {reason}")]
    Denied {
        /// What happened.
        reason: String,
    },
}

impl PortError {
    /// Builds a [`PortError::Transient`] without a waiting time.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::Transient {
            reason: reason.into(),
            retry_after: None,
        }
    }

    /// Builds a [`PortError::Uncertain`].
    pub fn uncertain(reason: impl Into<String>) -> Self {
        Self::Uncertain {
            reason: reason.into(),
        }
    }

    /// Builds a [`PortError::Rejected`].
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected {
            reason: reason.into(),
        }
    }

    /// Tells whether the storefront discarded a stock write because of a lock of some seconds.
    pub fn is_lock(&self) -> bool {
        matches!(self, Self::Transient { reason, .. } if reason.contains(LOCKED))
    }

    /// Builds a [`PortError::Denied`].
    pub fn denied(reason: impl Into<String>) -> Self {
        Self::Denied {
            reason: reason.into(),
        }
    }
}

/// The words in the reason of a stock write that the storefront discarded because of a lock.
pub const LOCKED: &str = "locked at the storefront";

/// What a port call returns.
pub type PortResult<T> = Result<T, PortError>;

/// Permission to send one claimed write: expires a short gap after the claim was committed.
///
/// The adapter asks it at the last instant before the first byte, after any wait for a lock or a log-in.
#[derive(Clone, Copy)]
pub struct Permit<'a> {
    /// The clock of the process that made the claim.
    pub clock: &'a dyn Clock,
    /// Until when the call may begin.
    pub send_by: BootTime,
}

impl Permit<'_> {
    /// Fails with [`PortError::Transient`] ("certainly not sent") once the gap has passed.
    pub fn check(&self) -> PortResult<()> {
        if self.clock.boot() > self.send_by {
            return Err(PortError::transient(
                "the claim was too old to be sent; nothing was sent",
            ));
        }
        Ok(())
    }
}

/// The storefront's feed of order events, as configured there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedConfig {
    /// Whether it is what this program would install (filter type and statuses).
    pub as_wanted: bool,
    /// What differs, for a person; empty when nothing does.
    pub difference: String,
    /// Events waiting, where the storefront tells.
    pub depth: Option<u64>,
    /// Age of the oldest event in seconds, where the storefront tells.
    pub oldest_s: Option<u64>,
    /// How long events are kept, in seconds.
    pub retention_s: u64,
}

/// The storefront's hook, as configured there: it posts each event of an order to our address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookConfig {
    /// The address it posts to.
    pub url: String,
    /// Whether it is what this program would install.
    pub as_wanted: bool,
    /// What differs, for a person; empty when nothing does.
    pub difference: String,
}

/// By which date a window of the order list is cut, or which orders it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListFilter {
    /// Orders placed from the first to the second instant.
    Created(Moment, Moment),
    /// Orders whose payment was authorised from the first to the second instant.
    Authorized(Moment, Moment),
    /// All orders that wait for handling, whatever their dates.
    Ready,
}

/// One page of the order list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// The order ids as listed, with their creation instants where readable; may be anything.
    pub orders: Vec<(String, Option<Moment>)>,
    /// How many orders match the filter in all.
    pub total: u64,
}

/// What the storefront holds for one SKU in one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStock {
    /// The warehouse.
    pub warehouse: WarehouseId,
    /// The last quantity sent.
    pub total: i64,
    /// Units it subtracts for reservations; can be negative by a known fault of the storefront.
    pub reserved: i64,
    /// True when the SKU is sold without limit there.
    pub unlimited: bool,
}

impl StoreStock {
    /// Returns the number that stands there: the last quantity sent, or [`UNLIMITED`].
    pub fn number(&self) -> i64 {
        if self.unlimited {
            UNLIMITED
        } else {
            self.total
        }
    }
}

/// A reservation as the storefront shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReservationState {
    /// It subtracts units (authorised or confirmed) and was not acknowledged.
    Held,
    /// Acknowledged: the next stock update clears it.
    Acknowledged,
    /// Expired or canceled: it subtracts nothing.
    Gone,
}

/// What the catalogue says about one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuInfo {
    /// The shop's reference; `None` when the SKU has none.
    pub reference: Option<SkuRef>,
    /// Whether it is a kit, whose stock is that of its components.
    pub kit: bool,
    /// Whether one unit in an order is one unit of stock (unit multiplier 1).
    pub unit_is_one: bool,
    /// What a person calls it.
    pub name: Option<String>,
}

/// The web store.
pub trait Storefront: Sync {
    /// Reads the feed's configuration; `None` when there is none.
    fn feed_config(&self) -> PortResult<Option<FeedConfig>>;
    /// Creates or repairs the feed's configuration.
    fn install_feed(&self) -> PortResult<()>;
    /// Reads the hook's configuration; `None` when there is none.
    fn hook_config(&self) -> PortResult<Option<HookConfig>>;
    /// Creates or replaces the hook's configuration; the storefront first tries whether our address answers.
    fn install_hook(&self) -> PortResult<()>;
    /// Removes the hook's configuration; without one nothing happens.
    fn remove_hook(&self) -> PortResult<()>;
    /// Reads the next events, at most ten; `None` when the feed has no configuration.
    fn read_feed(&self) -> PortResult<Option<Vec<FeedEvent>>>;
    /// Takes the events with these handles off the feed.
    fn commit_feed(&self, handles: &[String]) -> PortResult<()>;
    /// Reads one page (from 1) of the order list, oldest first, 100 orders a page.
    fn list_orders(&self, filter: ListFilter, page: u32) -> PortResult<ListPage>;
    /// Reads one order; `None` when there is no such order, [`PortError::Rejected`] when its document is unusable.
    fn order(&self, id: &OrderId) -> PortResult<Option<OrderDocument>>;
    /// Tells the storefront that handling has begun. A conflict is [`PortError::Uncertain`].
    fn start_handling(&self, id: &OrderId, permit: &Permit<'_>) -> PortResult<()>;
    /// Reads one reservation of an order; `None` when there is no such reservation.
    fn reservation(&self, id: &str) -> PortResult<Option<ReservationState>>;
    /// Reads what the storefront holds for a SKU in every warehouse.
    fn stock(&self, sku: &SkuId) -> PortResult<Vec<StoreStock>>;
    /// Sets the quantity of a SKU in a warehouse, [`UNLIMITED`] to sell without limit; `as_of` is the instant of the stock reading behind it, `None` asks
    /// the storefront to take the time of the request. A lock at the storefront is [`PortError::Transient`].
    fn set_quantity(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
        permit: &Permit<'_>,
    ) -> PortResult<()>;
    /// Finds SKU ids by reference; what is not in the answer is unknown.
    fn resolve_refs(&self, refs: &[SkuRef]) -> PortResult<BTreeMap<SkuRef, SkuId>>;
    /// Reads one SKU of the catalogue; `None` when there is no such SKU.
    fn sku(&self, id: &SkuId) -> PortResult<Option<SkuInfo>>;
    /// Reads a kit's components and how many of each make one kit; empty when they cannot be learned.
    fn kit_parts(&self, id: &SkuId) -> PortResult<Vec<(SkuId, u32)>>;
    /// Reads one page (from 1) of all SKU ids; an empty page ends the list.
    fn sku_ids(&self, page: u32) -> PortResult<Vec<SkuId>>;
    /// Lists the warehouses: id, whether it is active.
    fn warehouses(&self) -> PortResult<Vec<(WarehouseId, bool)>>;
    /// Returns how far the storefront's clock is ahead of ours, in milliseconds, from its last answer; `None` before the
    /// first.
    fn clock_ahead_ms(&self) -> Option<i64>;
}

/// An ERP as a source of stock.
pub trait StockSource: Sync {
    /// Returns the ERP's canonical code for a SKU's reference, or says why the reference cannot be one.
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String>;
    /// Returns what tells a variant from the others of its article, for people who look for it on a shelf.
    fn attributes(&self, code: &ErpCode) -> Vec<Attribute> {
        let _ = code;
        Vec::new()
    }
    /// Splits codes into groups that one call of [`StockSource::read`] reads at the least cost (an article's variants).
    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>>;
    /// Reads the stock of these variants in the bases that count. The virtual depot is read before the shops.
    fn read(&self, codes: &[ErpCode]) -> PortResult<StockLevels>;
    /// Reads the stock of every variant in the bases that count. `progress` is told how many rows were read so far.
    fn read_all(&self, progress: &dyn Fn(u64)) -> PortResult<StockLevels>;
    /// Reads the stock of every variant as [`StockSource::read_all`] does, for a caller who looks at these only: what else is
    /// read need not be kept, and may be in the answer or not.
    fn read_wanted(
        &self,
        wanted: &BTreeSet<ErpCode>,
        progress: &dyn Fn(u64),
    ) -> PortResult<StockLevels> {
        let _ = wanted;
        self.read_all(progress)
    }
    /// Tells whose stock may have changed since a watermark of this source's own; `None` when it cannot tell. Without a
    /// watermark it names no code and says where to go on from.
    fn changed_since(&self, watermark: Option<i64>) -> PortResult<Option<Changes>> {
        let _ = watermark;
        Ok(None)
    }
}

/// What changed at a source of stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The variants whose stock may have changed.
    pub codes: Vec<ErpCode>,
    /// The next watermark: milliseconds of the source's own clock, whatever its zone, with its overlap taken off.
    pub watermark: i64,
}

/// An ERP into which somebody else brings the storefront's orders, and which reserves stock for them.
pub trait OrderBook: Sync {
    /// Returns what the ERP holds of these orders; one that it does not hold, or holds as canceled, is not in the answer.
    fn held(&self, orders: &[OrderId]) -> PortResult<BTreeMap<OrderId, HeldOrder>>;
}

/// The result of a search among the ERP's movements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listing {
    /// Every row that fits was seen; may be none.
    Complete(Vec<FoundMovement>),
    /// The listing could not be proved complete, with the reason: nothing follows from it.
    Inconclusive(String),
}

/// What is searched for among the movements of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Search {
    /// A text within note or reference.
    Text(String),
    /// Everything that stands on one day.
    Day(ErpDay),
}

/// An ERP that books movements.
pub trait MovementSink: Sync {
    /// Checks a movement against the ERP's field rules without a call; the reason names field, value and limit.
    fn check(&self, movement: &Movement) -> Result<(), String>;
    /// Books a movement. Never repeated inside; [`PortError::Transient`] means certainly not sent.
    ///
    /// The answer is returned as it came: the caller compares it with what was asked.
    fn book(&self, movement: &Movement, permit: &Permit<'_>) -> PortResult<FoundMovement>;
    /// Searches the movements of a base.
    fn find(&self, base: &BaseCode, search: &Search) -> PortResult<Listing>;
    /// Returns the ERP's days on which a movement sent at about this instant can stand: two around its midnight.
    fn days(&self, sent: Moment) -> Vec<ErpDay>;
}

/// A way to reach people.
pub trait Notifier: Sync {
    /// Sends one notice; [`PortError::Transient`] means certainly not delivered.
    fn send(&self, notice: &Notice) -> PortResult<()>;
}

/// How a read-only probe of an outside system ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// As it should be.
    Ok,
    /// Works, but a person should know.
    Warn,
    /// Does not work.
    Fail,
    /// Not asked, since something before it failed or it is not configured.
    Skipped,
}

/// One answer of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at (`vtex.feed`, `erp.motive`).
    pub name: String,
    /// How it ended.
    pub outcome: CheckOutcome,
    /// What was seen, one line.
    pub detail: String,
    /// What to do, where something should be done.
    pub hint: Option<String>,
}

impl Check {
    /// Builds an answer without a hint.
    pub fn new(name: &str, outcome: CheckOutcome, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            outcome,
            detail: detail.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The read-only probes an adapter offers to `doctor`.
pub trait Checks {
    /// Runs every probe; each answers by itself, none stops the others.
    fn checks(&self) -> Vec<Check>;
}

/// The clocks.
pub trait Clock: Sync {
    /// Returns wall time.
    fn now(&self) -> Moment;
    /// Returns the time since boot, sleep included.
    fn boot(&self) -> BootTime;
    /// Returns the id of this boot.
    fn boot_id(&self) -> BootId;
    /// Waits.
    fn sleep(&self, duration: Duration);
}

/// Chance, for jitter.
pub trait Rng: Sync {
    /// Returns a uniform number from 0 to `max`, both included.
    fn uniform(&self, max: u64) -> u64;
}

/// How one call to a host ended, for the host's budget and breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// An answer came, whatever it said.
    Answered,
    /// No answer, or a server fault.
    Failed,
    /// The host asked to wait.
    Throttled(Duration),
    /// Access was denied.
    Denied,
}

/// The memory, across processes, of how a host wants to be treated: waiting times and breakers.
pub trait Gate: Sync {
    /// Asks before each call; [`PortError::Transient`] when the host must be left alone for now.
    fn admit(&self, host: &str) -> PortResult<()>;
    /// Tells how a call ended.
    fn report(&self, host: &str, outcome: CallOutcome);
}

/// The mark beside the memory: how far it had come before anything was written outside.
pub trait HighWater: Sync {
    /// Makes the event counter durable outside the memory. Asked after a claim and before its call.
    ///
    /// # Errors
    ///
    /// A sentence for a person when the mark cannot be written; then nothing may be sent.
    fn raise(&self, seq: Seq) -> Result<(), String>;
}

/// A lock that is held until this value is dropped.
pub trait Held {}

/// Locks between processes of one machine, freed by the kernel when a process dies.
pub trait Locks: Sync {
    /// Takes a lock by name, waiting at most so long; `Ok(None)` when another process still holds it.
    ///
    /// # Errors
    ///
    /// A sentence for a person when the lock cannot be made (a directory in its place, no permission).
    fn hold(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Held>>, String>;
}
