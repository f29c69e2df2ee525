//! Exit codes: what cron and an operator learn from how the program ended.

use crate::stages::runner::Ending;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything done, or nothing to do.
    Done,
    /// Some items failed or wait, and will be tried again.
    Partial,
    /// Drift was found.
    Drift,
    /// Something needs a person.
    Person,
    /// The command line was wrong.
    Usage,
    /// A file the operator handed in, or what they asked for, is no good.
    Data,
    /// An outside system was unreachable for the whole run.
    Unreachable,
    /// A bug, or a broken state file.
    Broken,
    /// Input/output error, disk full.
    Io,
    /// Another run holds the lock, and `--fail-if-locked` was given.
    Locked,
    /// An outside system denied access.
    Denied,
    /// The configuration is invalid.
    Config,
}

/// Which end wins when several stages ran.
const WORST_FIRST: [Exit; 8] = [
    Exit::Broken,
    Exit::Io,
    Exit::Denied,
    Exit::Unreachable,
    Exit::Person,
    Exit::Drift,
    Exit::Partial,
    Exit::Locked,
];

impl Exit {
    /// Returns the documented number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Partial => 3,
            Self::Drift => 4,
            Self::Person => 5,
            Self::Usage => 64,
            Self::Data => 65,
            Self::Unreachable => 69,
            Self::Broken => 70,
            Self::Io => 74,
            Self::Locked => 75,
            Self::Denied => 77,
            Self::Config => 78,
        }
    }

    /// Returns the end of a run of several stages.
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        let exits: Vec<_> = exits.into_iter().collect();
        WORST_FIRST
            .into_iter()
            .find(|exit| exits.contains(exit))
            .unwrap_or(Self::Done)
    }

    /// Translates how a stage ended. A held lock is no failure unless it was asked to be one.
    pub fn from_ending(ending: Ending, fail_if_locked: bool) -> Self {
        match ending {
            Ending::Done => Self::Done,
            Ending::Partial => Self::Partial,
            Ending::Person => Self::Person,
            Ending::Unreachable => Self::Unreachable,
            Ending::Denied => Self::Denied,
            Ending::Locked if fail_if_locked => Self::Locked,
            Ending::Locked => Self::Done,
            Ending::Io => Self::Io,
            Ending::Broken => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_wins_in_the_documented_order() {
        assert_eq!(
            Exit::worst([Exit::Partial, Exit::Person, Exit::Done]),
            Exit::Person
        );
        assert_eq!(
            Exit::worst([Exit::Denied, Exit::Unreachable, Exit::Io]),
            Exit::Io
        );
        assert_eq!(Exit::worst([Exit::Broken, Exit::Io]), Exit::Broken);
        assert_eq!(Exit::worst([]), Exit::Done);
    }

    #[test]
    fn a_held_lock_fails_only_when_asked() {
        assert_eq!(Exit::from_ending(Ending::Locked, false).code(), 0);
        assert_eq!(Exit::from_ending(Ending::Locked, true).code(), 75);
    }
}
