//! The shop of the demo: the sandbox, a folder with configuration and secrets, and the program as a process.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stockbridge::domain::ids::{BaseCode, OrderId, SkuId, WarehouseId};
use stockbridge::sandbox::catalogue::{DEPOT, SHOPS, Variant, WAREHOUSE, base};
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, JWT, Sandbox};

use crate::AS_PROGRAM;
use crate::broken::Break;
use crate::tables::{PASSWORD, Tables};

/// The stages in the order in which cron starts them.
const STAGES: [&str; 6] = ["poll", "reserve", "move", "push-stock", "notify", "gc"];

/// How the day is to be played.
pub struct Play {
    /// A shop with WinThor, not Dragonfish.
    pub winthor: bool,
    /// A fault in the program's own behaviour.
    pub seeded: Option<Break>,
    /// Where everything lies.
    pub folder: PathBuf,
    /// By which road stock is read.
    pub road: String,
}

/// The program in a folder of its own.
pub struct Program {
    /// Where everything lies.
    pub folder: PathBuf,
    seeded: Option<Break>,
}

/// The shop.
pub struct Shop {
    /// The outside.
    pub sandbox: Sandbox,
    /// The program.
    pub program: Program,
    /// The tables behind the ERP's service, where they are read.
    pub tables: Option<RefCell<Tables>>,
}

impl Program {
    /// Prepares an empty folder with these files, that only the owner may read.
    pub fn open(seeded: Option<Break>, folder: &Path, files: &[(&str, &str)]) -> io::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let folder = folder.canonicalize()?;
        for (name, value) in files {
            let path = folder.join(name);
            fs::write(&path, value)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        Ok(Self { folder, seeded })
    }

    /// Runs one command of the program, in a process of its own.
    pub fn run(&self, args: &[&str]) -> io::Result<Output> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(args)
            .args(["--config", "stockbridge.toml"])
            .current_dir(&self.folder);
        command
            .env_clear()
            .env(AS_PROGRAM, self.seeded.map_or("none", Break::name));
        command.output()
    }

    /// One minute of cron: every stage once. Returns what the stages counted, by stage.
    pub fn minute(&self) -> io::Result<BTreeMap<&'static str, String>> {
        let mut told = BTreeMap::new();
        for stage in STAGES {
            let output = self.run(&[stage, "--json"])?;
            let document: serde_json::Value =
                serde_json::from_slice(&output.stdout).unwrap_or_default();
            let counts = document["stages"][0]["counts"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            let counts: Vec<_> = counts
                .iter()
                .map(|(name, n)| format!("{n} {name}"))
                .collect();
            let code = output.status.code().unwrap_or(-1);
            if !counts.is_empty() || code != 0 {
                let code = if code == 0 {
                    String::new()
                } else {
                    format!(" (exit {code})")
                };
                told.insert(stage, format!("{}{code}", counts.join(", ")));
            }
        }
        Ok(told)
    }
}

impl Shop {
    /// Opens the shop in an empty folder.
    pub fn open(play: &Play, skus: usize) -> io::Result<Self> {
        // Before anything is removed: what is missing is told with the last day still there.
        let tables = match play.road.as_str() {
            "api" => None,
            _ => Some(Tables::start()?),
        };
        let sandbox = Sandbox::start(skus)?;
        let text = configuration(&sandbox, play, tables.as_ref());
        let files = [
            ("vtex-key", APP_KEY),
            ("vtex-token", APP_TOKEN),
            ("erp-token", JWT),
            ("sql-password", PASSWORD),
            ("stockbridge.toml", text.as_str()),
        ];
        let program = Program::open(play.seeded, &play.folder, &files)?;
        Ok(Self {
            sandbox,
            program,
            tables: tables.map(RefCell::new),
        })
    }

    /// One minute of cron.
    pub fn minute(&self) -> io::Result<BTreeMap<&'static str, String>> {
        if let Some(tables) = &self.tables {
            tables
                .borrow_mut()
                .mirror(&self.sandbox, &self.program.folder)?;
        }
        let told = self.program.minute()?;
        self.sandbox.clock.advance(61_000);
        Ok(told)
    }

    /// Lets the tables be reached, or not.
    pub fn tables_reachable(&self, yes: bool) -> io::Result<()> {
        match &self.tables {
            Some(tables) => tables.borrow_mut().reachable(yes),
            None => Ok(()),
        }
    }

    /// Returns the road by which a SKU was read for its present number.
    pub fn road_of(&self, reference: &str) -> io::Result<String> {
        let output = self.program.run(&["explain", reference, "--json"])?;
        let document: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_default();
        let text = document.to_string();
        let road = text.split("\"road\":\"").nth(1);
        let road = road.and_then(|rest| rest.split('"').next());
        Ok(road.unwrap_or("nobody").to_owned())
    }

    /// Returns the SKU and variant at a place of the catalogue.
    pub fn goods(&self, at: usize) -> (SkuId, Variant) {
        let product = &self.sandbox.products[at];
        (product.sku.clone(), product.variant.clone())
    }

    /// A customer places an order and does not pay yet.
    pub fn place(&self, lines: &[(usize, u32)]) -> OrderId {
        let lines: Vec<_> = lines
            .iter()
            .map(|(at, units)| (self.goods(*at).0, warehouse(), *units))
            .collect();
        let now = self.sandbox.clock.now();
        self.sandbox.vtex.with(|store| store.place(&lines, now))
    }

    /// The order is paid, and its time to cancel ends.
    pub fn pay(&self, order: &OrderId) {
        let now = self.sandbox.clock.now();
        self.sandbox.vtex.with(|store| {
            store.pay(order, now);
            store.release(order, now);
        });
    }

    /// A customer places an order and pays.
    pub fn sell(&self, lines: &[(usize, u32)]) -> OrderId {
        let order = self.place(lines);
        self.pay(&order);
        order
    }
}

/// The warehouse of the store.
pub fn warehouse() -> WarehouseId {
    WarehouseId::parse(WAREHOUSE).expect("the sandbox's warehouse is valid")
}

/// The bases whose goods the store truly sells.
pub fn counted() -> BTreeSet<BaseCode> {
    SHOPS
        .iter()
        .chain(&[DEPOT])
        .map(|code| base(code))
        .collect()
}

fn configuration(sandbox: &Sandbox, play: &Play, tables: Option<&Tables>) -> String {
    let (bases, blocked) = Break::bases(play.seeded);
    let (road, tables) = (&play.road, tables.map(Tables::section).unwrap_or_default());
    format!(
        r#"# Written by the demo. Waiting times this short are accepted only where every host is this machine.
[store]
path = "state.sqlite"
shared_locks = "locks"

[vtex]
account = "tienda"
base_url = "{vtex}"
app_key = {{ file = "vtex-key" }}
app_token = {{ file = "vtex-token" }}
manage_feed = true
feed_visibility = "30s"
total_timeout = "1s"

[poll]
cutover = "2020-01-01T00:00:00Z"

[erp]
depot = "WOO"
blocked_bases = [{blocked}]
reverse_on_cancel = true
pick_order = ["CENTRO", "NORTE"]

[erp.dragonfish]
url = "{erp}"
client_id = "STOCKBRIDGE"
token = {{ file = "erp-token" }}
origin = "WOO"
motive = "API"
note = "VENTA_VTEX"
stock_timeout = "{stock_timeout}"
read_timeout = "2s"
stock_source = "{road}"
{tables}

[[warehouse]]
id = "1_1"
bases = [{bases}]

{TIMES}"#,
        vtex = sandbox.vtex.url(),
        erp = sandbox.dragonfish.url(),
        stock_timeout = if play.road == "api" { "2s" } else { "20s" },
    )
}

/// Waiting times as short as loopback allows, and mail into a folder.
pub const TIMES: &str = r#"[push]
full_every = "1s"
max_drop_percent = 90

[notify.mail]
transport = "file"
folder = "mail"
from = "stock@example.com"
to = ["shop@example.com"]

[protocol]
gap = "300ms"
movement_limit = "1s"
movement_settle = "0s"
absences_apart = "0s"
handling_limit = "1s"
handling_recheck = "0s"
stock_limit = "1s"
stock_settle = "0s"
backoff_base = "0s"
backoff_cap = "0s"
min_retry_after = "0s"
breaker_open = "0s"
requests_a_minute = 100000
"#;
