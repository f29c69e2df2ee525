//! VTEX's order document, reduced to the fields in use. Customer data has no field here, so it is never read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::adapters::http::text::one_line;
use crate::adapters::vtex::status::stage_of;
use crate::adapters::vtex::wire::{integer, moment, text};
use crate::domain::ids::{OrderId, SkuId, SkuRef, WarehouseId};
use crate::domain::order::{OrderDocument, OrderLine};
use crate::domain::qty::Qty;
use crate::domain::time::Moment;

/// The most units that a line may hold.
const MAX_UNITS: i64 = 10_000;
/// The longest name that is kept, in characters.
const MAX_NAME: usize = 200;
/// More lines than any real order has; beyond it the document is unusable.
const MAX_LINES: usize = 2_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireOrder {
    #[serde(default)]
    order_id: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    creation_date: Value,
    #[serde(default)]
    last_change: Value,
    #[serde(default)]
    is_completed: Value,
    #[serde(default)]
    workflow_is_in_error: Value,
    items: Option<Vec<WireItem>>,
    item_metadata: Option<WireMetadata>,
    shipping_data: Option<WireShipping>,
    package_attachment: Option<WirePackages>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireItem {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    seller: Value,
    #[serde(default)]
    quantity: Value,
    #[serde(default)]
    unit_multiplier: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    lock_id: Value,
    components: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct WireMetadata {
    #[serde(rename = "Items", alias = "items")]
    items: Option<Vec<WireMeta>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireMeta {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    seller: Value,
    #[serde(default)]
    ref_id: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireShipping {
    logistics_info: Option<Vec<WireLogistics>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLogistics {
    #[serde(default)]
    item_index: Value,
    delivery_ids: Option<Vec<WireDelivery>>,
    #[serde(default)]
    shipping_estimate_date: Value,
    #[serde(default)]
    delivery_channel: Value,
    #[serde(default)]
    selected_delivery_channel: Value,
    pickup_store_info: Option<WirePickup>,
    #[serde(default)]
    pickup_point_id: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDelivery {
    #[serde(default)]
    warehouse_id: Value,
    #[serde(default)]
    quantity: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePickup {
    #[serde(default)]
    friendly_name: Value,
}

#[derive(Deserialize)]
struct WirePackages {
    packages: Option<Vec<IgnoredAny>>,
}

impl WireOrder {
    /// Converts the document of the order that was asked for.
    ///
    /// # Errors
    ///
    /// A reason when the document as a whole is unusable; what concerns its lines becomes a problem in it.
    pub(super) fn into_document(
        self,
        asked: &OrderId,
        seller: &str,
    ) -> Result<OrderDocument, String> {
        match text(&self.order_id) {
            Some(id) if id == asked.as_str() => {}
            Some(id) => return Err(format!("the answer is about order {}", one_line(&id, 64))),
            None => return Err("the answer names no order".to_owned()),
        }
        let items = self.items.unwrap_or_default();
        if items.len() > MAX_LINES {
            return Err(format!("more than {MAX_LINES} lines"));
        }
        let logistics = self
            .shipping_data
            .and_then(|shipping| shipping.logistics_info)
            .unwrap_or_default();
        let status = text(&self.status).map_or_else(String::new, |s| one_line(&s, 64));
        let mut document = OrderDocument {
            id: asked.clone(),
            stage: stage_of(&status),
            status,
            created: moment(&self.creation_date),
            last_change: moment(&self.last_change),
            // Absent is usual for orders of one's own store; only a plain `false` says "not settled".
            complete: self.is_completed != Value::Bool(false),
            workflow_in_error: self.workflow_is_in_error == Value::Bool(true),
            has_package: self
                .package_attachment
                .and_then(|attachment| attachment.packages)
                .is_some_and(|packages| !packages.is_empty()),
            lines: Vec::new(),
            foreign_lines: 0,
            reservations: Vec::new(),
            delivery_date: None,
            pickup_point: None,
            problems: Vec::new(),
        };
        if items.is_empty() {
            document.problems.push("the order has no items".to_owned());
        }
        let references = references(self.item_metadata);
        let mut reservations = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            if text(&item.seller).as_deref() != Some(seller) {
                document.foreign_lines += 1;
                continue;
            }
            reservations.extend(text(&item.lock_id).filter(|id| usable_lock(id)));
            let places: Vec<&WireLogistics> = logistics
                .iter()
                .filter(|place| integer(&place.item_index) == i64::try_from(index).ok())
                .collect();
            document.delivery_date = latest(document.delivery_date, &places);
            if document.pickup_point.is_none() {
                document.pickup_point = places.iter().find_map(|place| pickup_point(place));
            }
            match lines(item, &references, seller, &places) {
                Ok(lines) => document.lines.extend(lines),
                Err(problem) => document
                    .problems
                    .push(format!("line {}: {problem}", index + 1)),
            }
        }
        document.reservations = reservations.into_iter().collect();
        Ok(document)
    }
}

/// Tells whether a reservation id can be asked for.
fn usable_lock(id: &str) -> bool {
    !id.is_empty() && id.len() <= 100 && !id.chars().any(char::is_control)
}

/// Maps (SKU id, seller) to the SKU's reference; `items[].refId` is the product's and not used.
fn references(metadata: Option<WireMetadata>) -> BTreeMap<(String, String), SkuRef> {
    let rows = metadata.and_then(|m| m.items).unwrap_or_default();
    rows.iter()
        .filter_map(|row| {
            let key = (text(&row.id)?, text(&row.seller)?);
            Some((key, SkuRef::parse(row.ref_id.as_str()?).ok()?))
        })
        .collect()
}

/// Splits one item into its warehouses.
fn lines(
    item: &WireItem,
    references: &BTreeMap<(String, String), SkuRef>,
    seller: &str,
    places: &[&WireLogistics],
) -> Result<Vec<OrderLine>, String> {
    let id = text(&item.id).ok_or("it names no SKU")?;
    let sku = SkuId::parse(&id).map_err(|err| err.to_string())?;
    if !unit_is_one(&item.unit_multiplier) {
        return Err(format!("SKU {sku} has a unit multiplier other than 1"));
    }
    let ordered = units(&item.quantity).ok_or_else(|| {
        format!("SKU {sku}: the quantity is not a whole number from 1 to {MAX_UNITS}")
    })?;
    let line = |warehouse, units| OrderLine {
        sku: sku.clone(),
        reference: references.get(&(id.clone(), seller.to_owned())).cloned(),
        name: text(&item.name)
            .map(|name| one_line(&name, MAX_NAME))
            .filter(|name| !name.is_empty()),
        warehouse,
        units,
        kit: item.components.as_ref().is_some_and(|c| !c.is_empty()),
    };
    let deliveries: Vec<&WireDelivery> = places
        .iter()
        .flat_map(|place| place.delivery_ids.iter().flatten())
        .collect();
    let warehouse = |delivery: &WireDelivery| {
        let id = delivery.warehouse_id.as_str().unwrap_or_default();
        WarehouseId::parse(id).map_err(|err| format!("SKU {sku}: {err}"))
    };
    match deliveries.as_slice() {
        [] => Err(format!("SKU {sku} has no warehouse")),
        // Unverified: an order change leaves the delivery entry as it was, so with one warehouse the item's own
        // quantity is the order's present need.
        [only] => Ok(vec![line(warehouse(only)?, ordered)]),
        several => {
            let mut parts = Vec::new();
            let mut sum = 0_u32;
            for delivery in several {
                let part = units(&delivery.quantity).ok_or_else(|| {
                    format!("SKU {sku}: a warehouse's share is not a whole number")
                })?;
                sum = sum.saturating_add(part);
                parts.push(line(warehouse(delivery)?, part));
            }
            if sum != ordered {
                return Err(format!(
                    "SKU {sku}: {ordered} units ordered, {sum} spread over warehouses"
                ));
            }
            Ok(parts)
        }
    }
}

fn units(value: &Value) -> Option<u32> {
    let units = integer(value).filter(|units| (1..=MAX_UNITS).contains(units))?;
    u32::try_from(units).ok()
}

/// Tells whether a unit multiplier is one, however it is written; absent means one.
pub(super) fn unit_is_one(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => Qty::parse(&number.to_string()) == Ok(Qty::whole(1)),
        Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn latest(so_far: Option<Moment>, places: &[&WireLogistics]) -> Option<Moment> {
    let dates = places
        .iter()
        .filter_map(|place| moment(&place.shipping_estimate_date));
    dates.chain(so_far).max()
}

fn pickup_point(place: &WireLogistics) -> Option<String> {
    // The field has one name in the schema and another in the examples.
    let channel = text(&place.selected_delivery_channel).or_else(|| text(&place.delivery_channel));
    if channel.is_some_and(|channel| channel == "delivery") {
        return None;
    }
    let name = place
        .pickup_store_info
        .as_ref()
        .and_then(|info| text(&info.friendly_name));
    let clean = |name: String| {
        let name = one_line(&name, MAX_NAME);
        (!name.is_empty()).then_some(name)
    };
    name.and_then(clean)
        .or_else(|| text(&place.pickup_point_id).and_then(clean))
}
