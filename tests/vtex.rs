//! The VTEX adapter on the wire: requests as VTEX's contracts want them, and every answer VTEX may give.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json as value};

use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::vtex::Vtex;
use stockbridge::config::sections::VtexConfig;
use stockbridge::domain::ids::{OrderId, SkuId, SkuRef, WarehouseId};
use stockbridge::domain::order::{OrderDocument, OrderStage};
use stockbridge::domain::ports::{
    CallOutcome, CheckOutcome, Checks, Clock, ListFilter, Permit, PortError, PortResult,
    ReservationState, Storefront,
};
use stockbridge::domain::time::{BootTime, Moment};

use wire::{GateLog, Largest, Reply, StillClock, Wire, json, with};

const KEY: &str = "key-canary-1";
const TOKEN: &str = "token-canary-2";
const ORDER: &str = "1234567890123-01";

/// A peer, the fakes, and what the configuration adds.
struct Bench {
    wire: Wire,
    clock: StillClock,
    gate: GateLog,
    extra: String,
    until: Option<BootTime>,
}

impl Bench {
    fn new(replies: Vec<Reply>) -> Self {
        Self {
            wire: Wire::start(replies),
            clock: StillClock::new(),
            gate: GateLog::open(),
            extra: String::new(),
            until: Some(BootTime(2_000_000)),
        }
    }

    fn answering(reply: Reply) -> Self {
        Self::new(vec![reply])
    }

    fn set(mut self, line: &str) -> Self {
        self.extra.push_str(line);
        self.extra.push('\n');
        self
    }

    fn ask<T>(&self, question: impl FnOnce(&Vtex<'_>) -> T) -> T {
        let url = self.wire.url();
        self.ask_at(&url, question)
    }

    fn ask_at<T>(&self, url: &str, question: impl FnOnce(&Vtex<'_>) -> T) -> T {
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
        question(&Vtex::new(&config, &key, &token, env).unwrap())
    }

    fn permit(&self) -> Permit<'_> {
        Permit {
            clock: &self.clock,
            send_by: self.clock.boot().plus_ms(5_000),
        }
    }

    fn order(&self) -> PortResult<Option<OrderDocument>> {
        self.ask(|vtex| vtex.order(&order_id()))
    }

    fn start(&self) -> PortResult<()> {
        self.ask(|vtex| vtex.start_handling(&order_id(), &self.permit()))
    }

    fn push(&self) -> PortResult<()> {
        self.push_of("25", 8)
    }

    fn push_of(&self, sku: &str, quantity: i64) -> PortResult<()> {
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

fn order_id() -> OrderId {
    OrderId::parse(ORDER).unwrap()
}

fn sku_id(text: &str) -> SkuId {
    SkuId::parse(text).unwrap()
}

fn warehouse(text: &str) -> WarehouseId {
    WarehouseId::parse(text).unwrap()
}

fn moment(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

fn reference(text: &str) -> SkuRef {
    SkuRef::parse(text).unwrap()
}

/// An order with one line of ours, as VTEX writes it; tests change what they are about.
fn golden() -> Value {
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
fn changed(change: impl FnOnce(&mut Value)) -> OrderDocument {
    let mut order = golden();
    change(&mut order);
    let bench = Bench::answering(json("200 OK", &order.to_string()));
    bench.order().unwrap().unwrap()
}

#[track_caller]
fn transient<T: std::fmt::Debug>(result: PortResult<T>) -> (String, Option<Duration>) {
    match result.unwrap_err() {
        PortError::Transient {
            reason,
            retry_after,
        } => (reason, retry_after),
        other => panic!("not transient: {other:?}"),
    }
}

#[track_caller]
fn rejected<T: std::fmt::Debug>(result: PortResult<T>) -> String {
    match result.unwrap_err() {
        PortError::Rejected { reason } => reason,
        other => panic!("not rejected: {other:?}"),
    }
}

#[track_caller]
fn uncertain<T: std::fmt::Debug>(result: PortResult<T>) -> String {
    match result.unwrap_err() {
        PortError::Uncertain { reason } => reason,
        other => panic!("not uncertain: {other:?}"),
    }
}

#[track_caller]
fn denied<T: std::fmt::Debug>(result: PortResult<T>) -> String {
    match result.unwrap_err() {
        PortError::Denied { reason } => reason,
        other => panic!("not denied: {other:?}"),
    }
}

// Requests.

#[test]
fn every_call_carries_both_credentials_accept_and_content_type() {
    let bench = Bench::answering(json("200 OK", "[]"));
    bench.ask(|vtex| {
        let permit = bench.permit();
        drop(vtex.feed_config());
        drop(vtex.install_feed());
        drop(vtex.read_feed());
        drop(vtex.commit_feed(&["h1".to_owned()]));
        drop(vtex.list_orders(ListFilter::Ready, 1));
        drop(vtex.order(&order_id()));
        drop(vtex.start_handling(&order_id(), &permit));
        drop(vtex.reservation("00-1"));
        drop(vtex.stock(&sku_id("25")));
        drop(vtex.set_quantity(&sku_id("25"), &warehouse("1_1"), 1, Moment(0), &permit));
        drop(vtex.resolve_refs(&[reference("A")]));
        drop(vtex.sku(&sku_id("25")));
        drop(vtex.kit_parts(&sku_id("25")));
        drop(vtex.sku_ids(1));
        drop(vtex.warehouses());
    });
    let seen = bench.wire.seen();
    assert_eq!(seen.len(), 15, "one request for each call of the port");
    for request in seen {
        assert_eq!(request.header("x-vtex-api-appkey"), Some(KEY));
        assert_eq!(request.header("x-vtex-api-apptoken"), Some(TOKEN));
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let agent = request.header("user-agent").unwrap();
        assert!(agent.starts_with("stockbridge/"), "{agent}");
        if request.method != "GET" {
            assert!(request.header("content-length").is_some(), "{request:?}");
        }
    }
}

#[test]
fn the_order_list_is_asked_oldest_first_in_utc_and_encoded() {
    let page = r#"{"list":[
        {"orderId":"a-01","creationDate":"2026-03-01T20:09:43.8999581+00:00","status":"handling"},
        {"orderId":null,"creationDate":"2026-03-01T20:09:43"}],
        "paging":{"total":101,"pages":2,"currentPage":1,"perPage":100}}"#;
    let bench = Bench::answering(json("200 OK", page));
    let from = moment("2026-03-01T00:00:00-03:00");
    let to = moment("2026-03-02T02:59:59.999Z");
    let list = bench
        .ask(|vtex| vtex.list_orders(ListFilter::Created(from, to), 1))
        .unwrap();
    assert_eq!(list.total, 101);
    assert_eq!(list.orders[0].0, "a-01");
    assert_eq!(list.orders[0].1, Some(moment("2026-03-01T20:09:43.899Z")));
    assert_eq!(list.orders[1], (String::new(), None));
    assert_eq!(
        bench.wire.only().target,
        "/api/oms/pvt/orders?page=1&per_page=100&orderBy=creationDate%2Casc&f_creationDate=creationDate%3A%5B\
         2026-03-01T03%3A00%3A00.000Z%20TO%202026-03-02T02%3A59%3A59.999Z%5D"
    );
}

#[test]
fn the_list_is_filtered_by_authorisation_date_or_readiness() {
    let bench = Bench::answering(json("200 OK", r#"{"list":[],"paging":{"total":0}}"#));
    bench.ask(|vtex| {
        vtex.list_orders(ListFilter::Authorized(Moment(0), Moment(1)), 2)
            .unwrap();
        vtex.list_orders(ListFilter::Ready, 30).unwrap();
    });
    let seen = bench.wire.seen();
    assert!(
        seen[0].target.contains("page=2&")
            && seen[0]
                .target
                .contains("&f_authorizedDate=authorizedDate%3A%5B1970")
    );
    assert!(seen[1].target.ends_with("&f_status=ready-for-handling"));
}

#[test]
fn v24_a_page_that_vtex_does_not_show_is_never_asked() {
    let bench = Bench::answering(json("200 OK", "{}"));
    for page in [0, 31] {
        rejected(bench.ask(|vtex| vtex.list_orders(ListFilter::Ready, page)));
    }
    assert!(bench.wire.seen().is_empty());
}

#[test]
fn a_list_without_its_total_is_not_taken_for_an_empty_one() {
    let bench = Bench::answering(json("200 OK", r#"{"list":[]}"#));
    rejected(bench.ask(|vtex| vtex.list_orders(ListFilter::Ready, 1)));
}

#[test]
fn the_feed_is_configured_with_status_changes_and_a_capital_m() {
    let bench = Bench::answering(with("200 OK", &[], b""))
        .set("feed_visibility = \"240s\"")
        .set("feed_retention = \"4d\"");
    bench.ask(|vtex| vtex.install_feed()).unwrap();
    let request = bench.wire.only();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/api/orders/feed/config")
    );
    assert_eq!(
        request.json(),
        value!({
            "filter": {"type": "FromWorkflow", "status": [
                "ready-for-handling", "start-handling", "handling", "invoiced", "request-cancel",
                "cancellation-requested", "cancel", "canceled", "replaced"]},
            "queue": {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 345_600}
        })
    );
}

const FEED: &str = r#"{"filter":{"type":"FromWorkflow","status":["ready-for-handling","start-handling","handling",
    "invoiced","request-cancel","cancellation-requested","cancel","canceled","replaced"],"expression":null},
    "queue":{"visibilityTimeoutInSeconds":240,"messageRetentionPeriodInSeconds":345600},
    "quantity":3,"aproximateAgeOfOldestMessageInSeconds":12.5}"#;

#[test]
fn the_feed_configuration_is_read_in_either_spelling() {
    let bench = Bench::answering(json("200 OK", FEED)).set("feed_visibility = \"240s\"");
    let feed = bench.ask(|vtex| vtex.feed_config()).unwrap().unwrap();
    assert!(feed.as_wanted, "{}", feed.difference);
    assert_eq!(
        (feed.depth, feed.oldest_s, feed.retention_s),
        (Some(3), Some(12), 345_600)
    );
}

#[test]
fn a_foreign_feed_configuration_is_shown_with_its_differences() {
    let body = r#"{"filter":{"type":"FromOrders","expression":"true"},
        "queue":{"visibilityTimeoutInSeconds":30,"MessageRetentionPeriodInSeconds":100}}"#;
    let bench = Bench::answering(json("200 OK", body)).set("feed_visibility = \"240s\"");
    let feed = bench.ask(|vtex| vtex.feed_config()).unwrap().unwrap();
    assert!(!feed.as_wanted);
    for part in [
        "FromOrders",
        "leaves out ready-for-handling",
        "100 s",
        "30 s",
    ] {
        assert!(
            feed.difference.contains(part),
            "{part}: {}",
            feed.difference
        );
    }
}

#[test]
fn v22_a_missing_feed_is_told_apart_from_an_empty_one() {
    let missing = Bench::answering(json("404 Not Found", r#"{"error":"no feed"}"#));
    assert_eq!(missing.ask(|vtex| vtex.read_feed()), Ok(None));
    assert_eq!(missing.ask(|vtex| vtex.feed_config()), Ok(None));
    let empty = Bench::answering(json("200 OK", "[]"));
    assert_eq!(empty.ask(|vtex| vtex.read_feed()), Ok(Some(Vec::new())));
    assert_eq!(empty.wire.only().target, "/api/orders/feed?maxlot=10");
}

#[test]
fn v23_an_event_without_a_handle_is_kept_without_one() {
    let body = r#"[{"handle":"h1","orderId":"a-01","state":"handling","domain":"Fulfillment"},
        {"handle":"","orderId":"../x","state":null}]"#;
    let bench = Bench::answering(json("200 OK", body));
    let events = bench.ask(|vtex| vtex.read_feed()).unwrap().unwrap();
    assert_eq!(events[0].handle.as_deref(), Some("h1"));
    assert_eq!(
        (events[1].handle.as_ref(), events[1].order.as_str()),
        (None, "../x")
    );
    assert_eq!(events[1].status, "");
}

#[test]
fn handles_are_committed_ten_at_a_time() {
    let bench = Bench::answering(with("200 OK", &[], b""));
    let handles: Vec<String> = (0..12).map(|n| format!("h{n}")).collect();
    bench.ask(|vtex| vtex.commit_feed(&handles)).unwrap();
    let seen = bench.wire.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].json(), value!({"handles": ["h10", "h11"]}));
    bench.ask(|vtex| vtex.commit_feed(&[])).unwrap();
    assert_eq!(bench.wire.seen().len(), 2, "nothing to commit asks nothing");
}

#[test]
fn a_commit_whose_answer_is_lost_is_harmless() {
    let bench = Bench::answering(Reply::Raw(Vec::new()));
    transient(bench.ask(|vtex| vtex.commit_feed(&["h".to_owned()])));
    assert_eq!(bench.wire.seen().len(), 1, "a write is never repeated");
}

// The order document.

#[test]
fn an_order_is_reduced_to_the_fields_in_use() {
    let order = changed(|_| {});
    assert_eq!(order.stage, OrderStage::Ready);
    assert!(order.complete && !order.workflow_in_error && !order.has_package);
    assert_eq!(order.problems, Vec::<String>::new());
    assert_eq!(order.reservations, ["00-1234567890123-01"]);
    assert_eq!(
        order.delivery_date,
        Some(moment("2026-03-09T10:13:40.102Z"))
    );
    assert_eq!(order.pickup_point, None);
    let [line] = order.lines.as_slice() else {
        panic!("{:?}", order.lines)
    };
    assert_eq!(
        (line.sku.as_str(), line.warehouse.as_str(), line.units),
        ("25", "1_1", 2)
    );
    assert_eq!(line.reference, Some(reference("REM-NEG-42")));
    assert_eq!(line.name.as_deref(), Some("Remera lisa"));
    assert!(!line.kit);
}

#[test]
fn v9_an_answer_about_another_order_is_rejected() {
    for id in [value!("9-01"), value!(null), value!("")] {
        let mut order = golden();
        order["orderId"] = id;
        let bench = Bench::answering(json("200 OK", &order.to_string()));
        rejected(bench.order());
    }
}

#[test]
fn v10_unknown_null_and_empty_statuses_are_recorded() {
    for (status, kept) in [
        (value!(null), ""),
        (value!(""), ""),
        (value!("on-the-moon"), "on-the-moon"),
    ] {
        let order = changed(|order| order["status"] = status);
        assert_eq!(
            (order.stage, order.status.as_str()),
            (OrderStage::Unknown, kept)
        );
    }
}

#[test]
fn v11_an_order_without_items_has_a_problem() {
    for items in [value!([]), value!(null)] {
        let order = changed(|order| order["items"] = items);
        assert_eq!(order.problems, ["the order has no items"]);
    }
}

#[test]
fn v12_fractional_quantity_parks() {
    for bad in [
        "0",
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "\"2\"",
        "2147483648",
        "10001",
        "null",
    ] {
        let order = changed(|order| {
            order["items"][0]["quantity"] = serde_json::from_str(bad).unwrap();
        });
        assert!(order.lines.is_empty(), "{bad}");
        assert_eq!(order.problems.len(), 1, "{bad}");
        assert!(order.problems[0].contains("whole number from 1 to 10000"));
    }
    let body = golden()
        .to_string()
        .replace("\"quantity\":2,\"refId\"", "\"quantity\":NaN,\"refId\"");
    assert!(body.contains("NaN"));
    rejected(Bench::answering(json("200 OK", &body)).order());
}

#[test]
fn v13_a_unit_multiplier_other_than_one_parks() {
    for (multiplier, fine) in [
        ("1", true),
        ("1.000", true),
        ("null", true),
        ("0.5", false),
        ("5", false),
        ("\"1\"", false),
    ] {
        let order = changed(|order| {
            order["items"][0]["unitMultiplier"] = serde_json::from_str(multiplier).unwrap();
        });
        assert_eq!(order.problems.is_empty(), fine, "{multiplier}");
        assert_eq!(order.lines.len(), usize::from(fine), "{multiplier}");
    }
}

#[test]
fn v14_equal_lines_are_kept_for_the_caller_to_add_up() {
    let order = changed(|order| {
        let item = order["items"][0].clone();
        order["items"].as_array_mut().unwrap().push(item);
        let mut place = order["shippingData"]["logisticsInfo"][0].clone();
        place["itemIndex"] = value!(1);
        order["shippingData"]["logisticsInfo"]
            .as_array_mut()
            .unwrap()
            .push(place);
    });
    assert_eq!(order.lines.len(), 2);
    assert_eq!(order.reservations.len(), 1, "one reservation, named once");
}

#[test]
fn v15_a_reference_is_kept_as_it_stands_or_not_at_all() {
    for (written, kept) in [
        (value!("rem-neg-42 "), Some("rem-neg-42 ")),
        (value!("A--T"), Some("A--T")),
        (value!("Ñandú#B"), Some("Ñandú#B")),
        (value!(""), None),
        (value!(null), None),
        (value!("a\nb"), None),
    ] {
        let order = changed(|order| order["itemMetadata"]["Items"][1]["RefId"] = written);
        assert_eq!(order.lines[0].reference, kept.map(reference));
        assert!(order.problems.is_empty());
    }
    let order = changed(|order| order["itemMetadata"] = value!(null));
    assert_eq!(
        order.lines[0].reference, None,
        "the product's refId is no SKU reference"
    );
}

#[test]
fn v16_sku_ids_are_text_and_never_pushed_with_a_leading_zero() {
    let order = changed(|order| {
        order["items"][0]["id"] = value!("025");
    });
    assert_eq!(order.lines[0].sku.as_str(), "025");
    assert_eq!(order.lines[0].reference, None, "25 is another SKU");
    let bench = Bench::answering(with("204 No Content", &[], b""));
    rejected(bench.push_of("025", 1));
    rejected(bench.push_of("99999999999", 1));
    assert!(bench.wire.seen().is_empty());
}

#[test]
fn v17_a_line_with_components_is_a_kit_and_services_are_none() {
    let order = changed(|order| order["items"][0]["components"] = value!([{"id": "7"}]));
    assert!(order.lines[0].kit);
    let order = changed(|order| order["items"][0]["components"] = value!(null));
    assert!(!order.lines[0].kit);
}

#[test]
fn v18_lines_of_other_sellers_are_counted_and_left_out() {
    let order = changed(|order| {
        let mut item = order["items"][0].clone();
        item["seller"] = value!("partner");
        item["lockId"] = value!("00-other");
        order["items"].as_array_mut().unwrap().insert(0, item);
        order["shippingData"]["logisticsInfo"][0]["itemIndex"] = value!(1);
    });
    assert_eq!((order.foreign_lines, order.lines.len()), (1, 1));
    assert_eq!(order.reservations, ["00-1234567890123-01"]);
    let mut order = golden();
    order["items"][0]["seller"] = value!("tienda");
    let bench = Bench::answering(json("200 OK", &order.to_string())).set("seller = \"tienda\"");
    assert_eq!(bench.order().unwrap().unwrap().lines.len(), 1);
}

#[test]
fn v21_odd_dates_are_read_or_left_out() {
    for (written, read) in [
        (
            "2026-03-01T20:46:11.7010747+00:00",
            Some("2026-03-01T20:46:11.701Z"),
        ),
        ("2099-01-01T00:00:00Z", Some("2099-01-01T00:00:00Z")),
        ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
        ("2026-03-01T20:46:11", None),
        ("yesterday", None),
    ] {
        let order = changed(|order| order["lastChange"] = value!(written));
        assert_eq!(order.last_change, read.map(moment), "{written}");
    }
    assert_eq!(
        changed(|order| order["lastChange"] = value!(null)).last_change,
        None
    );
}

#[test]
fn v32_masked_customer_data_blocks_nothing() {
    let order = changed(|order| {
        order["clientProfileData"] = value!({"email": "***", "document": null, "phone": {"x": 1}});
        order["shippingData"]["address"] = value!("masked");
    });
    assert_eq!(order.lines.len(), 1);
}

#[test]
fn v33_hostile_names_are_cut_and_stripped() {
    let name = format!("\u{202e}<b>=HYPERLINK(1)\r\n{}", "x".repeat(10_000));
    let order = changed(|order| order["items"][0]["name"] = value!(name));
    let kept = order.lines[0].name.clone().unwrap();
    assert!(kept.starts_with("<b>=HYPERLINK(1) xxx"), "{kept}");
    assert_eq!(kept.chars().count(), 201);
}

#[test]
fn v34_warehouse_ids_differ_by_case_and_missing_ones_park() {
    let order = changed(|order| {
        order["shippingData"]["logisticsInfo"][0]["deliveryIds"][0]["warehouseId"] = value!("TEST");
    });
    assert_ne!(order.lines[0].warehouse, warehouse("test"));
    for places in [value!([]), value!(null)] {
        let order = changed(|order| {
            order["shippingData"]["logisticsInfo"][0]["deliveryIds"] = places;
        });
        assert_eq!(order.problems, ["line 1: SKU 25 has no warehouse"]);
    }
    let order = changed(|order| order["shippingData"] = value!(null));
    assert_eq!(order.problems.len(), 1);
}

#[test]
fn v37_incomplete_and_stuck_orders_are_marked() {
    assert!(!changed(|order| order["isCompleted"] = value!(false)).complete);
    assert!(changed(|order| order["isCompleted"] = value!(null)).complete);
    assert!(changed(|order| order["workflowIsInError"] = value!(true)).workflow_in_error);
}

#[test]
fn an_item_spread_over_warehouses_becomes_several_lines() {
    let spread = |quantities: [i64; 2]| {
        changed(|order| {
            order["items"][0]["quantity"] = value!(5);
            order["shippingData"]["logisticsInfo"][0]["deliveryIds"] = value!([
                {"warehouseId": "1_1", "quantity": quantities[0]},
                {"warehouseId": "1_2", "quantity": quantities[1]}
            ]);
        })
    };
    let order = spread([2, 3]);
    let parts: Vec<_> = order
        .lines
        .iter()
        .map(|l| (l.warehouse.as_str(), l.units))
        .collect();
    assert_eq!(parts, [("1_1", 2), ("1_2", 3)]);
    let order = spread([2, 2]);
    assert_eq!(
        order.problems,
        ["line 1: SKU 25: 5 units ordered, 4 spread over warehouses"]
    );
    assert!(order.lines.is_empty());
}

#[test]
fn packages_and_pick_up_points_are_seen() {
    let order = changed(|order| {
        order["packageAttachment"]["packages"] = value!([{"invoiceNumber": "1"}]);
        let place = &mut order["shippingData"]["logisticsInfo"][0];
        place["deliveryChannel"] = value!("pickup-in-point");
        place["pickupStoreInfo"] = value!({"friendlyName": "Centro", "address": {"street": "x"}});
        place["pickupPointId"] = value!("1_centro");
    });
    assert!(order.has_package);
    assert_eq!(order.pickup_point.as_deref(), Some("Centro"));
    let order = changed(|order| {
        order["shippingData"]["logisticsInfo"][0]["deliveryChannel"] = value!("pickup-in-point");
        order["shippingData"]["logisticsInfo"][0]["pickupPointId"] = value!("1_centro");
    });
    assert_eq!(order.pickup_point.as_deref(), Some("1_centro"));
}

// Answers that are none.

#[test]
fn v1_an_empty_answer_is_asked_again() {
    let bench = Bench::new(vec![
        json("200 OK", ""),
        json("200 OK", &golden().to_string()),
    ]);
    assert!(bench.order().unwrap().is_some());
    assert_eq!(*bench.clock.slept.lock().unwrap(), [500]);
    assert_eq!(
        bench.gate.outcomes(),
        [CallOutcome::Failed, CallOutcome::Answered]
    );
}

#[test]
fn reads_are_sent_three_times_with_growing_pauses() {
    let bench = Bench::answering(json("500 Internal Server Error", "{}"));
    let (reason, _) = transient(bench.order());
    assert!(
        reason.starts_with(&format!("read order {ORDER} at 127.0.0.1:")),
        "{reason}"
    );
    assert_eq!(bench.wire.seen().len(), 3);
    assert_eq!(*bench.clock.slept.lock().unwrap(), [500, 1000]);
}

#[test]
fn no_pause_reaches_beyond_the_deadline() {
    let mut bench = Bench::answering(json("500 Internal Server Error", "{}"));
    bench.until = Some(bench.clock.boot().plus_ms(1_000));
    transient(bench.order());
    assert_eq!(bench.wire.seen().len(), 2, "the second pause would not fit");
}

#[test]
fn retries_are_a_tenth_of_the_requests_and_at_least_three() {
    let bench = Bench::answering(json("500 Internal Server Error", "{}"));
    bench.ask(|vtex| {
        for _ in 0..4 {
            transient(vtex.order(&order_id()));
        }
    });
    assert_eq!(bench.wire.seen().len(), 4 + 3);
}

#[test]
fn v2_a_web_page_is_no_answer() {
    let page = || {
        with(
            "200 OK",
            &[("content-type", "text/html")],
            b"<html>log in</html>",
        )
    };
    let bench = Bench::answering(page());
    let (reason, _) = transient(bench.order());
    assert!(reason.contains("web page"), "{reason}");
    let unlabelled = Bench::answering(with("200 OK", &[], b"<html>log in</html>"));
    transient(unlabelled.order());
    let missing = Bench::answering(with(
        "404 Not Found",
        &[("content-type", "text/html")],
        b"<p>",
    ));
    rejected(missing.order());
}

#[test]
fn v3_cut_answers_are_transport_errors() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let cut = json("200 OK", "{\"orderId\":\"123");
    let short = Reply::Raw(format!("{head}content-length: 500\r\n\r\n{{}}").into_bytes());
    let endless =
        Reply::Raw(format!("{head}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n").into_bytes());
    for reply in [cut, short, endless, Reply::Raw(Vec::new())] {
        let bench = Bench::answering(reply);
        transient(bench.order());
        assert_eq!(bench.wire.seen().len(), 3);
    }
}

#[test]
fn v4_deep_nesting_is_rejected() {
    let body = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let bench = Bench::answering(json("200 OK", &body));
    assert!(rejected(bench.order()).contains("nested"));
    assert_eq!(bench.wire.seen().len(), 1);
}

#[test]
fn v5_reading_stops_at_the_limit_also_inside_gzip() {
    let plain = Bench::answering(json("200 OK", &" ".repeat(9 * 1024 * 1024)));
    assert!(rejected(plain.order()).contains("larger than"));
    let bomb = with(
        "200 OK",
        &[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ],
        &gzip_of_blanks(100_000),
    );
    let bench = Bench::answering(bomb);
    assert!(rejected(bench.order()).contains("larger than"));
    let request = bench.wire.only();
    assert!(request.header("accept-encoding").unwrap().contains("gzip"));
}

/// Writes a gzip stream of one blank and `repeats` times 258 more: 13 bits for each 258 bytes (RFC 1951, 3.2.6).
fn gzip_of_blanks(repeats: usize) -> Vec<u8> {
    // The last block, with fixed codes; then the blank's code, the longest run's, and a distance of one.
    let head = [true, true, false];
    let code = |bits: u16, n: u16| (0..n).rev().map(move |bit| bits >> bit & 1 == 1);
    let run = || code(0b1100_0101, 8).chain(code(0, 5));
    let bits: Vec<bool> = head
        .into_iter()
        .chain(code(0x30 + 0x20, 8))
        .chain((0..repeats).flat_map(|_| run()))
        .collect();
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(bits.chunks(8).map(|chunk| {
        let ones = chunk.iter().enumerate().filter(|(_, bit)| **bit);
        ones.map(|(place, _)| 1_u8 << place).sum::<u8>()
    }));
    bytes
}

#[test]
fn v6_a_byte_order_mark_is_skipped_and_other_encodings_are_rejected() {
    let marked = Bench::answering(json("200 OK", &format!("\u{feff}{}", golden())));
    assert!(marked.order().unwrap().is_some());
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let kind = [("content-type", "application/json")];
    for body in [utf16, b"{\"status\":\"\xff\"}".to_vec()] {
        rejected(Bench::answering(with("200 OK", &kind, &body)).order());
    }
    let lone = golden().to_string().replace("Remera lisa", "\\ud800");
    rejected(Bench::answering(json("200 OK", &lone)).order());
}

#[test]
fn v7_a_field_that_stands_twice_is_ambiguous() {
    let twice = golden()
        .to_string()
        .replace("\"quantity\":2,", "\"quantity\":2,\"quantity\":3,");
    let reason = rejected(Bench::answering(json("200 OK", &twice)).order());
    assert!(reason.contains("duplicate field"), "{reason}");
    let refs = Bench::answering(json("200 OK", r#"{"A":"1","A":"2"}"#));
    rejected(refs.ask(|vtex| vtex.resolve_refs(&[reference("A")])));
}

#[test]
fn v8_hostile_ids_stay_inside_their_path_segment() {
    let bench = Bench::answering(json("404 Not Found", "{}"));
    assert_eq!(
        bench.ask(|vtex| vtex.reservation("../x?y#z\r\n%")),
        Ok(None)
    );
    assert_eq!(
        bench.wire.only().target,
        "/api/logistics/pvt/inventory/reservations/..%2Fx%3Fy%23z%0D%0A%25"
    );
}

#[test]
fn a_missing_order_is_none() {
    let bench = Bench::answering(json(
        "404 Not Found",
        r#"{"error":{"message":"Order Not Found"}}"#,
    ));
    assert_eq!(bench.order(), Ok(None));
}

// Restraint.

#[test]
fn v25_retry_after_is_obeyed_within_its_bounds() {
    for (header, wait_s) in [
        (Some("120"), 120),
        (Some("Mon, 02 Mar 2026 12:02:00 GMT"), 120),
        (Some("-5"), 0),
        (Some("1000000000"), 3600),
        (Some("99999999999999999999999"), 3600),
        (Some("soon"), 60),
        (None, 60),
    ] {
        let headers: Vec<(&str, &str)> = header.map(|h| ("retry-after", h)).into_iter().collect();
        let mut bench = Bench::answering(with("429 Too Many Requests", &headers, b"{}"));
        bench.until = Some(bench.clock.boot());
        let (_, retry_after) = transient(bench.order());
        let wait = Duration::from_secs(wait_s);
        assert_eq!(retry_after, Some(wait), "{header:?}");
        assert_eq!(bench.gate.outcomes(), [CallOutcome::Throttled(wait)]);
        let (_, retry_after) = transient(bench.push());
        assert_eq!(retry_after, Some(wait), "a stock write too, {header:?}");
    }
}

#[test]
fn v25_a_wait_that_fits_is_waited() {
    let bench = Bench::new(vec![
        with("429 Too Many Requests", &[("retry-after", "3")], b""),
        json("200 OK", &golden().to_string()),
    ]);
    assert!(bench.order().is_ok());
    assert_eq!(*bench.clock.slept.lock().unwrap(), [3_000]);
}

#[test]
fn a_closed_gate_sends_nothing() {
    let mut bench = Bench::answering(json("200 OK", "{}"));
    bench.gate = GateLog::closed();
    transient(bench.order());
    transient(bench.start());
    assert!(bench.wire.seen().is_empty());
}

#[test]
fn v26_denied_access_is_asked_once_and_reported() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let body = r#"{"error":{"code":"1","message":"Unauthorized access","exception":null}}"#;
        let bench = Bench::answering(json(status, body));
        let reason = denied(bench.order());
        assert!(!reason.contains("canary"), "{reason}");
        denied(bench.start());
        denied(bench.push());
        denied(bench.ask(|vtex| vtex.commit_feed(&["h".to_owned()])));
        assert_eq!(bench.wire.seen().len(), 4);
        assert_eq!(bench.gate.outcomes(), [CallOutcome::Denied; 4]);
    }
}

#[test]
fn v27_redirects_are_errors_and_hand_no_keys_on() {
    let elsewhere = Wire::start(vec![json("200 OK", "{}")]);
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
    ] {
        let target = elsewhere.url();
        let bench = Bench::answering(with(status, &[("location", target.as_str())], b""));
        assert!(rejected(bench.order()).contains("redirect"));
        uncertain(bench.start());
        uncertain(bench.push());
    }
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn v28_a_server_fault_with_a_page_is_tried_again() {
    let page = with(
        "503 Service Unavailable",
        &[("content-type", "text/html")],
        b"<html>",
    );
    let bench = Bench::new(vec![page, json("200 OK", &golden().to_string())]);
    assert!(bench.order().is_ok());
}

#[test]
fn v29_a_slow_peer_meets_the_total_limit() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
    let slow_body = [head, vec![b' '; 1000]].concat();
    let endless_head = b"HTTP/1.1 200 OK\r\nx: y".repeat(100);
    for bytes in [slow_body, endless_head] {
        let mut bench = Bench::answering(Reply::Drip(bytes, Duration::from_millis(20)))
            .set("total_timeout = \"300ms\"");
        bench.until = Some(bench.clock.boot());
        let started = std::time::Instant::now();
        transient(bench.order());
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn too_many_headers_are_refused() {
    let many: String = (0..150).map(|n| format!("x-{n}: y\r\n")).collect();
    let bytes = format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\n{{}}").into_bytes();
    let bench = Bench::answering(Reply::Raw(bytes));
    assert!(bench.order().is_err());
}

#[test]
fn v31_a_name_that_leads_to_this_machine_is_refused() {
    let bench = Bench::answering(json("200 OK", "{}"));
    let url = format!("http://no-such-name.invalid:{}", bench.wire.port());
    let (reason, _) = transient(bench.ask_at(&url, |vtex| vtex.order(&order_id())));
    assert!(reason.contains("no-such-name.invalid"), "{reason}");
    assert!(bench.wire.seen().is_empty());
}

#[test]
fn a_refused_connection_is_certainly_not_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let bench = Bench::answering(json("200 OK", "{}"));
    let permit = bench.permit();
    transient(bench.ask_at(&url, |vtex| vtex.start_handling(&order_id(), &permit)));
    assert_eq!(bench.gate.outcomes(), [CallOutcome::Failed]);
}

// Start-handling.

#[test]
fn start_handling_is_one_post_without_a_body() {
    let bench = Bench::answering(with("204 No Content", &[], b""));
    bench.start().unwrap();
    let request = bench.wire.only();
    assert_eq!(
        (
            request.method.as_str(),
            request.target.as_str(),
            request.body.as_str()
        ),
        (
            "POST",
            "/api/oms/pvt/orders/1234567890123-01/start-handling",
            ""
        )
    );
}

#[test]
fn start_handling_is_certain_only_about_204_and_404() {
    rejected(Bench::answering(json("404 Not Found", "{}")).start());
    for status in [
        "200 OK",
        "400 Bad Request",
        "409 Conflict",
        "423 Locked",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let body = r#"{"error":{"code":"OMS003","message":"Invalid workflow"}}"#;
        let bench = Bench::answering(json(status, body));
        let reason = uncertain(bench.start());
        assert!(reason.contains("OMS003 Invalid workflow"), "{reason}");
        assert_eq!(bench.wire.seen().len(), 1, "{status}");
    }
    uncertain(Bench::answering(Reply::Raw(Vec::new())).start());
    let hung =
        Bench::answering(Reply::Hang(Duration::from_secs(2))).set("total_timeout = \"200ms\"");
    uncertain(hung.start());
}

#[test]
fn an_old_claim_is_not_sent() {
    let bench = Bench::answering(with("204 No Content", &[], b""));
    let permit = bench.permit();
    bench.clock.sleep(Duration::from_secs(6));
    transient(bench.ask(|vtex| vtex.start_handling(&order_id(), &permit)));
    transient(
        bench
            .ask(|vtex| vtex.set_quantity(&sku_id("25"), &warehouse("1_1"), 1, Moment(0), &permit)),
    );
    assert!(bench.wire.seen().is_empty());
}

// Stock.

#[test]
fn a_quantity_is_patched_with_its_instant() {
    let bench = Bench::answering(with("204 No Content", &[], b""));
    bench.push().unwrap();
    let request = bench.wire.only();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        (
            "PATCH",
            "/api/logistics/pvt/inventory/skus/25/warehouses/1_1/quantity"
        )
    );
    assert_eq!(
        request.json(),
        value!({"quantity": 8, "unlimitedQuantity": false, "dateUtcOnBalanceSystem": "2026-03-02T11:59:58.000Z"})
    );
}

const STOCK: &str = r#"{"skuId":"25","balance":[
    {"warehouseId":"1_1","warehouseName":"Depósito","totalQuantity":10,"reservedQuantity":-2,
     "hasUnlimitedQuantity":false,"leadTime":"2.00:00:00"},
    {"warehouseId":"1_2","totalQuantity":1000000,"reservedQuantity":0,"hasUnlimitedQuantity":true,"leadTime":null}]}"#;

#[test]
fn a_put_carries_the_lead_time_over() {
    for (id, lead_time) in [
        ("1_1", "2.00:00:00"),
        ("1_2", "00.00:00:00"),
        ("1_9", "00.00:00:00"),
    ] {
        let bench = Bench::new(vec![json("200 OK", STOCK), json("200 OK", "true")])
            .set("stock_call = \"put\"");
        let permit = bench.permit();
        bench
            .ask(|vtex| vtex.set_quantity(&sku_id("25"), &warehouse(id), 8, Moment(0), &permit))
            .unwrap();
        let seen = bench.wire.seen();
        assert_eq!(seen[1].method, "PUT");
        assert_eq!(
            seen[1].target,
            format!("/api/logistics/pvt/inventory/skus/25/warehouses/{id}")
        );
        assert_eq!(
            seen[1].json(),
            value!({"quantity": 8, "unlimitedQuantity": false, "leadTime": lead_time,
                    "dateUtcOnBalanceSystem": "1970-01-01T00:00:00.000Z"})
        );
    }
}

#[test]
fn a_put_is_not_sent_when_the_lead_time_cannot_be_read() {
    let bench =
        Bench::answering(json("500 Internal Server Error", "{}")).set("stock_call = \"put\"");
    transient(bench.push());
    assert!(
        bench
            .wire
            .seen()
            .iter()
            .all(|request| request.method == "GET")
    );
}

#[test]
fn the_plans_own_route_is_offered() {
    let bench = Bench::answering(json("200 OK", "true")).set("stock_call = \"fulfillment\"");
    bench.push().unwrap();
    let request = bench.wire.only();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("PUT", "/api/fulfillment/pvt/stock")
    );
    assert_eq!(
        request.json(),
        value!({"skuId": "25", "warehouseId": "1_1", "quantity": 8})
    );
}

#[test]
fn no_negative_and_no_overlong_quantity_is_sent() {
    let bench = Bench::answering(with("204 No Content", &[], b""));
    rejected(bench.push_of("25", -1));
    rejected(bench.push_of("25", i64::from(i32::MAX) + 1));
    assert!(bench.wire.seen().is_empty());
    bench.push_of("25", 0).unwrap();
}

#[test]
fn v36_a_lock_is_told_apart_from_other_faults() {
    let text = [("content-type", "text/plain")];
    let bench = Bench::answering(with(
        "423 Locked",
        &text,
        b"Unable to acquire lock for key x",
    ));
    let err = bench.push().unwrap_err();
    assert!(err.is_lock());
    let (_, retry_after) = transient(Err::<(), _>(err));
    assert_eq!(retry_after, Some(Duration::from_secs(5)));
    assert_eq!(bench.wire.seen().len(), 1, "the write is not repeated here");
    let busy = Bench::answering(json("429 Too Many Requests", "{}"));
    assert!(!busy.push().unwrap_err().is_lock());
}

#[test]
fn v28_a_stock_write_that_may_have_been_applied_is_uncertain() {
    for status in [
        "500 Internal Server Error",
        "502 Bad Gateway",
        "504 Gateway Timeout",
        "408 Request Timeout",
    ] {
        uncertain(Bench::answering(json(status, "{}")).push());
    }
    uncertain(Bench::answering(Reply::Raw(Vec::new())).push());
    for status in [
        "400 Bad Request",
        "404 Not Found",
        "409 Conflict",
        "422 Unprocessable Entity",
    ] {
        let reason =
            rejected(Bench::answering(json(status, r#"{"Message":"No\u001b[31m SKU"}"#)).push());
        assert!(reason.ends_with("No SKU"), "{reason}");
    }
}

#[test]
fn stock_is_read_per_warehouse_with_negative_reservations() {
    let bench = Bench::answering(json("200 OK", STOCK));
    let rows = bench.ask(|vtex| vtex.stock(&sku_id("25"))).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (rows[0].total, rows[0].reserved, rows[0].unlimited),
        (10, -2, false)
    );
    assert!(rows[1].unlimited);
    assert_eq!(
        bench.wire.only().target,
        "/api/logistics/pvt/inventory/skus/25"
    );
}

#[test]
fn v35_stock_of_another_sku_is_rejected() {
    for body in [
        STOCK.replace("\"25\"", "\"26\""),
        STOCK.replace("\"skuId\":\"25\",", ""),
    ] {
        rejected(Bench::answering(json("200 OK", &body)).ask(|vtex| vtex.stock(&sku_id("25"))));
    }
    let fraction = STOCK.replace("\"totalQuantity\":10", "\"totalQuantity\":10.5");
    rejected(Bench::answering(json("200 OK", &fraction)).ask(|vtex| vtex.stock(&sku_id("25"))));
    let none = Bench::answering(json("200 OK", r#"{"skuId":null,"balance":[]}"#));
    assert_eq!(none.ask(|vtex| vtex.stock(&sku_id("25"))), Ok(Vec::new()));
}

#[test]
fn a_reservation_is_held_acknowledged_or_gone() {
    use ReservationState::{Acknowledged, Gone, Held};
    for (body, state) in [
        (r#"{"LockId":"00-1","Status":2}"#, Held),
        (
            r#"{"Status":1,"DateUtcAcknowledgedOnBalanceSystem":"0001-01-01T00:00:00"}"#,
            Held,
        ),
        (
            r#"{"Status":"Confirmed","DateUtcAcknowledgedOnBalanceSystem":null}"#,
            Held,
        ),
        (r#"{"Status":"Authorized"}"#, Held),
        (r#"{"Status":0}"#, Held),
        (
            r#"{"Status":2,"DateUtcAcknowledgedOnBalanceSystem":"2026-03-01T10:00:00"}"#,
            Acknowledged,
        ),
        (r#"{"Status":3}"#, Gone),
        (
            r#"{"Status":"4","DateUtcAcknowledgedOnBalanceSystem":"2026-03-01T10:00:00"}"#,
            Gone,
        ),
        (r#"{"Status":"Canceled_Manually"}"#, Gone),
    ] {
        let bench = Bench::answering(json("200 OK", body));
        assert_eq!(
            bench.ask(|vtex| vtex.reservation("00-1")),
            Ok(Some(state)),
            "{body}"
        );
    }
    for body in [
        r#"{"Status":9}"#,
        r#"{"Status":null}"#,
        r#"{"LockId":"00-2","Status":2}"#,
    ] {
        rejected(Bench::answering(json("200 OK", body)).ask(|vtex| vtex.reservation("00-1")));
    }
}

#[test]
fn warehouses_are_listed_exactly() {
    let body = r#"[{"id":"TEST","name":"x","isActive":true},{"id":"test","isActive":false}]"#;
    let bench = Bench::answering(json("200 OK", body));
    assert_eq!(
        bench.ask(|vtex| vtex.warehouses()),
        Ok(vec![(warehouse("TEST"), true), (warehouse("test"), false)])
    );
    assert_eq!(
        bench.wire.only().target,
        "/api/logistics/pvt/configuration/warehouses"
    );
}

// Catalogue.

#[test]
fn references_are_asked_once_each_in_hundreds() {
    let bench = Bench::answering(json(
        "200 OK",
        r#"{"R-0":"10","R-1":null,"R-2":"x","OTHER":"9"}"#,
    ));
    let mut refs: Vec<SkuRef> = (0..150).map(|n| reference(&format!("R-{n}"))).collect();
    refs.push(reference("R-0"));
    let found = bench.ask(|vtex| vtex.resolve_refs(&refs)).unwrap();
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [(reference("R-0"), sku_id("10"))]
    );
    let seen = bench.wire.seen();
    let sizes: Vec<usize> = seen
        .iter()
        .map(|r| r.json().as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [100, 50]);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        (
            "POST",
            "/api/catalog_system/pub/sku/stockkeepingunitidsbyrefids"
        )
    );
}

#[test]
fn a_sku_is_read_with_reference_kind_and_unit() {
    let body = r#"{"Id":25,"NameComplete":"Remera lisa negra 42","SkuName":"42","IsKit":true,"UnitMultiplier":0.5,
        "AlternateIds":{"Ean":"8","RefId":"REM-NEG-42"}}"#;
    let bench = Bench::answering(json("200 OK", body));
    let sku = bench.ask(|vtex| vtex.sku(&sku_id("25"))).unwrap().unwrap();
    assert_eq!(sku.reference, Some(reference("REM-NEG-42")));
    assert!(sku.kit && !sku.unit_is_one);
    assert_eq!(sku.name.as_deref(), Some("Remera lisa negra 42"));
    assert_eq!(
        bench.wire.only().target,
        "/api/catalog_system/pvt/sku/stockkeepingunitbyid/25"
    );
    let bare = Bench::answering(json(
        "200 OK",
        r#"{"Id":25,"AlternateIds":null,"SkuName":"42"}"#,
    ));
    let sku = bare.ask(|vtex| vtex.sku(&sku_id("25"))).unwrap().unwrap();
    assert_eq!(
        (sku.reference, sku.kit, sku.unit_is_one),
        (None, false, true)
    );
    let other = Bench::answering(json("200 OK", r#"{"Id":26}"#));
    rejected(other.ask(|vtex| vtex.sku(&sku_id("25"))));
    let none = Bench::answering(json("404 Not Found", "\"SKU not found\""));
    assert_eq!(none.ask(|vtex| vtex.sku(&sku_id("25"))), Ok(None));
}

#[test]
fn v17_kit_parts_come_as_one_object_or_as_a_list() {
    let part = r#"{"Id":7,"StockKeepingUnitParent":25,"StockKeepingUnitId":1,"Quantity":2,"UnitPrice":50.0}"#;
    let other = part.replace("\"StockKeepingUnitId\":1", "\"StockKeepingUnitId\":3");
    let parts = |body: &str| {
        let bench = Bench::answering(json("200 OK", body));
        let parts = bench.ask(|vtex| vtex.kit_parts(&sku_id("25"))).unwrap();
        assert_eq!(
            bench.wire.only().target,
            "/api/catalog/pvt/stockkeepingunitkit?parentSkuId=25"
        );
        parts
    };
    assert_eq!(parts(part), [(sku_id("1"), 2)]);
    assert_eq!(
        parts(&format!("[{part},{other}]")),
        [(sku_id("1"), 2), (sku_id("3"), 2)]
    );
    for unknown in [
        "[]".to_owned(),
        "null".to_owned(),
        part.replace("\"Quantity\":2", "\"Quantity\":0.5"),
        part.replace("Parent\":25", "Parent\":26"),
        format!(
            "[{part},{}]",
            part.replace("\"Quantity\":2", "\"Quantity\":0")
        ),
    ] {
        assert_eq!(parts(&unknown), [], "{unknown}");
    }
    let none = Bench::answering(json("404 Not Found", "\"Not found\""));
    assert_eq!(
        none.ask(|vtex| vtex.kit_parts(&sku_id("25"))),
        Ok(Vec::new())
    );
}

#[test]
fn sku_ids_are_listed_a_thousand_at_a_time() {
    let bench = Bench::answering(json("200 OK", "[1, 2, \"03\"]"));
    let ids = bench.ask(|vtex| vtex.sku_ids(4)).unwrap();
    assert_eq!(ids, [sku_id("1"), sku_id("2"), sku_id("03")]);
    assert_eq!(
        bench.wire.only().target,
        "/api/catalog_system/pvt/sku/stockkeepingunitids?page=4&pagesize=1000"
    );
}

// Clock and probes.

#[test]
fn the_clock_difference_comes_from_the_last_answer() {
    let bench = Bench::answering(with(
        "404 Not Found",
        &[("date", "Mon, 02 Mar 2026 12:00:07 GMT")],
        b"{}",
    ));
    bench.ask(|vtex| {
        assert_eq!(vtex.clock_ahead_ms(), 0);
        drop(vtex.order(&order_id()));
        assert_eq!(vtex.clock_ahead_ms(), 7_000);
    });
}

#[test]
fn doctor_names_the_role_that_is_missing() {
    let bench = Bench::answering(json("403 Forbidden", "{}"));
    let checks = bench.ask(|vtex| vtex.checks());
    let failed: Vec<_> = checks
        .iter()
        .filter(|c| c.outcome == CheckOutcome::Fail)
        .collect();
    assert_eq!(failed.len(), 4);
    assert!(
        failed
            .iter()
            .all(|c| c.hint.as_ref().unwrap().contains("role"))
    );
}

#[test]
fn doctor_is_content_with_a_healthy_account() {
    let bench = Bench::new(vec![
        json("200 OK", FEED),
        json("200 OK", r#"{"list":[],"paging":{"total":0}}"#),
        json("200 OK", r#"[{"id":"1_1","isActive":true}]"#),
        json("200 OK", "[25]"),
        with(
            "200 OK",
            &[
                ("content-type", "application/json"),
                ("date", "Mon, 02 Mar 2026 12:00:01 GMT"),
            ],
            STOCK.as_bytes(),
        ),
    ])
    .set("feed_visibility = \"240s\"");
    let checks = bench.ask(|vtex| vtex.checks());
    for check in &checks {
        assert_eq!(check.outcome, CheckOutcome::Ok, "{check:?}");
    }
    assert_eq!(checks.len(), 5);
}

#[test]
fn credentials_that_no_header_may_hold_are_refused_without_being_shown() {
    let bench = Bench::answering(json("200 OK", "{}"));
    let config: VtexConfig = toml::from_str(
        "account = \"tienda\"\napp_key = { env = \"K\" }\napp_token = { env = \"T\" }",
    )
    .unwrap();
    let env = Env {
        clock: &bench.clock,
        rng: &Largest,
        gate: &bench.gate,
        until: None,
        min_retry_after: Duration::from_secs(60),
    };
    let bad = SecretString::from("can\nary".to_owned());
    let good = SecretString::from("x".to_owned());
    let err = Vtex::new(&config, &bad, &good, env).err().unwrap();
    assert!(
        err.contains("vtex.app_key") && !err.contains("ary"),
        "{err}"
    );
}
