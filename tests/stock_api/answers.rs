//! Who may ask, what cannot be asked, and what is told when the ERP is slow or away.

use std::time::{Duration, Instant};

use serde_json::json;
use stockbridge::sandbox::faults::{Fault, When};
use stockbridge::sandbox::winthor::server::PASSWORD;
use stockbridge::sandbox::{JWT, Sandbox, WinthorSandbox};

use crate::served::{CONSUMER, LIST, OLD, Served, TOKEN, all, ask, bearer, send, serve, winthor};

/// Serves the stock of a Dragonfish.
fn dragonfish(sandbox: &Sandbox, keys: &str) -> Served {
    let erp = format!(
        "[erp]\ndepot = \"WOO\"\n[erp.dragonfish]\nurl = \"{}\"\nclient_id = \"STOCKBRIDGE\"\ntoken = {{ file = \"jwt\" }}\n\
         origin = \"WOO\"\n[[warehouse]]\nid = \"1_1\"\nbases = [\"CENTRO\", \"NORTE\", \"SUR\"]\n",
        sandbox.dragonfish.url()
    );
    serve(&sandbox.vtex.url(), &erp, keys, &[("jwt", JWT)])
}

#[test]
fn dragonfishs_bases_stand_for_branches() {
    let sandbox = Sandbox::start(30).unwrap();
    let served = dragonfish(&sandbox, "refresh = \"1s\"");
    let items = all(served.port, "branchId=CENTRO,SUR", 7, &bearer(TOKEN));
    assert_eq!(items.len(), 60);
    let product = &sandbox.products[3];
    let key = (product.variant.reference(), "SUR".to_owned());
    assert_eq!(items[&key]["quantity"], json!(0), "below zero is none");
    assert_eq!(items[&key]["createDate"], "1900-01-01T00:00:00");
    // A sale shows after the next reading, and alone among what has changed since.
    let before = items[&(product.variant.reference(), "CENTRO".to_owned())].clone();
    std::thread::sleep(Duration::from_millis(2100));
    sandbox.dragonfish.with(|erp| {
        erp.shop_sale(
            &stockbridge::sandbox::catalogue::base("CENTRO"),
            &product.variant,
            1,
        )
    });
    // Whoever asks first is told the last reading, while a new one is made.
    all(served.port, "branchId=CENTRO", 7, &bearer(TOKEN));
    std::thread::sleep(Duration::from_millis(700));
    let later = all(served.port, "branchId=CENTRO", 7, &bearer(TOKEN));
    let now = &later[&(product.variant.reference(), "CENTRO".to_owned())];
    assert_eq!(
        now["quantity"].as_i64().unwrap(),
        before["quantity"].as_i64().unwrap() - 1
    );
    let since = now["lastChange"].as_str().unwrap();
    assert!(since > before["lastChange"].as_str().unwrap());
    let changed = all(
        served.port,
        &format!("branchId=CENTRO&lastChange={since}"),
        7,
        &bearer(TOKEN),
    );
    assert_eq!(changed.len(), 1, "{changed:?}");
}

#[test]
fn who_may_ask_and_what_cannot_be_asked() {
    let sandbox = WinthorSandbox::start(6).unwrap();
    let served = winthor(&sandbox, "");
    let port = served.port;
    let good = format!("{LIST}?branchId=1");
    for header in [
        bearer(TOKEN),
        bearer(OLD),
        format!("Cookie: a=b; suukie={TOKEN}\r\n"),
    ] {
        assert_eq!(ask(port, &good, &header).0, 200, "{header}");
    }
    for header in [
        String::new(),
        bearer("wrong"),
        bearer(""),
        "Authorization: Basic x\r\n".into(),
    ] {
        let (status, body) = ask(port, &good, &header);
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("AUTHENTICATION_FAILED")),
            "{header}"
        );
    }
    for (query, why) in [
        ("", "branchId: is required"),
        ("?branchId=1&callOrigin=X", "callOrigin"),
        ("?branchId=1&lastChange=ontem", "lastChange"),
        ("?branchId=1&pageSize=501", "pageSize: at most 500"),
        ("?branchId=1&order=quantity", "order"),
        (
            "?branchId=1&sectionId=4",
            "sectionId: this source does not tell",
        ),
    ] {
        let (status, body) = ask(port, &format!("{LIST}{query}"), &bearer(TOKEN));
        assert_eq!(status, 400, "{query}");
        for field in ["code", "message", "detailedMessage", "helpUrl"] {
            assert!(body[field].is_string(), "{query}: {field} of {body}");
        }
        assert!(
            body["detailedMessage"].as_str().unwrap().contains(why),
            "{query}: {body}"
        );
    }
    let empty = json!({"first": true, "items": [], "hasNext": false});
    for query in [
        "branchId=1&merchandiseType=XX",
        "branchId=77",
        "branchId=1&page=1&productId=99999",
    ] {
        let (status, body) = ask(port, &format!("{LIST}?{query}"), &bearer(TOKEN));
        assert_eq!((status, body), (200, empty.clone()), "{query}");
    }
    let zero = ask(
        port,
        &format!("{LIST}?branchId=1&page=0&pageSize=2"),
        &bearer(TOKEN),
    );
    let first = ask(
        port,
        &format!("{LIST}?branchId=1&page=1&pageSize=2"),
        &bearer(TOKEN),
    );
    assert_eq!(zero, first, "page 0 is page 1");
    let beyond = ask(
        port,
        &format!("{LIST}?branchId=1&page=9000"),
        &bearer(TOKEN),
    )
    .1;
    assert_eq!(
        beyond,
        json!({"first": false, "items": [], "hasNext": false})
    );
}

#[test]
fn an_erp_that_is_away_is_503_and_never_an_empty_list() {
    let sandbox = WinthorSandbox::start(6).unwrap();
    let erp = "[erp.winthor]\nurl = \"http://127.0.0.1:9\"\nuser = \"A\"\npassword = { file = \"erp\" }\n\
               [[warehouse]]\nid = \"1_1\"\nbases = [\"1\"]\n";
    let served = serve(&sandbox.vtex.url(), erp, "", &[("erp", PASSWORD)]);
    let (status, body) = ask(served.port, &format!("{LIST}?branchId=1"), &bearer(TOKEN));
    assert_eq!((status, &body["message"]), (503, &json!("try again later")));
}

#[test]
fn what_is_answered_where() {
    let sandbox = WinthorSandbox::start(6).unwrap();
    let served = winthor(&sandbox, "");
    let known = bearer(TOKEN);
    let one = "/api/stock-vtex/v1/available/1";
    for (method, path, wanted) in [
        ("GET", format!("{one}/1"), 200),
        ("POST", format!("{one}/1"), 405),
        ("DELETE", format!("{LIST}?branchId=1"), 405),
        ("GET", format!("{one}/%FF"), 400),
        ("GET", format!("{one}/1?pageSize=x"), 400),
        // A route of the vendor's that is not known well enough must not look like a branch without stock.
        (
            "GET",
            "/api/stock-vtex/v1/available/pdv-sync/list".into(),
            404,
        ),
        ("GET", "/api/stock-vtex/v1/available/pdv-sync".into(), 404),
        (
            "GET",
            "/api/stock-vtex/v2/available/list?branchId=1".into(),
            404,
        ),
    ] {
        let (status, body) = send(served.port, method, &path, &known, "");
        assert_eq!(status, wanted, "{method} {path}: {body}");
        if status != 200 {
            for field in ["code", "message", "detailedMessage", "helpUrl"] {
                assert!(body[field].is_string(), "{path}: {field} of {body}");
            }
        }
    }
    // A place names one product in every form, and product 0 is none of them.
    let items = |path: &str| {
        let (status, body) = ask(served.port, path, &known);
        assert_eq!(status, 200, "{path}");
        body["items"].as_array().unwrap().len()
    };
    assert_eq!(items(&format!("{one}/3?usesPackagingSales=false")), 1);
    assert_eq!(items(&format!("{one}/123-3?branchId=2&productId=5")), 1);
    assert_eq!(items(&format!("{one}/0")), 0);
    assert_eq!(items(&format!("{one},2/3")), 2);
    assert_eq!(items(&format!("{LIST}?branchId=1&productId=0")), 6);
    assert_eq!(ask(served.port, LIST, "Authorization: bEaReR x\r\n").0, 401);
    let lower = format!("authorization: bearer {TOKEN}\r\n");
    assert_eq!(
        ask(served.port, &format!("{LIST}?branchId=1"), &lower).0,
        200
    );
}

#[test]
fn whoever_logs_in_is_given_the_token() {
    let sandbox = WinthorSandbox::start(6).unwrap();
    let served = winthor(&sandbox, "");
    let log_in = |body: &str| {
        let path = "/winthor/autenticacao/v1/login";
        send(served.port, "POST", path, "", body)
    };
    let [user, password] = CONSUMER;
    let good = json!({"login": user, "senha": password}).to_string();
    assert_eq!(log_in(&good), (200, json!({"accessToken": TOKEN})));
    let (status, body) = log_in(&good.replace(password, "otra"));
    assert_eq!(status, 401);
    assert_eq!(body["code"], "AUTHENTICATION_FAILED");
    assert!(body["description"].is_string());
    assert_eq!(log_in("{").0, 400);
    assert_eq!(log_in(&" ".repeat(5000)).0, 400);
    let out = "/winthor/autenticacao/v1/logout";
    assert_eq!(ask(served.port, out, &bearer(TOKEN)).0, 204);
    let still = ask(served.port, &format!("{LIST}?branchId=1"), &bearer(TOKEN));
    assert_eq!(still.0, 200, "a log-out ends nothing");
}

#[test]
fn a_slow_erp_keeps_nobody_waiting_and_is_not_asked_per_question() {
    let sandbox = Sandbox::start(12).unwrap();
    let served = dragonfish(&sandbox, "refresh = \"1s\"\nmax_age = \"6s\"");
    let question = format!("{LIST}?branchId=CENTRO");
    let told = || {
        let began = Instant::now();
        let (status, body) = ask(served.port, &question, &bearer(TOKEN));
        (status, body, began.elapsed())
    };
    assert_eq!(told().0, 200);
    let calls = sandbox.faults.calls().len();
    for _ in 0..20 {
        assert_eq!(told().0, 200);
    }
    assert!(
        sandbox.faults.calls().len() <= 2 * calls,
        "twenty questions"
    );
    // Every call to the ERP now ends after 4 seconds without an answer.
    for operation in sandbox.faults.calls().iter().map(|call| call.operation) {
        sandbox
            .faults
            .on(operation, 1000, When::Before, Fault::Hang(4_000));
    }
    std::thread::sleep(Duration::from_millis(1_100));
    let old = Instant::now();
    for _ in 0..10 {
        let (status, body, took) = told();
        assert_eq!(status, 200, "{body}");
        assert!(
            took < Duration::from_secs(1),
            "{took:?}: not from the last reading"
        );
    }
    // Older than max_age it is not told any more, and what is told instead is no empty list.
    std::thread::sleep(Duration::from_millis(6_500).saturating_sub(old.elapsed()));
    let (status, body, took) = told();
    assert_eq!((status, &body["message"]), (503, &json!("try again later")));
    assert!(took < Duration::from_secs(5), "{took:?}");
    // The door closes although the ERP still keeps the reading waiting.
    let began = Instant::now();
    served.close();
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}
