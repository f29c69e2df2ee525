//! The writes and their statuses; what VTEX holds.

use std::time::Duration;

use serde_json::json as value;

use stockbridge::domain::ports::{Clock, ReservationState, Storefront};
use stockbridge::domain::time::Moment;

use crate::bench::{Bench, order_id, rejected, sku_id, transient, uncertain, warehouse};
use crate::wire::{Reply, json, with};

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
        assert!(
            reason.ends_with(": code OMS003"),
            "its sentence may name the customer: {reason}"
        );
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

pub const STOCK: &str = r#"{"skuId":"25","balance":[
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
    rejected(bench.push_of("25", i64::from(i32::MAX) + 2));
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
