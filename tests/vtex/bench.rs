//! A peer, the fakes an adapter is handed, and short words for what the tests say.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json as value};

use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::vtex::{HookTarget, Vtex};
use stockbridge::config::sections::VtexConfig;
use stockbridge::domain::ids::{OrderId, SkuId, SkuRef, WarehouseId};
use stockbridge::domain::order::OrderDocument;
use stockbridge::domain::ports::{Clock, Permit, PortError, PortResult, Storefront};
use stockbridge::domain::time::{BootTime, Moment};

use crate::wire::{GateLog, Largest, Reply, StillClock, Wire, json};

pub const KEY: &str = "key-canary-1";
pub const TOKEN: &str = "token-canary-2";
pub const ORDER: &str = "1234567890123-01";

/// A peer, the fakes, and what the configuration adds.
pub struct Bench {
    pub wire: Wire,
    pub clock: StillClock,
    pub gate: GateLog,
    pub extra: String,
    pub until: Option<BootTime>,
}

impl Bench {
    pub fn new(replies: Vec<Reply>) -> Self {
        Self {
            wire: Wire::start(replies),
            clock: StillClock::new(),
            gate: GateLog::open(),
            extra: String::new(),
            until: Some(BootTime(2_000_000)),
        }
    }

    pub fn answering(reply: Reply) -> Self {
        Self::new(vec![reply])
    }

    pub fn set(mut self, line: &str) -> Self {
        self.extra.push_str(line);
        self.extra.push('\n');
        self
    }

    pub fn ask<T>(&self, question: impl FnOnce(&Vtex<'_>) -> T) -> T {
        let url = self.wire.url();
        self.ask_at(&url, question)
    }

    /// Asks an adapter that knows where the hook is to post to.
    pub fn ask_hooked<T>(&self, question: impl FnOnce(&Vtex<'_>) -> T) -> T {
        let hook = HookTarget {
            url: "https://stock.example.com/webhook/vtex".into(),
            header: "X-Hook".into(),
            token: SecretString::from("hook-canary".to_owned()),
        };
        self.ask_as(&self.wire.url(), Some(hook), question)
    }

    pub fn ask_at<T>(&self, url: &str, question: impl FnOnce(&Vtex<'_>) -> T) -> T {
        self.ask_as(url, None, question)
    }

    fn ask_as<T>(
        &self,
        url: &str,
        hook: Option<HookTarget>,
        question: impl FnOnce(&Vtex<'_>) -> T,
    ) -> T {
        let config: VtexConfig = toml::from_str(&format!(
            "account = \"tienda\"\nbase_url = \"{url}\"\napp_key = {{ env = \"K\" }}\napp_token = {{ env = \"T\" }}\n{}",
            self.extra
        ))
        .unwrap();
        let env = Env {
            clock: &self.clock,
            rng: &Largest,
            gate: &self.gate,
            until: self.until,
            min_retry_after: Duration::from_secs(60),
        };
        let key = SecretString::from(KEY.to_owned());
        let token = SecretString::from(TOKEN.to_owned());
        let vtex = Vtex::new(&config, &key, &token, env).unwrap();
        question(&vtex.with_hook(hook))
    }

    pub fn permit(&self) -> Permit<'_> {
        Permit {
            clock: &self.clock,
            send_by: self.clock.boot().plus_ms(5_000),
        }
    }

    pub fn order(&self) -> PortResult<Option<OrderDocument>> {
        self.ask(|vtex| vtex.order(&order_id()))
    }

    pub fn start(&self) -> PortResult<()> {
        self.ask(|vtex| vtex.start_handling(&order_id(), &self.permit()))
    }

    pub fn push(&self) -> PortResult<()> {
        self.push_of("25", 8)
    }

    pub fn push_of(&self, sku: &str, quantity: i64) -> PortResult<()> {
        let as_of = moment("2026-03-02T11:59:58Z");
        self.ask(|vtex| {
            vtex.set_quantity(
                &sku_id(sku),
                &warehouse("1_1"),
                quantity,
                as_of,
                &self.permit(),
            )
        })
    }
}

pub fn order_id() -> OrderId {
    OrderId::parse(ORDER).unwrap()
}

pub fn sku_id(text: &str) -> SkuId {
    SkuId::parse(text).unwrap()
}

pub fn warehouse(text: &str) -> WarehouseId {
    WarehouseId::parse(text).unwrap()
}

pub fn moment(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

pub fn reference(text: &str) -> SkuRef {
    SkuRef::parse(text).unwrap()
}

/// An order with one line of ours, as VTEX writes it; tests change what they are about.
pub fn golden() -> Value {
    value!({
        "orderId": ORDER,
        "status": "ready-for-handling",
        "creationDate": "2026-03-01T20:09:43.899958+00:00",
        "lastChange": "2026-03-01T20:46:11.7010747+00:00",
        "isCompleted": true,
        "workflowIsInError": false,
        "clientProfileData": null,
        "items": [{
            "id": "25", "seller": "1", "quantity": 2, "unitMultiplier": 1.0, "name": "Remera lisa",
            "refId": "PRODUCT", "lockId": "00-1234567890123-01", "components": [],
            "bundleItems": [{"id": 12, "quantity": 2}]
        }],
        "itemMetadata": {"Items": [
            {"Id": "25", "Seller": "2", "RefId": "FOREIGN"},
            {"Id": "25", "Seller": "1", "RefId": "REM-NEG-42"}
        ]},
        "shippingData": {"logisticsInfo": [{
            "itemIndex": 0, "deliveryChannel": "delivery", "pickupPointId": null,
            "shippingEstimateDate": "2026-03-09T10:13:40.1020453+00:00",
            "pickupStoreInfo": {"friendlyName": null},
            "deliveryIds": [{"warehouseId": "1_1", "dockId": "1", "quantity": 2, "kitItemDetails": []}]
        }]},
        "packageAttachment": {"packages": []}
    })
}

/// Reads the golden order after a change.
pub fn changed(change: impl FnOnce(&mut Value)) -> OrderDocument {
    let mut order = golden();
    change(&mut order);
    let bench = Bench::answering(json("200 OK", &order.to_string()));
    bench.order().unwrap().unwrap()
}

#[track_caller]
pub fn transient<T: std::fmt::Debug>(result: PortResult<T>) -> (String, Option<Duration>) {
    match result.unwrap_err() {
        PortError::Transient {
            reason,
            retry_after,
        } => (reason, retry_after),
        other => panic!("not transient: {other:?}"),
    }
}

#[track_caller]
pub fn rejected<T: std::fmt::Debug>(result: PortResult<T>) -> String {
    match result.unwrap_err() {
        PortError::Rejected { reason } => reason,
        other => panic!("not rejected: {other:?}"),
    }
}

#[track_caller]
pub fn uncertain<T: std::fmt::Debug>(result: PortResult<T>) -> String {
    match result.unwrap_err() {
        PortError::Uncertain { reason } => reason,
        other => panic!("not uncertain: {other:?}"),
    }
}

#[track_caller]
pub fn denied<T: std::fmt::Debug>(result: PortResult<T>) -> String {
    match result.unwrap_err() {
        PortError::Denied { reason } => reason,
        other => panic!("not denied: {other:?}"),
    }
}
