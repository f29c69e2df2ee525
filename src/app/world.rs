//! What a command works with: the machine, the memory, and the doors with their secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::adapters::host::{self, FileLocks, HostClock, HostRng, check_state, on_network};
use crate::adapters::http::calls::Env;
use crate::adapters::vtex::Vtex;
use crate::app::channels::Channels;
use crate::app::dry::Dry;
use crate::app::erp::Erp;
use crate::app::{Failure, Wrap, settings};
use crate::config::load::Loaded;
use crate::config::secret::{SecretContext, SecretSource};
use crate::domain::ids::Seq;
use crate::domain::ports::{
    Clock, HighWater, MovementSink, Notifier, OrderBook, StockSource, Storefront,
};
use crate::domain::time::BootTime;
use crate::exit::Exit;
use crate::logging;
use crate::store::gate::StoreGate;
use crate::store::instance::{Here, Mark, MarkFile, mark_path};
use crate::store::{OpenOptions, Store, StoreError};

/// The machine we run on.
pub struct Machine {
    /// Its clocks.
    pub clock: HostClock,
    /// Chance.
    pub rng: HostRng,
    /// The state file.
    pub state: PathBuf,
}

impl Machine {
    /// Finds out about the machine.
    pub fn new(loaded: &Loaded) -> Result<Self, String> {
        let clock =
            HostClock::new().map_err(|err| format!("the id of this boot cannot be read: {err}"))?;
        Ok(Self {
            clock,
            rng: HostRng,
            state: loaded.config.store.path.clone(),
        })
    }

    /// Returns the boot time at which a run of this length must not start anything more.
    pub fn deadline(&self, length: Duration) -> BootTime {
        self.clock
            .boot()
            .plus_ms(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The open memory, its locks and its gate. In a dry run all of them stand on a copy that is removed at the end.
pub struct Memory<'a> {
    /// The store.
    pub store: Store,
    /// Locks between processes.
    pub locks: FileLocks,
    /// How hosts want to be treated.
    pub gate: StoreGate<'a>,
    /// The mark beside the store.
    pub water: Box<dyn HighWater>,
    _copy: Option<RemovedFile>,
}

impl<'a> Memory<'a> {
    /// Opens the memory, or a copy of it.
    pub fn open(loaded: &Loaded, machine: &'a Machine, dry_run: bool) -> Result<Self, Failure> {
        let mut options = open_options(loaded, machine)?;
        let (store, mark) = recognised(loaded, machine, &options)?;
        let mut water: Box<dyn HighWater> =
            Box::new(MarkFile::keep(&machine.state, &store, mark).map_err(store_failure)?);
        let mut copy = None;
        let store = if dry_run {
            options.path = copy_path(&machine.state);
            store.copy_to(&options.path).map_err(store_failure)?;
            copy = Some(RemovedFile(options.path.clone()));
            // Nothing is written outside, and the copy's counter is not the memory's.
            water = Box::new(NoMark);
            Store::open(&options).map_err(store_failure)?
        } else {
            store
        };
        let gate = StoreGate::open(&options, &machine.clock, settings::gate(&loaded.config))
            .map_err(store_failure)?;
        let locks = FileLocks::new(
            options.path.clone(),
            loaded.config.store.shared_locks.clone(),
        );
        Ok(Self {
            store,
            locks,
            gate,
            water,
            _copy: copy,
        })
    }
}

/// The mark of a dry run.
struct NoMark;

impl HighWater for NoMark {
    fn raise(&self, _: Seq) -> Result<(), String> {
        Ok(())
    }
}

/// Opens the memory for an operator's question.
pub fn open_store(loaded: &Loaded, machine: &Machine) -> Result<Store, Failure> {
    recognised(loaded, machine, &open_options(loaded, machine)?).map(|(store, _)| store)
}

/// Opens the state file and compares it with its mark and this machine.
fn recognised(
    loaded: &Loaded,
    machine: &Machine,
    options: &OpenOptions,
) -> Result<(Store, Option<Mark>), Failure> {
    // Read before the counter: the mark never stands before the memory it was taken from.
    let mark = MarkFile::read(&options.path).map_err(store_failure)?;
    if mark.is_some() && !options.path.exists() {
        let reason = format!(
            "the state file {} is gone, and {} says that it was there; hint: stockbridge backup restore FILE, or \
             stockbridge backup adopt to begin again without it",
            options.path.display(),
            mark_path(&options.path).display()
        );
        return Err(Failure::new(Exit::Broken, reason));
    }
    let store = Store::open(options).map_err(store_failure)?;
    let found = store
        .recognise(mark.as_ref(), &here(loaded, machine))
        .map_err(store_failure)?;
    if found {
        log::warn!(
            "the state file is an old copy: what it missed is looked for before anything is booked or published"
        );
    }
    Ok((store, mark))
}

/// Where and when we are, for the waits of a new generation.
pub fn here(loaded: &Loaded, machine: &Machine) -> Here {
    Here {
        machine: host::machine(),
        now: machine.clock.now(),
        boot: machine.clock.boot(),
        boot_id: machine.clock.boot_id(),
        hold_ms: settings::settings(&loaded.config).protocol.longest_write(),
    }
}

pub fn open_options(loaded: &Loaded, machine: &Machine) -> Result<OpenOptions, Failure> {
    check_state(&machine.state).map_err(|err| Failure::new(Exit::Broken, err.to_string()))?;
    let store = &loaded.config.store;
    let wal = store.journal == crate::config::sections::Journal::Wal;
    if on_network(&machine.state) && (wal || !store.allow_network) {
        let reason = format!(
            "{} lies on a network file system; hint: move it to a local disk, or set store.allow_network = true \
             with store.journal = \"delete\"",
            machine.state.display()
        );
        return Err(Failure::new(Exit::Broken, reason));
    }
    Ok(OpenOptions {
        path: machine.state.clone(),
        wal,
        identity: settings::identity(&loaded.config),
        instance_id: format!("{:016x}", fastrand::u64(..)),
        machine: host::machine(),
        now: machine.clock.now(),
    })
}

/// Says which exit code a failure of the memory is.
pub fn store_failure(err: StoreError) -> Failure {
    let exit = match &err {
        StoreError::Broken(_) | StoreError::Bug(_) => Exit::Broken,
        StoreError::Busy(_) => Exit::Partial,
        StoreError::Io(_) => Exit::Io,
    };
    Failure::new(exit, err.to_string())
}

fn copy_path(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(format!(".dry-{:016x}", fastrand::u64(..)));
    PathBuf::from(name)
}

/// A file that is removed, with what SQLite and the locks put beside it, when this is dropped.
struct RemovedFile(PathBuf);

impl Drop for RemovedFile {
    fn drop(&mut self) {
        let (Some(folder), Some(name)) =
            (self.0.parent(), self.0.file_name().and_then(|n| n.to_str()))
        else {
            return;
        };
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            if entry
                .file_name()
                .to_str()
                .is_some_and(|entry| entry.starts_with(name))
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The adapters.
pub struct Doors<'a> {
    /// VTEX.
    pub vtex: Vtex<'a>,
    /// The ERP.
    pub erp: Erp<'a>,
    /// The ways to people.
    pub channels: Channels<'a>,
}

/// The doors as the stages see them.
pub struct Ports<'a> {
    /// The web store.
    pub storefront: &'a dyn Storefront,
    /// The ERP's stock.
    pub stock: &'a dyn StockSource,
    /// The ERP's movements.
    pub movements: &'a dyn MovementSink,
    /// The ERP's own book of the storefront's orders, where it has one.
    pub order_book: Option<&'a dyn OrderBook>,
    /// The way to people.
    pub notifier: &'a dyn Notifier,
}

impl<'a> Doors<'a> {
    /// Resolves the secrets and builds the adapters, without touching the network.
    pub fn open(
        loaded: &'a Loaded,
        machine: &'a Machine,
        memory: &'a Memory<'_>,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let config = &loaded.config;
        let env = Env {
            clock: &machine.clock,
            rng: &machine.rng,
            gate: &memory.gate,
            until: Some(machine.deadline(deadline)),
            min_retry_after: config.protocol.min_retry_after.duration(),
        };
        let wrong = |err: String| Failure::new(Exit::Config, err);
        let key = secret(loaded, "vtex.app_key", &config.vtex.app_key)?;
        let token = secret(loaded, "vtex.app_token", &config.vtex.app_token)?;
        Ok(Self {
            vtex: Vtex::new(&config.vtex, &key, &token, env)
                .map_err(wrong)?
                .with_hook(crate::app::hook::target(loaded)?),
            erp: Erp::open(loaded, memory, env)?,
            channels: Channels::open(loaded, machine)?,
        })
    }

    /// Hands the doors to `work`: wrapped where asked, and without writes in a dry run.
    pub fn with_wrap<T>(
        &self,
        wrap: &Wrap,
        dry_run: bool,
        work: impl FnOnce(&Ports<'_>) -> T,
    ) -> T {
        let wrapped_storefront = wrap.storefront.map(|put| put(&self.vtex));
        let wrapped_movements = wrap.movements.map(|put| put(self.erp.movements()));
        let storefront: &dyn Storefront = wrapped_storefront.as_deref().unwrap_or(&self.vtex);
        let movements: &dyn MovementSink =
            wrapped_movements.as_deref().unwrap_or(self.erp.movements());
        let wrapped_notifier = wrap.notifier.map(|put| put(&self.channels));
        let notifier: &dyn Notifier = wrapped_notifier.as_deref().unwrap_or(&self.channels);
        let stock = self.erp.stock();
        let order_book = self.erp.order_book();
        if dry_run {
            let (storefront, movements, notifier) =
                (Dry(storefront), Dry(movements), Dry(notifier));
            return work(&Ports {
                storefront: &storefront,
                stock,
                movements: &movements,
                order_book,
                notifier: &notifier,
            });
        }
        work(&Ports {
            storefront,
            stock,
            movements,
            order_book,
            notifier,
        })
    }
}

/// Resolves one secret, and makes sure that it never stands on a log line.
pub fn secret(loaded: &Loaded, key: &str, source: &SecretSource) -> Result<SecretString, Failure> {
    let credentials = loaded.env.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let context = SecretContext {
        env: &loaded.env,
        folder: &loaded.folder,
        credentials_dir: credentials.as_deref(),
    };
    let secret = source
        .resolve(&context)
        .map_err(|err| Failure::new(Exit::Config, format!("{key}: {err}")))?;
    logging::redact(&secret);
    Ok(secret)
}
