//! Programs that we start: each leads a process group of its own, so that nothing which it started itself outlives its
//! time.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal};

/// Starts a program as the leader of a new process group.
///
/// # Errors
///
/// The operating system's, when it cannot be started.
pub fn start(command: &mut Command) -> std::io::Result<Child> {
    command.process_group(0).spawn()
}

/// Kills a program whose time is over, with everything that it started and that did not leave its group.
///
/// Asked before the program is waited for: until then its number cannot belong to another process.
pub fn kill(child: &mut Child) {
    // Whatever has ended in this instant needs no killing, and there is nobody to tell.
    let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}
