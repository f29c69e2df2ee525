//! Stock: what VTEX holds per warehouse, setting a quantity, reservations, warehouses.
//!
//! Source: Logistics API; "Updating the quantity of items in inventory" (VTEX help centre).

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::adapters::http::client::Answer;
use crate::adapters::http::text::one_line;
use crate::adapters::vtex::wire::{encode, integer, text};
use crate::adapters::vtex::{Vtex, utc};
use crate::config::sections::StockCall;
use crate::domain::ids::{SkuId, WarehouseId};
use crate::domain::ports::{LOCKED, Permit, PortError, PortResult, ReservationState, StoreStock};
use crate::domain::stock::UNLIMITED;
use crate::domain::time::Moment;

const LOGISTICS: &str = "/api/logistics/pvt";
/// The wait after VTEX's lock on a SKU, in milliseconds: from the first to the sum of both.
const LOCK_WAIT_MS: (u64, u64) = (2_000, 3_000);
/// The lead time of a SKU that has none.
const NO_LEAD_TIME: &str = "00.00:00:00";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStock {
    #[serde(default)]
    sku_id: Value,
    balance: Option<Vec<WireBalance>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBalance {
    #[serde(default)]
    warehouse_id: Value,
    #[serde(default)]
    total_quantity: Value,
    #[serde(default)]
    reserved_quantity: Value,
    #[serde(default)]
    has_unlimited_quantity: Value,
    #[serde(default)]
    lead_time: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireReservation {
    #[serde(default)]
    lock_id: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    date_utc_acknowledged_on_balance_system: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireWarehouse {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    is_active: Value,
}

impl Vtex<'_> {
    pub(super) fn read_stock(&self, sku: &SkuId) -> PortResult<Vec<StoreStock>> {
        const NAME: &str = "read stock";
        let mut rows = Vec::new();
        for row in self.read_balance(sku)? {
            let Some(warehouse) = warehouse_id(&row.warehouse_id) else {
                log::warn!("SKU {sku} has stock in a warehouse whose id cannot be used; left out");
                continue;
            };
            let (Some(total), Some(reserved)) = (
                integer(&row.total_quantity),
                integer(&row.reserved_quantity),
            ) else {
                let reason = format!("warehouse {warehouse} shows no whole quantity");
                return Err(self.unusable(NAME, sku.as_str(), &reason));
            };
            rows.push(StoreStock {
                warehouse,
                total,
                reserved,
                unlimited: row.has_unlimited_quantity == Value::Bool(true),
            });
        }
        Ok(rows)
    }

    fn read_balance(&self, sku: &SkuId) -> PortResult<Vec<WireBalance>> {
        const NAME: &str = "read stock";
        let path = format!("{LOGISTICS}/inventory/skus/{}", encode(sku.as_str()));
        let wire: WireStock = self.get(NAME, sku.as_str(), &path)?;
        let rows = wire.balance.unwrap_or_default();
        match text(&wire.sku_id) {
            Some(id) if id == sku.as_str() => Ok(rows),
            // A SKU without any stock record may come without its id.
            None if rows.is_empty() => Ok(rows),
            Some(_) | None => {
                Err(self.unusable(NAME, sku.as_str(), "the answer is about another SKU"))
            }
        }
    }

    pub(super) fn write_quantity(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
        permit: &Permit<'_>,
    ) -> PortResult<()> {
        const NAME: &str = "set quantity";
        let about = format!("of SKU {sku} in {warehouse}");
        let refuse = |reason: &str| Err(PortError::rejected(format!("{NAME} {about}: {reason}")));
        if !sku.pushable() {
            return refuse(
                "the storefront takes no stock for a SKU id with a leading zero or over 31 bits",
            );
        }
        if quantity != UNLIMITED && (i32::try_from(quantity).is_err() || quantity < 0) {
            return refuse("a quantity must be from 0 to 2147483647");
        }
        if quantity == UNLIMITED && self.config.stock_call == StockCall::Fulfillment {
            return refuse("the fulfillment call cannot set a SKU to be sold without limit");
        }
        let (method, path, body) = self.quantity_call(sku, warehouse, quantity, as_of)?;
        let request = self.request(NAME, &about, method, &path, Some(&body))?;
        let title = request.title();
        let answer = self.calls.write(request, Some(permit))?;
        self.judge_quantity(&title, &answer)
    }

    /// Builds the configured call; for a `PUT` this reads the lead time first.
    fn quantity_call(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        quantity: i64,
        as_of: Moment,
    ) -> PortResult<(Method, String, Value)> {
        let record = format!(
            "{LOGISTICS}/inventory/skus/{}/warehouses/{}",
            encode(sku.as_str()),
            encode(warehouse.as_str())
        );
        let unlimited = quantity == UNLIMITED;
        let quantity = if unlimited { 0 } else { quantity };
        Ok(match self.config.stock_call {
            StockCall::Patch => (
                Method::PATCH,
                format!("{record}/quantity"),
                json!({
                    "quantity": quantity,
                    "unlimitedQuantity": unlimited,
                    "dateUtcOnBalanceSystem": utc(as_of),
                }),
            ),
            StockCall::Put => (
                Method::PUT,
                record,
                json!({
                    "quantity": quantity,
                    "unlimitedQuantity": unlimited,
                    "leadTime": self.lead_time(sku, warehouse)?,
                    "dateUtcOnBalanceSystem": utc(as_of),
                }),
            ),
            // Unverified: no public documentation names this route or its fields.
            StockCall::Fulfillment => (
                Method::PUT,
                "/api/fulfillment/pvt/stock".to_owned(),
                json!({
                    "skuId": sku.as_str(),
                    "warehouseId": warehouse.as_str(),
                    "quantity": quantity,
                }),
            ),
        })
    }

    fn judge_quantity(&self, title: &str, answer: &Answer) -> PortResult<()> {
        let reason = || self.refusal(title, answer);
        match answer.status {
            200..=299 => Ok(()),
            401 | 403 => Err(PortError::denied(reason())),
            // Discarded by VTEX: another update of the same SKU came within milliseconds.
            423 => Err(PortError::Transient {
                reason: format!("{} ({LOCKED})", reason()),
                retry_after: Some(self.lock_wait()),
            }),
            429 => Err(PortError::Transient {
                reason: reason(),
                retry_after: self.calls.asked_wait(answer),
            }),
            408 => Err(PortError::uncertain(reason())),
            400..=499 => Err(PortError::rejected(reason())),
            // Known issue 388176: a 500 may have been applied.
            _ => Err(PortError::uncertain(reason())),
        }
    }

    fn lock_wait(&self) -> Duration {
        let (least, spread) = LOCK_WAIT_MS;
        Duration::from_millis(least + self.calls.env().rng.uniform(spread))
    }

    /// Reads the lead time that a `PUT` must carry, since leaving it out would set it to zero.
    fn lead_time(&self, sku: &SkuId, warehouse: &WarehouseId) -> PortResult<String> {
        let rows = self.read_balance(sku)?;
        let row = rows
            .iter()
            .find(|row| warehouse_id(&row.warehouse_id).as_ref() == Some(warehouse));
        Ok(row
            .and_then(|row| text(&row.lead_time))
            .filter(|lead_time| !lead_time.is_empty())
            .unwrap_or_else(|| NO_LEAD_TIME.to_owned()))
    }

    pub(super) fn read_reservation(&self, id: &str) -> PortResult<Option<ReservationState>> {
        const NAME: &str = "read reservation";
        let path = format!("{LOGISTICS}/inventory/reservations/{}", encode(id));
        let Some(wire) = self.find::<WireReservation>(NAME, id, &path)? else {
            return Ok(None);
        };
        if text(&wire.lock_id).is_some_and(|lock| lock != id) {
            return Err(self.unusable(NAME, id, "the answer is about another reservation"));
        }
        let status = text(&wire.status).unwrap_or_default();
        match status.as_str() {
            "0" | "1" | "2" | "NotCommitted" | "Authorized" | "Confirmed" => {
                let acknowledged =
                    text(&wire.date_utc_acknowledged_on_balance_system).is_some_and(|date| {
                        // The first day of the calendar stands for "never".
                        !date.is_empty() && !date.starts_with("0001-01-01")
                    });
                Ok(Some(if acknowledged {
                    ReservationState::Acknowledged
                } else {
                    ReservationState::Held
                }))
            }
            "3" | "4" | "5" => Ok(Some(ReservationState::Gone)),
            other if other.starts_with("Canceled") => Ok(Some(ReservationState::Gone)),
            other => {
                let reason = format!("unknown status {:?}", one_line(other, 40));
                Err(self.unusable(NAME, id, &reason))
            }
        }
    }

    pub(super) fn read_warehouses(&self) -> PortResult<Vec<(WarehouseId, bool)>> {
        let path = format!("{LOGISTICS}/configuration/warehouses");
        let rows: Vec<WireWarehouse> = self.get("list warehouses", "", &path)?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                let active = row.is_active != Value::Bool(false);
                Some((warehouse_id(&row.id)?, active))
            })
            .collect())
    }
}

/// Reads a warehouse id exactly as it stands: VTEX tells ids apart by letter case (known issue 346163).
fn warehouse_id(value: &Value) -> Option<WarehouseId> {
    WarehouseId::parse(&text(value)?).ok()
}
