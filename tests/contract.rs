//! Every request the VTEX adapter can make, against VTEX's published contracts.
//!
//! `tests/contract/run FOLDER` merges the contracts, installs Prism and runs this file; plain `cargo test` skips it.
//! The way of a request: adapter → relay of ours, which keeps what Prism objects to → Prism, which refuses what the
//! contracts do not allow. Prism answers by itself, with examples; given an upstream, it stands in front of that as a
//! proxy and checks the answers as well.
//!
//! Exempt, since the contracts lack them: the change summary of an order, and `PUT /api/fulfillment/pvt/stock`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/parts.rs"]
mod parts;
#[path = "support/wire.rs"]
mod wire;

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use secrecy::SecretString;
use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::vtex::{HookTarget, Vtex};
use stockbridge::config::sections::VtexConfig;
use stockbridge::domain::ids::{OrderId, SkuId, SkuRef, WarehouseId};
use stockbridge::domain::ports::{Checks, Clock, ListFilter, Permit, PortResult, Storefront};
use stockbridge::domain::time::Moment;
use stockbridge::sandbox::catalogue::WAREHOUSE;
use stockbridge::sandbox::http::{Reply, Server};
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, Sandbox};

use wire::{GateLog, Largest, StillClock};

/// Prism, ended when dropped.
struct Prism {
    child: Child,
    port: u16,
}

impl Prism {
    fn start(upstream: Option<u16>) -> Option<Self> {
        let contracts = parts::variable("STOCKBRIDGE_PRISM_CONTRACTS");
        if !parts::optional_part(
            "STOCKBRIDGE_PRISM_CONTRACTS, set by tests/contract/run",
            contracts.is_some(),
        ) {
            return None;
        }
        let program = parts::variable("STOCKBRIDGE_PRISM").unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new(program);
        command.arg(if upstream.is_some() { "proxy" } else { "mock" });
        command
            .args(["--errors", "--port", &port.to_string()])
            .arg(contracts.unwrap());
        if let Some(upstream) = upstream {
            command.arg(format!("http://127.0.0.1:{upstream}"));
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("Prism is listening")),
            "Prism ended before it listened"
        );
        // A full pipe would stop Prism.
        thread::spawn(move || lines.for_each(drop));
        Some(Self { child, port })
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands bytes on, and keeps the answers.
struct Relay {
    port: u16,
    answers: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&answers);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
                let (to_server, to_client) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || copy(client, to_server, None));
                let kept = Arc::clone(&kept);
                thread::spawn(move || copy(server, to_client, Some(&kept)));
            }
        });
        Self { port, answers }
    }

    /// Returns what Prism objected to since the last call.
    fn objections(&self) -> Vec<String> {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        let text = String::from_utf8_lossy(&answers);
        text.lines()
            .filter(|line| {
                let line = line.to_lowercase();
                // A status that a contract does not list is only a warning.
                line.starts_with("sl-violations:") && line.contains("\"severity\":\"error\"")
                    || line.contains("stoplight.io/prism/errors")
            })
            .map(str::to_owned)
            .collect()
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, kept: Option<&Mutex<Vec<u8>>>) {
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if let Some(kept) = kept {
            kept.lock().unwrap().extend(&buffer[..n]);
        }
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Makes calls and gathers what went wrong, so that one run shows everything.
struct Calls<'a> {
    relay: &'a Relay,
    /// What Prism refused.
    objections: Vec<String>,
    /// What the adapter could not use.
    failures: Vec<String>,
}

impl Calls<'_> {
    fn check<T: Debug>(&mut self, name: &str, answer: PortResult<T>) -> Option<T> {
        let objections = self.relay.objections();
        let named = objections.iter().map(|text| format!("{name}: {text}"));
        self.objections.extend(named);
        answer
            .map_err(|err| self.failures.push(format!("{name}: {err}")))
            .ok()
    }
}

fn config(port: u16, stock_call: &str) -> VtexConfig {
    toml::from_str(&format!(
        "account = \"tienda\"\nbase_url = \"http://127.0.0.1:{port}\"\nstock_call = {stock_call:?}\n\
         app_key = {{ env = \"K\" }}\napp_token = {{ env = \"T\" }}\ntotal_timeout = \"20s\""
    ))
    .unwrap()
}

/// What the adapter is asked about; a stateful peer knows all of it.
struct Known {
    order: OrderId,
    reservation: String,
    sku: SkuId,
    kit: SkuId,
    reference: SkuRef,
    warehouse: WarehouseId,
}

/// Makes every call of the adapter once; the answers go to `calls`.
fn call_everything(vtex: &Vtex<'_>, permit: &Permit<'_>, known: &Known, calls: &mut Calls<'_>) {
    let now = permit.clock.now();
    let day_before = now.plus_ms(-86_400_000);
    calls.check("install feed", vtex.install_feed());
    calls.check("feed configuration", vtex.feed_config());
    calls.check("install hook", vtex.install_hook());
    calls.check("hook configuration", vtex.hook_config());
    calls.check("remove hook", vtex.remove_hook());
    let events = calls.check("read feed", vtex.read_feed());
    let handles: Vec<String> = events
        .flatten()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|event| event.handle)
        .collect();
    if handles.is_empty() {
        calls.failures.push("read feed: no event to commit".into());
    }
    calls.check("commit feed", vtex.commit_feed(&handles));
    for (name, filter) in [
        ("list by creation", ListFilter::Created(day_before, now)),
        ("list by payment", ListFilter::Authorized(day_before, now)),
        ("list ready", ListFilter::Ready),
    ] {
        calls.check(name, vtex.list_orders(filter, 1));
    }
    calls.check("order", vtex.order(&known.order));
    calls.check("start handling", vtex.start_handling(&known.order, permit));
    calls.check("reservation", vtex.reservation(&known.reservation));
    calls.check("stock", vtex.stock(&known.sku));
    calls.check(
        "references",
        vtex.resolve_refs(std::slice::from_ref(&known.reference)),
    );
    calls.check("sku", vtex.sku(&known.sku));
    calls.check("kit", vtex.kit_parts(&known.kit));
    calls.check("sku ids", vtex.sku_ids(1));
    calls.check("warehouses", vtex.warehouses());
    set_quantity(vtex, permit, known, "set quantity by patch", calls);
    let checks = vtex.checks();
    calls.check("checks", Ok(checks));
}

fn set_quantity(
    vtex: &Vtex<'_>,
    permit: &Permit<'_>,
    known: &Known,
    name: &str,
    calls: &mut Calls<'_>,
) {
    let as_of: Moment = permit.clock.now().plus_ms(-2_000);
    let answer = vtex.set_quantity(&known.sku, &known.warehouse, 8, as_of, permit);
    calls.check(name, answer);
}

/// Runs every call through the relay.
fn run_through<'a>(relay: &'a Relay, known: &Known, key: &str, token: &str) -> Calls<'a> {
    let (clock, gate) = (StillClock::new(), GateLog::open());
    let env = Env {
        clock: &clock,
        rng: &Largest,
        gate: &gate,
        until: None,
        min_retry_after: Duration::from_secs(1),
    };
    let permit = Permit {
        clock: &clock,
        send_by: clock.boot().plus_ms(3_600_000),
    };
    let (key, token) = (SecretString::from(key), SecretString::from(token));
    // The sandbox tries whether the address answers.
    let listener = Server::start(Arc::new(|_| Reply::empty(200))).unwrap();
    let hook = HookTarget {
        url: format!("{}/webhook/vtex", listener.url()),
        header: "key".into(),
        token: SecretString::from("dummy"),
    };
    let vtex = |call| {
        let vtex = Vtex::new(&config(relay.port, call), &key, &token, env).unwrap();
        vtex.with_hook(Some(hook.clone()))
    };
    let mut calls = Calls {
        relay,
        objections: Vec::new(),
        failures: Vec::new(),
    };
    call_everything(&vtex("patch"), &permit, known, &mut calls);
    set_quantity(
        &vtex("put"),
        &permit,
        known,
        "set quantity by put",
        &mut calls,
    );
    calls
}

#[test]
fn every_request_to_vtex_fits_the_contracts() {
    let Some(prism) = Prism::start(None) else {
        return;
    };
    let known = Known {
        order: OrderId::parse("1172452900788-01").unwrap(),
        reservation: "1172452900788".into(),
        sku: SkuId::parse("10").unwrap(),
        kit: SkuId::parse("25").unwrap(),
        reference: SkuRef::parse("ART1-N01-42").unwrap(),
        warehouse: WarehouseId::parse("1_1").unwrap(),
    };
    let relay = Relay::start(prism.port);
    let calls = run_through(&relay, &known, "dummy", "dummy");
    // Prism's own answers are examples about other ids, which the adapter rightly refuses.
    assert!(calls.objections.is_empty(), "{:#?}", calls.objections);
}

#[test]
fn the_sandbox_answers_as_the_contracts_say() {
    let sandbox = Sandbox::start(2).unwrap();
    let sku = sandbox.products[0].sku.clone();
    let warehouse = WarehouseId::parse(WAREHOUSE).unwrap();
    let order = sandbox.vtex.with(|store| {
        store.feed_config = Some(serde_json::json!({}));
        let order = store.sell(&[(sku.clone(), warehouse.clone(), 1)], sandbox.clock.now());
        // The calls come in an order of their own: here the feed is taken from before the order is read.
        store.note_reading(&order);
        order
    });
    let Some(prism) = Prism::start(Some(sandbox.vtex.port())) else {
        return;
    };
    let known = Known {
        reservation: format!("00-{order}-0"),
        order,
        kit: sku.clone(),
        reference: SkuRef::parse(&sandbox.products[0].variant.reference()).unwrap(),
        sku,
        warehouse,
    };
    let relay = Relay::start(prism.port);
    let calls = run_through(&relay, &known, APP_KEY, APP_TOKEN);
    assert!(calls.objections.is_empty(), "{:#?}", calls.objections);
    assert!(calls.failures.is_empty(), "{:#?}", calls.failures);
    assert_eq!(sandbox.violations(), Vec::<String>::new());
}

#[test]
fn a_request_without_its_headers_is_objected_to() {
    let Some(prism) = Prism::start(None) else {
        return;
    };
    let relay = Relay::start(prism.port);
    for (request, says) in [
        ("GET /api/orders/feed?maxlot=10", "UNAUTHORIZED"),
        ("GET /api/orders/unheard-of", "NO_PATH_MATCHED"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", relay.port)).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let objections = relay.objections().join("\n");
        assert!(objections.contains(says), "{request}: {objections}");
    }
}
