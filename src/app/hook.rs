//! `hook`: the configuration by which VTEX posts to us.

use std::fmt;

use serde::Serialize;

use crate::adapters::vtex::HookTarget;
use crate::app::desk::{PATIENCE, done, print};
use crate::app::world::{Doors, Machine, Memory, secret};
use crate::app::{Failure, Wrap};
use crate::cli::{Cli, HookCommand};
use crate::config::load::Loaded;
use crate::domain::ports::{HookConfig, PortError};
use crate::exit::Exit;

/// Returns where the hook is to post to, with its secret.
pub fn target(loaded: &Loaded) -> Result<Option<HookTarget>, Failure> {
    let Some(hook) = &loaded.config.serve.hook else {
        return Ok(None);
    };
    Ok(Some(HookTarget {
        url: hook.url.clone(),
        header: hook.header.clone(),
        token: secret(loaded, "serve.hook.token", &hook.token)?,
    }))
}

/// Answers the command.
pub fn hook(
    cli: &Cli,
    loaded: &Loaded,
    machine: &Machine,
    command: HookCommand,
    wrap: &Wrap,
) -> Result<Exit, Failure> {
    let Some(hook) = &loaded.config.serve.hook else {
        let reason = "no hook is configured; hint: the section [serve.hook]";
        return Err(Failure::new(Exit::Config, reason));
    };
    let memory = Memory::open(loaded, machine, cli.global.dry_run)?;
    let doors = Doors::open(loaded, machine, &memory, PATIENCE)?;
    doors.with_wrap(wrap, cli.global.dry_run, |ports| match command {
        HookCommand::Install => {
            ports.storefront.install_hook().map_err(|err| {
                let hint = "VTEX first posts a trial to the address and saves only on a 200: is serve reachable there?";
                failure(&err, &format!("; hint: {hint}"))
            })?;
            let message = format!("VTEX posts changes of orders to {}", hook.url);
            Ok(done(cli, 1, message))
        }
        HookCommand::Remove => {
            ports
                .storefront
                .remove_hook()
                .map_err(|err| failure(&err, ""))?;
            Ok(done(cli, 1, "VTEX has no hook for this key any more".into()))
        }
        HookCommand::Show => {
            let found = ports.storefront.hook_config();
            let hook = found.map_err(|err| failure(&err, ""))?;
            let good = hook.as_ref().is_some_and(|hook| hook.as_wanted);
            let exit = if good { Exit::Done } else { Exit::Person };
            let shown = Shown { hook };
            print(cli, exit, &shown, &shown);
            Ok(exit)
        }
    })
}

fn failure(err: &PortError, hint: &str) -> Failure {
    let exit = match err {
        PortError::Denied { .. } => Exit::Denied,
        PortError::Transient { .. } | PortError::Uncertain { .. } => Exit::Unreachable,
        PortError::Rejected { .. } => Exit::Person,
    };
    Failure::new(exit, format!("{err}{hint}"))
}

#[derive(Serialize)]
struct Shown {
    hook: Option<HookConfig>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hook {
            None => writeln!(
                f,
                "VTEX has no hook for this key; hint: stockbridge hook install"
            ),
            Some(hook) if hook.as_wanted => {
                writeln!(f, "VTEX posts changes of orders to {}", hook.url)
            }
            Some(hook) => writeln!(
                f,
                "the hook is configured differently: {}; hint: stockbridge hook install",
                hook.difference
            ),
        }
    }
}
