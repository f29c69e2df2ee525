//! A SQL Server for tests: `sql_rig.py` as a process, the ODBC drivers that are here, and an adapter that reads it.

#![allow(dead_code, reason = "each test file uses some of these")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use stockbridge::adapters::dragonfish::{Dragonfish, Setup};
use stockbridge::adapters::http::calls::Env;
use stockbridge::config::sections::ErpConfig;
use stockbridge::domain::ids::{BaseCode, ErpCode};
use stockbridge::domain::ports::Gate;
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::VariantLevels;
use stockbridge::domain::time::BootTime;
use stockbridge::sandbox::{CLIENT_ID, JWT, Sandbox};

use crate::erp_wire::Still;
use crate::parts::part;

/// The rig's password.
pub const PASSWORD: &str = "p;w d";
/// An address at which nothing listens: the discard port.
pub const NOBODY: &str = "http://127.0.0.1:9/api";
const FREETDS: &str = "/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so";

/// Returns a base.
pub fn base(text: &str) -> BaseCode {
    BaseCode::parse(text).unwrap()
}

/// Returns a code.
pub fn code(text: &str) -> ErpCode {
    ErpCode::parse(text).unwrap()
}

/// Returns a variant's stock per base.
pub fn known(cells: &[(&str, &str)]) -> VariantLevels {
    let cells = cells.iter();
    VariantLevels::Known(
        cells
            .map(|(name, qty)| (base(name), Qty::parse(qty).unwrap()))
            .collect(),
    )
}

/// Finds a part of the Python environment.
pub fn site(part: &str) -> Option<PathBuf> {
    let lib = root().join("target/py/lib");
    let versions = std::fs::read_dir(lib).ok()?.filter_map(Result::ok);
    let mut found = versions.map(|version| version.path().join("site-packages").join(part));
    found.find(|path| path.exists())
}

/// Returns the folder of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The drivers that are here, by name; a test without one of them is skipped, or fails where all are required.
pub fn drivers() -> Vec<String> {
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
pub struct Rig {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The port of the relay in front of it.
    pub relay: u16,
}

impl Rig {
    /// Starts one.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with flags of its own.
    pub fn with(flags: &[&str]) -> Self {
        let mut child = Command::new(root().join("target/py/bin/python3"))
            .arg(root().join("tests/support/sql_rig.py"))
            .args(flags)
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

    /// Gives an order to the relay or to the server; see `sql_rig.py`.
    pub fn order(&mut self, order: &str) {
        assert_eq!(self.ask(order), "ok", "{order}");
    }

    /// Returns how many statements were asked so far.
    pub fn seen(&mut self) -> u64 {
        self.ask("seen").parse().unwrap()
    }

    /// Runs a statement of DuckDB's in a base.
    pub fn run(&mut self, base: &str, sql: &str) {
        let sql = sql.replace("{}", &format!("\"DRAGONFISH_{base}\".ZooLogic"));
        self.order(&format!("run {sql}"));
    }

    /// Gives the rig the stock that the sandbox has now, and its offline bases.
    pub fn mirror(&mut self, sandbox: &Sandbox, folder: &Path) {
        let path = folder.join("stock.tsv");
        let (rows, offline) = sandbox.dragonfish.with(|erp| {
            let offline: Vec<_> = erp.offline.iter().map(ToString::to_string).collect();
            (erp.table(), offline.join(","))
        });
        std::fs::write(&path, rows).unwrap();
        self.order(&format!("load {}", path.display()));
        self.order(&format!("offline {offline}"));
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.input, "{order}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the ERP's section: keys of `[dragonfish]` and of `[dragonfish.sql]` may be added, one a line.
pub fn config(url: &str, driver: &str, port: u16, erp: &str, sql: &str) -> ErpConfig {
    toml::from_str(&section(url, driver, port, erp, sql)).unwrap()
}

fn section(url: &str, driver: &str, port: u16, erp: &str, sql: &str) -> String {
    format!(
        "depot = \"WOO\"\nblocked_bases = [\"MELI\"]\n[dragonfish]\nurl = \"{url}\"\n\
         allow_plain_http_for = \"127.0.0.1\"\nclient_id = \"{CLIENT_ID}\"\ntoken = {{ env = \"T\" }}\norigin = \"WOO\"\n\
         {erp}\n[dragonfish.sql]\ndriver = \"{driver}\"\nserver = \"127.0.0.1,{port}\"\nuser = \"reader\"\n\
         encrypt = true\ntrust_server_certificate = true\nconnect_timeout = \"5s\"\nstatement_timeout = \"2s\"\n{sql}\n"
    )
}

/// Builds the adapter with the rig's password and lets it act.
pub fn on<T>(erp: &ErpConfig, bases: &[&str], act: impl FnOnce(&Dragonfish<'_>) -> T) -> T {
    on_in(&Still::default(), erp, bases, PASSWORD, None, act)
}

/// Builds the adapter in a world and lets it act.
pub fn on_in<T>(
    world: &Still,
    erp: &ErpConfig,
    bases: &[&str],
    password: &str,
    until: Option<BootTime>,
    act: impl FnOnce(&Dragonfish<'_>) -> T,
) -> T {
    on_gated(world, world, erp, bases, password, until, act)
}

/// Builds the adapter behind a gate and lets it act.
pub fn on_gated<T>(
    world: &Still,
    gate: &dyn Gate,
    erp: &ErpConfig,
    bases: &[&str],
    password: &str,
    until: Option<BootTime>,
    act: impl FnOnce(&Dragonfish<'_>) -> T,
) -> T {
    let own = &erp
        .dragonfish
        .as_ref()
        .unwrap()
        .sql
        .as_ref()
        .unwrap()
        .statements;
    let statements = match stockbridge::config::statements::read(own) {
        Ok(statements) => statements,
        Err(why) => panic!("{why}"),
    };
    let dragonfish = Dragonfish::new(Setup {
        erp,
        config: erp.dragonfish.as_ref().unwrap(),
        counted: bases.iter().map(|text| base(text)).collect(),
        movement_limit: Duration::from_millis(400),
        token: JWT.to_owned().into(),
        sql_password: Some(password.to_owned().into()),
        statements,
        env: Env {
            clock: world,
            rng: world,
            gate,
            until,
            min_retry_after: Duration::from_secs(60),
        },
        locks: world,
    })
    .unwrap();
    act(&dragonfish)
}
