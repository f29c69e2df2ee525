//! What every road to Dragonfish's stock must answer alike: over HTTP, and over ODBC through Microsoft's driver and
//! FreeTDS, against a server that speaks TDS on a real socket (`tests/support/sql_rig.py`).

#![cfg(feature = "odbc")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/erp_wire.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod erp_wire;
#[path = "support/parts.rs"]
mod parts;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use erp_wire::{Still, Wire, json};
use parts::part;
use stockbridge::adapters::dragonfish::{Dragonfish, Setup};
use stockbridge::adapters::http::calls::Env;
use stockbridge::config::sections::ErpConfig;
use stockbridge::domain::ids::{BaseCode, ErpCode};
use stockbridge::domain::ports::{CheckOutcome, Checks, PortError, PortResult, StockSource};
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::{StockLevels, VariantLevels};

const PASSWORD: &str = "p;w d";
const FREETDS: &str = "/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so";

fn base(text: &str) -> BaseCode {
    BaseCode::parse(text).unwrap()
}

fn code(text: &str) -> ErpCode {
    ErpCode::parse(text).unwrap()
}

fn site(part: &str) -> Option<PathBuf> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/py/lib");
    let versions = std::fs::read_dir(lib).ok()?.filter_map(Result::ok);
    let mut found = versions.map(|version| version.path().join("site-packages").join(part));
    found.find(|path| path.exists())
}

/// The drivers that are here, by name; a test without one of them is skipped, or fails where all are required.
fn drivers() -> Vec<String> {
    let microsoft =
        site("mssql_python_odbc/libs/linux/debian_ubuntu/x86_64/lib/libmsodbcsql-18.6.so.2.1");
    let rig = site("pysqlbridge").is_some() && site("duckdb").is_some();
    if !part("the TDS rig (pysqlbridge, duckdb)", rig) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if part("Microsoft's ODBC driver", microsoft.is_some()) {
        found.extend(microsoft.map(|path| path.to_str().unwrap().to_owned()));
    }
    if part("FreeTDS' ODBC driver", Path::new(FREETDS).exists()) {
        found.push(FREETDS.to_owned());
    }
    found
}

/// A running TDS server with its relay.
struct Rig {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    relay: u16,
}

impl Rig {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(root.join("target/py/bin/python3"))
            .arg(root.join("tests/support/sql_rig.py"))
            .env_clear()
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let relay = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self {
            child,
            input,
            output,
            relay,
        }
    }

    /// Tells the relay what to do to answers from now on.
    fn relay(&mut self, mode: &str) {
        writeln!(self.input, "{mode}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ok");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(url: &str, source: &str, driver: &str, port: u16) -> ErpConfig {
    let text = format!(
        "depot = \"WOO\"\n[dragonfish]\nurl = \"{url}\"\nallow_plain_http_for = \"127.0.0.1\"\nclient_id = \"WEB\"\n\
         token = {{ env = \"T\" }}\norigin = \"WOO\"\nauthenticate = false\nstock_source = \"{source}\"\n[dragonfish.sql]\n\
         driver = \"{driver}\"\nserver = \"127.0.0.1,{port}\"\nuser = \"reader\"\nencrypt = true\n\
         trust_server_certificate = true\nconnect_timeout = \"5s\"\nstatement_timeout = \"2s\"\n"
    );
    toml::from_str(&text).unwrap()
}

fn on<T>(
    erp: &ErpConfig,
    bases: &[&str],
    password: &str,
    act: impl FnOnce(&Dragonfish<'_>) -> T,
) -> T {
    let world = Still::default();
    let dragonfish = Dragonfish::new(Setup {
        erp,
        counted: bases.iter().map(|text| base(text)).collect(),
        movement_limit: Duration::from_millis(400),
        token: "e30.eyJleHAiOiIxODkzNDU2MDAwIn0.c2lnbmF0dXJl"
            .to_owned()
            .into(),
        sql_password: Some(password.to_owned().into()),
        env: Env {
            clock: &world,
            rng: &world,
            gate: &world,
            until: None,
            min_retry_after: Duration::from_secs(60),
        },
        locks: &world,
    })
    .unwrap();
    act(&dragonfish)
}

const BASES: [&str; 3] = ["WOO", "CENTRO", "LA PLATA"];

fn wanted() -> Vec<ErpCode> {
    ["A B-N01-42", "ÑANDÚ-N01-42", "NOBODY-N01-1"]
        .map(code)
        .to_vec()
}

fn known(cells: &[(&str, &str)]) -> VariantLevels {
    let cells = cells.iter();
    VariantLevels::Known(
        cells
            .map(|(name, qty)| (base(name), Qty::parse(qty).unwrap()))
            .collect(),
    )
}

/// What both roads must say of the same stock: padding, letter case, accents, zero, negative and large figures.
fn holds_the_contract(levels: &StockLevels) {
    let expected = BTreeMap::from([
        (
            code("A B-N01-42"),
            known(&[
                ("WOO", "-2"),
                ("CENTRO", "3.5"),
                ("LA PLATA", "123456789012.45"),
            ]),
        ),
        (
            code("ÑANDÚ-N01-42"),
            known(&[("WOO", "0"), ("CENTRO", "0"), ("LA PLATA", "7")]),
        ),
        (code("NOBODY-N01-1"), VariantLevels::Absent),
    ]);
    assert_eq!(levels.variants, expected);
    assert!(levels.missing.is_empty(), "{:?}", levels.missing);
}

fn service() -> Wire {
    let row = |article: &str, cells: [&str; 3]| {
        format!(
            r#"{{"Articulo":"{article}","Color":"N01","Talle":"42","Stock":[{{"BaseDeDatos":"WOO","Stock":{}}},{{"BaseDeDatos":"CENTRO","Stock":{}}},{{"BaseDeDatos":"LA PLATA","Stock":{}}}]}}"#,
            cells[0], cells[1], cells[2]
        )
    };
    let list = |row: &str| format!(r#"{{"TotalRegistros":1,"Resultados":[{row}]}}"#);
    Wire::start(vec![
        json(
            "200 OK",
            &list(&row("A B", ["-2", "3.50", "123456789012.45"])),
        ),
        json("404 Not Found", ""),
        json("200 OK", &list(&row("ÑANDÚ", ["0", "0", "7"]))),
    ])
}

#[test]
fn http_holds_the_contract() {
    let wire = service();
    let erp = config(&wire.url(), "api", "unused", 1);
    let levels = on(&erp, &BASES, PASSWORD, |dragonfish| {
        dragonfish.read(&wanted())
    })
    .unwrap();
    holds_the_contract(&levels);
    assert_eq!(levels.road, "api");
}

#[test]
fn every_statement_is_one_select_to_two_parsers() {
    let parsers = site("sqlglot").is_some() && site("sqlfluff").is_some();
    if !part("sqlglot and sqlfluff", parsers) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(root.join("target/py/bin/python3"))
        .arg(root.join("tests/support/sql_parse.py"))
        .arg(root.join("sql/dragonfish"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    let n_files = std::fs::read_dir(root.join("sql/dragonfish"))
        .unwrap()
        .count();
    assert_eq!(
        String::from_utf8_lossy(&run.stdout).lines().count(),
        n_files
    );
}

#[test]
fn odbc_holds_the_contract_through_both_drivers() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config("http://127.0.0.1:9/api", "sql", &driver, rig.relay);
        on(&erp, &BASES, PASSWORD, |dragonfish| {
            let levels = dragonfish.read(&wanted()).unwrap();
            holds_the_contract(&levels);
            assert_eq!(levels.road, "sql");
            let doubtful = ["TWICE-N01-1", "NULLED-N01-1"].map(code);
            let levels = dragonfish.read(&doubtful).unwrap();
            for code in &doubtful {
                let level = &levels.variants[code];
                assert!(
                    matches!(level, VariantLevels::Unreadable(_)),
                    "{code}: {level:?}"
                );
            }
            let all = dragonfish.read_all(&|_| {}).unwrap();
            assert_eq!(all.road, "sql bulk");
            assert_eq!(all.variants.len(), 4);
        });
    }
}

#[test]
fn a_base_that_is_offline_or_not_there_is_missing_and_proves_no_absence() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config("http://127.0.0.1:9/api", "sql", &driver, rig.relay);
        let levels = on(&erp, &["WOO", "NORTE", "SUR"], PASSWORD, |dragonfish| {
            dragonfish.read(&wanted()).unwrap()
        });
        assert!(levels.missing[&base("NORTE")].contains("OFFLINE"));
        assert!(levels.missing.contains_key(&base("SUR")));
        assert_eq!(
            levels.variants[&code("A B-N01-42")],
            known(&[("WOO", "-2")])
        );
        assert!(!levels.variants.contains_key(&code("NOBODY-N01-1")));
    }
}

#[test]
fn doctor_tells_a_base_that_is_offline_and_a_login_that_can_write() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config("http://127.0.0.1:9/api", "sql", &driver, rig.relay);
        let checks = on(&erp, &["WOO", "CENTRO", "NORTE"], PASSWORD, |dragonfish| {
            dragonfish.checks()
        });
        let of_sql = checks.iter().filter(|check| check.name == "erp.sql");
        let outcomes: Vec<_> = of_sql.map(|check| check.outcome).collect();
        assert_eq!(
            outcomes,
            [CheckOutcome::Warn, CheckOutcome::Ok, CheckOutcome::Fail],
            "{driver}: {checks:?}"
        );
    }
}

#[test]
fn a_wrong_password_is_denied_once_and_never_shown() {
    for driver in drivers() {
        let rig = Rig::start();
        let erp = config("http://127.0.0.1:9/api", "sql", &driver, rig.relay);
        let read: PortResult<_> = on(&erp, &BASES, "not it", |d| d.read(&wanted()));
        let Err(PortError::Denied { reason }) = read else {
            panic!("{driver}: {read:?}");
        };
        assert!(!reason.contains("not it"), "{reason}");
    }
}

#[test]
fn a_fault_on_the_wire_ends_in_time_and_the_next_read_is_whole() {
    for driver in drivers() {
        for mode in ["reset", "close", "cut", "hang"] {
            let mut rig = Rig::start();
            let erp = config("http://127.0.0.1:9/api", "sql", &driver, rig.relay);
            on(&erp, &["WOO"], PASSWORD, |dragonfish| {
                let codes = [code("A B-N01-42")];
                dragonfish.read(&codes).unwrap();
                rig.relay(mode);
                let begun = Instant::now();
                let read = dragonfish.read(&codes);
                assert!(
                    matches!(read, Err(PortError::Transient { .. })),
                    "{driver} {mode}: {read:?}"
                );
                assert!(begun.elapsed() < Duration::from_secs(8), "{driver} {mode}");
                rig.relay("pass");
                let levels = dragonfish.read(&codes).unwrap();
                assert_eq!(levels.variants[&codes[0]], known(&[("WOO", "-2")]));
            });
        }
    }
}

#[test]
fn the_other_road_answers_when_the_first_is_down_and_says_so() {
    for driver in drivers() {
        let rig = Rig::start();
        // Nothing listens on the discard port.
        let erp = config("http://127.0.0.1:9/api", "api-then-sql", &driver, rig.relay);
        let levels = on(&erp, &BASES, PASSWORD, |d| d.read(&wanted())).unwrap();
        holds_the_contract(&levels);
        assert_eq!(levels.road, "sql (the first road failed)");
        let wire = service();
        let erp = config(&wire.url(), "sql-then-api", &driver, 9);
        let levels = on(&erp, &BASES, PASSWORD, |d| d.read(&wanted())).unwrap();
        holds_the_contract(&levels);
        assert_eq!(levels.road, "api (the first road failed)");
    }
}
