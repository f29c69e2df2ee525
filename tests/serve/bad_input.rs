//! The bad-input cases of the webhook, by number.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use stockbridge::exit::Exit;

use crate::door::{Door, HEADER, TOKEN, column, event, inbox, parse, post};
use crate::shop::Shop;

#[test]
fn w1_without_the_right_header_nothing_is_stored() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "");
    let body = event("1-01");
    let almost = format!("{}8", &TOKEN[..TOKEN.len() - 1]);
    for token in [
        None,
        Some(""),
        Some("x"),
        Some(&almost[..]),
        Some(&TOKEN[1..]),
    ] {
        assert_eq!(door.ask(&post(&body, token)).0, 401, "{token:?}");
    }
    // Not even whether the body was an event is told.
    assert_eq!(door.ask(&post("[]", None)).0, 401);
    assert!(inbox(&shop).is_empty());
    assert!(!door.log().contains(TOKEN));
    let shown = door.get("/metrics").1;
    let line = "stockbridge_hook_requests_total{outcome=\"denied\"} 6\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn w2_the_trial_is_answered_with_200() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "");
    let trial = r#"{"hookConfig":"ping"}"#;
    assert_eq!(door.post(trial).0, 200);
    assert_eq!(door.ask(&post(trial, None)).0, 200);
    assert!(inbox(&shop).is_empty());
}

#[test]
fn w3_the_same_event_a_thousand_times_is_one_row() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "requests_a_second = 0");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..125 {
                    assert_eq!(door.tell("1-01"), 200);
                }
            });
        }
    });
    assert_eq!(inbox(&shop), ["1-01"]);
}

#[test]
fn w4_another_account_is_counted_and_an_unknown_order_is_asked_for() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "");
    let foreign = event("1-01").replace("\"tienda\"", "\"otra\"");
    assert_eq!(door.post(&foreign).0, 200);
    assert_eq!(door.post(&foreign).0, 200);
    assert!(inbox(&shop).is_empty());
    let shown = door.get("/metrics").1;
    let line = "stockbridge_hook_requests_total{outcome=\"other-account\"} 2\n";
    assert!(shown.contains(line), "{shown}");
    assert_eq!(door.log().matches("another account").count(), 1);
    // An event that does not say whose it is, is a hint like any other.
    assert_eq!(door.post(r#"{"OrderId":"9999-01"}"#).0, 200);
    assert_eq!(inbox(&shop), ["9999-01"]);
    assert_ne!(shop.run(&["poll"]), Exit::Broken);
    let asked = shop.sandbox.faults.calls();
    assert!(asked.iter().any(|call| call.detail == "9999-01"));
    assert!(inbox(&shop).is_empty());
    let why = column(&shop, "SELECT reason FROM rejects WHERE source = 'hook'");
    assert_eq!(why, ["there is no such order"]);
}

#[test]
fn w5_large_deep_odd_and_slow_bodies_are_refused() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "read_timeout = \"300ms\"");
    let large = format!(r#"{{"OrderId":"1-01","x":"{}"}}"#, "x".repeat(64 * 1024));
    assert_eq!(door.post(&large).0, 413);
    // The same without saying so before.
    let mut chunked = format!(
        "POST /webhook/vtex HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{HEADER}: {TOKEN}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    for _ in 0..5 {
        chunked.push_str(&format!("4000\r\n{}\r\n", "x".repeat(0x4000)));
    }
    assert_eq!(door.ask(format!("{chunked}0\r\n\r\n").as_bytes()).0, 413);
    let deep = format!(
        r#"{{"OrderId":"1-01","x":{}1{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let odd = [
        &deep,
        "[]",
        "",
        "null",
        "{}",
        "{",
        "\u{0}",
        r#"{"OrderId":null}"#,
        r#"{"OrderId":["1-01"]}"#,
        r#"{"OrderId":"1-01","OrderId":"2-01"}"#,
        r#"{"OrderId":"1-01","Origin":7}"#,
    ];
    for body in odd {
        assert_eq!(door.post(body).0, 400, "{:.60}", body);
    }
    let bytes = [&post(&event("1-01"), Some(TOKEN))[..], b"\xff\xfe"].concat();
    assert_eq!(door.ask(&bytes).0, 200, "what follows is the next request");
    let mut slow = TcpStream::connect(("127.0.0.1", door.port)).unwrap();
    let begun = post(&event("2-01"), Some(TOKEN));
    slow.write_all(&begun[..begun.len() - 10]).unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).0, 408);
    assert_eq!(inbox(&shop), ["1-01"]);
}

#[test]
fn w6_an_answer_comes_within_five_seconds_whatever_happens() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "");
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        for n in 0..20 {
            let door = &door;
            scope.spawn(move || {
                let began = Instant::now();
                assert_eq!(door.tell(&format!("{n}-01")), 503);
                assert!(began.elapsed() < Duration::from_secs(5));
            });
        }
    });
}

#[test]
fn w7_methods_paths_old_http_and_the_rate() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "requests_a_second = 20");
    assert_eq!(door.get("/webhook/vtex").0, 405);
    assert_eq!(door.get("/nowhere").0, 404);
    let old = String::from_utf8(post(&event("1-01"), Some(TOKEN))).unwrap();
    let old = old
        .replace("HTTP/1.1", "HTTP/1.0")
        .replace("Connection: close\r\n", "");
    assert_eq!(door.ask(old.as_bytes()).0, 200);
    let answers: Vec<_> = (0..200).map(|n| door.tell(&format!("{n}-02"))).collect();
    let of = |status| answers.iter().filter(|answer| **answer == status).count();
    assert!(of(200) >= 20, "{answers:?}");
    assert!(of(429) >= 100, "{answers:?}");
    assert_eq!(of(200) + of(429), answers.len());
    // Whoever was slowed down is served again soon.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(door.tell("9-09"), 200);
}

#[test]
fn w8_ids_that_are_none_are_noted_and_never_used() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "");
    let long = "1".repeat(65);
    let ids = [
        "../../etc/passwd",
        "1' OR '1'='1",
        "..",
        "",
        "1/2",
        "1-01%0a",
        &long,
    ];
    for id in ids {
        assert_eq!(door.post(&event(id)).0, 200, "{id}");
    }
    assert_eq!(door.post(&event(r"1-01\n2-01")).0, 200);
    assert!(inbox(&shop).is_empty());
    let noted = column(&shop, "SELECT subject FROM rejects WHERE source = 'hook'");
    assert_eq!(noted.len(), ids.len() + 1, "{noted:?}");
    assert_eq!(door.tell("Robert_-.9"), 200);
    assert_eq!(inbox(&shop), ["Robert_-.9"]);
}

#[test]
fn w9_a_locked_state_file_is_503_and_goes_on_afterwards() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "");
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(door.tell("1-01"), 503);
    assert_eq!(door.get("/healthz").0, 200, "it can still be read");
    file.execute_batch("ROLLBACK").unwrap();
    assert_eq!(door.tell("2-01"), 200);
    assert_eq!(inbox(&shop), ["2-01"]);
}

#[test]
fn w10_an_old_capture_only_makes_the_order_be_read_again() {
    let shop = Shop::open(1);
    let order = shop.sell(0, 1);
    shop.finish();
    shop.assert_right();
    let door = Door::open(&shop, "");
    let old = event(order.as_str()).replace("2026", "2019");
    assert_eq!(
        door.post(&old.replace("ready-for-handling", "canceled")).0,
        200
    );
    shop.finish();
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
    assert!(inbox(&shop).is_empty());
}
