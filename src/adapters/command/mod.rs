//! Notices to a program: JSON on its standard input, no shell, almost no environment, a time limit.
//!
//! | how it ends | outcome |
//! |---|---|
//! | cannot be started | transient |
//! | 0 | delivered |
//! | 75 (`EX_TEMPFAIL`) | transient: the program says that nothing was delivered |
//! | 77 (`EX_NOPERM`) | denied |
//! | another code | rejected |
//! | killed, or longer than its time | uncertain; what it started is killed with it |

use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::adapters::mail::render::Templates;
use crate::config::channels::CommandConfig;
use crate::config::child;
use crate::domain::notice::Notice;
use crate::domain::ports::{Check, CheckOutcome, Checks, Notifier, PortError, PortResult};

/// The only variable that the program finds.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Notices to a program.
pub struct Program {
    name: String,
    argv: Vec<String>,
    timeout: Duration,
    texts: Templates,
}

impl Program {
    /// Builds the channel; starts nothing.
    pub fn new(name: &str, config: &CommandConfig, texts: Templates) -> Self {
        Self {
            name: name.to_owned(),
            argv: config.argv.clone(),
            timeout: config.timeout.duration(),
            texts,
        }
    }

    fn input(&self, notice: &Notice) -> Result<Vec<u8>, String> {
        let rendered = self.texts.render(notice).map_err(|err| err.to_string())?;
        let input = rendered.for_programs(notice);
        Ok(input.to_string().into_bytes())
    }
}

impl Notifier for Program {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        let input = self.input(notice).map_err(PortError::rejected)?;
        let [program, args @ ..] = self.argv.as_slice() else {
            return Err(PortError::rejected("the command is empty"));
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child::start(&mut command)
            .map_err(|err| PortError::transient(format!("{program} cannot be started: {err}")))?;
        judge(program, wait(child, input, self.timeout))
    }
}

/// Feeds a program and waits for its end; `None` when its time was over and it was killed.
fn wait(mut child: Child, input: Vec<u8>, timeout: Duration) -> Option<ExitStatus> {
    let stdin = child.stdin.take();
    // One that does not read would block us; one that ends early closes the pipe, and its code says what that means.
    thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    // Nobody sends on it: waiting for it is a pause.
    let (_open, pause) = channel::<()>();
    let started = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if started.elapsed() >= timeout {
            child::kill(&mut child);
            return None;
        }
        let _ = pause.recv_timeout(Duration::from_millis(10));
    }
}

fn judge(program: &str, ended: Option<ExitStatus>) -> PortResult<()> {
    let Some(status) = ended else {
        return Err(PortError::uncertain(format!("{program} took too long")));
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(75) => Err(PortError::transient(format!("{program} asks to try later"))),
        Some(77) => Err(PortError::denied(format!("{program} was not let in"))),
        Some(code) => Err(PortError::rejected(format!("{program} ended with {code}"))),
        None => Err(PortError::uncertain(format!("{program}: {status}"))),
    }
}

impl Checks for Program {
    fn checks(&self) -> Vec<Check> {
        let name = format!("channel {}", self.name);
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        vec![match std::fs::metadata(program) {
            Ok(meta) if meta.is_file() => Check::new(
                &name,
                CheckOutcome::Ok,
                format!("runs {program}; it was not run"),
            ),
            Ok(_) => Check::new(&name, CheckOutcome::Fail, format!("{program} is no file")),
            Err(err) => Check::new(&name, CheckOutcome::Fail, format!("{program}: {err}")),
        }]
    }
}
