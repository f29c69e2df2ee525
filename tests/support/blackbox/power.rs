//! Power loss: the writes and syncs of real runs are recorded, and the disk is rebuilt as a loss of power at any of them
//! could leave it. Whatever was committed before a request went out must be there.
//!
//! The disk of this model keeps what was synced, any part of the rest in pieces of 512 bytes, and a name only once its
//! folder was synced. The write-ahead log's index is left out: it is memory, and is made anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use super::trace::{Op, record};
use super::{Field, Findings};

/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// How many runs are recorded.
const RUNS: u32 = 40;

/// What the disk, or SQLite's setting, promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// A sync is a sync.
    Kept,
    /// As with `synchronous=NORMAL`: the log is synced only before the file is written from it.
    Normal,
    /// As with `synchronous=FULL` for a rollback journal: its removal is not made durable.
    NoFolders,
    /// As with `synchronous=OFF`.
    Off,
}

/// A change that was not synced yet.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A change of a folder that was not synced yet.
#[derive(Debug, Clone)]
enum Naming {
    Is(String, usize),
    Gone(String),
    Renamed(String, String, usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// A folder on a disk with a cache.
#[derive(Debug, Clone, Default)]
struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Naming>,
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
        }
    }

    /// The part of it that happened to reach the disk.
    fn torn(&self, chance: &mut fastrand::Rng, percent: u32) -> Vec<Self> {
        let mut lucky = || chance.u32(0..100) < percent;
        match self {
            Self::Length(_) => lucky().then(|| self.clone()).into_iter().collect(),
            Self::Write(at, bytes) => bytes
                .chunks(SECTOR)
                .enumerate()
                .filter(|_| lucky())
                .map(|(n, piece)| Self::Write(at + n * SECTOR, piece.to_vec()))
                .collect(),
        }
    }
}

impl Naming {
    fn apply(&self, to: &mut BTreeMap<String, usize>) {
        match self {
            Self::Is(name, file) => {
                to.insert(name.clone(), *file);
            }
            Self::Gone(name) => {
                to.remove(name);
            }
            Self::Renamed(from, name, file) => {
                to.remove(from);
                to.insert(name.clone(), *file);
            }
        }
    }
}

impl Disk {
    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending.push(naming);
    }

    fn change(&mut self, name: &str, change: Change) {
        if let Some(file) = self.names.get(name) {
            self.files[*file].pending.push(change);
        }
    }

    fn sync(&mut self, name: &str) {
        if let Some(file) = self.names.get(name).map(|at| &mut self.files[*at]) {
            for change in std::mem::take(&mut file.pending) {
                change.apply(&mut file.durable);
            }
        }
    }

    fn sync_folder(&mut self) {
        for naming in std::mem::take(&mut self.pending) {
            naming.apply(&mut self.durable);
        }
    }

    fn does(&mut self, op: &Op, promise: Promise) {
        match op {
            Op::Create(name) => {
                self.files.push(File::default());
                self.name(Naming::Is(name.clone(), self.files.len() - 1));
            }
            Op::Write(name, at, bytes) => {
                if promise == Promise::Normal && name == "state.sqlite" {
                    self.sync("state.sqlite-wal");
                }
                self.change(name, Change::Write(*at, bytes.clone()));
            }
            Op::Length(name, length) => self.change(name, Change::Length(*length)),
            Op::Sync(name) => {
                let put_off = promise == Promise::Normal && name == "state.sqlite-wal";
                if promise != Promise::Off && !put_off {
                    self.sync(name);
                }
            }
            Op::SyncFolder => {
                if !matches!(promise, Promise::Off | Promise::NoFolders) {
                    self.sync_folder();
                }
            }
            Op::Remove(name) => self.name(Naming::Gone(name.clone())),
            Op::Rename(from, name) => {
                if let Some(file) = self.names.get(from).copied() {
                    self.name(Naming::Renamed(from.clone(), name.clone(), file));
                }
            }
            Op::Sent => {}
        }
    }

    /// Writes the files as the programs saw them.
    fn seen(&self, folder: &Path) {
        self.write(folder, &self.names, |file| {
            let mut bytes = file.durable.clone();
            for change in &file.pending {
                change.apply(&mut bytes);
            }
            bytes
        });
    }

    /// Writes the files as a loss of power now may leave them.
    fn lost_power(&self, folder: &Path, chance: &mut fastrand::Rng) {
        let percent = [0, 50, 90, 100][chance.usize(0..4)];
        let mut names = self.durable.clone();
        for naming in &self.pending {
            if chance.u32(0..100) < percent {
                naming.apply(&mut names);
            }
        }
        let chance = std::cell::RefCell::new(chance);
        self.write(folder, &names, |file| {
            let mut bytes = file.durable.clone();
            for change in &file.pending {
                for piece in change.torn(&mut chance.borrow_mut(), percent) {
                    piece.apply(&mut bytes);
                }
            }
            bytes
        });
    }

    fn write(
        &self,
        folder: &Path,
        names: &BTreeMap<String, usize>,
        bytes: impl Fn(&File) -> Vec<u8>,
    ) {
        for entry in std::fs::read_dir(folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, file) in names {
            std::fs::write(folder.join(name), bytes(&self.files[*file])).unwrap();
        }
    }
}

/// How far a memory has come. Each number only grows, so none may be smaller than it was before a request went out.
fn progress(folder: &Path) -> Result<Vec<i64>, String> {
    let told = |err: rusqlite::Error| err.to_string();
    let file = Connection::open(folder.join("state.sqlite")).map_err(told)?;
    // What is looked at here need not survive anything.
    file.pragma_update(None, "synchronous", "OFF")
        .map_err(told)?;
    let checked: String = file
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(told)?;
    if checked != "ok" {
        return Err(checked);
    }
    let of = |sql: &str| file.query_row(sql, [], |row| row.get(0)).map_err(told);
    Ok(vec![
        of("SELECT seq FROM counter")?,
        of("SELECT count(*) FROM orders")?,
        of("SELECT coalesce(sum(attempt), 0) + count(*) FROM attempts")?,
        of("SELECT count(*) FROM attempts WHERE state NOT IN ('PLANNED', 'BLOCKED')")?,
    ])
}

fn mark(folder: &Path) -> Option<i64> {
    let text = std::fs::read_to_string(folder.join("state.sqlite.mark")).ok()?;
    serde_json::from_str::<serde_json::Value>(&text)
        .ok()?
        .get("seq")?
        .as_i64()
}

/// Rebuilds so many disks and opens the state on each.
pub fn power(program: &Path, count: u64, journal: &str, promise: Promise, seed: u64) -> Findings {
    let began = Instant::now();
    let mut field = Field::open_with(program, seed, &format!("[store]\njournal = \"{journal}\""));
    let (before, ops) = record(&mut field, RUNS);
    let mut chance = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::default();
    for (name, bytes) in before {
        disk.files.push(File {
            durable: bytes,
            pending: vec![],
        });
        disk.names.insert(name.clone(), disk.files.len() - 1);
        disk.durable.insert(name, disk.files.len() - 1);
    }
    let mut found = Findings::default();
    let (mut sent, mut least) = (0, vec![]);
    let total = u64::try_from(ops.len()).unwrap();
    for (at, op) in (0_u64..).zip(&ops) {
        disk.does(op, promise);
        if *op == Op::Sent {
            sent += 1;
            disk.seen(folder.path());
            least = progress(folder.path()).unwrap();
        }
        for _ in 0..(at + 1) * count / total - at * count / total {
            disk.lost_power(folder.path(), &mut chance);
            found.struck += 1;
            if let Err(what) = judge(folder.path(), &least) {
                found.wrong.push(format!("after call {at}: {what}"));
            }
        }
    }
    found.told = format!(
        "{} disks with journal {journal} {promise:?}, {} calls, {sent} requests, {} a second",
        found.struck,
        ops.len(),
        found.struck * 1000 / u64::try_from(began.elapsed().as_millis()).unwrap().max(1)
    );
    if sent == 0 {
        found.wrong.push("no request was recorded".into());
    }
    found
}

fn judge(folder: &Path, least: &[i64]) -> Result<(), String> {
    let mark = mark(folder);
    let now = progress(folder)?;
    if let Some((kept, promised)) = now.iter().zip(least).find(|(now, then)| now < then) {
        return Err(format!(
            "{promised} was committed before a request, {kept} is left"
        ));
    }
    match mark {
        Some(mark) if mark > now[0] => Err(format!("the mark says {mark}, the file {}", now[0])),
        _ => Ok(()),
    }
}
