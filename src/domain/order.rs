//! What a sale is: the document the storefront shows, and the facts the store keeps about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{OrderId, SkuId, SkuRef, WarehouseId};
use crate::domain::time::Moment;

/// Where an order stands in the storefront's life of an order, in the trade's words.
///
/// Adapters translate their vendor's status names into these; what they do not know is [`OrderStage::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderStage {
    /// A status this program does not know, or none at all: recorded, otherwise ignored.
    Unknown,
    /// Placed, not yet paid or still within the customer's time to cancel.
    Early,
    /// Paid and released: this is where the ERP takes an order.
    Ready,
    /// Handling was requested; the acknowledgement of the reservation may still be under way.
    HandlingRequested,
    /// In handling: its reservation is acknowledged.
    Handling,
    /// An invoice is being verified.
    Invoicing,
    /// Invoiced: nothing can change any more.
    Invoiced,
    /// A cancellation was asked for and not yet decided.
    CancelRequested,
    /// Being canceled.
    Canceling,
    /// Canceled, or replaced by another order.
    Canceled,
}

impl OrderStage {
    /// All stages, in rank order.
    pub const ALL: [Self; 10] = [
        Self::Unknown,
        Self::Early,
        Self::Ready,
        Self::HandlingRequested,
        Self::Handling,
        Self::Invoicing,
        Self::Invoiced,
        Self::CancelRequested,
        Self::Canceling,
        Self::Canceled,
    ];

    /// Returns the stage's name in the store and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Early => "early",
            Self::Ready => "ready",
            Self::HandlingRequested => "handling-requested",
            Self::Handling => "handling",
            Self::Invoicing => "invoicing",
            Self::Invoiced => "invoiced",
            Self::CancelRequested => "cancel-requested",
            Self::Canceling => "canceling",
            Self::Canceled => "canceled",
        }
    }

    /// Parses [`OrderStage::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Tells whether the status itself proves that handling was requested.
    pub fn shows_handling(self) -> bool {
        matches!(self, Self::HandlingRequested | Self::Handling)
    }

    /// Tells whether the order has reached or passed the point where the ERP takes it.
    pub fn taken(self) -> bool {
        match self {
            Self::Ready
            | Self::HandlingRequested
            | Self::Handling
            | Self::Invoicing
            | Self::Invoiced => true,
            Self::Unknown
            | Self::Early
            | Self::CancelRequested
            | Self::Canceling
            | Self::Canceled => false,
        }
    }
}

/// The storefront's document of one order, reduced to the fields in use. No names, addresses or documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderDocument {
    /// Whose document this is; the adapter has checked that it is the one asked for.
    pub id: OrderId,
    /// The vendor's status word, kept for people; `""` when there was none.
    pub status: String,
    /// What the status means.
    pub stage: OrderStage,
    /// When the order was placed.
    pub created: Option<Moment>,
    /// When the document last changed; decides between two documents of one order.
    pub last_change: Option<Moment>,
    /// False while a payment of the whole purchase is not settled: no effect may be sent.
    pub complete: bool,
    /// True when the storefront's workflow is stuck: no effect may be sent.
    pub workflow_in_error: bool,
    /// True once a package or invoice was attached.
    pub has_package: bool,
    /// Own-seller lines as listed, not yet added up.
    pub lines: Vec<OrderLine>,
    /// How many lines of other sellers were left out.
    pub foreign_lines: u32,
    /// The storefront's reservations of this order (VTEX `lockId`), each once.
    pub reservations: Vec<String>,
    /// When the goods were promised, where the document says so.
    pub delivery_date: Option<Moment>,
    /// The pick-up point, where the customer collects the goods.
    pub pickup_point: Option<String>,
    /// What makes the lines unusable (a fractional quantity, no warehouse, a unit multiplier): parks the order.
    pub problems: Vec<String>,
}

/// One line of an order in one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// What was sold.
    pub sku: SkuId,
    /// The shop's reference of the SKU, where the document holds it.
    pub reference: Option<SkuRef>,
    /// What a person calls it, cut at 200 characters, control characters stripped.
    pub name: Option<String>,
    /// The warehouse whose stock is reserved.
    pub warehouse: WarehouseId,
    /// Whole units, 1 to 10,000.
    pub units: u32,
    /// True when the line is a kit: its components hold the stock.
    pub kit: bool,
}

/// Units per SKU and warehouse: the present need of an order.
pub type Need = BTreeMap<(SkuId, WarehouseId), u32>;

/// Adds up the lines per SKU and warehouse; the same SKU may stand in several lines.
pub fn need(lines: &[OrderLine]) -> Need {
    let mut need = Need::new();
    for line in lines {
        let units = need
            .entry((line.sku.clone(), line.warehouse.clone()))
            .or_insert(0);
        *units = units.saturating_add(line.units);
    }
    need
}

/// What a look at an order's reservations told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservationLook {
    /// They were not looked up, or say nothing: the status alone decides.
    Silent,
    /// They could not be looked up: nothing is decided.
    Refused,
    /// The storefront still subtracts at least one, unacknowledged.
    Held,
    /// They are acknowledged.
    Acknowledged,
    /// They subtract nothing any more.
    Gone,
}

impl ReservationLook {
    /// Sums up the looks at the single reservations of an order.
    ///
    /// Unverified: an acknowledged one speaks for those that could not be seen, since handling starts for an order as a
    /// whole. Where it does not, the number errs towards fewer.
    pub fn of(each: &BTreeSet<Self>) -> Self {
        let any = |look| each.contains(&look);
        match (any(Self::Acknowledged), any(Self::Gone)) {
            _ if any(Self::Held) => Self::Held,
            (true, false) => Self::Acknowledged,
            (false, true) => Self::Gone,
            (false, false) if any(Self::Refused) => Self::Refused,
            _ => Self::Silent,
        }
    }
}

/// The facts the store keeps about an order; its state is derived from them, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrderFacts {
    /// First seen at or past the point where the ERP takes it.
    pub taken: Option<Moment>,
    /// Ledger rows written.
    pub reserved: Option<Moment>,
    /// All its movements confirmed (the order is in B).
    pub booked: Option<Moment>,
    /// Handling requested or seen (the order is in A).
    pub acknowledged: Option<Moment>,
    /// A push with a later reading was confirmed for all its SKUs after it was in both sets.
    pub settled: Option<Moment>,
    /// The storefront shows it canceled.
    pub canceled: Option<Moment>,
    /// A person must act; the reason stands beside it.
    pub parked: Option<Moment>,
    /// Placed before the cut-over: never moved or handled by this program.
    pub before_cutover: bool,
}

/// Where an order stands on this program's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// Known, not yet released by the storefront.
    Seen,
    /// Released, waiting for `reserve`.
    Received,
    /// Reserved, waiting for its movement.
    Reserved,
    /// Its movement is confirmed, handling not yet requested.
    Booked,
    /// Handling was requested, its movement is not yet confirmed.
    Acknowledged,
    /// Booked and acknowledged, waiting for the push that makes it history.
    Done,
    /// Nothing is left to do.
    Settled,
    /// Canceled, with something still to release or reverse, or waiting for the push after it.
    Canceled,
    /// A person must act.
    Parked,
    /// Handled by whatever came before this program.
    BeforeCutover,
}

impl OrderState {
    /// Returns the state's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Received => "received",
            Self::Reserved => "reserved",
            Self::Booked => "booked",
            Self::Acknowledged => "acknowledged",
            Self::Done => "done",
            Self::Settled => "settled",
            Self::Canceled => "canceled",
            Self::Parked => "parked",
            Self::BeforeCutover => "before-cutover",
        }
    }
}

/// Facts that cannot be true together: a damaged state file or a bug, never something to guess about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("impossible facts: {0}")]
pub struct ImpossibleFacts(&'static str);

/// Derives an order's state from its facts.
///
/// # Errors
///
/// [`ImpossibleFacts`] when the facts contradict each other.
pub fn state_of(facts: &OrderFacts) -> Result<OrderState, ImpossibleFacts> {
    if facts.before_cutover && (facts.reserved.is_some() || facts.booked.is_some()) {
        return Err(ImpossibleFacts(
            "an order placed before the cut-over was reserved or booked",
        ));
    }
    if facts.booked.is_some() && facts.reserved.is_none() {
        return Err(ImpossibleFacts(
            "an order was booked that was never reserved",
        ));
    }
    if facts.reserved.is_some() && facts.taken.is_none() {
        return Err(ImpossibleFacts(
            "an order was reserved that was never taken",
        ));
    }
    if facts.parked.is_some() {
        return Ok(OrderState::Parked);
    }
    if facts.settled.is_some() {
        return Ok(OrderState::Settled);
    }
    if facts.canceled.is_some() {
        return Ok(OrderState::Canceled);
    }
    if facts.before_cutover {
        return Ok(OrderState::BeforeCutover);
    }
    Ok(
        match (
            facts.taken,
            facts.reserved,
            facts.booked,
            facts.acknowledged,
        ) {
            (None, _, _, _) => OrderState::Seen,
            (Some(_), None, _, _) => OrderState::Received,
            (Some(_), Some(_), None, None) => OrderState::Reserved,
            (Some(_), Some(_), Some(_), None) => OrderState::Booked,
            (Some(_), Some(_), None, Some(_)) => OrderState::Acknowledged,
            (Some(_), Some(_), Some(_), Some(_)) => OrderState::Done,
        },
    )
}

/// One event of the storefront's feed: a hint that an order changed, and the handle that takes it off the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedEvent {
    /// What a commit names; an event without a handle comes back by itself.
    pub handle: Option<String>,
    /// The order id as it came; may be anything.
    pub order: String,
    /// The vendor's status word in the event, for people only.
    pub status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Option<Moment> {
        Some(Moment(ms))
    }

    #[test]
    fn lines_of_one_sku_are_added_up_per_warehouse() {
        let line = |warehouse: &str, units| OrderLine {
            sku: SkuId::parse("7").unwrap(),
            reference: None,
            name: None,
            warehouse: WarehouseId::parse(warehouse).unwrap(),
            units,
            kit: false,
        };
        let need = need(&[line("1_1", 2), line("1_2", 1), line("1_1", 3)]);
        assert_eq!(need.values().copied().collect::<Vec<_>>(), [5, 1]);
    }

    #[test]
    fn the_state_follows_the_facts() {
        let mut facts = OrderFacts::default();
        assert_eq!(state_of(&facts), Ok(OrderState::Seen));
        facts.taken = at(1);
        assert_eq!(state_of(&facts), Ok(OrderState::Received));
        facts.reserved = at(2);
        facts.acknowledged = at(3);
        assert_eq!(state_of(&facts), Ok(OrderState::Acknowledged));
        facts.booked = at(4);
        assert_eq!(state_of(&facts), Ok(OrderState::Done));
        facts.settled = at(5);
        assert_eq!(state_of(&facts), Ok(OrderState::Settled));
        facts.parked = at(6);
        assert_eq!(state_of(&facts), Ok(OrderState::Parked));
    }

    #[test]
    fn impossible_facts_are_an_error() {
        let booked = OrderFacts {
            taken: at(1),
            booked: at(2),
            ..OrderFacts::default()
        };
        assert!(state_of(&booked).is_err());
        let early = OrderFacts {
            taken: at(1),
            reserved: at(2),
            before_cutover: true,
            ..OrderFacts::default()
        };
        assert!(state_of(&early).is_err());
    }

    #[test]
    fn stage_names_round_trip() {
        for stage in OrderStage::ALL {
            assert_eq!(OrderStage::parse(stage.as_str()), Some(stage));
        }
    }
}
