//! What the adapter asks: every call as VTEX's contracts want it; feed, list and catalogue answers; probes.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json as value;

use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::vtex::Vtex;
use stockbridge::config::sections::VtexConfig;
use stockbridge::domain::ids::SkuRef;
use stockbridge::domain::ports::{CheckOutcome, Checks, ListFilter, Storefront};
use stockbridge::domain::time::Moment;

use crate::bench::{
    Bench, KEY, TOKEN, moment, order_id, reference, rejected, sku_id, transient, warehouse,
};
use crate::stock::STOCK;
use crate::wire::{Largest, Reply, json, with};

#[test]
fn every_call_carries_both_credentials_accept_and_content_type() {
    let bench = Bench::answering(json("200 OK", "[]"));
    bench.ask_hooked(|vtex| {
        let permit = bench.permit();
        drop(vtex.feed_config());
        drop(vtex.install_feed());
        drop(vtex.hook_config());
        drop(vtex.install_hook());
        drop(vtex.remove_hook());
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
    assert_eq!(seen.len(), 18, "one request for each call of the port");
    for request in seen {
        assert_eq!(request.header("x-vtex-api-appkey"), Some(KEY));
        assert_eq!(request.header("x-vtex-api-apptoken"), Some(TOKEN));
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let agent = request.header("user-agent").unwrap();
        assert!(agent.starts_with("stockbridge/"), "{agent}");
        if request.method != "GET" && request.method != "DELETE" {
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
fn the_hook_is_configured_like_the_feed_and_with_its_header() {
    let bench = Bench::answering(with("200 OK", &[], b""));
    bench.ask_hooked(|vtex| vtex.install_hook()).unwrap();
    let request = bench.wire.only();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/api/orders/hook/config")
    );
    let body = request.json();
    assert_eq!(body["filter"]["type"], "FromWorkflow");
    assert_eq!(body["filter"]["status"].as_array().unwrap().len(), 9);
    assert_eq!(
        body["hook"],
        value!({"url": "https://stock.example.com/webhook/vtex", "headers": {"X-Hook": "hook-canary"}})
    );
}

#[test]
fn a_hook_that_the_store_refuses_is_told_with_its_words_and_never_its_secret() {
    let refused = r#"{"error":{"code":"OMS","message":"Unable to check address"}}"#;
    let bench = Bench::answering(json("400 Bad Request", refused));
    let reason = rejected(bench.ask_hooked(|vtex| vtex.install_hook()));
    assert!(reason.contains("Unable to check address"), "{reason}");
    assert!(!reason.contains("canary"), "{reason}");
}

#[test]
fn a_foreign_hook_is_shown_with_its_differences() {
    let config = |url: &str, headers: &str| {
        let filter = &FEED[..FEED.find(r#","expression"#).unwrap()];
        format!(r#"{filter}}},"hook":{{"url":"{url}","headers":{headers}}}}}"#)
    };
    let ours = "https://stock.example.com/webhook/vtex";
    let judge = |body: &str| {
        let bench = Bench::answering(json("200 OK", body));
        bench.ask_hooked(|vtex| vtex.hook_config()).unwrap()
    };
    // Whether the value is shown is not known; its name is enough, in any case.
    for headers in [r#"{"x-hook":"***"}"#, "null"] {
        let hook = judge(&config(ours, headers)).unwrap();
        assert!(hook.as_wanted, "{}", hook.difference);
    }
    let hook = judge(&config("https://other.example.com/in", "{}")).unwrap();
    for part in ["posts to https://other.example.com/in", "the header X-Hook"] {
        assert!(hook.difference.contains(part), "{}", hook.difference);
    }
    let all = judge(&format!(r#"{{"filter":null,"hook":{{"url":"{ours}"}}}}"#)).unwrap();
    assert!(all.difference.contains("its type is"), "{}", all.difference);
    assert_eq!(judge(r#"{"filter":null,"hook":null}"#), None);
    let gone = Bench::answering(json("404 Not Found", "{}"));
    assert_eq!(gone.ask_hooked(|vtex| vtex.hook_config()), Ok(None));
    assert_eq!(gone.ask_hooked(|vtex| vtex.remove_hook()), Ok(()));
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

#[test]
fn the_clock_difference_comes_from_the_last_answer() {
    let bench = Bench::answering(with(
        "404 Not Found",
        &[("date", "Mon, 02 Mar 2026 12:00:07 GMT")],
        b"{}",
    ));
    bench.ask(|vtex| {
        assert_eq!(vtex.clock_ahead_ms(), None);
        drop(vtex.order(&order_id()));
        assert_eq!(vtex.clock_ahead_ms(), Some(7_000));
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
