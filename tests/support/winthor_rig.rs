//! Real databases with a small WinThor in them: PostgreSQL with a schema in place of Oracle's package, and MariaDB in its
//! ORACLE mode. Each runs once for a test binary, as a user of its own, in a folder of its own, and ends with it.

#![allow(dead_code, reason = "each test file uses some of these")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use stockbridge::adapters::http::calls::Env;
use stockbridge::adapters::winthor::code::SkuCode;
use stockbridge::adapters::winthor::sql::{Filters, SqlSetup, WinthorSql};
use stockbridge::config::winthor_sql::WinthorSqlConfig;
use stockbridge::domain::ids::BaseCode;

use crate::erp_wire::Still;
use crate::parts::{command_exists, part};

/// The password of the login `reader`, with characters that a connection string must escape.
pub const PASSWORD: &str = "p;w }d";
const DRIVERS: &str = "/usr/lib/x86_64-linux-gnu/odbc";
/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// A database of the rig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL through psqlODBC.
    Postgres,
    /// MariaDB in ORACLE mode through MariaDB's driver.
    Mariadb,
}

/// A server that is running, behind a pipe whose end is the server's.
pub struct Server {
    pub engine: Engine,
    pub port: u16,
    folder: PathBuf,
    _pipe: Child,
}

/// The databases that are here; a test without one of them is skipped, or fails where all are required.
pub fn servers() -> Vec<&'static Server> {
    [Engine::Postgres, Engine::Mariadb]
        .into_iter()
        .filter_map(server)
        .collect()
}

/// One database, started when it is first asked for.
pub fn server(engine: Engine) -> Option<&'static Server> {
    static POSTGRES: OnceLock<Option<Server>> = OnceLock::new();
    static MARIADB: OnceLock<Option<Server>> = OnceLock::new();
    let (cell, name) = match engine {
        Engine::Postgres => (&POSTGRES, "PostgreSQL and psqlODBC"),
        Engine::Mariadb => (&MARIADB, "MariaDB and its ODBC driver"),
    };
    let available = match engine {
        Engine::Postgres => postgres_folder().is_some(),
        Engine::Mariadb => command_exists("mariadbd") || Path::new("/usr/sbin/mariadbd").exists(),
    };
    if !part(name, available && Path::new(&driver(engine)).exists()) {
        return None;
    }
    cell.get_or_init(|| Some(Server::start(engine))).as_ref()
}

fn driver(engine: Engine) -> String {
    let name = match engine {
        Engine::Postgres => "psqlodbcw.so",
        Engine::Mariadb => "libmaodbc.so",
    };
    format!("{DRIVERS}/{name}")
}

fn postgres_folder() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<_> = versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

fn text(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/winthor");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// A command of a server, never as root.
fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn run(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {told}");
}

fn pause(duration: Duration) {
    let (_keep, never) = channel::<()>();
    let _ = never.recv_timeout(duration);
}

impl Server {
    fn start(engine: Engine) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("winthor-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|socket| socket.local_addr())
            .unwrap()
            .port();
        let server = match engine {
            Engine::Postgres => postgres(&folder, port),
            Engine::Mariadb => mariadb(&folder, port),
        };
        // The pipe ends with this process, however it ends; then the server goes, and its folder.
        let script = "\"$@\" >log 2>&1 & server=$!; cat >/dev/null; kill -9 $server; wait $server; rm -rf \"$PWD\"";
        let mut shell = command("/bin/sh", &folder);
        shell.args(["-c", script, "sh"]).args(server);
        let pipe = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            engine,
            port,
            folder,
            _pipe: pipe,
        };
        server.wait();
        server.fill();
        server
    }

    fn wait(&self) {
        let begun = Instant::now();
        loop {
            let mut ask = self.client("winthor-or-not");
            let up = match self.engine {
                Engine::Postgres => self.ready_postgres(),
                Engine::Mariadb => ask
                    .args(["-e", "SELECT 1"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .unwrap()
                    .success(),
            };
            if up {
                return;
            }
            let mut log = String::new();
            let read = File::open(self.folder.join("log"))
                .and_then(|mut file| file.read_to_string(&mut log));
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no server: {read:?} {log}"
            );
            pause(Duration::from_millis(100));
        }
    }

    fn ready_postgres(&self) -> bool {
        let mut ask = self.client("postgres");
        let ask = ask.args(["-c", "SELECT 1"]).stdout(Stdio::null());
        ask.stderr(Stdio::null()).status().unwrap().success()
    }

    /// The database's own command line, as its owner.
    fn client(&self, base: &str) -> Command {
        match self.engine {
            Engine::Postgres => {
                let mut client = command(postgres_folder().unwrap().join("psql"), &self.folder);
                client.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "owner"]);
                client.arg("-h").arg(&self.folder);
                client.args(["-p", &self.port.to_string(), base]);
                client
            }
            Engine::Mariadb => {
                let mut client = command("mariadb", &self.folder);
                client.args([
                    "--no-defaults",
                    "-u",
                    "root",
                    "--default-character-set=utf8mb4",
                ]);
                client.arg("-S").arg(self.folder.join("socket"));
                client
            }
        }
    }

    fn fill(&self) {
        let (schema, data) = (text("schema.sql"), text("data.sql"));
        match self.engine {
            Engine::Postgres => {
                run(&mut self.client("postgres"), "CREATE DATABASE winthor;");
                let schema = schema
                    .replace("VARCHAR2", "VARCHAR")
                    .replace("NUMBER", "NUMERIC")
                    .replace(" DATE", " TIMESTAMP(0)");
                let path = "CREATE SCHEMA winthor; SET search_path = winthor;";
                let all = format!("{path}\n{schema}\n{data}\n{}", text("package_postgres.sql"));
                run(&mut self.client("winthor"), &all);
            }
            Engine::Mariadb => {
                let base = "CREATE DATABASE winthor CHARACTER SET utf8mb4; USE winthor;";
                let all = format!("{base}\n{schema}\n{data}\n{}", text("package_mariadb.sql"));
                run(&mut self.client("winthor"), &all);
            }
        }
    }

    /// Runs statements as the owner of the tables.
    pub fn owner(&self, statements: &str) {
        let path = match self.engine {
            Engine::Postgres => "SET search_path = winthor;",
            Engine::Mariadb => "USE winthor;",
        };
        run(
            &mut self.client("winthor"),
            &format!("{path}\n{statements}"),
        );
    }

    /// The section of the configuration that reaches this server by a port, with more keys.
    pub fn config(&self, port: u16, more: &str) -> WinthorSqlConfig {
        let driver = driver(self.engine);
        let rest = match self.engine {
            Engine::Postgres => {
                format!("Servername=127.0.0.1;Port={port};Database=winthor;Debug=0;CommLog=0;")
            }
            Engine::Mariadb => {
                format!("Server=127.0.0.1;Port={port};Database=winthor;Charset=utf8mb4;")
            }
        };
        let short = if more.contains("statement_timeout") {
            ""
        } else {
            "statement_timeout = \"3s\"\n"
        };
        let text = format!(
            "connection_string = \"Driver={driver};{rest}\"\nuser = \"reader\"\npassword = {{ env = \"P\" }}\n\
             connect_timeout = \"5s\"\n{short}{more}"
        );
        toml::from_str(&text).unwrap()
    }
}

fn postgres(folder: &Path, port: u16) -> Vec<String> {
    let bin = postgres_folder().unwrap();
    let mut make = command(bin.join("initdb"), folder);
    make.args([
        "-D",
        "data",
        "--locale=C",
        "-E",
        "UTF8",
        "-U",
        "owner",
        "--no-sync",
    ]);
    run(
        make.args(["--auth-local=trust", "--auth-host=scram-sha-256"]),
        "",
    );
    let postgres = bin.join("postgres").to_str().unwrap().to_owned();
    let here = folder.to_str().unwrap();
    let args = [
        &postgres,
        "-D",
        "data",
        "-F",
        "-p",
        &port.to_string(),
        "-k",
        here,
        "-c",
        "listen_addresses=127.0.0.1",
    ];
    args.map(String::from).to_vec()
}

fn mariadb(folder: &Path, port: u16) -> Vec<String> {
    let mut make = command("mariadb-install-db", folder);
    let data = format!("--datadir={}", folder.join("data").to_str().unwrap());
    make.args([
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
    ]);
    run(make.args(["--skip-test-db", "--skip-name-resolve"]), "");
    let args = [
        "mariadbd".to_owned(),
        "--no-defaults".into(),
        data,
        format!("--socket={}", folder.join("socket").to_str().unwrap()),
        format!("--port={port}"),
        "--bind-address=127.0.0.1".into(),
        "--sql-mode=ORACLE,ANSI_QUOTES".into(),
        "--skip-name-resolve".into(),
        "--innodb-flush-log-at-trx-commit=0".into(),
        "--character-set-server=utf8mb4".into(),
    ];
    args.to_vec()
}

/// What a reading is made with besides the configuration.
#[derive(Debug, Clone)]
pub struct Shop {
    pub branches: Vec<&'static str>,
    pub sku_code: SkuCode,
    pub packaging_sales: bool,
    pub filters: Filters,
    pub password: &'static str,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            branches: vec!["1", "2"],
            sku_code: SkuCode::ProductId,
            packaging_sales: true,
            filters: Filters {
                web: true,
                ..Filters::default()
            },
            password: PASSWORD,
        }
    }
}

/// Acts with an adapter of this configuration.
pub fn on<T>(config: &WinthorSqlConfig, shop: &Shop, act: impl FnOnce(&WinthorSql<'_>) -> T) -> T {
    let world = Still::default();
    let sql = WinthorSql::new(SqlSetup {
        config,
        branches: shop
            .branches
            .iter()
            .map(|b| BaseCode::parse(b).unwrap())
            .collect(),
        sku_code: shop.sku_code,
        packaging_sales: shop.packaging_sales,
        filters: shop.filters.clone(),
        password: Some(shop.password.to_owned().into()),
        statements: stockbridge::config::winthor_sql::read(&config.statements).unwrap(),
        env: Env {
            clock: &world,
            rng: &world,
            gate: &world,
            until: None,
            min_retry_after: Duration::from_secs(60),
        },
    });
    act(&sql.unwrap())
}

/// Acts with an adapter as configured by default, straight to a server.
pub fn at<T>(
    server: &Server,
    more: &str,
    shop: &Shop,
    act: impl FnOnce(&WinthorSql<'_>) -> T,
) -> T {
    on(&server.config(server.port, more), shop, act)
}

/// Passes bytes on to a server, and does what it was told to the answers.
pub struct Relay {
    pub port: u16,
    mode: Arc<AtomicU8>,
}

/// What a relay does to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Hands them over.
    Pass,
    /// Ends the connection in place of the next one.
    Close,
    /// Ends it in the middle of the next one.
    Cut,
    /// Swallows them.
    Hang,
}

impl Relay {
    /// Starts a relay before a server.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(AtomicU8::new(Mode::Pass as u8));
        let shared = Arc::clone(&mode);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(peer) = TcpStream::connect(("127.0.0.1", server)) else {
                    return;
                };
                let (from, to) = (client.try_clone().unwrap(), peer.try_clone().unwrap());
                thread::spawn(move || up(from, to));
                let mode = Arc::clone(&shared);
                thread::spawn(move || down(peer, client, &mode));
            }
        });
        Self { port, mode }
    }

    /// Says what happens to answers from now on.
    pub fn order(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }
}

fn up(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn down(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut bytes = [0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let mode = mode.load(Ordering::SeqCst);
        if mode == Mode::Hang as u8 {
            continue;
        }
        if mode == Mode::Cut as u8 {
            let _ = to.write_all(&bytes[..n / 2]);
        }
        if mode != Mode::Pass as u8 || to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Rows as maps, for comparing readings that need not keep an order.
pub fn sorted<K: Ord, V>(rows: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    rows.into_iter().collect()
}
