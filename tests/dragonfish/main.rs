//! The Dragonfish adapter on the wire: what it sends, and what it makes of every answer.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "../support/erp_wire.rs"]
mod erp_wire;
mod stock;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use erp_wire::{Reply, Still, Wire, json, with};
use stockbridge::adapters::dragonfish::{Dragonfish, Setup};
use stockbridge::adapters::http::calls::Env;
use stockbridge::config::sections::ErpConfig;
use stockbridge::domain::ids::{BaseCode, ErpCode, OrderId, SkuRef};
use stockbridge::domain::movement::{
    FoundMovement, Movement, MovementKey, Operation, Sighting, sight,
};
use stockbridge::domain::ports::{
    CallOutcome, CheckOutcome, Checks, Listing, MovementSink, Permit, PortError, PortResult,
    Search, StockSource,
};
use stockbridge::domain::time::BootTime;

/// `{"exp":"1893456000"}`: the end of 2029.
const TOKEN: &str = "e30.eyJleHAiOiIxODkzNDU2MDAwIn0.c2lnbmF0dXJl";
/// `{"exp":1577836800}`: the end of 2019.
const OLD_TOKEN: &str = "e30.eyJleHAiOjE1Nzc4MzY4MDB9.c2lnbmF0dXJl";

const CREATED: &str = r#"{"Codigo":"0A1B","Numero":77,"Tipo":2,"Remito":"V1BKFRX6CDHMYHQ",
    "Observacion":"VTEX 1234567890123-01 #S1 V1BKFRX6CDHMYHQ.","Fecha":"/Date(1763780400000-0300)/",
    "MovimientoDetalle":[{"Articulo":"A-B","Color":"N01","Talle":"42","Cantidad":2}],
    "InformacionAdicional":{"BaseDeDatosAltaFW":"WOO     "}}"#;

fn config(url: &str, extra: &str) -> ErpConfig {
    let text = format!(
        "depot = \"WOO\"\nblocked_bases = [\"OUTLET\"]\n[dragonfish]\nurl = \"{url}\"\nallow_plain_http_for = \"127.0.0.1\"\n\
         client_id = \"WEB\"\ntoken = {{ env = \"T\" }}\norigin = \"WOO\"\n{extra}"
    );
    toml::from_str(&text).unwrap()
}

fn base(text: &str) -> BaseCode {
    BaseCode::parse(text).unwrap()
}

fn code(text: &str) -> ErpCode {
    ErpCode::parse(text).unwrap()
}

fn movement() -> Movement {
    let order = OrderId::parse("1234567890123-01").unwrap();
    let operation = Operation::parse("S1").unwrap();
    Movement {
        key: MovementKey::derive("tienda", &base("WOO"), &order, operation),
        lines: BTreeMap::from([(code("A-B-N01-42"), 2)]),
        order,
        operation,
        base: base("WOO"),
    }
}

/// Runs `act` on an adapter with the log-in switched off unless `extra` says otherwise.
fn on<T>(
    world: &Still,
    url: &str,
    extra: &str,
    token: &str,
    act: impl FnOnce(&Dragonfish<'_>) -> T,
) -> T {
    let log_in = if extra.contains("authenticate") {
        ""
    } else {
        "authenticate = false\n"
    };
    let erp = config(url, &format!("{log_in}{extra}"));
    let dragonfish = Dragonfish::new(Setup {
        erp: &erp,
        config: erp.dragonfish.as_ref().unwrap(),
        counted: ["NORTE", "WOO", "CENTRO", "OUTLET"].map(base).to_vec(),
        movement_limit: Duration::from_millis(400),
        token: token.into(),
        sql_password: None,
        statements: BTreeMap::new(),
        env: Env {
            clock: world,
            rng: world,
            gate: world,
            until: None,
            min_retry_after: Duration::from_secs(60),
        },
        locks: world,
    });
    act(&dragonfish.unwrap())
}

fn book_with(world: &Still, wire: &Wire, extra: &str) -> PortResult<FoundMovement> {
    let permit = Permit {
        clock: world,
        send_by: BootTime(1_005_000),
    };
    on(world, &wire.url(), extra, TOKEN, |erp| {
        erp.book(&movement(), &permit)
    })
}

fn book(reply: Reply) -> PortResult<FoundMovement> {
    let wire = Wire::start(vec![reply]);
    let result = book_with(&Still::default(), &wire, "");
    assert_eq!(
        wire.lines(),
        ["POST /api.Dragonfish/Movimientodestock/"],
        "one copy, whatever came back"
    );
    result
}

fn find(replies: Vec<Reply>) -> PortResult<Listing> {
    let wire = Wire::start(replies);
    on(&Still::default(), &wire.url(), "", TOKEN, |erp| {
        erp.find(&base("WOO"), &Search::Text("1234567890123-01".into()))
    })
}

fn found(replies: Vec<Reply>) -> Vec<FoundMovement> {
    match find(replies).unwrap() {
        Listing::Complete(rows) => rows,
        Listing::Inconclusive(why) => panic!("inconclusive: {why}"),
    }
}

fn inconclusive(replies: Vec<Reply>) -> String {
    match find(replies).unwrap() {
        Listing::Complete(rows) => panic!("complete: {rows:?}"),
        Listing::Inconclusive(why) => why,
    }
}

fn list(total: usize, rows: &[&str]) -> Reply {
    let body = format!(
        r#"{{"TotalRegistros":{total},"Siguiente":"http://example.invalid/","Resultados":[{}]}}"#,
        rows.join(",")
    );
    json("200 OK", &body)
}

fn reason(err: PortError) -> String {
    err.to_string()
}

#[test]
fn a_booking_is_sent_as_the_service_wants_it() {
    let wire = Wire::start(vec![json("201 Created", CREATED)]);
    let world = Still::default();
    let found = book_with(&world, &wire, "note = \"VENTA_VTEX\"").unwrap();
    assert_eq!(found.number.as_deref(), Some("77"));
    assert!(matches!(
        sight(&movement(), &[found]),
        Sighting::Booked(_, None)
    ));
    let sent = &wire.seen()[0];
    assert_eq!(sent.header("idcliente"), Some("WEB"));
    assert_eq!(sent.header("basededatos"), Some("WOO"));
    let body: serde_json::Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(
        body["Observacion"],
        "VTEX 1234567890123-01 #S1 V1BKFRX6CDHMYHQ. VENTA_VTEX"
    );
    let locks = world.locks.lock().unwrap().clone();
    assert!(
        locks[0].starts_with("erp-") && locks[0].ends_with("-next") && locks[1].len() == 20,
        "{locks:?}"
    );
}

#[test]
fn e1_200_instead_of_201_is_a_booking() {
    assert!(book(json("200 OK", CREATED)).is_ok());
}

#[test]
fn e2_an_answer_without_a_number_leaves_the_outcome_open() {
    for body in [
        "",
        "{}",
        "null",
        "created",
        "[]",
        r#"{"Codigo":"A"}"#,
        r#"{"Codigo":"A","Numero":0}"#,
        r#"{"Codigo":"A","Numero":"soon"}"#,
        r#"{"Numero":7}"#,
    ] {
        let result = book(json("201 Created", body));
        assert!(
            matches!(result, Err(PortError::Uncertain { .. })),
            "{body}: {result:?}"
        );
    }
}

#[test]
fn e3_a_conflict_is_a_refusal_and_never_success() {
    let result = book(json("409 Conflict", r#"{"Codigo":"A","Numero":7}"#));
    assert!(
        matches!(result, Err(PortError::Rejected { .. })),
        "{result:?}"
    );
}

#[test]
fn e4_a_refusal_in_windows_1252_is_shown_readably() {
    let reply = with(b"400 Bad Request", &[], b"El art\xedculo X no existe");
    let err = book(reply).unwrap_err();
    assert!(matches!(err, PortError::Rejected { .. }));
    assert!(reason(err).contains("El artículo X no existe"));
    for status in [
        "404 Not Found",
        "413 Too Large",
        "415 Unsupported",
        "422 Unprocessable",
    ] {
        assert!(
            matches!(book(json(status, "")), Err(PortError::Rejected { .. })),
            "{status}"
        );
    }
}

#[test]
fn e5_a_server_fault_leaves_the_outcome_open() {
    for status in [
        "500 Error",
        "503 Busy",
        "423 Locked",
        "429 Slow",
        "307 Moved",
        "302 Found",
        "405 Starting",
        "418 Tea",
        "204 Nothing",
    ] {
        let result = book(json(status, ""));
        assert!(
            matches!(result, Err(PortError::Uncertain { .. })),
            "{status}: {result:?}"
        );
    }
}

#[test]
fn e6_no_answer_leaves_the_outcome_open() {
    for reply in [
        Reply::Stall(Duration::from_millis(700)),
        Reply::Cut,
        Reply::Raw(b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{".to_vec()),
    ] {
        let result = book(reply.clone());
        assert!(
            matches!(result, Err(PortError::Uncertain { .. })),
            "{reply:?}: {result:?}"
        );
    }
}

#[test]
fn e7_an_answer_about_another_movement_is_not_taken_for_ours() {
    let other = CREATED.replace("V1BKFRX6CDHMYHQ", "V1AAAAAAAAAAAAA");
    let found = book(json("201 Created", &other)).unwrap();
    assert_eq!(sight(&movement(), &[found]), Sighting::Absent);
}

#[test]
fn what_was_certainly_not_sent_may_be_tried_again() {
    let wire = Wire::start(vec![]);
    let world = Still::default();
    world.boot.store(1_005_001, Ordering::Relaxed);
    assert!(
        matches!(
            book_with(&world, &wire, ""),
            Err(PortError::Transient { .. })
        ),
        "claim too old"
    );
    for taken in ["-next", ""] {
        let world = Still {
            taken: Some(taken),
            ..Still::default()
        };
        let result = book_with(&world, &wire, "");
        assert!(
            matches!(result, Err(PortError::Transient { .. })),
            "{result:?}"
        );
    }
    // 2026-01-01 12:00 UTC is 09:00 local.
    let quiet = book_with(&Still::default(), &wire, "quiet_hours = \"08:30-09:30\"");
    let Err(PortError::Transient { retry_after, .. }) = quiet else {
        panic!("{quiet:?}");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(1800)));
    assert!(wire.seen().is_empty());
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let permit = Permit {
        clock: &world,
        send_by: BootTime(2_000_000),
    };
    let refused = on(&world, &format!("http://{closed}/x"), "", TOKEN, |erp| {
        erp.book(&movement(), &permit)
    });
    assert!(
        matches!(refused, Err(PortError::Transient { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_search_asks_for_pages_in_a_stable_order_in_its_base() {
    let wire = Wire::start(vec![
        list(2, &[r#"{"Codigo":"A"}"#]),
        list(2, &[r#"{"Codigo":"B"}"#]),
    ]);
    let listing = on(&Still::default(), &wire.url(), "", TOKEN, |erp| {
        erp.find(&base("WOO"), &Search::Text("V1 x&y".into()))
    });
    assert!(matches!(listing, Ok(Listing::Complete(rows)) if rows.len() == 2));
    assert_eq!(
        wire.lines(),
        [1, 2].map(|page| format!("GET /api.Dragonfish/Movimientodestock/?query=V1%20x%26y&limit=200&page={page}&sort=Numero"))
    );
    assert_eq!(wire.seen()[1].header("basededatos"), Some("WOO"));
}

#[test]
fn e8_404_means_none() {
    assert!(found(vec![json("404 Not Found", "")]).is_empty());
}

#[test]
fn e9_a_listing_that_does_not_add_up_proves_nothing() {
    let row = r#"{"Codigo":"A"}"#;
    assert!(
        inconclusive(vec![list(2, &[row]), json("404 Not Found", "")]).contains("does not say")
    );
    assert!(inconclusive(vec![list(2, &[row]), list(2, &[row])]).contains("listed twice"));
    assert!(
        inconclusive(vec![list(2, &[row]), list(3, &[r#"{"Codigo":"B"}"#])]).contains("changed")
    );
    assert!(inconclusive(vec![json("200 OK", &format!("[{row}]"))]).contains("how many"));
    let pages = (0..25)
        .map(|n| list(99, &[&format!(r#"{{"Codigo":"{n}"}}"#)]))
        .collect();
    assert!(inconclusive(pages).contains("more than 20 pages"));
}

#[test]
fn e10_text_comes_back_upper_cased_padded_cut_or_null_and_is_still_judged() {
    let ours = movement();
    let padded = CREATED
        .replace("\"VTEX ", "\"   vtex ")
        .replace("V1BKFRX6CDHMYHQ\",", "V1BKFRX6CDHMYHQ   \",");
    assert!(matches!(
        sight(&ours, &found(vec![list(1, &[&padded])])),
        Sighting::Booked(_, None)
    ));
    for bad in [
        "null",
        "\"VTEX 12345\"",
        "\"VTEX 1234567890123-01 &#35;S1\"",
    ] {
        let row = CREATED.replace("\"VTEX 1234567890123-01 #S1 V1BKFRX6CDHMYHQ.\"", bad);
        assert!(
            matches!(
                sight(&ours, &found(vec![list(1, &[&row])])),
                Sighting::Booked(_, Some(_))
            ),
            "{bad}"
        );
        let lost = row.replace("\"V1BKFRX6CDHMYHQ\"", "null");
        assert_eq!(
            sight(&ours, &found(vec![list(1, &[&lost])])),
            Sighting::Absent,
            "{bad}"
        );
    }
}

#[test]
fn e11_and_e12_a_longer_order_id_is_not_ours_and_two_of_ours_are_a_conflict() {
    let longer = CREATED
        .replace(
            "1234567890123-01 #S1 V1BKFRX6CDHMYHQ",
            "1234567890123-011 #S1 V1AAAAAAAAAAAAA",
        )
        .replace("\"V1BKFRX6CDHMYHQ\"", "\"V1AAAAAAAAAAAAA\"");
    assert_eq!(
        sight(&movement(), &found(vec![list(1, &[&longer])])),
        Sighting::Absent
    );
    let twin = CREATED.replace("0A1B", "0A1C");
    assert!(matches!(
        sight(&movement(), &found(vec![list(2, &[CREATED, &twin])])),
        Sighting::Conflict(_)
    ));
}

#[test]
fn e13_odd_dates_are_read_or_make_the_search_inconclusive() {
    for date in [
        "/Date(1700000000000-0300)/",
        "/Date(-1)/",
        "/Date(1700000000000)/",
        "1900-01-01T00:00:00",
        "",
    ] {
        let row = CREATED.replace("/Date(1763780400000-0300)/", date);
        assert_eq!(found(vec![list(1, &[&row])]).len(), 1, "{date}");
    }
    for date in ["/Date(ñ)/", "/Date(99999999999999999999)/", "?"] {
        let row = CREATED.replace("/Date(1763780400000-0300)/", date);
        assert!(
            inconclusive(vec![list(1, &[&row])]).contains("date"),
            "{date}"
        );
    }
}

#[test]
fn e17_rows_of_another_base_prove_nothing() {
    let row = CREATED.replace("WOO     ", "CENTRO");
    assert!(inconclusive(vec![list(1, &[&row])]).contains("another base"));
}

#[test]
fn e18_an_expired_token_is_named_and_never_shown() {
    let wire = Wire::start(vec![json("401 Unauthorized", OLD_TOKEN)]);
    let result = on(&Still::default(), &wire.url(), "", OLD_TOKEN, |erp| {
        erp.find(&base("WOO"), &Search::Text("x".into()))
    });
    let Err(PortError::Denied { reason }) = result else {
        panic!("{result:?}");
    };
    assert!(
        reason.contains("the token ended at 2020-01-01") && !reason.contains(OLD_TOKEN),
        "{reason}"
    );
}

#[test]
fn e19_more_than_json_is_refused() {
    for body in [format!("{CREATED} x"), CREATED.replace("77", "NaN")] {
        assert!(matches!(
            book(json("201 Created", &body)),
            Err(PortError::Uncertain { .. })
        ));
        inconclusive(vec![json(
            "200 OK",
            &format!(r#"{{"TotalRegistros":1,"Resultados":[{body}]}}"#),
        )]);
    }
}

#[test]
fn e20_the_token_is_sent_raw_and_in_no_other_form() {
    let wire = Wire::start(vec![json("401 No", "")]);
    assert!(matches!(
        book_with(&Still::default(), &wire, ""),
        Err(PortError::Denied { .. })
    ));
    let sent = wire.seen();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header("authorization"), Some(TOKEN));
}

#[test]
fn e21_a_restarted_service_is_logged_in_again_once_for_a_read() {
    let ok = || json("200 OK", "");
    let wire = Wire::start(vec![
        ok(),
        json("401 No", ""),
        ok(),
        list(0, &[]),
        json("401 No", ""),
        ok(),
        json("401 No", ""),
    ]);
    let world = Still::default();
    on(&world, &wire.url(), "authenticate = true", TOKEN, |erp| {
        assert!(matches!(
            erp.find(&base("WOO"), &Search::Text("x".into())),
            Ok(Listing::Complete(_))
        ));
        assert!(
            !world
                .outcomes
                .lock()
                .unwrap()
                .contains(&CallOutcome::Denied),
            "the breaker stays closed"
        );
        assert!(matches!(
            erp.find(&base("WOO"), &Search::Text("x".into())),
            Err(PortError::Denied { .. })
        ));
    });
    let methods: Vec<_> = wire
        .lines()
        .iter()
        .map(|line| line.split('/').nth(2).unwrap().to_owned())
        .collect();
    let (log_in, search) = ("Autenticar", "Movimientodestock");
    assert_eq!(
        methods,
        [log_in, search, log_in, search, search, log_in, search]
    );
    let credentials: serde_json::Value = serde_json::from_str(&wire.seen()[0].body).unwrap();
    assert_eq!(
        credentials,
        serde_json::json!({"IdCliente": "WEB", "JWToken": TOKEN})
    );
    assert!(wire.seen()[0].header("authorization").is_none());
}

#[test]
fn e21_a_booking_is_never_repeated_after_a_log_in() {
    for log_in in ["200 OK", "404 Not Found", "405 Not Allowed"] {
        let wire = Wire::start(vec![
            json(log_in, ""),
            json("401 No", ""),
            json("201 Created", CREATED),
        ]);
        let result = book_with(&Still::default(), &wire, "authenticate = true");
        assert!(
            matches!(result, Err(PortError::Denied { .. })),
            "{result:?}"
        );
        assert_eq!(wire.lines().len(), 2);
    }
    let wire = Wire::start(vec![json("400 Bad", "")]);
    let result = book_with(&Still::default(), &wire, "authenticate = true");
    assert!(
        matches!(result, Err(PortError::Transient { .. })),
        "not even sent: {result:?}"
    );
}

#[test]
fn e22_a_starting_service_is_tried_again_by_reads() {
    assert!(found(vec![json("405 No", ""), json("404 Not Found", "")]).is_empty());
    let starting = vec![json("405 No", ""), json("405 No", ""), json("405 No", "")];
    let result = find(starting);
    assert!(
        matches!(&result, Err(PortError::Transient { reason, .. }) if reason.contains("starting")),
        "{result:?}"
    );
}

#[test]
fn e23_a_byte_order_mark_and_numbers_as_text_are_read_and_redirects_are_not_followed() {
    let odd = CREATED
        .replace(":77", ":\"77\"")
        .replace(":2,", ":\"2\",")
        .replace(":2}", ":\"2.00\"}");
    let marked = with(b"201 Created", &[], format!("\u{feff}{odd}").as_bytes());
    let found = book(marked).unwrap();
    assert!(matches!(
        sight(&movement(), &[found]),
        Sighting::Booked(_, None)
    ));
    let away = || with(b"307 Temporary Redirect", &[b"Location: /elsewhere/"], b"");
    assert!(inconclusive(vec![away()]).contains("redirect"));
    assert!(matches!(book(away()), Err(PortError::Uncertain { .. })));
}

#[test]
fn e24_reason_phrase_and_extra_header_are_shown_without_their_controls() {
    let reply = with(
        b"400 El dato buscado XX de la entidad Motivo no existe",
        &[b"InformacionAdicional: Operacion nro: 1\\r\\n\\tsin stock n\xfamero"],
        format!("token {TOKEN}").as_bytes(),
    );
    let text = reason(book(reply).unwrap_err());
    for part in [
        "Motivo no existe",
        "Operacion nro: 1 sin stock número",
        "token ***",
        "1234567890123-01",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains(TOKEN));
    let phrase = with(b"400 Art\xedculo inv\xe1lido", &[], b"");
    assert!(reason(book(phrase).unwrap_err()).contains("400"));
}

#[test]
fn a_blind_adapter_searches_nothing_and_names_are_read_by_configuration() {
    let wire = Wire::start(vec![]);
    on(
        &Still::default(),
        &wire.url(),
        "search = \"blind\"\nseparators = \"#\"",
        TOKEN,
        |erp| {
            assert!(matches!(
                erp.find(&base("WOO"), &Search::Text("x".into())),
                Ok(Listing::Inconclusive(_))
            ));
            assert_eq!(
                erp.code(&SkuRef::parse("a-b#n01#42").unwrap()),
                Ok(code("A-B-N01-42"))
            );
            assert!(erp.check(&movement()).is_ok());
        },
    );
    assert!(wire.seen().is_empty());
}

#[test]
fn doctor_says_what_works_and_what_does_not() {
    let record = |code: &str, more: &str| {
        json(
            "200 OK",
            &format!(r#"{{"Codigo":"{code}","Descripcion":"Web"{more}}}"#),
        )
    };
    let article = || list(1, &[r#"{"Codigo":"A"}"#]);
    let wire = Wire::start(vec![
        json(
            "200 OK",
            r#"{"InformacionOrganic":{"Version":"15.0006.14682"}}"#,
        ),
        json("200 OK", ""),
        article(),
        record("WOO ", ""),
        record("API", r#","GeneraAsiento":true"#),
        record("API", r#","GeneraAsiento":true"#),
        json("404 Not Found", ""),
        article(),
        article(),
        json("500 Broken", ""),
        json("500 Broken", ""),
        json("500 Broken", ""),
    ]);
    let extra = "authenticate = true\nmotive = \"API\"\nseller = \"WEB\"\ntoken_warning = \"14d\"";
    let checks = on(&Still::default(), &wire.url(), extra, TOKEN, |erp| {
        erp.checks()
    });
    let outcomes: Vec<_> = checks
        .iter()
        .map(|check| (check.name.as_str(), check.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("erp.transport", CheckOutcome::Warn),
            ("erp.token", CheckOutcome::Ok),
            ("erp.version", CheckOutcome::Ok),
            ("erp.log-in", CheckOutcome::Ok),
            ("erp.origin", CheckOutcome::Ok),
            ("erp.motive", CheckOutcome::Warn),
            ("erp.seller", CheckOutcome::Fail),
            ("erp.base.WOO", CheckOutcome::Ok),
            ("erp.base.CENTRO", CheckOutcome::Ok),
            ("erp.base.NORTE", CheckOutcome::Fail),
            ("erp.invoice", CheckOutcome::Warn),
        ]
    );
    assert!(checks.iter().all(|check| !check.detail.contains(TOKEN)));
}
