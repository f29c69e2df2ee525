//! WinThor by its services: what the adapter makes of the stateful double, of single bad answers, and of a bad road.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/erp_wire.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod erp_wire;
#[path = "support/winthor_services.rs"]
mod winthor_services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use erp_wire::{Reply, Still, Wire, json};
use rust_decimal::Decimal;
use stockbridge::domain::ids::OrderId;
use stockbridge::domain::ports::{
    Check, CheckOutcome, Checks, OrderBook, PortError, PortResult, StockSource,
};
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::{StockLevels, VariantLevels};
use stockbridge::sandbox::WinthorSandbox;
use stockbridge::sandbox::faults::{Fault, When};
use stockbridge::sandbox::winthor::server::PASSWORD;
use winthor_services::{PACKS, TWELVE, base, code, on, packed, product, sandbox, small, with};

fn order(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

fn unreadable(levels: &StockLevels, of: &str) -> String {
    match levels.variants.get(&code(of)) {
        Some(VariantLevels::Unreadable(why)) => why.clone(),
        other => panic!("{of}: {other:?}"),
    }
}

/// The answer of a log-in.
fn token(text: &str) -> Reply {
    json("200 OK", &format!(r#"{{"accessToken":"{text}"}}"#))
}

/// One page of a branch: product id, quantity, factor, as JSON.
fn page_of(branch: &str, rows: &[(&str, &str, &str)], more: bool) -> Reply {
    let row = |(id, quantity, factor): &(&str, &str, &str)| {
        format!(
            r#"{{"productId":"{id}","quantity":{quantity},"unitMultiplier":{factor},"unlimitedQuantity":false,"warehouseBranchId":"{branch}","lastChange":"1900-01-01T00:00:00"}}"#
        )
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let rows = rows.join(",");
    json(
        "200 OK",
        &format!(r#"{{"first":false,"items":[{rows}],"hasNext":{more}}}"#),
    )
}

fn page(rows: &[(&str, &str, &str)], more: bool) -> Reply {
    page_of("1", rows, more)
}

/// A peer that logs in and then answers so.
fn peer(replies: Vec<Reply>) -> Wire {
    Wire::start([vec![token("t")], replies].concat())
}

fn rejected<T: std::fmt::Debug>(result: PortResult<T>, about: &str) -> String {
    match result {
        Err(PortError::Rejected { reason }) => reason,
        other => panic!("{about}: {other:?}"),
    }
}

#[test]
fn without_packaging_sales_stock_comes_whole_and_below_zero() {
    let sandbox = small();
    let keys = "packaging_sales = false";
    let levels = on(&sandbox.winthor.url(), keys, &["1"], |winthor| {
        winthor.read(&[code("98765432109876543210-200"), code("3001-300")])
    });
    let expected = BTreeMap::from([
        (
            code("98765432109876543210-200"),
            packed("200", &TWELVE, &[("1", "100")]),
        ),
        (
            code("3001-300"),
            packed("300", &[("3001", "1")], &[("1", "-7")]),
        ),
    ]);
    assert_eq!(levels.unwrap().variants, expected);
}

#[test]
fn an_unknown_branch_is_missing_and_proves_no_absence() {
    let sandbox = small();
    let codes = [code("11-100"), code("9-9")];
    on(&sandbox.winthor.url(), "", &["1", "77"], |winthor| {
        let wanted = BTreeSet::from(codes.clone());
        for levels in [
            winthor.read(&codes).unwrap(),
            winthor.read_wanted(&wanted, &|_| {}).unwrap(),
        ] {
            assert!(levels.missing[&base("77")].contains("no product at all"));
            assert_eq!(
                levels.variants[&code("11-100")],
                packed("100", &PACKS, &[("1", "100")])
            );
            assert!(!levels.variants.contains_key(&code("9-9")));
        }
    });
}

#[test]
fn a_branch_that_fails_is_missing_and_the_others_are_read() {
    let sandbox = small();
    // Three tries of the first branch.
    let fault = Fault::Status(500);
    sandbox.faults.on("read stock", 3, When::Before, fault);
    let levels = on(&sandbox.winthor.url(), "", &["1", "2"], |winthor| {
        winthor.read(&[code("11-100")])
    });
    let levels = levels.unwrap();
    assert!(levels.missing.contains_key(&base("1")));
    assert_eq!(
        levels.variants[&code("11-100")],
        packed("100", &PACKS, &[("2", "10.75")])
    );
}

#[test]
fn a_product_without_packagings_is_absent_and_a_packaging_without_a_factor_unreadable() {
    let sandbox = small();
    sandbox.winthor.with(|erp| {
        erp.products.insert(400, product(&[], &[("1", "5")]));
    });
    let url = sandbox.winthor.url();
    let levels = on(&url, "", &["1"], |w| w.read(&[code("4-400")])).unwrap();
    assert_eq!(levels.variants[&code("4-400")], VariantLevels::Absent);
    for factor in ["null", "0", "-6", r#""1,5""#] {
        let rows = [("11-100", "4", "1"), ("22-100", "0", factor)];
        let wire = peer(vec![page(&rows, false)]);
        let codes = [code("11-100"), code("22-100")];
        let levels = on(&wire.url(), "", &["1"], |w| w.read(&codes)).unwrap();
        let why = unreadable(&levels, "22-100");
        assert!(why.contains("no factor above zero"), "{factor}: {why}");
        assert_eq!(
            levels.variants[&code("11-100")],
            packed("100", &[("11", "1")], &[("1", "4")])
        );
    }
}

#[test]
fn two_products_with_one_bar_code_and_two_packagings_with_one_code_name_neither() {
    let sandbox = sandbox(&[
        (100, product(&[("11", "1"), ("22", "6")], &[("1", "60")])),
        (200, product(&[("11", "1")], &[("1", "5")])),
        (300, product(&[("55", "1"), ("55", "6")], &[("1", "70")])),
    ]);
    let url = sandbox.winthor.url();
    let levels = on(&url, "sku_code = \"bar-code\"", &["1"], |winthor| {
        winthor.read(&[code("11"), code("22")]).unwrap()
    });
    assert!(unreadable(&levels, "11").contains("two products"));
    let VariantLevels::Packed(found) = &levels.variants[&code("22")] else {
        panic!("{levels:?}");
    };
    assert_eq!(found[&base("1")].stock, Qty::whole(60));
    let levels = on(&url, "", &["1"], |w| w.read(&[code("55-300")])).unwrap();
    assert!(unreadable(&levels, "55-300").contains("two packagings"));
}

#[test]
fn quantities_are_exact_or_unreadable() {
    let read = |quantity: &str| {
        let wire = peer(vec![page(&[("11-100", quantity, "1")], false)]);
        on(&wire.url(), "", &["1"], |w| w.read(&[code("11-100")])).unwrap()
    };
    for (quantity, stock) in [
        ("1.5e1", "15"),
        ("0.12345678", "0.12345678"),
        ("\"7\"", "7"),
        ("-0.5", "-0.5"),
    ] {
        assert_eq!(
            read(quantity).variants[&code("11-100")],
            packed("100", &[("11", "1")], &[("1", stock)]),
            "{quantity}"
        );
    }
    for quantity in ["\"1,5\"", "null", "true", "9e99", "\"\"", "[]"] {
        let why = unreadable(&read(quantity), "11-100");
        assert!(why.contains("is no number"), "{quantity}: {why}");
    }
    let sandbox = small();
    sandbox.winthor.with(|erp| erp.habits.commas = true);
    let url = sandbox.winthor.url();
    let levels = on(&url, "", &["2"], |w| w.read(&[code("3001-300")])).unwrap();
    unreadable(&levels, "3001-300");
}

#[test]
fn pages_that_prove_nothing_are_refused() {
    let row = ("11-100", "1", "1");
    let other = ("22-100", "1", "6");
    let third = ("33-100", "1", "12");
    let text = |text: &str| vec![json("200 OK", text)];
    let pages = |pages: &[(&(&str, &str, &str), bool)]| {
        let pages = pages.iter();
        pages
            .map(|(row, more)| page(&[**row], *more))
            .collect::<Vec<_>>()
    };
    for (replies, why) in [
        (pages(&[(&row, true), (&row, true)]), "repeats"),
        (vec![page(&[], true)], "empty and promises more"),
        (text(r#"{"items":[]}"#), "missing field `hasNext`"),
        (text(r#"{"hasNext":false}"#), "missing field `items`"),
        (
            text(r#"{"items":[{"quantity":1}],"hasNext":false}"#),
            "without productId",
        ),
        (text("3"), "not a page"),
        (
            pages(&[(&row, true), (&other, true), (&third, true)]),
            "more than 2 pages",
        ),
        (vec![json("404 Not Found", "{}")], "404"),
    ] {
        let wire = peer(replies);
        let read = on(&wire.url(), "max_pages = 2", &["1"], |winthor| {
            winthor.read_all(&|_| {})
        });
        let reason = rejected(read, why);
        assert!(reason.contains(why), "{why}: {reason}");
    }
    let sandbox = small();
    sandbox.winthor.with(|erp| erp.habits.same_page = true);
    let url = sandbox.winthor.url();
    let read = on(&url, "page_size = 2", &["1"], |w| w.read_all(&|_| {}));
    assert!(rejected(read, "one page again and again").contains("repeats"));
}

#[test]
fn a_first_page_of_0_where_the_service_begins_with_1_is_told() {
    let sandbox = small();
    let keys = "first_page = 0\npage_size = 2";
    let read = on(&sandbox.winthor.url(), keys, &["1"], |winthor| {
        winthor.read_all(&|_| {})
    });
    let reason = rejected(read, "page 0 is page 1");
    assert!(reason.contains("erp.winthor.first_page"), "{reason}");
}

/// Between two pages a sale moves the first row to the end, and the row that stood behind the page slips through.
#[test]
fn what_slips_through_a_moving_list_is_neither_absent_nor_zero() {
    let wanted = BTreeSet::from(["11-100", "33-300"].map(code));
    let read = |replies: Vec<Reply>| {
        let wire = peer(replies);
        on(&wire.url(), "", &["1"], |winthor| {
            winthor.read_wanted(&wanted, &|_| {}).unwrap()
        })
    };
    let moved = read(vec![
        page(&[("11-100", "10", "1"), ("22-200", "5", "1")], true),
        page(&[("44-400", "7", "1"), ("11-100", "9", "1")], false),
    ]);
    assert_eq!(
        moved.variants[&code("11-100")],
        packed("100", &[("11", "1")], &[("1", "9")]),
        "the later row holds"
    );
    assert!(unreadable(&moved, "33-300").contains("moved while it was read"));
    let stood = read(vec![page(&[("11-100", "10", "1")], false)]);
    assert_eq!(stood.variants[&code("33-300")], VariantLevels::Absent);
}

#[test]
fn a_moved_list_of_one_branch_makes_no_zero_of_what_another_lists() {
    let all = page(&[("11-100", "10", "1"), ("22-200", "5", "1")], false);
    let third = ("33-300", "1", "1");
    let moved = vec![
        page_of("2", &[third], true),
        page_of("2", &[("44-400", "1", "1"), third], false),
    ];
    let stood = vec![page_of("2", &[third], false)];
    let read = |second: Vec<Reply>| {
        let wire = peer([vec![all.clone()], second].concat());
        on(&wire.url(), "", &["1", "2"], |w| w.read_all(&|_| {})).unwrap()
    };
    assert!(unreadable(&read(moved), "11-100").contains("branch 2, which moved"));
    // One that stood tells that nothing of it lies there.
    let VariantLevels::Packed(found) = &read(stood).variants[&code("11-100")] else {
        panic!("11-100 lies in branch 1");
    };
    assert_eq!(found.keys().collect::<Vec<_>>(), [&base("1")]);
}

#[test]
fn a_cut_page_is_asked_again_and_no_half_page_is_believed() {
    let sandbox = small();
    let url = sandbox.winthor.url();
    let read = || on(&url, "", &["1", "2"], |w| w.read(&[code("11-100")]));
    sandbox.faults.on("read stock", 2, When::After, Fault::Cut);
    assert_eq!(
        read().unwrap().variants[&code("11-100")],
        packed("100", &PACKS, &[("1", "100"), ("2", "10.75")])
    );
    sandbox.faults.on("read stock", 99, When::After, Fault::Cut);
    let cut = read();
    assert!(matches!(cut, Err(PortError::Transient { .. })), "{cut:?}");
}

#[test]
fn a_token_that_expires_between_pages_is_renewed_once() {
    let expired = || {
        json(
            "401 Unauthorized",
            r#"{"code":"AUTHENTICATION_FAILED","description":"Token expirado"}"#,
        )
    };
    let wire = Wire::start(vec![
        token("first"),
        page(&[("11-100", "1", "1")], true),
        expired(),
        token("second"),
        page(&[("22-100", "6", "6")], false),
    ]);
    let levels = on(&wire.url(), "", &["1"], |w| w.read_all(&|_| {})).unwrap();
    assert_eq!(levels.variants.len(), 2);
    let sent = wire.seen();
    let bearer = |at: usize| sent[at].header("authorization").map(str::to_owned);
    assert_eq!(bearer(2), Some("Bearer first".into()));
    assert_eq!(bearer(4), Some("Bearer second".into()));
    // Refused again, it is denied: no second renewal.
    let wire = Wire::start(vec![token("first"), expired(), token("second"), expired()]);
    let read = on(&wire.url(), "", &["1"], |w| w.read_all(&|_| {}));
    let Err(PortError::Denied { reason }) = read else {
        panic!("{read:?}");
    };
    assert!(reason.contains("Token expirado"), "{reason}");
    assert_eq!(wire.seen().len(), 4);
}

#[test]
fn the_log_in_sends_what_is_configured() {
    // MD5 of SANDBOX1 and of Sandbox1, by md5sum.
    let (upper, plain) = (
        "BDB122192ECFF44B04A60855DB993D34",
        "807F0C1D0B9D92D996A2AD751FB16CBC",
    );
    for (keys, fields, sent) in [
        ("", ["login", "senha"], upper),
        (
            "login_fields = \"username-password\"",
            ["username", "password"],
            upper,
        ),
        ("password_hash = \"md5\"", ["login", "senha"], plain),
        ("password_hash = \"plain\"", ["login", "senha"], PASSWORD),
    ] {
        let wire = peer(vec![page(&[("11-100", "1", "1")], false)]);
        on(&wire.url(), keys, &["1"], |w| w.read_all(&|_| {})).unwrap();
        let request = &wire.seen()[0];
        assert!(request.line.ends_with("/winthor/autenticacao/v1/login"));
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body[fields[0]], "INTEGRA");
        assert_eq!(body[fields[1]], sent, "{keys}");
    }
}

#[test]
fn a_refused_log_in_is_denied_once_and_shows_no_secret() {
    let echo = r#"{"message":"senha Sandbox1 invalida","detailedMessage":"BDB122192ECFF44B04A60855DB993D34"}"#;
    let wire = Wire::start(vec![json("401 Unauthorized", echo)]);
    let read = on(&wire.url(), "", &["1"], |w| w.read_all(&|_| {}));
    let Err(PortError::Denied { reason }) = read else {
        panic!("{read:?}");
    };
    assert!(reason.contains("senha *** invalida"), "{reason}");
    assert!(
        !reason.contains("Sandbox1") && !reason.contains("BDB122"),
        "{reason}"
    );
    assert_eq!(wire.seen().len(), 1, "a refused log-in is not repeated");
    let sandbox = small();
    let url = sandbox.winthor.url();
    let world = Still::default();
    let read = with(&world, &url, "", &["1"], "wrong", |w| w.read_all(&|_| {}));
    assert!(matches!(read, Err(PortError::Denied { .. })), "{read:?}");
}

#[test]
fn an_error_is_told_in_the_services_words_without_an_echoed_token() {
    let guide = r#"{"code":"X","message":"filial invalida","detailedMessage":"token abc123 de INTEGRA","helpUrl":""}"#;
    let wire = Wire::start(vec![token("abc123"), json("400 Bad Request", guide)]);
    let read = on(&wire.url(), "", &["1"], |w| w.read_all(&|_| {}));
    let reason = rejected(read, "a branch that cannot be");
    assert!(reason.contains("filial invalida"), "{reason}");
    assert!(!reason.contains("abc123"), "{reason}");
}

#[test]
fn every_parameter_is_sent_as_the_page_names_it_with_raw_commas() {
    let keys = "call_origin = \"WSH\"\ncategory = 1\nsubcategory = 2\nsection = 3\ndepartment = 4\nprovider = 5\n\
                resale = true\nmerchandise_types = \"CB, KT,L\"\npage_size = 7";
    let wire = peer(vec![page(&[("11-100", "1", "1")], false)]);
    on(&wire.url(), keys, &["1"], |w| w.read(&[code("11-100")])).unwrap();
    let line = &wire.lines()[1];
    let parts = "/api/stock-vtex/v1/available/list?branchId=1& callOrigin=WSH &categoryId=1 subcategoryId=2 \
                 sectionId=3 departmentId=4 providerId=5 resale=true merchandiseType=CB,KT,L productId=100 \
                 order=lastChange page=1&pageSize=7 usesPackagingSales=true";
    for part in parts.split(' ') {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn filters_find_and_unknown_types_find_nothing() {
    let sandbox = small();
    sandbox.winthor.with(|erp| {
        if let Some(product) = erp.products.get_mut(&300) {
            product.kind = "KT".into();
        }
    });
    let url = sandbox.winthor.url();
    let read = |keys: &str| on(&url, keys, &["1"], |w| w.read_all(&|_| {})).unwrap();
    let kits = read("merchandise_types = \"KT\"");
    let found: Vec<_> = kits.variants.keys().collect();
    assert_eq!(found, [&code("3001-300")]);
    // Nothing at all is more likely a mistake than an empty shop: the branch is missing.
    let none = read("merchandise_types = \"ZZ\"");
    assert!(none.missing.contains_key(&base("1")));
}

#[test]
fn changes_are_named_within_the_overlap_and_a_quiet_evening_costs_nothing() {
    let sandbox = small();
    let world = Still::default();
    let start = sandbox.clock.now();
    let url = sandbox.winthor.url();
    let at = |minutes: i64| {
        let now = start.plus_ms(minutes * 60_000);
        world.now.store(now.0, Ordering::Relaxed);
        now
    };
    let ask = |before| {
        let asked = with(&world, &url, "", &["1", "2"], PASSWORD, |w| {
            w.changed_since(before)
        });
        asked.unwrap().unwrap()
    };
    at(0);
    let first = ask(None);
    assert!(first.codes.is_empty());
    let sale = |number, branch, now| {
        let one = Decimal::ONE;
        sandbox
            .winthor
            .with(|erp| erp.counter_sale(number, branch, one, now));
    };
    sale(100, "1", start);
    at(1);
    let told = ask(Some(first.watermark));
    for code in ["11-100", "22-100", "33-100"].map(code) {
        assert!(told.codes.contains(&code), "{:?}", told.codes);
    }
    at(3);
    let again = ask(Some(told.watermark));
    assert!(!again.codes.is_empty(), "within the overlap");
    at(9);
    let settled = ask(Some(again.watermark));
    at(10);
    let quiet = ask(Some(settled.watermark));
    assert!(quiet.codes.is_empty(), "{:?}", quiet.codes);
    assert_eq!(quiet.watermark, settled.watermark);
    // What one branch cannot tell is asked again.
    sale(300, "2", at(11));
    let fault = Fault::Status(500);
    sandbox.faults.on("read stock", 3, When::Before, fault);
    let half = ask(Some(quiet.watermark));
    assert_eq!(half.watermark, quiet.watermark);
    assert_eq!(half.codes, [code("3001-300")]);
    assert_eq!(ask(Some(half.watermark)).codes, [code("3001-300")]);
}

#[test]
fn a_row_from_the_future_hides_no_change() {
    let sandbox = small();
    let now = sandbox.clock.now();
    let far = now.plus_ms(400 * 86_400_000);
    sandbox.winthor.with(|erp| {
        erp.counter_sale(100, "1", Decimal::ONE, now);
        erp.counter_sale(200, "1", Decimal::ONE, far);
    });
    let url = sandbox.winthor.url();
    let mark = on(&url, "", &["1"], |w| {
        let first = w.changed_since(None).unwrap().unwrap().watermark;
        w.changed_since(Some(first)).unwrap().unwrap().watermark
    });
    assert!(mark <= now.0, "{mark} is after {}", now.0);
}

#[test]
fn orders_are_found_by_position_one_by_one_or_many_at_once() {
    let sandbox = small();
    let now = sandbox.clock.now();
    let ids: Vec<OrderId> = (0..5).map(|n| order(&format!("100{n}-01"))).collect();
    sandbox.winthor.with(|erp| {
        for id in &ids[..4] {
            let items = BTreeMap::from([(100, Decimal::new(125, 1)), (200, Decimal::from(12))]);
            erp.bring_in(id, items);
        }
        erp.position(&ids[1], 'L', now);
        erp.position(&ids[2], 'F', now);
        erp.position(&ids[3], 'C', now);
    });
    for at_once in [1, 2, 500] {
        sandbox.faults.clear();
        let keys = format!("[orders]\nat_once = {at_once}");
        let url = sandbox.winthor.url();
        let held = on(&url, &keys, &["1"], |w| w.held(&ids)).unwrap();
        let reserved: BTreeMap<_, _> = held.iter().map(|(id, o)| (id, o.reserved)).collect();
        assert_eq!(
            reserved,
            BTreeMap::from([(&ids[0], false), (&ids[1], true), (&ids[2], true)])
        );
        let lines = [
            (code("100"), base("1"), Qty::parse("12.5").unwrap()),
            (code("200"), base("1"), Qty::whole(12)),
        ];
        assert_eq!(held[&ids[1]].lines, lines);
        let calls = sandbox.faults.calls();
        let calls = calls.iter().filter(|c| c.operation == "look up order");
        assert_eq!(calls.count(), 5_usize.div_ceil(at_once));
    }
}

const ORDER: &str = r#"{"orderIdSeller":"1-01","orderId":7,"position":"L","branchId":"1","items":[{"productId":"11-100","quantity":6}]}"#;

fn held_of(body: &str) -> PortResult<BTreeMap<OrderId, stockbridge::domain::stock::HeldOrder>> {
    let wire = peer(vec![json("200 OK", body)]);
    on(&wire.url(), "", &["1"], |w| w.held(&[order("1-01")]))
}

#[test]
fn orders_that_cannot_be_read_are_no_absence() {
    let one = |order: String| format!(r#"{{"items":[{order}],"hasNext":false}}"#);
    for (body, why) in [
        (
            format!(r#"{{"items":[{ORDER}],"hasNext":true}}"#),
            "more than one page",
        ),
        (r#"{"rows":[]}"#.to_owned(), "no list of orders"),
        (one(r#"{"orderIdSeller":"1-01"}"#.to_owned()), "no position"),
        (one(ORDER.replace(r#""branchId":"1","#, "")), "no branch"),
        (
            one(ORDER.replace(":6}", r#":"6,5"}"#)),
            "without product or quantity",
        ),
        (one(ORDER.replace("\"items\"", "\"lines\"")), "no items"),
    ] {
        let reason = rejected(held_of(&body), why);
        assert!(reason.contains(why), "{why}: {reason}");
    }
}

#[test]
fn an_order_in_two_documents_is_reserved_when_both_are() {
    let pending = ORDER.replace(r#""L""#, r#""P""#).replace(":7", ":8");
    let foreign = ORDER.replace("1-01", "2-01");
    let body = format!(r#"{{"items":[{ORDER},{pending},{foreign}],"hasNext":false}}"#);
    let held = held_of(&body).unwrap();
    assert_eq!(held.len(), 1);
    let found = &held[&order("1-01")];
    assert!(!found.reserved && found.lines.len() == 2, "{found:?}");
    let body = format!(r#"{{"items":[{ORDER},{ORDER}]}}"#);
    assert!(held_of(&body).unwrap()[&order("1-01")].reserved);
}

fn checked(url: &str, keys: &str, branches: &[&str], name: &str) -> (CheckOutcome, String) {
    let checks = on(url, keys, branches, |winthor| winthor.checks());
    let check = checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("{name} in {checks:?}"));
    let hint = check.hint.clone().unwrap_or_default();
    (check.outcome, format!("{} {hint}", check.detail))
}

#[test]
fn doctor_finds_a_sound_installation_sound() {
    let sandbox = WinthorSandbox::start(40).unwrap();
    let now = sandbox.clock.now();
    sandbox
        .winthor
        .with(|erp| erp.counter_sale(5, "1", Decimal::ONE, now));
    let checks = on(&sandbox.winthor.url(), "", &["1", "2"], |w| w.checks());
    let bad = |check: &&Check| check.outcome != CheckOutcome::Ok && check.name != "erp.transport";
    assert_eq!(checks.iter().find(bad), None);
    let names = "log-in branch.2 first-page packagings division changes refusal orders";
    for name in names.split(' ').map(|name| format!("erp.{name}")) {
        assert!(checks.iter().any(|check| check.name == name), "{name}");
    }
    assert_eq!(sandbox.violations(), Vec::<String>::new());
}

#[test]
fn doctor_tells_what_is_wrong_and_which_key_changes_it() {
    let sandbox = small();
    let url = sandbox.winthor.url();
    let fails = |keys: &str, branch: &str, name: &str, outcome, words: &str| {
        let (found, told) = checked(&url, keys, &[branch], name);
        assert_eq!(found, outcome, "{name}: {told}");
        assert!(told.contains(words), "{name}: {told}");
    };
    let (fail, warn, ok) = (CheckOutcome::Fail, CheckOutcome::Warn, CheckOutcome::Ok);
    let first = "erp.winthor.first_page = 1";
    fails("first_page = 0", "1", "erp.first-page", fail, first);
    fails("", "77", "erp.branch.77", warn, "e-commerce");
    let path = "login_path = \"/nowhere\"";
    fails(path, "1", "erp.log-in", fail, "login_fields");
    fails("", "1", "erp.changes", warn, "no date");
    let kept = "3 products are divided as the six steps say; 1 have no packaging of one unit";
    fails("", "1", "erp.division", ok, kept);
    fails("", "1", "erp.refusal", ok, "callOrigin desconhecido");
    let keys = "[orders]\nlist = \"/nothing\"";
    fails(keys, "1", "erp.orders", fail, "erp.winthor.orders");
    let twice = product(&[("55", "1"), ("55", "6")], &[("1", "70")]);
    sandbox.winthor.with(|erp| erp.products.insert(400, twice));
    fails("", "1", "erp.packagings", fail, "bear the code 55");
}

/// A service that counts pages from 0: with the default of 1 a page would be left out without a word.
#[test]
fn doctor_tells_a_service_that_counts_pages_from_0() {
    let row = |id: &str| page(&[(id, "1", "1")], true);
    let wire = peer(vec![row("22-200"), row("11-100"), row("22-200")]);
    let (outcome, told) = checked(&wire.url(), "", &["1"], "erp.first-page");
    assert_eq!(outcome, CheckOutcome::Fail);
    assert!(told.contains("erp.winthor.first_page = 0"), "{told}");
}
