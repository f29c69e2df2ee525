//! A dry run: the stages work on a copy of the memory, behind doors that read and never write.
//!
//! The stages know nothing of it, so what a dry run says is what a real one would do.

use std::collections::BTreeMap;

use crate::domain::ids::{BaseCode, OrderId, SkuId, SkuRef, WarehouseId};
use crate::domain::movement::{ErpDay, FoundMovement, Movement};
use crate::domain::notice::Notice;
use crate::domain::order::{FeedEvent, OrderDocument};
use crate::domain::ports::{
    FeedConfig, HookConfig, ListFilter, ListPage, Listing, MovementSink, Notifier, Permit,
    PortError, PortResult, ReservationState, Search, SkuInfo, StoreStock, Storefront,
};
use crate::domain::time::Moment;

/// A door that lets reads through and answers every write with what it would have done.
pub struct Dry<'a, T: ?Sized>(pub &'a T);

fn would(what: String) -> PortError {
    PortError::transient(format!("dry run: would {what}"))
}

impl Storefront for Dry<'_, dyn Storefront + '_> {
    fn feed_config(&self) -> PortResult<Option<FeedConfig>> {
        self.0.feed_config()
    }
    fn install_feed(&self) -> PortResult<()> {
        Err(would("create the feed's configuration".into()))
    }
    fn hook_config(&self) -> PortResult<Option<HookConfig>> {
        self.0.hook_config()
    }
    fn install_hook(&self) -> PortResult<()> {
        Err(would("create the hook's configuration".into()))
    }
    fn remove_hook(&self) -> PortResult<()> {
        Err(would("remove the hook's configuration".into()))
    }
    fn read_feed(&self) -> PortResult<Option<Vec<FeedEvent>>> {
        self.0.read_feed()
    }
    /// The events stay on the feed and come back after their visibility time.
    fn commit_feed(&self, handles: &[String]) -> PortResult<()> {
        Err(would(format!("take {} events off the feed", handles.len())))
    }
    fn list_orders(&self, filter: ListFilter, page: u32) -> PortResult<ListPage> {
        self.0.list_orders(filter, page)
    }
    fn order(&self, id: &OrderId) -> PortResult<Option<OrderDocument>> {
        self.0.order(id)
    }
    fn start_handling(&self, id: &OrderId, _permit: &Permit<'_>) -> PortResult<()> {
        Err(would(format!("start handling of order {id}")))
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
        _permit: &Permit<'_>,
    ) -> PortResult<()> {
        Err(would(format!(
            "set SKU {sku} in {warehouse} to {quantity} as of {as_of}"
        )))
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

impl MovementSink for Dry<'_, dyn MovementSink + '_> {
    fn check(&self, movement: &Movement) -> Result<(), String> {
        self.0.check(movement)
    }
    fn book(&self, movement: &Movement, _permit: &Permit<'_>) -> PortResult<FoundMovement> {
        let lines: Vec<_> = movement
            .lines
            .iter()
            .map(|(code, units)| format!("{units} x {code}"))
            .collect();
        let way = movement.operation.direction.as_str();
        Err(would(format!(
            "book {} {way} of {} for order {}",
            lines.join(", "),
            movement.base,
            movement.order
        )))
    }
    fn find(&self, base: &BaseCode, search: &Search) -> PortResult<Listing> {
        self.0.find(base, search)
    }

    fn days(&self, sent: Moment) -> Vec<ErpDay> {
        self.0.days(sent)
    }
}

impl Notifier for Dry<'_, dyn Notifier + '_> {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        Err(would(format!("send notice {}", notice.key)))
    }
}
