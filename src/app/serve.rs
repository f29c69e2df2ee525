//! `serve`: composes the long-running door, and runs the stages for it.
//!
//! A woken run is a process of its own, the same program with `run`, exactly as cron starts it: a stage that crashes,
//! hangs or leaks never takes the door down, locks and watchdog are those that are tested under cron, and a new version of
//! the program serves from the next run on. It costs some milliseconds a run.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::adapters::host::{self, FileLocks};
use crate::app::Failure;
use crate::app::stock_api::Shelves;
use crate::app::world::{Machine, open_options, open_store, secret, store_failure};
use crate::cli::Cli;
use crate::config::load::Loaded;
use crate::config::secret::open_private;
use crate::config::serve::{HookConfig, ServeConfig, TlsConfig};
use crate::domain::ports::{Check, CheckOutcome, Locks};
use crate::exit::Exit;
use crate::serve::bell::{Ran, Run};
use crate::serve::stock::StockApi;
use crate::serve::systemd::Supervisor;
use crate::serve::tls::TlsFiles;
use crate::serve::{HookOptions, Options, ServeError, World};
use crate::stages::runner::Stage;

/// The lock of the door: it has the state file open all the time.
pub const SERVE_LOCK: &str = "serve";

/// The largest file of certificates.
const MOST_BYTES: u64 = 1024 * 1024;
/// The shortest value of the hook's header.
const SHORTEST_TOKEN: usize = 32;
/// How often a run under way is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a run may take to stop when the door closes: a movement under way is let finish.
const LAST_CALL: Duration = Duration::from_secs(150);
/// How long `doctor` waits for the door.
const KNOCK: Duration = Duration::from_secs(2);

/// Opens the door until a signal comes.
pub fn serve(cli: &Cli, loaded: &Loaded, machine: &Machine) -> Result<Exit, Failure> {
    if cli.global.dry_run {
        let reason = "serve has no dry run; hint: stockbridge run --dry-run";
        return Err(Failure::new(Exit::Usage, reason));
    }
    let config = &loaded.config.serve;
    let options = options(loaded, config)?;
    // Checks the folder before a lock is made in it.
    open_options(loaded, machine)?;
    let locks = FileLocks::new(
        machine.state.clone(),
        loaded.config.store.shared_locks.clone(),
    );
    let held = locks
        .hold(SERVE_LOCK, cli.global.wait.duration())
        .map_err(|err| Failure::new(Exit::Broken, err))?;
    let Some(_held) = held else {
        let reason = "another serve runs for this state file, or a copy is being put back";
        return Err(Failure::new(Exit::Locked, reason));
    };
    // The first signal closes the door; a second one ends the process at once.
    let _stop = host::stop_flag()
        .map_err(|err| Failure::new(Exit::Io, format!("no signal handler: {err}")))?;
    let run = match config.run_stages {
        true => Some(runner(cli, config.run_limit.duration())?),
        false => None,
    };
    let world = World {
        clock: Arc::new(machine.clock.clone()),
        store: open_store(loaded, machine)?,
        state: machine.state.clone(),
        run,
        supervisor: supervisor(loaded)?,
    };
    crate::serve::run(options, world).map_err(|err| match err {
        ServeError::Net(reason) => Failure::new(Exit::Io, reason),
        ServeError::Tls(reason) => Failure::new(Exit::Config, reason),
        ServeError::Store(err) => store_failure(err),
    })?;
    Ok(Exit::Done)
}

fn options(loaded: &Loaded, config: &ServeConfig) -> Result<Options, Failure> {
    let wrong = |err: String| Failure::new(Exit::Config, err);
    let listen = config.listen.parse::<SocketAddr>();
    let listen = listen.map_err(|err| wrong(format!("serve.listen: {err}")))?;
    let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let stages = Stage::ALL.iter().filter(|stage| **stage != Stage::Gc);
    let hook = config.hook.as_ref().map(|hook| key(loaded, hook));
    let tls = config.tls.as_ref().map(files);
    Ok(Options {
        listen,
        tls: tls.transpose().map_err(wrong)?,
        connections: count(config.connections),
        queue: count(config.queue),
        read_timeout: config.read_timeout.duration(),
        answer_timeout: config.answer_timeout.duration(),
        requests_a_second: config.requests_a_second,
        behind_proxy: config.behind_proxy,
        open_metrics: config.open_metrics,
        hook: hook.transpose()?,
        stock: stock_api(loaded, config)?,
        stages: stages.map(|stage| stage.as_str()).collect(),
        stale_after_ms: config.stale_after.ms(),
        wake_every: config.wake_every.duration(),
    })
}

fn key(loaded: &Loaded, hook: &HookConfig) -> Result<HookOptions, Failure> {
    let mut tokens = vec![secret(loaded, "serve.hook.token", &hook.token)?];
    if let Some(previous) = &hook.previous_token {
        tokens.push(secret(loaded, "serve.hook.previous_token", previous)?);
    }
    let short = |token: &SecretString| token.expose_secret().len() < SHORTEST_TOKEN;
    if tokens.iter().any(short) {
        let reason = format!(
            "serve.hook.token: a value has fewer than {SHORTEST_TOKEN} characters; hint: openssl rand -hex 32"
        );
        return Err(Failure::new(Exit::Config, reason));
    }
    Ok(HookOptions {
        account: loaded.config.vtex.account.clone(),
        header: hook.header.to_lowercase(),
        tokens,
    })
}

/// The available-stock interface, where it is configured.
fn stock_api(loaded: &Loaded, config: &ServeConfig) -> Result<Option<StockApi>, Failure> {
    let Some(api) = &config.stock_api else {
        return Ok(None);
    };
    let mut tokens = vec![secret(loaded, "serve.stock_api.token", &api.token)?];
    if let Some(previous) = &api.previous_token {
        tokens.push(secret(loaded, "serve.stock_api.previous_token", previous)?);
    }
    if tokens
        .iter()
        .any(|token| token.expose_secret().len() < SHORTEST_TOKEN)
    {
        let reason = format!(
            "serve.stock_api.token: a value has fewer than {SHORTEST_TOKEN} characters; hint: openssl rand -hex 32"
        );
        return Err(Failure::new(Exit::Config, reason));
    }
    let (refresh, max_age) = (api.refresh.duration(), api.max_age.duration());
    let offset_ms = offset_ms(&api.utc_offset);
    let shelves = Shelves::new(loaded, refresh, max_age, offset_ms);
    Ok(Some(StockApi::new(
        tokens,
        api.largest_page,
        Arc::new(shelves),
    )))
}

/// Milliseconds of `-03:00`.
fn offset_ms(text: &str) -> i64 {
    let minutes = crate::config::validate::clock(text.trim_start_matches(['+', '-']));
    let ms = i64::from(minutes.unwrap_or(0)) * 60_000;
    if text.starts_with('-') { -ms } else { ms }
}

/// Reads the certificate, and the key, which nobody else may be able to read.
fn files(tls: &TlsConfig) -> Result<TlsFiles, String> {
    let named = |key: &str, path: &Path, err: &dyn std::fmt::Display| {
        format!("serve.tls.{key}: {}: {err}", path.display())
    };
    let (mut certificate, mut key) = (Vec::new(), Vec::new());
    std::fs::File::open(&tls.certificate)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut certificate))
        .map_err(|err| named("certificate", &tls.certificate, &err))?;
    let file = open_private(&tls.key).map_err(|err| format!("serve.tls.key: {err}"))?;
    file.take(MOST_BYTES)
        .read_to_end(&mut key)
        .map_err(|err| named("key", &tls.key, &err))?;
    Ok(TlsFiles {
        certificate,
        key: SecretSlice::from(key),
    })
}

fn supervisor(loaded: &Loaded) -> Result<Option<Supervisor>, Failure> {
    let Some(address) = loaded.env.get("NOTIFY_SOCKET") else {
        return Ok(None);
    };
    let watchdog = loaded.env.get("WATCHDOG_USEC").map(String::as_str);
    let told = Supervisor::new(address, watchdog);
    told.map(Some)
        .map_err(|err| Failure::new(Exit::Io, format!("NOTIFY_SOCKET {address}: {err}")))
}

/// Returns what runs the stages once, as a process of its own.
fn runner(cli: &Cli, limit: Duration) -> Result<Run, Failure> {
    let program = std::env::current_exe()
        .map_err(|err| Failure::new(Exit::Io, format!("the program's own path: {err}")))?;
    let args = arguments(cli);
    Ok(Box::new(move |stop| {
        // What the supervisor is told comes from the door alone.
        let child = Command::new(&program)
            .args(&args)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let ended = child.map_or_else(
            |err| Err(format!("the stages cannot be run: {err}")),
            |child| wait(child, limit, stop),
        );
        let exit = ended.unwrap_or_else(|err| {
            log::error!("{err}");
            i64::from(Exit::Io.code())
        });
        Ran {
            exit,
            waits: exit == i64::from(Exit::Partial.code()),
        }
    }))
}

fn arguments(cli: &Cli) -> Vec<std::ffi::OsString> {
    let global = &cli.global;
    // It waits for a stage that cron runs just now, since that one may have begun before the order was told of.
    let mut args: Vec<std::ffi::OsString> = ["run", "--deadline", "50s", "--wait", "20s"]
        .map(Into::into)
        .into();
    let files: [(&str, &Option<PathBuf>); 3] = [
        ("--config", &global.config),
        ("--state", &global.state),
        ("--env-file", &global.env_file),
    ];
    for (flag, path) in files {
        if let Some(path) = path {
            args.extend([flag.into(), path.into()]);
        }
    }
    if global.log_format.is_json() {
        args.extend(["--log-format".into(), "json".into()]);
    }
    if global.quiet {
        args.push("-q".into());
    }
    args.extend((0..global.verbose).map(|_| "-v".into()));
    args
}

/// Waits for a run, at most so long; asks it to stop when the door closes.
fn wait(mut child: Child, limit: Duration, stop: &AtomicBool) -> Result<i64, String> {
    let mut until = Instant::now() + limit;
    let mut asked = false;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code().map_or(-1, i64::from)),
            Ok(None) => {}
            Err(err) => return Err(format!("the stages cannot be waited for: {err}")),
        }
        if stop.load(Ordering::Relaxed) && !asked {
            asked = true;
            until = until.min(Instant::now() + LAST_CALL);
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // It has not been waited for, so the number is still its own.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        if Instant::now() >= until {
            // Safe at any moment: every effect is claimed before it is sent.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(
                "the stages took longer than {limit:?} and were killed"
            ));
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// What `doctor` looks at: whether the door stands open, and whether its certificate can be used.
pub fn checks(loaded: &Loaded) -> Vec<Check> {
    let config = &loaded.config.serve;
    let mut checks = Vec::new();
    if let Some(tls) = &config.tls {
        let loaded = files(tls).and_then(|files| files.load().map(|_| ()));
        checks.push(match loaded {
            Ok(()) => Check::new("serve.tls", CheckOutcome::Ok, "certificate and key fit"),
            Err(err) => Check::new("serve.tls", CheckOutcome::Fail, err),
        });
    }
    if config.hook.is_none() {
        return checks;
    }
    let at = &config.listen;
    let knock = at.parse::<SocketAddr>().map(|at| {
        let loopback = match at.ip() {
            ip if !ip.is_unspecified() => at,
            std::net::IpAddr::V4(_) => SocketAddr::from(([127, 0, 0, 1], at.port())),
            std::net::IpAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, at.port())),
        };
        TcpStream::connect_timeout(&loopback, KNOCK)
    });
    checks.push(match knock {
        Ok(Ok(_)) => Check::new(
            "serve",
            CheckOutcome::Ok,
            format!("something listens at {at}"),
        ),
        Ok(Err(err)) => Check::new("serve", CheckOutcome::Warn, format!("{at}: {err}"))
            .hint("start stockbridge serve; orders come by the feed and the sweep meanwhile"),
        Err(err) => Check::new("serve", CheckOutcome::Fail, format!("{at}: {err}")),
    });
    checks
}
