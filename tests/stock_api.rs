//! The available-stock interface as a consumer meets it: the real binary, against the sandbox's own services.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that meets an unexpected error should stop there; a process is waited for in real time"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockbridge::sandbox::winthor::model::{BRANCH, OTHER};
use stockbridge::sandbox::winthor::server::{PASSWORD, USER};
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, JWT, Sandbox, WinthorSandbox};

const TOKEN: &str = "5d1c0a9d7be14658a0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4051627";
const OLD: &str = "00ff0a9d7be14658a0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4051627";
const LIST: &str = "/api/stock-vtex/v1/available/list";

/// The binary, serving.
struct Served {
    port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves a shop with this ERP.
fn serve(vtex: &str, erp: &str, secrets: &[(&str, &str)]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let common = [
        ("key", APP_KEY),
        ("token", APP_TOKEN),
        ("api", TOKEN),
        ("old", OLD),
    ];
    for (name, value) in common.iter().chain(secrets) {
        let path = folder.path().join(name);
        fs::write(&path, value).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = format!(
        r#"
[store]
path = "state.sqlite"
shared_locks = "locks"
[vtex]
account = "tienda"
base_url = "{vtex}"
app_key = {{ file = "key" }}
app_token = {{ file = "token" }}
[poll]
cutover = "2020-01-01T00:00:00Z"
{erp}
[serve]
listen = "127.0.0.1:{port}"
[serve.stock_api]
token = {{ file = "api" }}
previous_token = {{ file = "old" }}
refresh = "1s"
largest_page = 500
[notify.mail]
transport = "file"
folder = "mail"
from = "stock@example.com"
to = ["shop@example.com"]
"#
    );
    let config = folder.path().join("stockbridge.toml");
    fs::write(&config, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_stockbridge"))
        .args(["serve", "--config"])
        .arg(&config)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let served = Served {
        port,
        child,
        _folder: folder,
    };
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "serve does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    served
}

fn winthor(sandbox: &WinthorSandbox) -> Served {
    let erp = format!(
        "[erp.winthor]\nurl = \"{}\"\nuser = \"{USER}\"\npassword = {{ file = \"erp\" }}\n\
         [[warehouse]]\nid = \"1_1\"\nbases = [\"{BRANCH}\"]\n[[warehouse]]\nid = \"1_2\"\nbases = [\"{OTHER}\"]\n",
        sandbox.winthor.url()
    );
    serve(&sandbox.vtex.url(), &erp, &[("erp", PASSWORD)])
}

/// One request; status and body.
fn ask(port: u16, path: &str, header: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Every item of a question, page by page: by id and branch.
fn all(port: u16, query: &str, header: &str) -> BTreeMap<(String, String), Value> {
    let mut items = BTreeMap::new();
    for page in 1.. {
        let (status, body) = ask(
            port,
            &format!("{LIST}?{query}&page={page}&pageSize=7"),
            header,
        );
        assert_eq!(status, 200, "{query}: {body}");
        for item in body["items"].as_array().unwrap() {
            let id = |name: &str| item[name].as_str().unwrap().to_owned();
            let key = (id("productId"), id("warehouseBranchId"));
            assert!(
                items.insert(key, item.clone()).is_none(),
                "{query}: {item} twice"
            );
        }
        if body["hasNext"] == json!(false) {
            return items;
        }
        assert!(page < 1000, "{query} does not end");
    }
    items
}

/// What must be equal of an item, whoever tells it: dates of change are each one's own.
fn told(items: &BTreeMap<(String, String), Value>) -> Vec<(String, String, String, String, bool)> {
    let item = |((id, branch), item): (&(String, String), &Value)| {
        let number = |name: &str| {
            item[name]
                .to_string()
                .parse::<rust_decimal::Decimal>()
                .unwrap()
        };
        let number = |name: &str| number(name).normalize().to_string();
        let unlimited = item["unlimitedQuantity"].as_bool().unwrap();
        (
            id.clone(),
            branch.clone(),
            number("quantity"),
            number("unitMultiplier"),
            unlimited,
        )
    };
    items.iter().map(item).collect()
}

#[test]
fn it_tells_what_winthors_own_interface_tells() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let sandbox = WinthorSandbox::start(40).unwrap();
    sandbox.winthor.with(|erp| {
        for product in erp.products.values_mut() {
            // Without a packaging of one the service keeps the rest of the division back: nobody can tell it from there.
            let one = |p: &stockbridge::sandbox::winthor::model::Packaging| {
                p.factor == Some(rust_decimal::Decimal::ONE)
            };
            if !product.packagings.iter().any(one) {
                product.packagings[0].factor = Some(rust_decimal::Decimal::ONE);
            }
            for shelf in product.shelves.values_mut() {
                shelf.lying = rust_decimal::Decimal::new(rng.i64(-2_000..40_000), rng.u32(0..3));
            }
        }
    });
    let served = winthor(&sandbox);
    let theirs: u16 = sandbox
        .winthor
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let body = r#"{"login":"INTEGRA","senha":"BDB122192ECFF44B04A60855DB993D34"}"#;
    let mut stream = TcpStream::connect(("127.0.0.1", theirs)).unwrap();
    write!(
        stream,
        "POST /winthor/autenticacao/v1/login HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let given: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let their_token = bearer(given["accessToken"].as_str().unwrap());
    for branches in ["1", "2", "1,2", "1%2C2"] {
        let query = format!("branchId={branches}&usesPackagingSales=true");
        let ours = told(&all(served.port, &query, &bearer(TOKEN)));
        assert!(ours.len() >= 60, "{} items", ours.len());
        assert_eq!(
            ours,
            told(&all(theirs, &query, &their_token)),
            "seed {seed}, {query}"
        );
    }
    for product in 1..=40 {
        let query = format!("branchId=1,2&usesPackagingSales=true&productId={product}");
        let ours = told(&all(served.port, &query, &bearer(TOKEN)));
        assert_eq!(
            ours,
            told(&all(theirs, &query, &their_token)),
            "seed {seed}, {query}"
        );
        let path = format!("/api/stock-vtex/v1/available/1/{product}?usesPackagingSales=true");
        let (status, one) = ask(served.port, &path, &bearer(TOKEN));
        let there = ask(theirs, &path, &their_token).1;
        assert_eq!(status, 200);
        assert_eq!(
            one["items"].as_array().unwrap().len(),
            there["items"].as_array().unwrap().len()
        );
    }
    assert_eq!(sandbox.violations(), Vec::<String>::new());
}

#[test]
fn dragonfishs_bases_stand_for_branches() {
    let sandbox = Sandbox::start(30).unwrap();
    let erp = format!(
        "[erp]\ndepot = \"WOO\"\n[erp.dragonfish]\nurl = \"{}\"\nclient_id = \"STOCKBRIDGE\"\ntoken = {{ file = \"jwt\" }}\n\
         origin = \"WOO\"\n[[warehouse]]\nid = \"1_1\"\nbases = [\"CENTRO\", \"NORTE\", \"SUR\"]\n",
        sandbox.dragonfish.url()
    );
    let served = serve(&sandbox.vtex.url(), &erp, &[("jwt", JWT)]);
    let items = all(served.port, "branchId=CENTRO,SUR", &bearer(TOKEN));
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
    let later = all(served.port, "branchId=CENTRO", &bearer(TOKEN));
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
        &bearer(TOKEN),
    );
    assert_eq!(changed.len(), 1, "{changed:?}");
}

#[test]
fn who_may_ask_and_what_cannot_be_asked() {
    let sandbox = WinthorSandbox::start(6).unwrap();
    let served = winthor(&sandbox);
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
    let served = serve(&sandbox.vtex.url(), erp, &[("erp", PASSWORD)]);
    let (status, body) = ask(served.port, &format!("{LIST}?branchId=1"), &bearer(TOKEN));
    assert_eq!((status, &body["message"]), (503, &json!("try again later")));
}
