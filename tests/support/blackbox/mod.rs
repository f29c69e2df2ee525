//! The real binary as processes, against the sandbox over loopback, with a real state file: killed, starved, overlapped,
//! with its file damaged. What happened is judged by the other side's own log.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each program uses its layers; a test that meets an unexpected error should stop there; deaths need real time"
)]

pub mod calls;
pub mod cut;
pub mod damage;
pub mod full;
pub mod kill;
pub mod overlap;
pub mod power;
pub mod trace;
pub mod upgrade;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use stockbridge::domain::ids::OrderId;
use stockbridge::sandbox::dragonfish::model::DragonfishModel;
use stockbridge::sandbox::vtex::model::VtexModel;

use crate::shop::Shop;

/// A shop whose stages run as processes.
pub struct Field {
    /// The shop.
    pub shop: Shop,
    /// The state file.
    pub state: PathBuf,
    /// The program under test.
    pub program: PathBuf,
    /// Chance.
    pub chance: fastrand::Rng,
    /// Whether two requests at once are to be expected: a request outlives the process that was killed while it waited,
    /// and nothing keeps two processes apart once their lock file is gone.
    pub crowded: bool,
    /// Every order sold.
    pub orders: Vec<OrderId>,
}

impl Field {
    /// Opens a shop and brings it to rest.
    pub fn open(program: &Path, seed: u64) -> Self {
        Self::open_with(program, seed, "")
    }

    /// Opens a shop whose configuration has these lines changed.
    pub fn open_with(program: &Path, seed: u64, changes: &str) -> Self {
        let shop = Shop::with(4, changes);
        shop.cycles(2);
        Self {
            state: shop.path("state.sqlite"),
            shop,
            program: program.to_owned(),
            chance: fastrand::Rng::with_seed(seed),
            crowded: false,
            orders: vec![],
        }
    }

    /// The program with some arguments, in the environment of cron.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        self.dress(&mut command, args);
        command
    }

    /// The program under another one, such as a tracer.
    pub fn command_under(&self, wrapper: &[String], args: &[&str]) -> Command {
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).arg(&self.program);
        self.dress(&mut command, args);
        command
    }

    fn dress(&self, command: &mut Command, args: &[&str]) {
        command
            .args(args)
            .arg("--config")
            .arg(self.shop.path("stockbridge.toml"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    }

    /// Starts the program.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// Runs the program to its end and returns its exit code; `None` when a signal ended it.
    pub fn run(&self, args: &[&str]) -> Option<i32> {
        self.command(args).status().unwrap().code()
    }

    /// Lets a customer do something: buy, cancel, or change an order in handling.
    pub fn trade(&mut self) {
        let now = self.shop.sandbox.clock.now();
        match self.chance.u32(0..10) {
            0 if !self.orders.is_empty() => {
                let id = self.orders[self.chance.usize(0..self.orders.len())].clone();
                self.shop.sandbox.vtex.with(|store| {
                    let status = store.orders[&id].status;
                    if matches!(status, "ready-for-handling" | "handling") {
                        store.cancel(&id, now);
                    }
                });
            }
            1 if !self.orders.is_empty() => {
                let id = self.orders[self.chance.usize(0..self.orders.len())].clone();
                self.shop.sandbox.vtex.with(|store| {
                    if store.orders[&id].status == "handling" {
                        let sku = store.orders[&id].lines[0].sku.clone();
                        store.change(&id, &sku, 1, now);
                    }
                });
            }
            _ => {
                let at = self.chance.usize(0..4);
                let units = self.chance.u32(1..3);
                let order = if self.chance.bool() {
                    self.shop.sell(at, units)
                } else {
                    self.shop.sell_all(&[(at, units), ((at + 1) % 4, 1)])
                };
                self.orders.push(order);
            }
        }
    }

    /// Lets everything end and judges it by the other side's log. Returns what is wrong.
    pub fn judge(&self) -> Vec<String> {
        // Changes are found when the order is read again.
        self.shop.sandbox.clock.advance(7 * 3_600_000);
        self.shop.finish();
        // What was done in a time that a copy put back has lost is waited for, in real time.
        for _ in 0..20 {
            let books = stockbridge::sandbox::oracle::bookkeeping(&self.shop.sandbox);
            if books.is_empty() && self.orders.iter().all(|order| self.known(order).is_ok()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(400));
            self.shop.cycles(1);
        }
        let mut wrong: Vec<String> = self
            .shop
            .wrong_numbers()
            .iter()
            .map(|row| {
                format!(
                    "{} offers {}, the truth is {}",
                    row.sku, row.offered, row.truth
                )
            })
            .collect();
        wrong.extend(stockbridge::sandbox::oracle::bookkeeping(
            &self.shop.sandbox,
        ));
        let broken = self.shop.sandbox.violations().into_iter();
        wrong.extend(broken.filter(|what| !(self.crowded && what == "two requests at once")));
        wrong.extend(self.keys_seen_twice());
        let state = self.look();
        let one = |sql: &str| -> String { state.query_row(sql, [], |row| row.get(0)).unwrap() };
        let checked = one("PRAGMA integrity_check");
        if checked != "ok" {
            wrong.push(format!("integrity_check: {checked}"));
        }
        let mails = self.shop.mails().join("\n");
        for order in &self.orders {
            match self.known(order) {
                Ok("reserved") if !mails.contains(order.as_str()) => {
                    wrong.push(format!("nobody was told of order {order}"));
                }
                Ok(_) => {}
                Err(what) => wrong.push(format!("order {order} is {what}")),
            }
        }
        wrong
    }

    /// How an order ended, or where it stands instead.
    fn known(&self, order: &OrderId) -> Result<&'static str, String> {
        let sql = "SELECT CASE WHEN reserved_at IS NOT NULL THEN 'reserved' WHEN canceled_at IS NOT NULL THEN 'canceled'
            ELSE json_array(stage, problems, parked_reason, replan, found_by) END FROM orders WHERE order_id = ?1";
        let state = self.look();
        let row = state.query_row(sql, [order.as_str()], |row| row.get::<_, String>(0));
        match row.optional().unwrap() {
            Some(end) if end == "reserved" => Ok("reserved"),
            Some(end) if end == "canceled" => Ok("canceled"),
            Some(other) => Err(format!("not reserved: {other}")),
            None => Err("lost".into()),
        }
    }

    fn keys_seen_twice(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        self.shop.sandbox.dragonfish.with(|erp| {
            for movement in &erp.movements {
                *seen.entry(movement.reference.clone()).or_default() += 1;
            }
        });
        seen.into_iter()
            .filter(|(key, times)| key.starts_with("V1") && *times > 1)
            .map(|(key, times)| format!("{key} stands {times} times in the ERP"))
            .collect()
    }

    /// Keeps the state file and the other side as they are.
    pub fn moment(&self) -> Moment {
        let copy = self.shop.path("moment.sqlite");
        let _ = std::fs::remove_file(&copy);
        assert_eq!(self.run(&["backup", copy.to_str().unwrap()]), Some(0));
        Moment {
            ahead: self.ahead(),
            mails: self.mails(),
            state: std::fs::read(&copy).unwrap(),
            mark: std::fs::read(self.shop.path("state.sqlite.mark")).unwrap(),
            vtex: self.shop.sandbox.vtex.with(|store| store.clone()),
            dragonfish: self.shop.sandbox.dragonfish.with(|erp| erp.clone()),
        }
    }

    /// How far the other side's clock is ahead of the machine's, in milliseconds.
    fn ahead(&self) -> i64 {
        let real = jiff::Timestamp::now().as_millisecond();
        self.shop.sandbox.clock.now().0 - real
    }

    /// Every mail that was delivered, by its file's name.
    fn mails(&self) -> Vec<(OsString, Vec<u8>)> {
        let files = std::fs::read_dir(self.shop.path("mail"))
            .into_iter()
            .flatten();
        let file = |entry: std::fs::DirEntry| {
            let text = std::fs::read(entry.path()).unwrap();
            (entry.file_name(), text)
        };
        files.map(|entry| file(entry.unwrap())).collect()
    }

    /// Makes everything as it was then, but for the clocks' own going on: the state remembers how far the other one is
    /// ahead.
    pub fn go_back(&self, to: &Moment) {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.shop.path(&format!("state.sqlite{end}")));
        }
        std::fs::write(self.shop.path("state.sqlite"), &to.state).unwrap();
        std::fs::write(self.shop.path("state.sqlite.mark"), &to.mark).unwrap();
        let folder = self.shop.path("mail");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in &to.mails {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let sandbox = &self.shop.sandbox;
        sandbox.vtex.with(|store| *store = to.vtex.clone());
        sandbox.dragonfish.with(|erp| *erp = to.dragonfish.clone());
        sandbox.clock.advance(to.ahead - self.ahead());
    }

    /// How many movements the ERP has booked for us.
    pub fn effects(&self) -> usize {
        self.shop.sandbox.dragonfish.with(|erp| {
            let ours = erp.movements.iter();
            ours.filter(|m| m.reference.starts_with("V1")).count()
        })
    }

    /// The state file, to look at.
    pub fn look(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.state, flags).unwrap()
    }
}

/// The state file and the other side at one moment.
pub struct Moment {
    ahead: i64,
    mails: Vec<(OsString, Vec<u8>)>,
    /// The state file.
    pub state: Vec<u8>,
    mark: Vec<u8>,
    vtex: VtexModel,
    /// The ERP.
    pub dragonfish: DragonfishModel,
}

/// What a layer has found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How often the fault struck.
    pub struck: u64,
    /// What the layer is about, in a few words with figures.
    pub told: String,
    /// What is wrong.
    pub wrong: Vec<String>,
}
