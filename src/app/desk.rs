//! The operator's commands: find what is asked for, let the desk answer, print it in the form wanted.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::app::world::{Doors, Machine, Memory, open_store, secret, store_failure};
use crate::app::{Document, Failure, Wrap, complain, print_json, recovery, say, settings};
use crate::cli::{Cli, Command, ConfigCommand, ShowArgs, SkuCommand};
use crate::config::load::Loaded;
use crate::config::secret::SecretSource;
use crate::desk;
use crate::desk::doctor::{Diagnosis, INTEGRITY};
use crate::domain::ids::{ErpCode, OrderId, SkuId, SkuRef};
use crate::domain::ports::{
    Check, CheckOutcome, Checks, Clock, PortError, StockSource, Storefront,
};
use crate::domain::time::Moment;
use crate::exit::Exit;
use crate::store::Store;
use crate::store::skus::SkuRow;

/// The largest file an operator may hand in.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// How long an operator's question to an outside system may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// Answers commands that need no configuration; `None` for the others.
pub fn without_configuration(cli: &Cli) -> Result<Option<Exit>, Failure> {
    match &cli.command {
        Command::Config(ConfigCommand::Init { file }) => init(file.as_deref()).map(Some),
        Command::Completions(shell) => {
            say(&crate::cli::completions(shell.shell));
            Ok(Some(Exit::Done))
        }
        Command::Man => {
            say(&crate::cli::man());
            Ok(Some(Exit::Done))
        }
        _ => Ok(None),
    }
}

/// Writes the annotated example, never over a file that is there.
fn init(file: Option<&Path>) -> Result<Exit, Failure> {
    let Some(path) = file else {
        say(crate::config::EXAMPLE);
        return Ok(Exit::Done);
    };
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, crate::config::EXAMPLE.as_bytes())
        });
    match written {
        Ok(()) => {
            complain(&format!(
                "wrote {}; fill it in, then run: stockbridge config check",
                path.display()
            ));
            Ok(Exit::Done)
        }
        Err(err) => Err(Failure::new(Exit::Io, format!("{}: {err}", path.display()))),
    }
}

/// Answers an operator's command.
pub fn run(cli: &Cli, loaded: &Loaded, wrap: &Wrap) -> Result<Exit, Failure> {
    if let Command::Config(command) = &cli.command {
        return config(cli, loaded, command);
    }
    if let Command::Notify(args) = &cli.command
        && let Some(kind) = args.test
    {
        if cli.global.dry_run {
            let message = format!("would send a test notice by channel {}", args.channel);
            return Ok(done(cli, 0, message));
        }
        let message = crate::app::channels::test(loaded, kind, &args.channel)?;
        return Ok(done(cli, 1, message));
    }
    let machine = Machine::new(loaded).map_err(|err| Failure::new(Exit::Broken, err))?;
    match &cli.command {
        Command::Status => status(cli, &open_store(loaded, &machine)?, &machine),
        Command::Show(args) => show(cli, loaded, &machine, args),
        Command::Explain(arg) => explain(cli, &open_store(loaded, &machine)?, &arg.what),
        Command::Sku(SkuCommand::List { unmapped }) => {
            let list = desk::sku::list(&open_store(loaded, &machine)?, *unmapped)
                .map_err(store_failure)?;
            print(cli, Exit::Done, &Listed { skus: &list }, &list);
            Ok(Exit::Done)
        }
        Command::Sku(SkuCommand::Import { file }) => import_skus(cli, loaded, &machine, file),
        Command::Remito(remito) => {
            remito_done(cli, &open_store(loaded, &machine)?, &machine, &remito.order)
        }
        Command::Poll(poll) => match &poll.import_processed {
            Some(file) => import_processed(cli, &open_store(loaded, &machine)?, &machine, file),
            None => Ok(Exit::Done),
        },
        Command::Stock(arg) => stock(cli, loaded, &machine, &arg.sku),
        Command::Doctor(args) => match &args.probe {
            Some(probe) => recovery::erp_probe(cli, loaded, &machine, probe),
            None => doctor(cli, loaded, &machine),
        },
        Command::Retry(args) => recovery::retry(cli, loaded, &machine, args),
        Command::Resolve(args) => recovery::resolve(cli, loaded, &machine, args),
        Command::Reconcile(args) => recovery::reconcile(cli, loaded, &machine, args, wrap),
        Command::Backup(args) => recovery::backup(cli, loaded, &machine, args),
        Command::Serve => crate::app::serve::serve(cli, loaded, &machine),
        Command::Hook(command) => crate::app::hook::hook(cli, loaded, &machine, *command, wrap),
        Command::Reserve(_)
        | Command::Move(_)
        | Command::PushStock(_)
        | Command::Notify(_)
        | Command::Gc
        | Command::Run
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Man => Ok(Exit::Done),
    }
}

#[derive(Serialize)]
struct Listed<'a, T: Serialize> {
    skus: &'a T,
}

#[derive(Serialize)]
struct Done {
    done: usize,
    message: String,
}

pub(super) fn print(cli: &Cli, exit: Exit, document: &impl Serialize, text: &impl Display) {
    if cli.global.json {
        print_json(&Document::new(exit, document))
    } else {
        say(&text.to_string())
    }
}

pub(super) fn done(cli: &Cli, count: usize, message: String) -> Exit {
    print(
        cli,
        Exit::Done,
        &Done {
            done: count,
            message: message.clone(),
        },
        &format!("{message}\n"),
    );
    Exit::Done
}

fn config(cli: &Cli, loaded: &Loaded, command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check => {
            crate::app::channels::check_templates(&loaded.config)
                .map_err(|err| Failure::new(Exit::Config, err))?;
            crate::app::erp::check_statements(&loaded.config)
                .map_err(|err| Failure::new(Exit::Config, err))?;
            Ok(done(cli, 0, "the configuration is sound".into()))
        }
        ConfigCommand::Show => {
            let shown = crate::config::show::show(loaded);
            print(
                cli,
                Exit::Done,
                &Keys { keys: &shown },
                &crate::config::show::table(&shown),
            );
            Ok(Exit::Done)
        }
        ConfigCommand::Init { .. } => Ok(Exit::Done),
    }
}

#[derive(Serialize)]
struct Keys<'a, T: Serialize> {
    keys: &'a T,
}

fn status(cli: &Cli, store: &Store, machine: &Machine) -> Result<Exit, Failure> {
    let status = desk::status::status(store, machine.clock.now()).map_err(store_failure)?;
    let exit = if status.attention.is_empty() {
        Exit::Done
    } else {
        Exit::Person
    };
    print(cli, exit, &status, &status);
    Ok(exit)
}

fn show(cli: &Cli, loaded: &Loaded, machine: &Machine, args: &ShowArgs) -> Result<Exit, Failure> {
    let id = &args.order;
    let mut view = desk::order::order(&open_store(loaded, machine)?, id)
        .map_err(store_failure)?
        .ok_or_else(|| {
            Failure::new(
                Exit::Data,
                format!("order {id} is not known; hint: stockbridge poll --order {id}"),
            )
        })?;
    if args.erp {
        let memory = Memory::open(loaded, machine, false)?;
        let doors = Doors::open(loaded, machine, &memory, PATIENCE)?;
        let erp = doors.erp.dragonfish().ok_or_else(not_there)?;
        view.papers = Some(erp.papers(id).map_err(unreachable)?);
    }
    print(cli, Exit::Done, &view, &view);
    Ok(Exit::Done)
}

/// The failure of a question that only Dragonfish answers.
fn not_there() -> Failure {
    Failure::new(
        Exit::Usage,
        "this is a question for Dragonfish, and the ERP is another",
    )
}

/// The failure of a question to an outside system.
fn unreachable(err: PortError) -> Failure {
    let exit = match err {
        PortError::Denied { .. } => Exit::Denied,
        PortError::Transient { .. } | PortError::Uncertain { .. } | PortError::Rejected { .. } => {
            Exit::Unreachable
        }
    };
    Failure::new(exit, err.to_string())
}

/// Finds a SKU by its id or its reference.
fn find_sku(store: &Store, what: &str) -> Result<Option<SkuRow>, Failure> {
    if let Ok(id) = SkuId::parse(what)
        && let Some(row) = store.sku(&id).map_err(store_failure)?
    {
        return Ok(Some(row));
    }
    store.sku_of_reference(what).map_err(store_failure)
}

fn explain(cli: &Cli, store: &Store, what: &str) -> Result<Exit, Failure> {
    if let Some(sku) = find_sku(store, what)? {
        let explanation = desk::explain::explain(store, &sku).map_err(store_failure)?;
        print(cli, Exit::Done, &explanation, &explanation);
        return Ok(Exit::Done);
    }
    let order = OrderId::parse(what).ok();
    let lines = match &order {
        Some(id) => store.lines(id).map_err(store_failure)?,
        None => vec![],
    };
    if lines.is_empty() {
        return Err(Failure::new(
            Exit::Data,
            format!("{what:?} is no SKU and no order that is known here"),
        ));
    }
    let mut explanations = Vec::new();
    for sku in lines
        .into_iter()
        .map(|line| line.sku)
        .collect::<BTreeSet<_>>()
    {
        if let Some(row) = store.sku(&sku).map_err(store_failure)? {
            explanations.push(desk::explain::explain(store, &row).map_err(store_failure)?);
        }
    }
    let text: String = explanations.iter().map(ToString::to_string).collect();
    print(
        cli,
        Exit::Done,
        &Listed {
            skus: &explanations,
        },
        &text,
    );
    Ok(Exit::Done)
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let fail = |err: std::io::Error| Failure::new(Exit::Data, format!("{}: {err}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(fail)?;
    Ok(text)
}

fn import_skus(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    file: &Path,
) -> Result<Exit, Failure> {
    let text = read_file(file)?;
    let memory = Memory::open(loaded, machine, false)?;
    let doors = Doors::open(loaded, machine, &memory, PATIENCE)?;
    let rows = desk::sku::import(&memory.store, doors.erp.stock(), &text, machine.clock.now())
        .map_err(|err| match err {
            desk::sku::ImportError::Store(err) => store_failure(err),
            desk::sku::ImportError::Line { .. } => {
                Failure::new(Exit::Data, format!("{}: {err}", file.display()))
            }
        })?;
    Ok(done(cli, rows, format!("{rows} SKUs imported")))
}

fn import_processed(
    cli: &Cli,
    store: &Store,
    machine: &Machine,
    file: &Path,
) -> Result<Exit, Failure> {
    let text = read_file(file)?;
    let imported = desk::acts::import_processed(store, &text, machine.clock.now());
    let (taken, known) = imported.map_err(|err| match err {
        desk::acts::ImportError::Store(err) => store_failure(err),
        desk::acts::ImportError::Form(_) => {
            Failure::new(Exit::Data, format!("{}: {err}", file.display()))
        }
    })?;
    Ok(done(
        cli,
        taken,
        format!("{taken} processed orders imported, {known} were known already"),
    ))
}

fn remito_done(
    cli: &Cli,
    store: &Store,
    machine: &Machine,
    order: &OrderId,
) -> Result<Exit, Failure> {
    let movements =
        desk::acts::remito_done(store, order, machine.clock.now()).map_err(store_failure)?;
    if movements == 0 {
        return Err(Failure::new(
            Exit::Data,
            format!("order {order} has no booked movement without a remito"),
        ));
    }
    Ok(done(
        cli,
        movements,
        format!("the remito of order {order} is recorded"),
    ))
}

fn stock(cli: &Cli, loaded: &Loaded, machine: &Machine, what: &str) -> Result<Exit, Failure> {
    let memory = Memory::open(loaded, machine, false)?;
    let doors = Doors::open(loaded, machine, &memory, PATIENCE)?;
    let tables = doors.erp.dragonfish().filter(|erp| erp.has_tables());
    let code = match (find_code(&memory.store, doors.erp.stock(), what), tables) {
        (Err(failure), Some(tables)) => {
            let found = tables.of_bar_code(what).map_err(unreachable)?;
            found.map(|(code, _)| code).ok_or(failure)?
        }
        (found, _) => found?,
    };
    let counted = settings::counted_bases(&settings::settings(&loaded.config))
        .into_iter()
        .collect();
    let view = desk::stock::stock(
        doors.erp.stock(),
        &code,
        &counted,
        &loaded.config.erp.blocked_bases,
    );
    let mut view = view.map_err(unreachable)?;
    if let Some(tables) = tables {
        match tables.bar_code(&code) {
            Ok(found) => view.bar_code = found,
            // The stock was read; that its bar code was not is no reason to keep it back.
            Err(err) => log::warn!("the bar code of {code} is not known: {err}"),
        }
    }
    let exit = if view.missing.is_empty() {
        Exit::Done
    } else {
        Exit::Partial
    };
    print(cli, exit, &view, &view);
    Ok(exit)
}

/// Finds the ERP's code of a SKU id, of a reference that is known, or of a reference as it stands.
fn find_code(store: &Store, source: &dyn StockSource, what: &str) -> Result<ErpCode, Failure> {
    if let Some(row) = find_sku(store, what)?
        && let Some(code) = row.code
    {
        return Ok(code);
    }
    let wrong = |err: String| Failure::new(Exit::Data, err);
    let reference = SkuRef::parse(what).map_err(|err| wrong(err.to_string()))?;
    source.code(&reference).map_err(wrong)
}

fn doctor(cli: &Cli, loaded: &Loaded, machine: &Machine) -> Result<Exit, Failure> {
    let ok = |name, detail: String| Check::new(name, CheckOutcome::Ok, detail);
    let mut checks = vec![ok("configuration", "sound".into())];
    for warning in &loaded.warnings {
        checks.push(Check::new(
            "configuration",
            CheckOutcome::Warn,
            warning.clone(),
        ));
    }
    checks.extend(secrets(loaded, machine.clock.now()));
    checks.extend(crate::app::serve::checks(loaded));
    let broken = match Memory::open(loaded, machine, false) {
        Err(failure) => {
            let broken = failure.exit == Exit::Broken;
            checks.push(Check::new(
                "state.open",
                CheckOutcome::Fail,
                failure.message,
            ));
            broken
        }
        Ok(memory) => {
            checks.extend(desk::doctor::check_store(&memory.store));
            let sound =
                |check: &Check| check.name != INTEGRITY || check.outcome == CheckOutcome::Ok;
            let broken = !checks.iter().all(sound);
            // Asking the outside is counted in the state file, and a damaged one is left as it is.
            if !broken {
                match Doors::open(loaded, machine, &memory, PATIENCE) {
                    Ok(doors) => checks.extend(outside(loaded, &doors)),
                    Err(failure) => {
                        checks.push(Check::new("doors", CheckOutcome::Fail, failure.message));
                    }
                }
            }
            broken
        }
    };
    let diagnosis = Diagnosis { checks };
    let exit = if broken {
        Exit::Broken
    } else if diagnosis.failed() {
        Exit::Person
    } else {
        Exit::Done
    };
    print(cli, exit, &diagnosis, &diagnosis);
    Ok(exit)
}

fn secrets(loaded: &Loaded, now: Moment) -> Vec<Check> {
    let named = crate::app::channels::secrets(&loaded.config);
    let check = |(name, source): (String, &SecretSource)| {
        let title = format!("secret {name}");
        match secret(loaded, &name, source) {
            Ok(value) => {
                let about = crate::app::custody::describe(loaded, source, &value, now);
                let outcome = if about.hint.is_some() {
                    CheckOutcome::Warn
                } else {
                    CheckOutcome::Ok
                };
                let check = Check::new(&title, outcome, about.detail);
                match about.hint {
                    Some(hint) => check.hint(hint),
                    None => check,
                }
            }
            Err(failure) => Check::new(&title, CheckOutcome::Fail, failure.message),
        }
    };
    named.into_iter().map(check).collect()
}

fn outside(loaded: &Loaded, doors: &Doors<'_>) -> Vec<Check> {
    let mut checks = doors.vtex.checks();
    match doors.vtex.warehouses() {
        Ok(there) => {
            for warehouse in &loaded.config.warehouse {
                let name = format!("warehouse {}", warehouse.id);
                checks.push(match there.iter().find(|(id, _)| *id == warehouse.id) {
                    Some((_, true)) => Check::new(&name, CheckOutcome::Ok, "exists and is active"),
                    Some((_, false)) => {
                        Check::new(&name, CheckOutcome::Warn, "exists and is not active")
                    }
                    None => Check::new(&name, CheckOutcome::Fail, "does not exist in the store")
                        .hint("ids are compared letter for letter"),
                });
            }
        }
        Err(err) => checks.push(Check::new(
            "warehouses",
            CheckOutcome::Fail,
            err.to_string(),
        )),
    }
    checks.extend(doors.erp.checks());
    checks.extend(doors.channels.checks());
    checks
}
