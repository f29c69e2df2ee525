//! Answers that are none, and restraint towards the host.

use std::time::Duration;

use stockbridge::domain::ports::{CallOutcome, Clock, Storefront};

use crate::bench::{
    Bench, ORDER, denied, golden, order_id, reference, rejected, transient, uncertain,
};
use crate::wire::{GateLog, Reply, Wire, json, with};

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
fn v31_a_name_that_is_not_found_is_certainly_not_sent() {
    let bench = Bench::answering(json("200 OK", "{}"));
    let url = format!("http://no-such-name.invalid:{}", bench.wire.port());
    let (reason, _) = transient(bench.ask_at(&url, |vtex| vtex.order(&order_id())));
    assert!(reason.contains("no-such-name.invalid"), "{reason}");
    assert!(reason.contains("not sent"), "{reason}");
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

#[test]
fn e24_the_reason_phrase_is_shown_where_http_lets_it_through() {
    for (line, shown) in [
        (&b"400 El motivo no existe"[..], "400 El motivo no existe"),
        // HTTP libraries drop a phrase that is not ASCII; the answer itself must survive.
        (b"400 El art\xedculo no existe", "400 (no readable reason)"),
        (b"400", "400 (no readable reason)"),
    ] {
        let head = [b"HTTP/1.1 ", line, b"\r\ncontent-length: 2\r\n\r\n{}"].concat();
        let bench = Bench::answering(Reply::Raw(head));
        let reason = rejected(bench.order());
        assert!(reason.ends_with(&format!(": {shown}")), "{reason}");
    }
}
