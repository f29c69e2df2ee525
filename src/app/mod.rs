//! The composition root: parse, load the configuration, open the memory, build the adapters, match the command.
//!
//! The only room that sees every other. Printing happens here and nowhere else.

pub mod settings;

mod channels;
mod custody;
mod desk;
mod dry;
mod erp;
mod hook;
mod recovery;
mod serve;
mod stock_api;
mod world;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::adapters::host;
use crate::cli::{Cli, Command};
use crate::config::load::{LoadOptions, Loaded, load};
use crate::domain::ports::{Clock, MovementSink, Notifier, Storefront};
use crate::exit::Exit;
use crate::logging::{self, LogOptions};
use crate::stages::context::{Ask, Context};
use crate::stages::runner::{Ending, Outcome, Stage, run_stage};

/// Runs the program with these arguments (the first is its name) and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    logging::report_panics();
    run_with(args, &Wrap::default())
}

/// Puts something before a storefront.
pub type StorefrontWrap = for<'a> fn(&'a dyn Storefront) -> Box<dyn Storefront + 'a>;

/// Puts something before an ERP's movements.
pub type MovementWrap = for<'a> fn(&'a dyn MovementSink) -> Box<dyn MovementSink + 'a>;

/// Puts something before the way to people.
pub type NotifierWrap = for<'a> fn(&'a dyn Notifier) -> Box<dyn Notifier + 'a>;

/// Puts something between the stages and the outside, as the demo does to show that its verdict can fail.
#[derive(Default)]
pub struct Wrap {
    /// Stands before the storefront.
    pub storefront: Option<StorefrontWrap>,
    /// Stands before the ERP's movements.
    pub movements: Option<MovementWrap>,
    /// Stands before the way to people.
    pub notifier: Option<NotifierWrap>,
}

/// Like [`run`], with something between the stages and the outside.
pub fn run_with(args: impl IntoIterator<Item = OsString>, wrap: &Wrap) -> ExitCode {
    ExitCode::from(execute(args, wrap).code())
}

/// Does the work of [`run_with`] and returns how it ended.
pub fn execute(args: impl IntoIterator<Item = OsString>, wrap: &Wrap) -> Exit {
    // A panic must end as a documented exit code; the store needs no help, an open transaction rolls back.
    let args: Vec<OsString> = args.into_iter().collect();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start(args, wrap)));
    ended.unwrap_or(Exit::Broken)
}

/// Why a command ended before its work, told to a person once.
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

fn start(args: Vec<OsString>, wrap: &Wrap) -> Exit {
    if let Err(err) = host::harden() {
        complain(&format!(
            "warning: the process could not be hardened: {err}"
        ));
    }
    let cli = match crate::cli::parse(args) {
        Ok(cli) => cli,
        Err(end) => {
            if end.code == 0 {
                say(&end.text)
            } else {
                complain(end.text.trim_end())
            }
            return if end.code == 0 {
                Exit::Done
            } else {
                Exit::Usage
            };
        }
    };
    let run_id = logging::run_id();
    logging::init(LogOptions {
        level: logging::level(
            cli.global.verbose,
            cli.global.quiet,
            std::io::stderr().is_terminal(),
        ),
        json: cli.global.log_format.is_json(),
        run_id: run_id.clone(),
    });
    match dispatch(&cli, &run_id, wrap) {
        Ok(exit) => exit,
        Err(failure) => {
            if cli.global.json {
                print_json(&Document::new(
                    failure.exit,
                    &BTreeMap::from([("error", &failure.message)]),
                ));
            }
            complain(&format!("stockbridge: {}", failure.message));
            failure.exit
        }
    }
}

fn dispatch(cli: &Cli, run_id: &str, wrap: &Wrap) -> Result<Exit, Failure> {
    if let Some(exit) = desk::without_configuration(cli)? {
        return Ok(exit);
    }
    let environment: BTreeMap<String, String> = environment();
    let options = LoadOptions {
        file: cli.global.config.clone(),
        env_file: cli.global.env_file.clone(),
        env: environment,
        state: cli.global.state.clone(),
    };
    let loaded = load(&options).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Config, lines.join("\n"))
    })?;
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    match stages_of(&cli.command) {
        Some(stages) => run_stages(cli, &loaded, &stages, run_id, wrap),
        None => desk::run(cli, &loaded, wrap),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read"
)]
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn stages_of(command: &Command) -> Option<Vec<Stage>> {
    match command {
        Command::Poll(poll) if poll.import_processed.is_some() => None,
        Command::Poll(_) => Some(vec![Stage::Poll]),
        Command::Reserve(_) => Some(vec![Stage::Reserve]),
        Command::Move(_) => Some(vec![Stage::Move]),
        Command::PushStock(_) => Some(vec![Stage::PushStock]),
        Command::Notify(args) if args.test.is_some() => None,
        Command::Notify(_) => Some(vec![Stage::Notify]),
        Command::Gc => Some(vec![Stage::Gc]),
        Command::Run => Some(Stage::ALL.to_vec()),
        Command::Serve
        | Command::Hook(_)
        | Command::Status
        | Command::Stock(_)
        | Command::Show(_)
        | Command::Explain(_)
        | Command::Doctor(_)
        | Command::Retry(_)
        | Command::Resolve(_)
        | Command::Reconcile(_)
        | Command::Backup(_)
        | Command::Sku(_)
        | Command::Remito(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Man => None,
    }
}

/// What this invocation asks of the stages.
fn ask(cli: &Cli) -> Ask {
    let mut ask = Ask {
        force: cli.global.force,
        limit: cli.global.limit,
        wait: cli.global.wait.duration(),
        routine: matches!(cli.command, Command::Run),
        ..Ask::default()
    };
    match &cli.command {
        Command::Poll(poll) => {
            ask.orders.clone_from(&poll.orders);
            ask.since = poll.since;
            ask.until = poll.until;
        }
        Command::Reserve(only) | Command::Move(only) => ask.orders.clone_from(&only.orders),
        Command::PushStock(push) => {
            ask.orders.clone_from(&push.orders);
            ask.skus.clone_from(&push.skus);
            ask.all = push.all;
        }
        _ => {}
    }
    ask
}

fn run_stages(
    cli: &Cli,
    loaded: &Loaded,
    stages: &[Stage],
    run_id: &str,
    wrap: &Wrap,
) -> Result<Exit, Failure> {
    let exits = |ending| Exit::from_ending(ending, cli.global.fail_if_locked);
    let deadline = cli.global.deadline.duration();
    let outcomes = in_context(cli, loaded, wrap, deadline, |ctx| {
        run_each(ctx, stages, run_id, &|ending| exits(ending).code())
    })?;
    let exit = Exit::worst(
        outcomes
            .iter()
            .map(|outcome| dry_exit(exits(outcome.ending), cli.global.dry_run)),
    );
    report(cli, &outcomes, exit);
    Ok(exit)
}

/// Opens the memory and the doors, and hands them to `work`, which must not outlast `length` by more than one call.
fn in_context<T>(
    cli: &Cli,
    loaded: &Loaded,
    wrap: &Wrap,
    length: Duration,
    work: impl FnOnce(&Context<'_>) -> T,
) -> Result<T, Failure> {
    let machine = world::Machine::new(loaded).map_err(|err| Failure::new(Exit::Broken, err))?;
    let longest = settings::longest_call(&loaded.config);
    let slack = loaded.config.protocol.watchdog.duration();
    let _watchdog = host::watchdog(length + longest + slack)
        .map_err(|err| Failure::new(Exit::Io, format!("no thread for the watchdog: {err}")))?;
    let stop = host::stop_flag()
        .map_err(|err| Failure::new(Exit::Io, format!("no signal handler: {err}")))?;
    let memory = world::Memory::open(loaded, &machine, cli.global.dry_run)?;
    let doors = world::Doors::open(loaded, &machine, &memory, length)?;
    let settings = settings::settings(&loaded.config);
    let asked = ask(cli);
    let bar = Progress::new();
    let done = doors.with_wrap(wrap, cli.global.dry_run, |ports| {
        work(&Context {
            store: &memory.store,
            storefront: ports.storefront,
            stock: ports.stock,
            movements: ports.movements,
            order_book: ports.order_book,
            notifier: ports.notifier,
            clock: &machine.clock,
            rng: &machine.rng,
            locks: &memory.locks,
            water: memory.water.as_ref(),
            settings: &settings,
            ask: &asked,
            now: machine.clock.now(),
            deadline: machine.deadline(length),
            stop: &stop,
            progress: &|done, all| bar.tell(done, all),
        })
    });
    bar.end();
    Ok(done)
}

/// In a dry run every write "fails"; that alone is no reason for a code.
fn dry_exit(exit: Exit, dry_run: bool) -> Exit {
    if dry_run && matches!(exit, Exit::Partial | Exit::Unreachable) {
        Exit::Done
    } else {
        exit
    }
}

/// Runs the stages in order. One that fails does not keep the others from the good they can still do.
fn run_each(
    ctx: &Context<'_>,
    stages: &[Stage],
    run_id: &str,
    code: &dyn Fn(Ending) -> u8,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(stages.len());
    for stage in stages {
        if ctx.stop.load(Ordering::Relaxed) {
            break;
        }
        let outcome = run_stage(ctx, *stage, run_id, code);
        let broken = outcome.ending == Ending::Broken;
        outcomes.push(outcome);
        // A broken memory is no ground to act on.
        if broken {
            break;
        }
    }
    outcomes
}

/// The one form of everything that `--json` prints.
#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    version: u32,
    exit_code: u8,
    #[serde(flatten)]
    body: &'a T,
}

impl<'a, T: Serialize> Document<'a, T> {
    fn new(exit: Exit, body: &'a T) -> Self {
        Self {
            version: 1,
            exit_code: exit.code(),
            body,
        }
    }
}

/// What stages did, for `--json`.
#[derive(Serialize)]
struct StagesDone<'a> {
    dry_run: bool,
    stages: &'a [Outcome],
}

fn report(cli: &Cli, outcomes: &[Outcome], exit: Exit) {
    for outcome in outcomes {
        let stage = outcome.stage.as_str();
        let counts: Vec<_> = outcome
            .report
            .counts
            .iter()
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        let counts = if counts.is_empty() {
            "nothing to do".to_owned()
        } else {
            counts.join(", ")
        };
        let duration_ms = outcome.ended_at.ms_since(outcome.started_at);
        match (&outcome.message, outcome.ending) {
            (Some(message), Ending::Locked) => log::info!(stage = stage; "{stage}: {message}"),
            (Some(message), _) => {
                log::error!(stage = stage, duration_ms = duration_ms; "{stage}: {message}")
            }
            (None, _) => log::info!(stage = stage, duration_ms = duration_ms; "{stage}: {counts}"),
        }
    }
    if cli.global.json {
        print_json(&Document::new(
            exit,
            &StagesDone {
                dry_run: cli.global.dry_run,
                stages: outcomes,
            },
        ));
    } else if cli.global.dry_run || std::io::stdout().is_terminal() {
        let lines = outcomes.iter().flat_map(|o| {
            o.report
                .lines
                .iter()
                .map(move |line| (o.stage.as_str(), line))
        });
        let text: String = lines
            .map(|(stage, line)| format!("{stage}: {line}\n"))
            .collect();
        say(&text);
    }
}

/// A bar on a terminal for long work; nothing elsewhere.
struct Progress(Option<indicatif::ProgressBar>);

impl Progress {
    fn new() -> Self {
        Self(
            std::io::stderr()
                .is_terminal()
                .then(indicatif::ProgressBar::no_length),
        )
    }

    fn tell(&self, done: u64, all: u64) {
        if let Some(bar) = &self.0 {
            if all > 0 {
                bar.set_length(all);
            }
            bar.set_position(done);
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn print_json(document: &impl Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(document) {
        say(&format!("{text}\n"));
    }
}

/// Writes to standard output. A reader that went away is no error: the work itself is done.
fn say(text: &str) {
    // Another side may have sent a secret back, and its words are shown in many places: the last filter is here.
    let text = logging::redacted(text);
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes one message to standard error.
fn complain(text: &str) {
    let text = logging::redacted(text);
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}
