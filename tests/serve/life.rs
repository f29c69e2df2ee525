//! How the door opens, shows its state, and closes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stockbridge::exit::Exit;

use crate::certificates::{AUTHORITY, GOOD, LEAF, pem};
use crate::door::{BINARY, Door, TOKEN, configure, event, free_port, inbox, parse, post, wait_for};
use crate::shop::Shop;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn health_readiness_and_metrics_tell_what_is() {
    let shop = Shop::open(2);
    let door = Door::open(&shop, "stale_after = \"1h\"");
    assert_eq!(door.get("/healthz"), (200, r#"{"ok":true}"#.into()));
    let (status, body) = door.get("/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("poll has never run"), "{body}");
    let order = shop.sell(0, 1);
    shop.cycles(1);
    assert_eq!(
        door.get("/readyz"),
        (200, r#"{"ready":true,"reasons":[]}"#.into())
    );
    assert_eq!(door.tell(order.as_str()), 200);
    let (status, page) = door.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "stockbridge_hook_requests_total{outcome=\"taken\"} 1\n",
        "stockbridge_inbox_orders 1\n",
        "stockbridge_state_file_readable 1\n",
        "stockbridge_run_exit_code{stage=\"push-stock\"} 0\n",
        "stockbridge_run_count{stage=\"poll\",what=\"new orders\"} 1\n",
        "stockbridge_orders{state=\"",
        "stockbridge_orders_oldest_seconds{state=\"",
        "stockbridge_run_duration_seconds{stage=\"move\"} ",
        "stockbridge_feed_events ",
        "stockbridge_pushes_total ",
        "stockbridge_effects_retried 0\n",
        "# TYPE stockbridge_host_failures gauge\n",
        "stockbridge_hook_answer_seconds_count 1\n",
        "stockbridge_hook_answer_seconds_bucket{le=\"+Inf\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    // Every line is a comment, or a name with labels and one number.
    for line in page.lines().filter(|line| !line.starts_with("# ")) {
        let (name, number) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("stockbridge_"), "{line}");
        assert!(number.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn an_old_run_and_an_old_hint_are_not_ready() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "stale_after = \"1h\"");
    shop.cycles(1);
    assert_eq!(door.tell("1-01"), 200);
    assert_eq!(door.get("/readyz").0, 200);
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    file.execute(
        "UPDATE runs SET ended_at = ended_at - 3700000 WHERE stage = 'move'",
        [],
    )
    .unwrap();
    file.execute("UPDATE inbox SET first_at = first_at - 3700000", [])
        .unwrap();
    let (status, body) = door.get("/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("move ran last at 20"), "{body}");
    assert!(body.contains("1 orders in the inbox"), "{body}");
}

#[test]
fn what_is_inside_is_shown_to_this_machine_only() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "");
    let through_proxy = |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n"
        );
        door.ask(request.as_bytes()).0
    };
    assert_eq!(through_proxy("/metrics"), 403);
    assert_eq!(through_proxy("/readyz"), 403);
    assert_eq!(through_proxy("/healthz"), 200);
    drop(door);
    let door = Door::open(&shop, "open_metrics = true");
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n";
    assert_eq!(door.ask(request.as_bytes()).0, 200);
}

#[test]
fn two_values_are_accepted_while_one_replaces_the_other() {
    let shop = Shop::open(1);
    let port = free_port();
    configure(&shop, port, "", "previous_token = { file = \"old-token\" }");
    let old = "0123456789abcdef0123456789abcdef";
    let path = shop.path("old-token");
    fs::write(&path, format!("{old}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let door = Door::start(&shop, port);
    for (order, token) in [("1-01", TOKEN), ("2-01", old)] {
        assert_eq!(door.ask(&post(&event(order), Some(token))).0, 200);
    }
    assert_eq!(inbox(&shop), ["1-01", "2-01"]);
    fs::write(&path, "short").unwrap();
    drop(door);
    assert_eq!(shop.run(&["serve"]), Exit::Config);
}

#[test]
fn the_supervisor_hears_of_opening_life_and_closing() {
    let shop = Shop::open(1);
    let port = free_port();
    configure(&shop, port, "", "");
    let address = shop.path("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let hear = || {
        let mut text = [0; 64];
        let n = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..n]).into_owned()
    };
    let binary = Path::new(BINARY);
    let variables = [
        ("NOTIFY_SOCKET", address.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut door = Door::start_as(&shop, port, binary, &variables);
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "WATCHDOG=1");
    assert_eq!(hear(), "WATCHDOG=1");
    door.signal(Signal::TERM);
    let last = std::iter::repeat_with(hear).find(|text| text != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(door.ended(SOON).unwrap().success(), "{}", door.log());
}

#[test]
fn a_request_under_way_is_answered_when_the_door_closes() {
    let shop = Shop::open(1);
    let mut door = Door::open(&shop, "");
    let mut stream = TcpStream::connect(("127.0.0.1", door.port)).unwrap();
    let request = post(&event("1-01"), Some(TOKEN));
    stream.write_all(&request[..request.len() - 5]).unwrap();
    // The head is in when another request, sent later, was answered.
    assert_eq!(door.tell("2-01"), 200);
    door.signal(Signal::INT);
    assert!(wait_for(SOON, || door.log().contains("closing")));
    stream.write_all(&request[request.len() - 5..]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).0, 200);
    assert!(door.ended(SOON).unwrap().success(), "{}", door.log());
    assert_eq!(inbox(&shop), ["1-01", "2-01"]);
}

#[test]
fn an_idle_door_does_not_wake_up() {
    let shop = Shop::open(1);
    let door = Door::open(&shop, "run_stages = true");
    assert_eq!(door.get("/healthz").0, 200);
    std::thread::sleep(Duration::from_millis(500));
    let switches = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", door.pid())).unwrap();
        let of = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            let line = status
                .lines()
                .find(|l| l.starts_with("voluntary_ctxt"))
                .unwrap();
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        tasks.map(|task| of(task.unwrap())).sum()
    };
    let before = switches();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before);
}

#[test]
fn tls_needs_no_proxy() {
    let shop = Shop::open(1);
    for (name, text) in [
        ("cert.pem", pem("CERTIFICATE", GOOD)),
        ("key.pem", pem("PRIVATE KEY", LEAF)),
    ] {
        fs::write(shop.path(name), text).unwrap();
        fs::set_permissions(shop.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let port = free_port();
    let tls = "[serve.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"";
    configure(&shop, port, tls, "");
    let door = Door::start(&shop, port);
    let mut roots = RootCertStore::empty();
    let authority = pem("CERTIFICATE", AUTHORITY);
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream
        .write_all(&post(&event("1-01"), Some(TOKEN)))
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(parse(&answer).0, 200);
    assert_eq!(inbox(&shop), ["1-01"]);
    // Whoever speaks without TLS gets nothing.
    assert_eq!(door.tell("2-01"), 0);
    drop(door);
    // A key that others can read is none.
    fs::set_permissions(shop.path("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(shop.run(&["serve"]), Exit::Config);
}

#[test]
fn a_second_door_and_a_restore_must_wait() {
    let shop = Shop::open(1);
    shop.cycles(1);
    let copy = shop.path("copy");
    let copy = copy.to_str().unwrap();
    assert_eq!(shop.run(&["backup", copy]), Exit::Done);
    let door = Door::open(&shop, "");
    assert_eq!(shop.run(&["serve"]), Exit::Locked);
    assert_eq!(
        shop.run(&["backup", "restore", copy, "--yes"]),
        Exit::Locked
    );
    assert_eq!(door.tell("1-01"), 200);
    drop(door);
    assert_eq!(shop.run(&["backup", "restore", copy, "--yes"]), Exit::Done);
    assert!(inbox(&shop).is_empty());
}

#[test]
fn a_state_file_that_is_replaced_ends_the_door_and_loses_nothing_of_the_new_one() {
    let shop = Shop::open(1);
    shop.cycles(1);
    let mut door = Door::open(&shop, "");
    assert_eq!(door.tell("1-01"), 200);
    for end in ["", "-wal", "-shm"] {
        let from = shop.path(&format!("state.sqlite{end}"));
        if from.exists() {
            fs::rename(&from, shop.path(&format!("aside.sqlite{end}"))).unwrap();
        }
    }
    fs::remove_file(shop.path("state.sqlite.mark")).unwrap();
    let new = rusqlite::Connection::open(shop.path("aside.sqlite")).unwrap();
    new.execute(
        "VACUUM INTO ?1",
        [shop.path("state.sqlite").to_str().unwrap()],
    )
    .unwrap();
    drop(new);
    fs::set_permissions(shop.path("state.sqlite"), fs::Permissions::from_mode(0o600)).unwrap();
    let new = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    new.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO inbox VALUES ('3-01', 1, 1, 0, 0)")
        .unwrap();
    assert_eq!(door.tell("2-01"), 503);
    assert_eq!(door.ended(SOON).unwrap().code(), Some(70), "{}", door.log());
    assert!(door.log().contains("was replaced"), "{}", door.log());
    drop(new);
    assert_eq!(inbox(&shop), ["1-01", "3-01"]);
}

#[test]
fn a_door_without_a_hook_still_shows_its_health() {
    let shop = Shop::open(1);
    let port = free_port();
    let file = shop.path("stockbridge.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("{text}\n[serve]\nlisten = \"127.0.0.1:{port}\"\n"),
    )
    .unwrap();
    let door = Door::start(&shop, port);
    assert_eq!(door.get("/healthz").0, 200);
    assert_eq!(door.tell("1-01"), 404);
    assert_eq!(shop.run(&["hook", "show"]), Exit::Config);
}
