//! A shop for tests: the sandbox, a configuration that points at it, and the program itself, run as cron would.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "each test file uses its part; the deadlines of the protocol are real time"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stockbridge::app::{Wrap, execute};
use stockbridge::domain::ids::{BaseCode, OrderId, SkuId, WarehouseId};
use stockbridge::exit::Exit;
use stockbridge::sandbox::catalogue::{DEPOT, SHOPS, Variant, WAREHOUSE, base};
use stockbridge::sandbox::oracle::{Row, bookkeeping, numbers};
use stockbridge::sandbox::vtex::model::{Hold, Line};
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, JWT, Sandbox};

/// From one run of cron to the next, for the sandbox's clock.
const CYCLE_MS: i64 = 61_000;

/// A shop.
pub struct Shop {
    /// The outside.
    pub sandbox: Sandbox,
    /// Where configuration, secrets, state and mails lie.
    pub folder: tempfile::TempDir,
}

impl Shop {
    /// Opens a shop with so many SKUs.
    pub fn open(count: usize) -> Self {
        Self::with(count, "")
    }

    /// Opens a shop whose configuration has these lines changed (`key = value` under its section header).
    pub fn with(count: usize, changes: &str) -> Self {
        let sandbox = Sandbox::start(count).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = config(&sandbox, folder.path(), changes);
        furnish(folder.path(), &text, &[("jwt", JWT)]);
        Self { sandbox, folder }
    }

    /// Returns the path of a file of the shop.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one command of the program.
    pub fn run(&self, args: &[&str]) -> Exit {
        self.run_wrapped(args, &Wrap::default())
    }

    /// Runs one command with something between the stages and the outside.
    pub fn run_wrapped(&self, args: &[&str], wrap: &Wrap) -> Exit {
        run_in(self.folder.path(), args, wrap)
    }

    /// Runs all stages, so many times, as far apart as cron does.
    pub fn cycles(&self, n: u32) -> Exit {
        let mut last = Exit::Done;
        for _ in 0..n {
            last = self.run(&["run"]);
            self.sandbox.clock.advance(CYCLE_MS);
        }
        last
    }

    /// Returns the SKU and variant at a place of the catalogue.
    pub fn goods(&self, at: usize) -> (SkuId, Variant) {
        let product = &self.sandbox.products[at];
        (product.sku.clone(), product.variant.clone())
    }

    /// Sells units of the SKU at a place of the catalogue, paid and released.
    pub fn sell(&self, at: usize, units: u32) -> OrderId {
        self.sell_all(&[(at, units)])
    }

    /// Sells several SKUs in one order.
    pub fn sell_all(&self, lines: &[(usize, u32)]) -> OrderId {
        let lines: Vec<_> = lines
            .iter()
            .map(|(at, units)| (self.goods(*at).0, warehouse(), *units))
            .collect();
        let now = self.sandbox.clock.now();
        self.sandbox.vtex.with(|store| store.sell(&lines, now))
    }

    /// Returns the numbers that are wrong by the sandbox's own log.
    pub fn wrong_numbers(&self) -> Vec<Row> {
        let rows = numbers(&self.sandbox, &warehouse(), &counted());
        rows.into_iter().filter(|row| !row.right()).collect()
    }

    /// Asserts that every number and every movement is right, and that no rule of the outside was broken.
    pub fn assert_right(&self) {
        let wrong = self.wrong_numbers();
        assert!(
            wrong.is_empty(),
            "{} wrong numbers, first {:?}",
            wrong.len(),
            wrong.first()
        );
        assert_eq!(bookkeeping(&self.sandbox), Vec::<String>::new());
        assert_eq!(self.sandbox.violations(), Vec::<String>::new());
    }

    /// Runs until the books are right, at most some seconds: an unknown outcome must be left alone until its call is dead,
    /// and that time is the machine's own.
    pub fn finish(&self) {
        self.cycles(3);
        for _ in 0..8 {
            if bookkeeping(&self.sandbox).is_empty() && self.wrong_numbers().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(400));
            self.cycles(2);
        }
    }

    /// Returns every mail that was delivered, as text.
    pub fn mails(&self) -> Vec<String> {
        mails_in(self.folder.path())
    }

    /// Tells whether an order is in handling and every number of its goods was sent since.
    pub fn published(&self, order: &OrderId) -> bool {
        self.sandbox.vtex.with(|store| {
            let order = &store.orders[order];
            let sent = |line: &Line| {
                let shelf = &store.shelves[&(line.sku.clone(), line.warehouse.clone())];
                line.hold == Hold::Cleared || shelf.written_at >= order.last_change
            };
            order.status == "handling" && order.lines.iter().all(sent)
        })
    }

    /// Returns how many outgoing and incoming movements of an order stand in the ERP.
    pub fn movements(&self, order: &OrderId) -> (usize, usize) {
        let text = format!("VTEX {order} #");
        self.sandbox.dragonfish.with(|erp| {
            let ours = |kind| {
                erp.movements
                    .iter()
                    .filter(|m| m.kind == kind && m.note.starts_with(&text))
                    .count()
            };
            (ours(2), ours(1))
        })
    }
}

/// Writes a shop's configuration and secrets, for nobody else to read.
pub fn furnish(folder: &Path, text: &str, secrets: &[(&str, &str)]) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.join("stockbridge.toml"), text).unwrap();
    let store = [("key", APP_KEY), ("token", APP_TOKEN)];
    for (name, value) in store.iter().chain(secrets) {
        let path = folder.join(name);
        fs::write(&path, value).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Runs one command of the program in a shop's folder.
pub fn run_in(folder: &Path, args: &[&str], wrap: &Wrap) -> Exit {
    let mut line: Vec<OsString> = vec!["stockbridge".into()];
    line.extend(args.iter().map(OsString::from));
    line.extend([
        "--config".into(),
        folder.join("stockbridge.toml").into_os_string(),
        "--wait".into(),
        "0s".into(),
    ]);
    execute(line, wrap)
}

/// Returns every mail that was delivered into a shop's folder, as text.
pub fn mails_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.join("mail")) else {
        return vec![];
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// The warehouse of all tests.
pub fn warehouse() -> WarehouseId {
    WarehouseId::parse(WAREHOUSE).unwrap()
}

/// The bases that feed it.
pub fn counted() -> BTreeSet<BaseCode> {
    SHOPS
        .iter()
        .chain(&[DEPOT])
        .map(|code| base(code))
        .collect()
}

/// Writes a configuration whose waiting times are as short as loopback allows; `changes` replace lines by key.
fn config(sandbox: &Sandbox, folder: &Path, changes: &str) -> String {
    let text = format!(
        r#"
[store]
path = "state.sqlite"
shared_locks = "{locks}"
[vtex]
account = "tienda"
base_url = "{vtex}"
app_key = {{ file = "key" }}
app_token = {{ file = "token" }}
manage_feed = true
feed_visibility = "30s"
total_timeout = "500ms"
[poll]
cutover = "2020-01-01T00:00:00Z"
sweep_every = "1h"
[erp]
depot = "WOO"
blocked_bases = ["MELI", "ADMIN"]
reverse_on_cancel = true
pick_order = ["CENTRO", "NORTE"]
[erp.dragonfish]
url = "{erp}"
client_id = "STOCKBRIDGE"
token = {{ file = "jwt" }}
origin = "WOO"
motive = "API"
note = "VENTA_VTEX"
stock_timeout = "2s"
read_timeout = "2s"
[[warehouse]]
id = "1_1"
bases = ["CENTRO", "NORTE", "SUR"]
{TIMES}"#,
        locks = folder.join("locks").display(),
        vtex = sandbox.vtex.url(),
        erp = sandbox.dragonfish.url(),
    );
    changed(text, changes)
}

/// What every shop of the tests says of pushes, people and the protocol: waiting times as short as loopback allows.
pub const TIMES: &str = r#"[push]
full_every = "1h"
max_drop_percent = 90
[notify]
digest_every = "1h"
[notify.mail]
transport = "file"
folder = "mail"
from = "stock@example.com"
to = ["shop@example.com"]
[protocol]
gap = "200ms"
movement_limit = "500ms"
movement_settle = "0s"
absences_apart = "0s"
handling_limit = "500ms"
handling_recheck = "0s"
stock_limit = "500ms"
stock_settle = "0s"
backoff_base = "0s"
backoff_cap = "0s"
min_retry_after = "0s"
breaker_open = "0s"
requests_a_minute = 100000
watchdog = "60s"
"#;

/// Replaces lines of a configuration by key (`key = value` under its section header).
pub fn changed(mut text: String, changes: &str) -> String {
    let mut section = "";
    for change in changes
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if change.starts_with('[') {
            section = change;
            continue;
        }
        let key = format!("{} =", change.split('=').next().unwrap().trim());
        let start = text.find(&format!("\n{section}\n")).unwrap() + section.len() + 2;
        let end = text[start..]
            .find("\n[")
            .map_or(text.len(), |at| start + at);
        let body: String = text[start..end]
            .lines()
            .filter(|line| !line.starts_with(&key))
            .fold(String::new(), |all, line| all + line + "\n");
        text.replace_range(start..end, &format!("{change}\n{}", body.trim_end()));
    }
    text
}
