//! Programs that are started here: each leads a group of its own, so that none of what it starts outlives it in secret.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process_group};

/// Makes a program the leader of a group of its own.
pub fn lead_a_group(command: &mut Command) {
    command.process_group(0);
}

/// Ends a program that [`lead_a_group`] prepared and all that it has started, but for what has left its group on purpose.
///
/// The program must not have been waited for: until then its number is nobody else's.
pub fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended in this instant.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}
