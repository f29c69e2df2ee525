//! The operator's acts on what the pipeline cannot settle by itself: retry, resolve, reconcile, backup, the ERP probe.
//!
//! Each takes every stage's lock first, so that it never acts on what a running stage has in hand.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::adapters::host::FileLocks;
use crate::app::desk::{PATIENCE, done, print};
use crate::app::serve::SERVE_LOCK;
use crate::app::world::{Doors, Machine, Memory, here, open_options, open_store, store_failure};
use crate::app::{Failure, Wrap, complain, in_context, settings};
use crate::cli::{
    BackupArgs, BackupCommand, Before, Cli, Probe, ReconcileArgs, ResolveArgs, RetryArgs,
};
use crate::config::load::Loaded;
use crate::desk::doctor::Diagnosis;
use crate::desk::probe;
use crate::desk::resolve::{self as acts, Act, ActError, Word};
use crate::domain::ids::{BaseCode, SkuRef};
use crate::domain::ports::{Check, Clock, Held, HighWater, Locks, StockSource};
use crate::domain::time::Moment;
use crate::exit::Exit;
use crate::stages::reconcile::{Comparison, everything};
use crate::stages::report::{Halt, Report};
use crate::stages::runner::Stage;
use crate::store::instance::{MarkFile, mark_path};
use crate::store::{Store, StoreError};

/// How much later than our clock a fact of a person is dated, so that no push seems to cover it.
const STORE_MARGIN_MS: i64 = 5 * 60_000;

/// Takes the locks of all stages in pipeline order, then the storefront's.
fn all_locks(cli: &Cli, machine: &Machine, loaded: &Loaded) -> Result<Vec<Box<dyn Held>>, Failure> {
    let names = Stage::ALL.iter().map(|stage| stage.as_str());
    hold(cli, machine, loaded, names.chain(["vtex"]))
}

/// Takes the lock of the long-running door too: it has the state file open, which must not be moved under it.
fn exclusive(cli: &Cli, machine: &Machine, loaded: &Loaded) -> Result<Vec<Box<dyn Held>>, Failure> {
    let mut held = hold(cli, machine, loaded, [SERVE_LOCK].into_iter())?;
    held.extend(all_locks(cli, machine, loaded)?);
    Ok(held)
}

fn hold(
    cli: &Cli,
    machine: &Machine,
    loaded: &Loaded,
    names: impl Iterator<Item = &'static str>,
) -> Result<Vec<Box<dyn Held>>, Failure> {
    let shared = loaded.config.store.shared_locks.clone();
    let locks = FileLocks::new(machine.state.clone(), shared);
    let mut held = Vec::new();
    for name in names {
        let wait = cli.global.wait.duration().max(Duration::from_millis(50));
        match locks.hold(name, wait) {
            Ok(Some(lock)) => held.push(lock),
            Ok(None) => {
                let reason =
                    format!("{name} is running; nothing was changed, try again when it has ended");
                return Err(Failure::new(Exit::Locked, reason));
            }
            Err(reason) => return Err(Failure::new(Exit::Broken, reason)),
        }
    }
    Ok(held)
}

/// Asks for a typed word; without a terminal only `--yes` answers.
fn confirm(yes: bool, what: &str, word: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let reason = format!("{what}; hint: without a terminal, add --yes");
        return Err(Failure::new(Exit::Usage, reason));
    }
    complain(&format!("{what}\nType {word} to go on:"));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == word {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "nothing was changed"))
}

fn act<'a>(loaded: &'a Loaded, machine: &Machine, evidence: &'a str) -> Act<'a> {
    let now = machine.clock.now();
    let user = loaded
        .env
        .get("SUDO_USER")
        .or_else(|| loaded.env.get("USER"));
    Act {
        who: user.map_or("operator", String::as_str),
        evidence,
        now,
        store_time: now.plus_ms(STORE_MARGIN_MS),
    }
}

fn act_failure(err: ActError) -> Failure {
    match err {
        ActError::Refused(_) => Failure::new(Exit::Usage, err.to_string()),
        ActError::Store(err) => store_failure(err),
    }
}

/// Runs `retry`.
pub fn retry(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    args: &RetryArgs,
) -> Result<Exit, Failure> {
    let store = open_store(loaded, machine)?;
    let _locks = all_locks(cli, machine, loaded)?;
    let act = act(loaded, machine, "");
    let message = match (&args.order, &args.notice) {
        (Some(id), _) => acts::retry(&store, id, act),
        (None, Some(key)) => acts::notice(&store, key, false, act),
        (None, None) => return Err(Failure::new(Exit::Usage, "name an order or a notice")),
    };
    Ok(done(cli, 1, message.map_err(act_failure)?))
}

/// Runs `resolve`.
pub fn resolve(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    args: &ResolveArgs,
) -> Result<Exit, Failure> {
    if args.evidence.trim().is_empty() {
        let reason = "resolve needs --evidence TEXT: what the decision rests on";
        return Err(Failure::new(Exit::Usage, reason));
    }
    let store = open_store(loaded, machine)?;
    let act = act(loaded, machine, &args.evidence);
    if let Some(before) = args.before_cutover {
        let what = "this changes every order placed before the cut-over";
        confirm(args.yes, what, "before-cutover")?;
        let _locks = all_locks(cli, machine, loaded)?;
        let orders = acts::resolve_before_cutover(&store, before == Before::Booked, act);
        let orders = orders.map_err(act_failure)?;
        return Ok(done(cli, orders, format!("{orders} orders resolved")));
    }
    if let Some(key) = &args.notice {
        confirm(
            args.yes,
            &format!("notice {key} will not be sent any more"),
            key,
        )?;
        let _locks = all_locks(cli, machine, loaded)?;
        let message = acts::notice(&store, key, true, act).map_err(act_failure)?;
        return Ok(done(cli, 1, message));
    }
    let Some(id) = &args.order else {
        return Err(Failure::new(Exit::Usage, "name an order"));
    };
    let word = match &args.booked {
        Some(number) => Word::Booked(number.clone()),
        None if args.not_booked => Word::NotBooked,
        None if args.cancel => Word::Cancel,
        None => Word::Handled,
    };
    let what =
        format!("this settles what waits of order {id} by your word, against the other side's");
    confirm(args.yes, &what, id.as_str())?;
    let _locks = all_locks(cli, machine, loaded)?;
    let operation = args.operation.as_deref();
    let message = acts::resolve(&store, id, operation, &word, act).map_err(act_failure)?;
    Ok(done(cli, 1, message))
}

#[derive(Serialize)]
struct Compared {
    #[serde(flatten)]
    comparison: Comparison,
    changed: bool,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.comparison.movements {
            None => writeln!(f, "movements: could not be compared")?,
            Some(findings) if findings.is_empty() => writeln!(f, "movements: no difference")?,
            Some(findings) => {
                for finding in findings {
                    writeln!(
                        f,
                        "movement {}: {}\n    {}",
                        finding.subject, finding.detail, finding.correction
                    )?;
                }
            }
        }
        for drift in &self.comparison.numbers {
            let (sku, warehouse) = (&drift.sku, &drift.warehouse);
            let (published, held) = (drift.published, drift.held);
            writeln!(
                f,
                "SKU {sku} in {warehouse}: published {published}, the store holds {held}"
            )?;
        }
        if self.comparison.numbers.is_empty() {
            writeln!(f, "numbers: no difference")?;
        }
        if self.comparison.unread > 0 {
            writeln!(
                f,
                "numbers: {} could not be read back",
                self.comparison.unread
            )?;
        }
        Ok(())
    }
}

/// Runs `reconcile`.
pub fn reconcile(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    args: &ReconcileArgs,
    wrap: &Wrap,
) -> Result<Exit, Failure> {
    let _locks = if args.check {
        vec![]
    } else {
        all_locks(cli, machine, loaded)?
    };
    let mut report = Report::default();
    let compared = in_context(cli, loaded, wrap, PATIENCE, |ctx| {
        everything(ctx, args.days, !args.check, &mut report)
    })?;
    let comparison = compared.map_err(|halt| match halt {
        Halt::Store(err) => store_failure(err),
        Halt::Denied(_) => Failure::new(Exit::Denied, halt.to_string()),
        Halt::Lock(_) | Halt::Brake(_) => Failure::new(Exit::Broken, halt.to_string()),
    })?;
    let found = comparison.movements.as_ref().is_some_and(|f| !f.is_empty());
    let unsure = comparison.movements.is_none() || comparison.unread > 0;
    let exit = match (args.check, found, comparison.numbers.is_empty()) {
        _ if report.unreached > 0 && report.reached == 0 => Exit::Unreachable,
        (false, true, _) => Exit::Person,
        (true, true, _) | (true, false, false) => Exit::Drift,
        (_, false, _) if unsure => Exit::Partial,
        (_, false, _) => Exit::Done,
    };
    let changed = !args.check;
    let compared = Compared {
        comparison,
        changed,
    };
    print(cli, exit, &compared, &compared);
    Ok(exit)
}

/// Runs `backup`.
pub fn backup(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    args: &BackupArgs,
) -> Result<Exit, Failure> {
    match (&args.command, &args.file) {
        (Some(BackupCommand::Restore { file, yes }), _) => {
            restore(cli, loaded, machine, file, *yes)
        }
        (Some(BackupCommand::Adopt { yes }), _) => adopt(cli, loaded, machine, *yes),
        (None, Some(file)) => save(cli, loaded, machine, file),
        (None, None) => Err(Failure::new(Exit::Usage, "name the file of the copy")),
    }
}

fn io_failure(path: &Path, err: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{}: {err}", path.display()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sound(store: &Store, path: &Path) -> Result<(), Failure> {
    let found = store.integrity().map_err(store_failure)?;
    if found.is_empty() {
        return Ok(());
    }
    let reason = format!("{} is damaged: {}", path.display(), found.join("; "));
    Err(Failure::new(Exit::Broken, reason))
}

/// Copies the state file: checked, in one piece, never over a file that is there.
fn save(cli: &Cli, loaded: &Loaded, machine: &Machine, file: &Path) -> Result<Exit, Failure> {
    if file.exists() {
        let reason = format!("{} exists already", file.display());
        return Err(Failure::new(Exit::Data, reason));
    }
    let store = open_store(loaded, machine)?;
    sound(&store, &machine.state)?;
    let part = beside(file, ".part");
    // What an earlier try left.
    let _ = std::fs::remove_file(&part);
    store.copy_to(&part).map_err(store_failure)?;
    let synced = std::fs::File::open(&part).and_then(|copy| copy.sync_all());
    synced.map_err(|err| io_failure(&part, &err))?;
    std::fs::rename(&part, file).map_err(|err| io_failure(file, &err))?;
    Ok(done(
        cli,
        1,
        format!("the state file is copied to {}", file.display()),
    ))
}

/// Puts a copy in the place of the state file, as a new generation; the file that was there is kept beside it.
fn restore(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    file: &Path,
    yes: bool,
) -> Result<Exit, Failure> {
    let state = &machine.state;
    let mut options = open_options(loaded, machine)?;
    let mark = MarkFile::read(state).ok().flatten();
    options.path = beside(state, ".restoring");
    remove_all(&options.path);
    std::fs::copy(file, &options.path).map_err(|err| io_failure(file, &err))?;
    private(&options.path)?;
    let checked = Store::open(&options)
        .map_err(|err| named(err, file))
        .and_then(|store| {
            sound(&store, file)?;
            Ok(store)
        });
    let store = checked.inspect_err(|_| remove_all(&options.path))?;
    let known = store.runs().map_err(store_failure)?;
    let known = known
        .iter()
        .map(|run| run.ended_at)
        .max()
        .unwrap_or(Moment(0));
    let what = format!(
        "{} takes the place of {}; it knew the world until {known}: what happened since is looked for before anything is \
         booked or published",
        file.display(),
        state.display()
    );
    confirm(yes, &what, "restore").inspect_err(|_| remove_all(&options.path))?;
    let _locks = exclusive(cli, machine, loaded).inspect_err(|_| remove_all(&options.path))?;
    let here = here(loaded, machine);
    store
        .write(|tx| {
            tx.begin_generation(mark.as_ref(), &here)?;
            tx.own(&options.identity, here.machine.as_deref())
        })
        .map_err(store_failure)?;
    drop(store);
    let aside = format!(".before-{}", machine.clock.now().0);
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let from = beside(state, suffix);
        if from.exists() {
            let to = beside(state, &format!("{aside}{suffix}"));
            std::fs::rename(&from, &to).map_err(|err| io_failure(&from, &err))?;
        }
    }
    std::fs::rename(&options.path, state).map_err(|err| io_failure(state, &err))?;
    begin_mark(loaded, machine)?;
    Ok(done(
        cli,
        1,
        format!("{} is restored from {}", state.display(), file.display()),
    ))
}

/// Takes over the state file as it is: moved to this machine, without its mark, or lost altogether.
fn adopt(cli: &Cli, loaded: &Loaded, machine: &Machine, yes: bool) -> Result<Exit, Failure> {
    let state = &machine.state;
    let mut options = open_options(loaded, machine)?;
    let lost = !state.exists();
    let what = if lost {
        // A new memory knows the world until the cut-over: everything since is looked for.
        options.now = settings::settings(&loaded.config).cutover;
        format!(
            "a new state file begins at {}, knowing nothing since the cut-over",
            state.display()
        )
    } else {
        let account = &options.identity.account;
        format!(
            "{} is taken over for account {account} on this machine",
            state.display()
        )
    };
    confirm(yes, &what, "adopt")?;
    let _locks = exclusive(cli, machine, loaded)?;
    let mark = MarkFile::read(state).ok().flatten();
    let store = if lost {
        Store::open(&options)
    } else {
        Store::open_any(&options)
    };
    let store = store.map_err(store_failure)?;
    sound(&store, state)?;
    let here = here(loaded, machine);
    let who = act(loaded, machine, "").who.to_owned();
    store
        .write(|tx| {
            tx.begin_generation(mark.as_ref(), &here)?;
            tx.own(&options.identity, here.machine.as_deref())?;
            tx.audit(&who, "backup adopt", "state file", &what, here.now)
        })
        .map_err(store_failure)?;
    drop(store);
    begin_mark(loaded, machine)?;
    Ok(done(cli, 1, format!("{} is taken over", state.display())))
}

/// Writes the mark of the file that now stands in place.
fn begin_mark(loaded: &Loaded, machine: &Machine) -> Result<(), Failure> {
    let store = Store::open(&open_options(loaded, machine)?).map_err(store_failure)?;
    let seq = store.seq().map_err(store_failure)?;
    let file = MarkFile::keep(&machine.state, &store, None).map_err(store_failure)?;
    let at = mark_path(&machine.state);
    // A mark of another memory must not outlive it.
    let _ = std::fs::remove_file(&at);
    file.raise(seq).map_err(|err| Failure::new(Exit::Io, err))
}

fn named(err: StoreError, file: &Path) -> Failure {
    let failure = store_failure(err);
    Failure::new(
        failure.exit,
        format!("{}: {}", file.display(), failure.message),
    )
}

fn private(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|err| io_failure(path, &err))
}

fn remove_all(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(beside(path, suffix));
    }
}

/// Runs `doctor erp-probe`.
pub fn erp_probe(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    probe: &Probe,
) -> Result<Exit, Failure> {
    let Probe::ErpProbe {
        base,
        reference,
        yes,
    } = probe;
    let usage = |err: String| Failure::new(Exit::Usage, err);
    let base = BaseCode::parse(base).map_err(|err| usage(err.to_string()))?;
    let settings = settings::settings(&loaded.config);
    let used = |w: &crate::stages::settings::Warehouse| {
        w.movement_base == base || w.counted.contains(&base)
    };
    if settings.warehouses.iter().any(used) || base == settings.depot {
        let reason = format!("{base} is a base of the shop; the probe writes, name a test base");
        return Err(usage(reason));
    }
    let memory = Memory::open(loaded, machine, false)?;
    let doors = Doors::open(loaded, machine, &memory, PATIENCE)?;
    let reference = SkuRef::parse(reference).map_err(|err| usage(err.to_string()))?;
    let Some(erp) = doors.erp.dragonfish() else {
        return Err(usage(
            "nothing is booked in this ERP, so there is nothing to probe".into(),
        ));
    };
    let code = erp.code(&reference).map_err(usage)?;
    let what = format!("one unit of {code} is booked out of {base} and back into it");
    confirm(*yes, &what, base.as_str())?;
    let checks: Vec<Check> = probe::erp(&probe::Trial {
        movements: erp,
        clock: &machine.clock,
        account: &settings.account,
        base: &base,
        code: &code,
        gap_ms: settings.protocol.gap,
    });
    let diagnosis = Diagnosis { checks };
    let exit = if diagnosis.failed() {
        Exit::Person
    } else {
        let now = machine.clock.now();
        let kept = memory.store.write(|tx| tx.set_mark("probed", now.0));
        kept.map_err(store_failure)?;
        Exit::Done
    };
    print(cli, exit, &diagnosis, &diagnosis);
    Ok(exit)
}
