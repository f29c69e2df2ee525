//! Whose memory this is, and whether it is the newest one: an old copy must not act as if it knew everything.
//!
//! A small file beside the state file, the *mark*, holds the highest event counter that any run had reached before it
//! wrote anything outside. A state file behind its mark is an old copy. It is used again after a new *generation* has
//! begun: what may have happened in the lost time is looked for before anything is planned, and nothing is booked until
//! a write of the lost time can no longer take effect.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::named_params;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{OrderId, Seq};
use crate::domain::ports::HighWater;
use crate::domain::time::{BootId, BootTime, Moment};
use crate::store::{Identity, Store, StoreError, StoreResult, Tx, moment};

/// Whose memory a state file is, and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// A random id, made with the file.
    pub id: String,
    /// The account and ERP.
    pub identity: Identity,
    /// From 1; rises whenever the file is found to be an old copy, or is adopted.
    pub generation: i64,
    /// The machine it belongs to, where machines can be told apart.
    pub machine: Option<String>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last found to be an old copy.
    pub restored_at: Option<Moment>,
    /// How far the old copy knew the world.
    pub known_until: Option<Moment>,
    /// Until when nothing may be booked, in time since boot; 0 when nothing holds.
    pub hold_until: BootTime,
    /// Under which boot that time was taken.
    pub hold_boot: BootId,
}

/// The content of the mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The id of the memory.
    pub instance: String,
    /// Its generation.
    pub generation: i64,
    /// The highest event counter that was reached.
    pub seq: i64,
}

/// Where and when a memory is opened, for the waits of a new generation.
#[derive(Debug, Clone)]
pub struct Here {
    /// What tells this machine from others, where anything does.
    pub machine: Option<String>,
    /// Wall time.
    pub now: Moment,
    /// Time since boot.
    pub boot: BootTime,
    /// The id of this boot.
    pub boot_id: BootId,
    /// How long a write of the lost time may still take effect, in milliseconds.
    pub hold_ms: i64,
}

impl Store {
    /// Returns whose memory this is.
    pub fn instance(&self) -> StoreResult<Instance> {
        self.one(
            include_str!("../../sql/store/instance_get.sql"),
            [],
            |row| {
                Ok(Instance {
                    id: row.get(0)?,
                    identity: Identity {
                        account: row.get(1)?,
                        erp: row.get(2)?,
                    },
                    generation: row.get(3)?,
                    machine: row.get(4)?,
                    created_at: Moment(row.get(5)?),
                    restored_at: moment(row, 6)?,
                    known_until: moment(row, 7)?,
                    hold_until: BootTime(row.get(8)?),
                    hold_boot: BootId(row.get(9)?),
                })
            },
        )
    }

    /// Compares this memory with its mark (read before) and this machine; begins a new generation for an old copy.
    ///
    /// Returns whether it was found to be an old copy just now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Broken`] when it belongs to another machine or another memory has taken its place.
    pub fn recognise(&self, mark: Option<&Mark>, here: &Here) -> StoreResult<bool> {
        let instance = self.instance()?;
        if let (Some(held), Some(ours)) = (&instance.machine, &here.machine)
            && held != ours
        {
            return Err(StoreError::Broken(
                "the state file was made on another machine; hint: make sure that the other one runs no more, then run \
                 stockbridge backup adopt"
                    .into(),
            ));
        }
        if instance.machine.is_none() && here.machine.is_some() {
            self.write(|tx| tx.own(&instance.identity, here.machine.as_deref()))?;
        }
        let Some(mark) = mark else { return Ok(false) };
        if mark.instance != instance.id {
            return Err(StoreError::Broken(
                "the mark beside the state file belongs to another state file; hint: put the right file back, or run \
                 stockbridge backup adopt"
                    .into(),
            ));
        }
        if self.seq()?.0 >= mark.seq && instance.generation >= mark.generation {
            return Ok(false);
        }
        self.write(|tx| tx.begin_generation(Some(mark), here))?;
        Ok(true)
    }

    /// Tells whether nothing may be booked yet, since a write of the lost time may still take effect.
    ///
    /// Under another boot the wait starts again.
    pub fn held(&self, boot: BootTime, boot_id: &BootId, hold_ms: i64) -> StoreResult<bool> {
        let instance = self.instance()?;
        if instance.hold_until.0 == 0 {
            return Ok(false);
        }
        if instance.hold_boot != *boot_id {
            let until = boot.plus_ms(hold_ms);
            self.write(|tx| tx.set_hold(until, boot_id))?;
            return Ok(true);
        }
        if boot < instance.hold_until {
            return Ok(true);
        }
        self.write(|tx| tx.set_hold(BootTime(0), boot_id))?;
        Ok(false)
    }
}

impl Tx<'_> {
    /// Begins a new generation: what this memory missed is looked for before it acts again.
    pub fn begin_generation(&self, mark: Option<&Mark>, here: &Here) -> StoreResult<()> {
        let instance = self.instance()?;
        let generation = instance.generation.max(mark.map_or(0, |m| m.generation)) + 1;
        let hold = here.boot.plus_ms(here.hold_ms);
        let times = named_params! { ":hold_until": hold.0, ":hold_boot": here.boot_id.0 };
        self.run(
            include_str!("../../sql/store/instance_restored.sql"),
            named_params! { ":generation": generation, ":now": here.now.0, ":hold_until": hold.0,
            ":hold_boot": here.boot_id.0 },
        )?;
        self.run(
            include_str!("../../sql/store/seq_beyond.sql"),
            named_params! { ":seq": mark.map_or(0, |m| m.seq) },
        )?;
        self.run(include_str!("../../sql/store/restored_orders.sql"), [])?;
        self.run(include_str!("../../sql/store/restored_pushes.sql"), times)?;
        self.run(include_str!("../../sql/store/restored_outbox.sql"), [])?;
        self.run(include_str!("../../sql/store/restored_marks.sql"), [])?;
        let known = self.instance()?.known_until.unwrap_or(Moment(0));
        self.audit(
            "stockbridge",
            "generation",
            &generation.to_string(),
            &format!("the state file is an old copy, it knew the world until {known}"),
            here.now,
        )
    }

    /// Records whose memory this is, on which machine.
    pub fn own(&self, identity: &Identity, machine: Option<&str>) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/instance_own.sql"),
            named_params! { ":account": identity.account, ":erp": identity.erp, ":machine": machine },
        )?;
        Ok(())
    }

    /// Records that the ERP was searched for movements of the order that this memory has lost.
    pub fn set_searched(&self, id: &OrderId, generation: i64) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/order_searched.sql"),
            named_params! { ":order_id": id.as_str(), ":generation": generation },
        )?;
        Ok(())
    }

    fn set_hold(&self, until: BootTime, boot_id: &BootId) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/instance_hold.sql"),
            named_params! { ":hold_until": until.0, ":hold_boot": boot_id.0 },
        )?;
        Ok(())
    }
}

/// The mark of one state file, `<state>.mark`.
#[derive(Debug)]
pub struct MarkFile {
    path: PathBuf,
    held: Mutex<Mark>,
}

impl MarkFile {
    /// Reads the mark beside a state file; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Broken`] for a mark that cannot be understood.
    pub fn read(state: &Path) -> StoreResult<Option<Mark>> {
        let path = mark_path(state);
        read_mark(&path).map_err(|err| {
            let at = path.display();
            match err.kind() {
                io::ErrorKind::InvalidData => StoreError::Broken(format!(
                    "{at} cannot be understood: {err}; hint: stockbridge backup adopt"
                )),
                _ => StoreError::Io(format!("{at}: {err}")),
            }
        })
    }

    /// Keeps the mark of a memory that was recognised.
    pub fn keep(state: &Path, store: &Store, read: Option<Mark>) -> StoreResult<Self> {
        let instance = store.instance()?;
        let known = read
            .filter(|mark| mark.instance == instance.id && mark.generation == instance.generation);
        let mark = known.unwrap_or(Mark {
            instance: instance.id,
            generation: instance.generation,
            seq: -1,
        });
        Ok(Self {
            path: mark_path(state),
            held: Mutex::new(mark),
        })
    }

    fn write(&self, mark: &Mark) -> io::Result<()> {
        let text = serde_json::to_string(mark)?;
        let mut new = self.path.clone().into_os_string();
        // Two processes may raise the mark at once.
        new.push(format!(".{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, &self.path)?;
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl HighWater for MarkFile {
    fn raise(&self, seq: Seq) -> Result<(), String> {
        let mut held = self
            .held
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.seq >= seq.0 {
            return Ok(());
        }
        // Another stage may have come further meanwhile; the mark never falls.
        let there = read_mark(&self.path).ok().flatten();
        let there =
            there.filter(|m| m.instance == held.instance && m.generation == held.generation);
        held.seq = held.seq.max(there.map_or(held.seq, |m| m.seq));
        if held.seq >= seq.0 {
            return Ok(());
        }
        let mark = Mark {
            seq: seq.0,
            ..held.clone()
        };
        self.write(&mark)
            .map_err(|err| format!("{}: {err}", self.path.display()))?;
        *held = mark;
        Ok(())
    }
}

fn read_mark(path: &Path) -> io::Result<Option<Mark>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Returns the path of the mark of a state file.
pub fn mark_path(state: &Path) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(".mark");
    PathBuf::from(path)
}
