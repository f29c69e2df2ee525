//! What a driver's error means: by SQLSTATE, native code and message, since drivers name the same event differently.

use crate::adapters::http::text::one_line;
use crate::adapters::odbc::vendors;
use crate::domain::ports::PortError;

/// The longest message kept.
const LONGEST: usize = 200;

/// What kind of failure it is; each one is a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection is gone or never came to be.
    Broken,
    /// No answer in time.
    TimedOut,
    /// The server cannot now, and may in a moment: a deadlock, a base on its way up or down.
    Busy,
    /// The login is wrong.
    Denied,
    /// The server understood and said no: no such base, table or column, no permission on it.
    Refused,
    /// The driver cannot be loaded.
    Driver,
}

/// A failed ODBC call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind of failure it is.
    pub kind: Kind,
    /// One line for a person, with SQLSTATE and native code where there are any.
    pub message: String,
}

impl Fault {
    /// Builds a fault of our own.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Builds a fault from a driver's diagnostic record.
    pub fn diagnosed(state: &str, native: i32, message: &str) -> Self {
        let text = one_line(message, LONGEST);
        Self {
            kind: kind(state, native, message),
            message: format!("{text} ({state}, {native})"),
        }
    }

    /// Tells whether the connection must not be used again.
    pub fn ends_connection(&self) -> bool {
        match self.kind {
            Kind::Broken | Kind::TimedOut | Kind::Driver | Kind::Denied => true,
            Kind::Busy | Kind::Refused => false,
        }
    }

    /// Returns the decision for the caller of a read.
    pub fn port(&self, what: &str) -> PortError {
        let reason = format!("{what}: {}", self.message);
        match self.kind {
            Kind::Broken | Kind::TimedOut | Kind::Busy | Kind::Driver => {
                PortError::transient(reason)
            }
            Kind::Denied => PortError::denied(reason),
            Kind::Refused => PortError::rejected(reason),
        }
    }
}

/// Decides what an error is. The server's own numbers win over the SQLSTATE, which drivers choose differently.
fn kind(state: &str, native: i32, message: &str) -> Kind {
    if let Some(kind) = vendors::kind(state, native, message) {
        return kind;
    }
    match native {
        // Log-in failed, untrusted domain, locked out, password expired or to be changed.
        18_450 | 18_452 | 18_456 | 18_470 | 18_486 | 18_487 | 18_488 => return Kind::Denied,
        // Deadlock, lock time-out, base in transition, recovering, single user, snapshot conflicts.
        1_205 | 1_222 | 921 | 922 | 924 | 927 | 942 | 952 | 3_960 | 3_961 => return Kind::Busy,
        // Cannot open the base, no access to it, no permission, unknown table or column, syntax.
        4_060 | 911 | 916 | 229 | 230 | 207 | 208 | 102 | 137 | 156 => return Kind::Refused,
        // FreeTDS' own range: unexpected end, read or write failed, no connection.
        20_002..=20_009 | 20_017 | 20_020 | 104 | 10_053 | 10_054 | 10_060 | 10_061 => {
            return if native == 20_003 {
                Kind::TimedOut
            } else {
                Kind::Broken
            };
        }
        _ => {}
    }
    match state {
        "28000" => Kind::Denied,
        "HYT00" | "HYT01" => Kind::TimedOut,
        "IM002" | "IM003" | "IM004" | "IM005" | "IM006" => Kind::Driver,
        "40001" => Kind::Busy,
        // The driver manager reports a library that it cannot open as an information.
        "01000" if message.contains("open lib") => Kind::Driver,
        // FreeTDS calls a reset connection a general error without a number. Others of this state come from the driver
        // itself, about a value or a call that it does not like, and would come again.
        "HY000" if native == 0 && message.to_ascii_lowercase().contains("unknown error") => {
            Kind::Broken
        }
        state if state.starts_with("08") || state.starts_with("01") => Kind::Broken,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_driver_s_words_for_one_event_end_in_one_kind() {
        for (state, native, text, wanted) in [
            ("08S01", 104, "TCP Provider: Error code 0x68", Kind::Broken),
            (
                "HY000",
                0,
                "[FreeTDS][SQL Server]Unknown error",
                Kind::Broken,
            ),
            (
                "HY000",
                0,
                "[FreeTDS][SQL Server]Could not perform COMMIT or ROLLBACK",
                Kind::Refused,
            ),
            ("08S01", 10_054, "reset", Kind::Broken),
            (
                "01000",
                20_017,
                "Unexpected EOF from the server",
                Kind::Broken,
            ),
            ("08001", 0, "certificate verify failed", Kind::Broken),
            ("HYT00", 0, "Login timeout expired", Kind::TimedOut),
            (
                "S1T00",
                20_003,
                "Adaptive Server connection timed out",
                Kind::TimedOut,
            ),
            ("28000", 18_456, "Login failed", Kind::Denied),
            ("42000", 18_456, "Login failed", Kind::Denied),
            ("42000", 4_060, "Cannot open database", Kind::Refused),
            ("42S02", 208, "Invalid object name", Kind::Refused),
            ("42000", 229, "permission denied", Kind::Refused),
            ("42000", 3_960, "snapshot", Kind::Busy),
            ("40001", 1_205, "deadlock victim", Kind::Busy),
            ("01000", 0, "[unixODBC]Can't open lib 'x'", Kind::Driver),
            ("IM002", 0, "Data source name not found", Kind::Driver),
        ] {
            assert_eq!(kind(state, native, text), wanted, "{state} {native} {text}");
        }
    }

    #[test]
    fn a_message_is_one_short_line() {
        let fault = Fault::diagnosed("42000", 102, &format!("a\nb\u{1b}[31m{}", "x".repeat(900)));
        assert!(!fault.message.chars().any(char::is_control));
        assert!(fault.message.len() < 300, "{}", fault.message);
    }
}
