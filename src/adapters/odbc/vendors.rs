//! What Oracle's, PostgreSQL's and MariaDB's drivers call the events that end in a decision.
//!
//! Their numbers mean other things at SQL Server (942 is a missing table at Oracle, a base that is offline there), so
//! each is recognised before `fault` looks at SQL Server's.

use crate::adapters::odbc::fault::Kind;

/// Decides what an error of one of these vendors is; `None` for any other.
pub(super) fn kind(state: &str, native: i32, message: &str) -> Option<Kind> {
    if let Some(number) = number_after(message, "ORA-") {
        return Some(oracle(number));
    }
    if message.contains("[ma-") || message.contains("[mysql") {
        return Some(mariadb(state, native));
    }
    postgres(state, message)
}

fn number_after(message: &str, prefix: &str) -> Option<u32> {
    let (_, rest) = message.split_once(prefix)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Oracle: by the number of the first `ORA-` in the message, whatever SQLSTATE the driver chose.
fn oracle(number: u32) -> Kind {
    match number {
        // Wrong name or password, locked, expired, no right to connect.
        1_005 | 1_017 | 1_045 | 28_000 | 28_001 | 28_002 | 1_012 => Kind::Denied,
        // Cancelled by a time-out, and time-outs of the network.
        1_013 | 12_170 | 12_535 | 12_606 | 12_609 => Kind::TimedOut,
        // Locks, deadlock, undo gone, not serialisable, a package that was compiled anew, no session free, starting or
        // stopping.
        54
        | 60
        | 1_555
        | 8_176
        | 8_177
        | 4_061
        | 4_068
        | 18
        | 20
        | 1_033
        | 1_034
        | 1_089
        | 1_090
        | 1_092
        | 12_516
        | 12_518..=12_520
        | 12_526..=12_528 => Kind::Busy,
        // Not connected, end of file, lost contact, listener and network.
        28
        | 1_041
        | 3_113
        | 3_114
        | 3_135
        | 3_136
        | 2_396
        | 2_399
        | 12_150..=12_169
        | 12_171..=12_515
        | 12_517
        | 12_521..=12_525
        | 12_529..=12_699 => Kind::Broken,
        _ => Kind::Refused,
    }
}

/// MariaDB: by its own number.
fn mariadb(state: &str, native: i32) -> Kind {
    match native {
        1_044 | 1_045 | 1_698 | 1_862 | 4_151 => Kind::Denied,
        1_040 | 1_203 | 1_205 | 1_213 | 1_226 => Kind::Busy,
        1_317 | 1_969 | 3_024 => Kind::TimedOut,
        1_053 | 1_077 | 1_152..=1_161 | 2_000..=2_027 | 2_055 => Kind::Broken,
        _ if state.starts_with("HYT") => Kind::TimedOut,
        _ if state.starts_with("08") => Kind::Broken,
        _ => Kind::Refused,
    }
}

/// PostgreSQL: by SQLSTATE, which its driver passes on, and by words where a connection never came to be.
fn postgres(state: &str, message: &str) -> Option<Kind> {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match state {
        "28P01" => return Some(Kind::Denied),
        "57014" => return Some(Kind::TimedOut),
        "57P03" | "53300" | "40P01" | "55P03" => return Some(Kind::Busy),
        "57P01" | "57P02" | "57P05" => return Some(Kind::Broken),
        _ => {}
    }
    if has(&["password authentication failed", "no pg_hba.conf entry"])
        || (has(&["FATAL"]) && has(&["role \""]))
    {
        return Some(Kind::Denied);
    }
    if has(&[
        "the database system is",
        "too many clients",
        "remaining connection slots",
    ]) {
        return Some(Kind::Busy);
    }
    if has(&[
        "server closed the connection",
        "terminating connection",
        "no connection to the server",
        "could not receive data",
        "could not send",
    ]) {
        return Some(Kind::Broken);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oracle_goes_by_its_own_number() {
        for (number, wanted) in [
            ("01017", Kind::Denied),
            ("28000", Kind::Denied),
            ("28001", Kind::Denied),
            ("00942", Kind::Refused),
            ("00904", Kind::Refused),
            ("06550", Kind::Refused),
            ("01722", Kind::Refused),
            ("03113", Kind::Broken),
            ("03135", Kind::Broken),
            ("12541", Kind::Broken),
            ("12514", Kind::Broken),
            ("12170", Kind::TimedOut),
            ("01013", Kind::TimedOut),
            ("01033", Kind::Busy),
            ("04068", Kind::Busy),
            ("01555", Kind::Busy),
        ] {
            let text = format!("[Oracle][ODBC][Ora]ORA-{number}: something");
            let native = number.parse().unwrap();
            assert_eq!(kind("HY000", native, &text), Some(wanted), "{number}");
        }
    }

    #[test]
    fn others_go_by_number_state_or_words() {
        for (state, native, text, wanted) in [
            ("28000", 1_045, "[ma-3.1.15]Access denied", Kind::Denied),
            ("42S02", 1_146, "[ma-3.1.15][10.11]Table", Kind::Refused),
            ("HY000", 2_013, "[ma-3.1.15]Lost connection", Kind::Broken),
            ("40001", 1_213, "[ma-3.1.15]Deadlock", Kind::Busy),
            ("70100", 1_969, "[ma-3.1.15]max_statement", Kind::TimedOut),
            (
                "08001",
                101,
                "FATAL:  password authentication failed",
                Kind::Denied,
            ),
            (
                "08001",
                101,
                "FATAL:  the database system is starting up",
                Kind::Busy,
            ),
            ("57P01", 7, "FATAL: terminating connection", Kind::Broken),
            (
                "57014",
                1,
                "canceling statement due to statement timeout",
                Kind::TimedOut,
            ),
        ] {
            assert_eq!(kind(state, native, text), Some(wanted), "{text}");
        }
        assert_eq!(
            kind("42P01", 1, "ERROR: relation \"x\" does not exist"),
            None
        );
        assert_eq!(kind("42000", 942, "[Microsoft]Database is offline"), None);
    }
}
