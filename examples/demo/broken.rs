//! Faults in the program's own behaviour, seeded from outside: each must make the day end with a wrong number.

use std::collections::BTreeMap;

use stockbridge::app::Wrap;
use stockbridge::domain::ids::{BaseCode, OrderId, SkuId, SkuRef, WarehouseId};
use stockbridge::domain::movement::{ErpDay, FoundMovement, Movement};
use stockbridge::domain::order::{FeedEvent, OrderDocument, OrderStage};
use stockbridge::domain::ports::{
    FeedConfig, HookConfig, ListFilter, ListPage, Listing, MovementSink, Permit, PortResult,
    ReservationState, Search, SkuInfo, StoreStock, Storefront,
};
use stockbridge::domain::time::Moment;

/// A seeded fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Treats every order as handled, so that its units are subtracted here and by the store.
    SubtractTwice,
    /// Books every movement twice.
    PostTwice,
    /// Does not see cancellations.
    ForgetCancellation,
    /// Leaves one shop out of the sum.
    IgnoreBase,
    /// Counts a base that is none of the store's.
    CountBlockedBase,
}

const ALL: [(&str, Break); 5] = [
    ("subtract-twice", Break::SubtractTwice),
    ("post-twice", Break::PostTwice),
    ("forget-cancellation", Break::ForgetCancellation),
    ("ignore-base", Break::IgnoreBase),
    ("count-blocked-base", Break::CountBlockedBase),
];

impl Break {
    /// Parses a fault's name.
    pub fn parse(name: &str) -> Option<Self> {
        ALL.into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, fault)| fault)
    }

    /// Returns all names.
    pub fn names() -> Vec<&'static str> {
        ALL.into_iter().map(|(name, _)| name).collect()
    }

    /// Returns the fault's name.
    pub fn name(self) -> &'static str {
        ALL.into_iter()
            .find(|(_, fault)| *fault == self)
            .map_or("", |(name, _)| name)
    }

    /// Returns what stands between the stages and the outside.
    pub fn wrap(self) -> Wrap {
        match self {
            Self::SubtractTwice => Wrap {
                storefront: Some(|inner| Box::new(Misread(inner, handled_already))),
                ..Wrap::default()
            },
            Self::ForgetCancellation => Wrap {
                storefront: Some(|inner| Box::new(Misread(inner, never_canceled))),
                ..Wrap::default()
            },
            Self::PostTwice => Wrap {
                movements: Some(|inner| Box::new(Twice(inner))),
                ..Wrap::default()
            },
            // These two are mistakes of the configuration.
            Self::IgnoreBase | Self::CountBlockedBase => Wrap::default(),
        }
    }

    /// Returns the bases and the blocked bases that the configuration names.
    pub fn bases(seeded: Option<Self>) -> (&'static str, &'static str) {
        match seeded {
            Some(Self::IgnoreBase) => (r#""CENTRO", "NORTE""#, r#""MELI", "ADMIN""#),
            Some(Self::CountBlockedBase) => (r#""CENTRO", "NORTE", "SUR", "MELI""#, r#""ADMIN""#),
            Some(Self::SubtractTwice | Self::PostTwice | Self::ForgetCancellation) | None => {
                (r#""CENTRO", "NORTE", "SUR""#, r#""MELI", "ADMIN""#)
            }
        }
    }
}

fn handled_already(stage: OrderStage) -> OrderStage {
    if stage == OrderStage::Ready {
        OrderStage::Handling
    } else {
        stage
    }
}

fn never_canceled(stage: OrderStage) -> OrderStage {
    match stage {
        OrderStage::CancelRequested | OrderStage::Canceling | OrderStage::Canceled => {
            OrderStage::Handling
        }
        stage => stage,
    }
}

/// Books every movement twice.
struct Twice<'a>(&'a dyn MovementSink);

impl MovementSink for Twice<'_> {
    fn check(&self, movement: &Movement) -> Result<(), String> {
        self.0.check(movement)
    }
    fn book(&self, movement: &Movement, permit: &Permit<'_>) -> PortResult<FoundMovement> {
        let first = self.0.book(movement, permit);
        self.0.book(movement, permit).and(first)
    }
    fn find(&self, base: &BaseCode, search: &Search) -> PortResult<Listing> {
        self.0.find(base, search)
    }

    fn days(&self, sent: Moment) -> Vec<ErpDay> {
        self.0.days(sent)
    }
}

/// Misreads the stage of every order.
struct Misread<'a>(&'a dyn Storefront, fn(OrderStage) -> OrderStage);

impl Storefront for Misread<'_> {
    fn feed_config(&self) -> PortResult<Option<FeedConfig>> {
        self.0.feed_config()
    }
    fn install_feed(&self) -> PortResult<()> {
        self.0.install_feed()
    }
    fn hook_config(&self) -> PortResult<Option<HookConfig>> {
        self.0.hook_config()
    }
    fn install_hook(&self) -> PortResult<()> {
        self.0.install_hook()
    }
    fn remove_hook(&self) -> PortResult<()> {
        self.0.remove_hook()
    }
    fn read_feed(&self) -> PortResult<Option<Vec<FeedEvent>>> {
        self.0.read_feed()
    }
    fn commit_feed(&self, handles: &[String]) -> PortResult<()> {
        self.0.commit_feed(handles)
    }
    fn list_orders(&self, filter: ListFilter, page: u32) -> PortResult<ListPage> {
        self.0.list_orders(filter, page)
    }
    fn order(&self, id: &OrderId) -> PortResult<Option<OrderDocument>> {
        let misread = |document: OrderDocument| OrderDocument {
            stage: (self.1)(document.stage),
            ..document
        };
        Ok(self.0.order(id)?.map(misread))
    }
    fn start_handling(&self, id: &OrderId, permit: &Permit<'_>) -> PortResult<()> {
        self.0.start_handling(id, permit)
    }
    fn reservation(&self, id: &str) -> PortResult<Option<ReservationState>> {
        self.0.reservation(id)
    }
    fn stock(&self, sku: &SkuId) -> PortResult<Vec<StoreStock>> {
        self.0.stock(sku)
    }
    fn set_quantity(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
        permit: &Permit<'_>,
    ) -> PortResult<()> {
        self.0.set_quantity(sku, warehouse, quantity, as_of, permit)
    }
    fn resolve_refs(&self, refs: &[SkuRef]) -> PortResult<BTreeMap<SkuRef, SkuId>> {
        self.0.resolve_refs(refs)
    }
    fn sku(&self, id: &SkuId) -> PortResult<Option<SkuInfo>> {
        self.0.sku(id)
    }
    fn kit_parts(&self, id: &SkuId) -> PortResult<Vec<(SkuId, u32)>> {
        self.0.kit_parts(id)
    }
    fn sku_ids(&self, page: u32) -> PortResult<Vec<SkuId>> {
        self.0.sku_ids(page)
    }
    fn warehouses(&self) -> PortResult<Vec<(WarehouseId, bool)>> {
        self.0.warehouses()
    }
    fn clock_ahead_ms(&self) -> Option<i64> {
        self.0.clock_ahead_ms()
    }
}
