//! What the simulator must catch: the protocol with one guard broken, from outside the stages.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use stockbridge::domain::ids::{BaseCode, ErpCode, OrderId, SkuId, SkuRef, WarehouseId};
use stockbridge::domain::movement::{ErpDay, FoundMovement, Movement, MovementKey};
use stockbridge::domain::order::{FeedEvent, OrderDocument};
use stockbridge::domain::ports::{
    Clock, FeedConfig, HookConfig, ListFilter, ListPage, Listing, MovementSink, Permit, PortError,
    PortResult, ReservationState, Search, SkuInfo, StockSource, StoreStock, Storefront,
};
use stockbridge::domain::stock::StockLevels;
use stockbridge::domain::time::{BootId, BootTime, Moment};
use stockbridge::stages::settings::Settings;

use super::peers::Peers;
use super::world::Rates;

macro_rules! mutants {
    ($($name:ident = $text:literal, $what:literal;)*) => {
        /// A broken guard, or none.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $what] $name,)*
        }

        impl Mutant {
            /// All of them, the sound protocol first.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What is broken.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

mutants! {
    None = "none", "the protocol as it is";
    OrphanRescued = "orphan-rescued", "a claim found at start is made available again, as a job queue does";
    NoIntent = "no-intent", "the claim is not written before the call";
    ErrorIsNo = "error-is-no", "an error of the server is taken for not applied";
    Retried = "retried", "the movement call is repeated within the run";
    RefusedIsDone = "refused-is-done", "a refusal is taken for success";
    CommitFirst = "commit-first", "the feed is committed before its orders are durable";
    TooLate = "too-late", "the ERP applies later than it may (breaks an assumption)";
    NoSettle = "no-settle", "an absence is believed without waiting";
    PartialIsAll = "partial-is-all", "a partial listing is taken for a complete one";
    EmptyIsNone = "empty-is-none", "an empty listing is believed without a canary";
    WallClock = "wall-clock", "deadlines are taken from the wall clock";
    NoSendBy = "no-send-by", "a claim is sent however old it is";
    StateOnly = "state-only", "a verdict is compared with the state and not the attempt";
    NoConfirmation = "no-confirmation", "a stock write is not read back and repeated";
    DoneAtOnce = "done-at-once", "a movement counts as booked whatever the reading";
    UnknownIsBooked = "unknown-is-booked", "an unknown movement counts as booked";
    ReturnLate = "return-late", "a reversal counts only when it is confirmed, and nothing caps what stays in B";
    DateOfPush = "date-of-push", "the instant sent with a number is that of the push";
    IncompleteIsAll = "incomplete-is-all", "a base that cannot be read counts as zero stock elsewhere complete";
    JoinsLate = "joins-late", "an order joins A when its handling is confirmed, not when it is requested";
    KeyForgotten = "key-forgotten", "gc forgets keys of settled orders at once";
    NoHold = "no-hold", "a restored memory books without waiting for lost writes";
    NoMark = "no-mark", "a restored memory is not recognised";
    InflightCleared = "inflight-cleared", "an unconfirmed stock write is forgotten by the next";
    RandomKey = "random-key", "every attempt of a movement bears a new key";
    OrdersBefore = "orders-before", "open orders are read before the reading of the ERP begins, not after";
    ReadOnce = "read-once", "an order is read once a run, whatever is told of it later";
    Blind = "blind", "the ERP cannot be searched at all";
    OrphanAtOnce = "orphan-at-once", "a claim is taken for orphaned while its owner may be alive";
    PlannedForgotten = "planned-forgotten", "a return that is only planned does not keep its units in the sum";
    InvoicedIsAcknowledged = "invoiced-is-acknowledged", "an invoiced order counts in A, whether its handling was ever requested or not";
    LinesForgotten = "lines-forgotten", "a canceled order is left out of the sums although its goods are booked";
    BoundBefore = "bound-before", "a number is raised to what the store was seen to reserve before the push";
}

impl Mutant {
    /// Finds a mutant by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|mutant| mutant.name() == name)
    }

    /// Why nobody may notice that the guard is broken, where another one covers for it.
    pub fn covered(self) -> Option<&'static str> {
        match self {
            Self::InflightCleared => {
                Some("an old write that lands late is found when the numbers are read back")
            }
            Self::Blind => Some("the first booking is made once, and every doubt goes to a person"),
            Self::OrphanAtOnce => Some(
                "the owner's word is compared with the state, and an absence is not believed before its call is dead",
            ),
            Self::PlannedForgotten | Self::LinesForgotten => Some(
                "it errs towards fewer, until the return is booked and the number pushed again",
            ),
            _ => None,
        }
    }

    /// Whether old copies of the memory are not recognised.
    pub fn forgets_restores(self) -> bool {
        self == Self::NoMark
    }

    /// Changes the settings.
    pub fn settings(self, settings: &mut Settings) {
        let protocol = &mut settings.protocol;
        match self {
            Self::NoSettle => protocol.movement_settle = 0,
            Self::Blind => settings.searchable = false,
            Self::NoSendBy => protocol.gap = 3_600_000,
            Self::KeyForgotten => settings.gc.settled_after = 0,
            _ => {}
        }
    }

    /// Changes how often what goes wrong.
    pub fn rates(self, rates: &mut Rates) {
        match self {
            Self::TooLate => rates.too_late = 500,
            Self::PartialIsAll => rates.partial = 800,
            Self::OrdersBefore => rates.hands = true,
            Self::NoSendBy | Self::StateOnly => rates.stops = 20,
            Self::NoHold => rates.restores = true,
            Self::NoConfirmation | Self::InflightCleared => {
                rates.hasty = true;
                rates.write = 400;
            }
            _ => {}
        }
    }

    /// Whether it works by another statement: one that never replaces any breaks nothing.
    pub fn replaces(self) -> bool {
        matches!(
            self,
            Self::NoIntent
                | Self::NoSendBy
                | Self::StateOnly
                | Self::NoConfirmation
                | Self::DoneAtOnce
                | Self::UnknownIsBooked
                | Self::ReturnLate
                | Self::JoinsLate
                | Self::NoHold
                | Self::InflightCleared
                | Self::PlannedForgotten
                | Self::InvoicedIsAcknowledged
                | Self::LinesForgotten
        )
    }

    /// What is done to the state when a process begins.
    pub fn at_start(self) -> Option<&'static str> {
        match self {
            Self::OrphanRescued => Some(
                "UPDATE attempts SET state = 'PLANNED' WHERE state = 'SENDING' AND kind = 'movement'",
            ),
            Self::OrphanAtOnce => Some(
                "UPDATE attempts SET state = 'UNKNOWN' WHERE state = 'SENDING' AND kind = 'movement'",
            ),
            Self::KeyForgotten => Some(
                "DROP TRIGGER IF EXISTS attempts_kept;
                 DELETE FROM attempts WHERE order_id NOT IN (SELECT order_id FROM orders)",
            ),
            _ => None,
        }
    }

    /// Replaces a statement.
    pub fn statement(self, sql: &str) -> Option<String> {
        let swap = |from: &str, to: &str| sql.contains(from).then(|| sql.replace(from, to));
        match self {
            Self::NoIntent if sql.contains("state = 'SENDING', attempt = attempt + 1") => {
                // The row stays as it was; the caller believes that it was claimed.
                Some(
                    "UPDATE attempts SET send_by = :send_by, deadline = :deadline, boot_id = :boot_id, changed_at = :now
                     WHERE id = :id AND state = 'PLANNED' AND attempt = :attempt"
                        .into(),
                )
            }
            // The others go on believing that it is sent in time.
            Self::NoSendBy => swap(
                "send_by = :send_by, deadline = :deadline",
                "send_by = :send_by, deadline = :deadline - 3595000",
            )
            .or_else(|| {
                swap(
                    "inflight_until = :inflight_until",
                    "inflight_until = :inflight_until - 3595000",
                )
            }),
            Self::StateOnly => swap(
                "WHERE id = :id AND state = :from_state AND attempt = :attempt",
                "WHERE id = :id AND state = :from_state AND :attempt >= 0",
            ),
            Self::NoConfirmation => swap(
                "inflight_until = :inflight_until,\n    uncertain_until = :uncertain_until",
                "inflight_until = 0 * :inflight_until,\n    uncertain_until = 0 * :uncertain_until",
            ),
            Self::DoneAtOnce => swap(
                "ELSE a.done_seq END < :start_seq",
                "ELSE a.done_seq END < :start_seq + 1000000",
            ),
            Self::UnknownIsBooked => swap(
                "a.operation GLOB 'S*' AND a.state = 'DONE'",
                "a.operation GLOB 'S*' AND a.state IN ('DONE', 'UNKNOWN', 'SENDING')",
            )
            .map(|sql| {
                sql.replace(
                    "ELSE a.done_seq END < :start_seq",
                    "ELSE coalesce(a.done_seq, 0) END < :start_seq",
                )
            }),
            Self::ReturnLate => swap(
                "a.state IN ('SENDING', 'UNKNOWN', 'QUARANTINED', 'DONE')",
                "a.state = 'DONE'",
            )
            .map(|sql| sql.replace(", 0) AS in_planned", ", 0) + 1000 AS in_planned")),
            Self::JoinsLate => swap(
                "o.acknowledged_at IS NOT NULL AND o.canceled_at IS NULL AS acknowledged",
                "o.handling_seen_at IS NOT NULL AND o.canceled_at IS NULL AS acknowledged",
            ),
            Self::InvoicedIsAcknowledged => swap(
                "o.acknowledged_at IS NOT NULL AND o.canceled_at IS NULL AS acknowledged",
                "(o.acknowledged_at IS NOT NULL OR o.invoiced_at IS NOT NULL) AND o.canceled_at IS NULL AS acknowledged",
            ),
            Self::NoHold => swap(
                "hold_until = :hold_until, hold_boot = :hold_boot,\n    known_until",
                "hold_until = 0 * :hold_until, hold_boot = :hold_boot,\n    known_until",
            ),
            Self::PlannedForgotten => swap("0) AS in_planned", "0) * 0 AS in_planned"),
            Self::InflightCleared => swap(
                "\n    uncertain_until = :uncertain_until, boot_id",
                "\n    uncertain_until = 0 * :uncertain_until, boot_id",
            ),
            Self::LinesForgotten => swap(
                "l.warehouse = :warehouse AND l.live = 1\nORDER BY",
                "l.warehouse = :warehouse AND l.live = 1 AND o.canceled_at IS NULL\nORDER BY",
            ),
            _ => None,
        }
    }

    /// Puts the mutant before the ports.
    pub fn wrap<'a>(self, peers: &'a Peers<'a>) -> Wrapped<'a> {
        Wrapped {
            mutant: self,
            peers,
            read: Mutex::default(),
            held: Mutex::default(),
            shelves: Mutex::default(),
        }
    }
}

/// The ports with a mutant before them.
pub struct Wrapped<'a> {
    mutant: Mutant,
    peers: &'a Peers<'a>,
    read: Mutex<BTreeMap<OrderId, OrderDocument>>,
    held: Mutex<BTreeMap<String, ReservationState>>,
    shelves: Mutex<BTreeMap<(SkuId, WarehouseId), Bounded>>,
}

/// What is known of a number that a lower bound, taken before its push, may raise.
#[derive(Default)]
struct Bounded {
    reserved: i64,
    /// The number that was meant, and the one that was sent in its place.
    raised: Option<(i64, i64)>,
}

impl Wrapped<'_> {
    /// A part of a listing: the canaries are on it, the movement that is looked for is not.
    fn canaries(&self, base: &BaseCode, search: &Search) -> Vec<FoundMovement> {
        let listed = self.peers.sim.with(|w| self.peers.listed(w, base, search));
        let ours = |row: &FoundMovement| (self.peers.state_of)(&row.reference);
        let canary = |row: &FoundMovement| ours(row).is_none_or(|state| state == "DONE");
        listed.into_iter().filter(canary).collect()
    }
}

impl Storefront for Wrapped<'_> {
    fn feed_config(&self) -> PortResult<Option<FeedConfig>> {
        self.peers.feed_config()
    }
    fn install_feed(&self) -> PortResult<()> {
        self.peers.install_feed()
    }
    fn hook_config(&self) -> PortResult<Option<HookConfig>> {
        self.peers.hook_config()
    }
    fn install_hook(&self) -> PortResult<()> {
        self.peers.install_hook()
    }
    fn remove_hook(&self) -> PortResult<()> {
        self.peers.remove_hook()
    }
    fn read_feed(&self) -> PortResult<Option<Vec<FeedEvent>>> {
        let events = self.peers.read_feed();
        if let (Mutant::CommitFirst, Ok(Some(events))) = (self.mutant, &events) {
            let handles: Vec<_> = events.iter().filter_map(|e| e.handle.clone()).collect();
            if !handles.is_empty() {
                self.peers.commit_feed(&handles)?;
            }
        }
        events
    }
    fn commit_feed(&self, handles: &[String]) -> PortResult<()> {
        if self.mutant == Mutant::CommitFirst {
            return Ok(());
        }
        self.peers.commit_feed(handles)
    }
    fn list_orders(&self, filter: ListFilter, page: u32) -> PortResult<ListPage> {
        self.peers.list_orders(filter, page)
    }
    fn order(&self, id: &OrderId) -> PortResult<Option<OrderDocument>> {
        let mut read = self.read.lock().unwrap();
        if let (Mutant::OrdersBefore | Mutant::ReadOnce, Some(document)) =
            (self.mutant, read.get(id))
        {
            return Ok(Some(document.clone()));
        }
        let document = self.peers.order(id)?;
        if let Some(document) = &document {
            read.insert(id.clone(), document.clone());
        }
        Ok(document)
    }
    fn start_handling(&self, id: &OrderId, permit: &Permit<'_>) -> PortResult<()> {
        self.peers.start_handling(id, permit)
    }
    fn reservation(&self, id: &str) -> PortResult<Option<ReservationState>> {
        let mut held = self.held.lock().unwrap();
        if let (Mutant::OrdersBefore, Some(state)) = (self.mutant, held.get(id)) {
            return Ok(Some(*state));
        }
        let state = self.peers.reservation(id)?;
        held.extend(state.map(|state| (id.to_owned(), state)));
        Ok(state)
    }
    fn stock(&self, sku: &SkuId) -> PortResult<Vec<StoreStock>> {
        let mut rows = self.peers.stock(sku)?;
        let mut shelves = self.shelves.lock().unwrap();
        for row in &mut rows {
            let key = (sku.clone(), row.warehouse.clone());
            let known = shelves.entry(key).or_default();
            known.reserved = row.reserved;
            if let Some((meant, sent)) = known.raised
                && row.total == sent
            {
                row.total = meant;
            }
        }
        Ok(rows)
    }
    fn set_quantity(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
        permit: &Permit<'_>,
    ) -> PortResult<()> {
        let as_of = match self.mutant {
            Mutant::DateOfPush => self.peers.sim.with(|world| world.now()),
            _ => as_of,
        };
        let mut sent = quantity;
        if self.mutant == Mutant::BoundBefore {
            let mut shelves = self.shelves.lock().unwrap();
            let known = shelves.entry((sku.clone(), warehouse.clone())).or_default();
            sent = sent.max(known.reserved);
            known.raised = Some((quantity, sent));
        }
        self.peers.set_quantity(sku, warehouse, sent, as_of, permit)
    }
    fn resolve_refs(&self, refs: &[SkuRef]) -> PortResult<BTreeMap<SkuRef, SkuId>> {
        self.peers.resolve_refs(refs)
    }
    fn sku(&self, id: &SkuId) -> PortResult<Option<SkuInfo>> {
        self.peers.sku(id)
    }
    fn kit_parts(&self, id: &SkuId) -> PortResult<Vec<(SkuId, u32)>> {
        self.peers.kit_parts(id)
    }
    fn sku_ids(&self, page: u32) -> PortResult<Vec<SkuId>> {
        self.peers.sku_ids(page)
    }
    fn warehouses(&self) -> PortResult<Vec<(WarehouseId, bool)>> {
        self.peers.warehouses()
    }
    fn clock_ahead_ms(&self) -> Option<i64> {
        self.peers.clock_ahead_ms()
    }
}

impl StockSource for Wrapped<'_> {
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String> {
        self.peers.code(reference)
    }
    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
        self.peers.groups(codes)
    }
    fn read(&self, codes: &[ErpCode]) -> PortResult<StockLevels> {
        let mut levels = StockSource::read(self.peers, codes)?;
        if self.mutant == Mutant::IncompleteIsAll {
            let bases: Vec<_> = std::mem::take(&mut levels.missing).into_keys().collect();
            for known in levels.variants.values_mut() {
                if let stockbridge::domain::stock::VariantLevels::Known(known) = known {
                    for base in &bases {
                        known.insert(base.clone(), stockbridge::domain::qty::Qty::ZERO);
                    }
                }
            }
        }
        Ok(levels)
    }
    fn read_all(&self, progress: &dyn Fn(u64)) -> PortResult<StockLevels> {
        self.peers.read_all(progress)
    }
}

impl MovementSink for Wrapped<'_> {
    fn check(&self, movement: &Movement) -> Result<(), String> {
        self.peers.check(movement)
    }
    fn book(&self, movement: &Movement, permit: &Permit<'_>) -> PortResult<FoundMovement> {
        if self.mutant == Mutant::RandomKey {
            let random = self.peers.sim.with(|world| world.rng.u64(..));
            let other = Movement {
                key: MovementKey::from_store(format!("V1{random:013X}")),
                ..movement.clone()
            };
            let mut found = self.peers.book(&other, permit)?;
            found.reference = movement.key.to_string();
            found.note = movement.marker();
            return Ok(found);
        }
        let answer = self.peers.book(movement, permit);
        match (self.mutant, answer) {
            (Mutant::ErrorIsNo, Err(PortError::Uncertain { reason })) => {
                Err(PortError::transient(reason))
            }
            (Mutant::Retried, Err(PortError::Uncertain { .. })) => {
                self.peers.book(movement, permit)
            }
            (Mutant::RefusedIsDone, Err(PortError::Rejected { .. })) => {
                let lines = movement.lines.iter();
                Ok(FoundMovement {
                    id: "refused".into(),
                    number: Some("1".into()),
                    direction: Some(movement.operation.direction),
                    base: None,
                    note: movement.marker(),
                    reference: movement.key.to_string(),
                    lines: Some(
                        lines
                            .map(|(c, n)| {
                                (
                                    c.clone(),
                                    stockbridge::domain::qty::Qty::whole(i64::from(*n)),
                                )
                            })
                            .collect(),
                    ),
                    day: None,
                    created: None,
                })
            }
            (_, answer) => answer,
        }
    }
    fn find(&self, base: &BaseCode, search: &Search) -> PortResult<Listing> {
        Ok(match (self.mutant, self.peers.find(base, search)?) {
            (Mutant::PartialIsAll, Listing::Inconclusive(_)) => {
                Listing::Complete(self.canaries(base, search))
            }
            (Mutant::EmptyIsNone, Listing::Complete(rows)) if rows.is_empty() => {
                Listing::Complete(self.canaries(base, search))
            }
            (_, listing) => listing,
        })
    }
    fn days(&self, sent: Moment) -> Vec<ErpDay> {
        self.peers.days(sent)
    }
}

impl Clock for Wrapped<'_> {
    fn now(&self) -> Moment {
        self.peers.now()
    }
    fn boot(&self) -> BootTime {
        match self.mutant {
            Mutant::WallClock => BootTime(self.peers.now().0),
            _ => self.peers.boot(),
        }
    }
    fn boot_id(&self) -> BootId {
        match self.mutant {
            Mutant::WallClock => BootId("one".into()),
            _ => self.peers.boot_id(),
        }
    }
    fn sleep(&self, duration: Duration) {
        self.peers.sleep(duration);
    }
}
