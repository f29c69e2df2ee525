//! What must hold within `[erp.dragonfish]`.

use std::time::Duration;

use crate::config::sections::{DragonfishConfig, StockField};
use crate::config::span::Span;
use crate::config::sql::StockRoad;
use crate::config::validate::{
    Bounds, Check, LONGEST_CALL, address, is_loopback, quiet_hours, utc_offset,
};

/// Checks the section.
pub(super) fn check(check: &mut Check, dragonfish: &DragonfishConfig) {
    sql(check, dragonfish);
    match address(&dragonfish.url) {
        Err(reason) => check.fail("erp.dragonfish.url", reason, ""),
        Ok(a) if a.secure || is_loopback(a.host) => {}
        Ok(a) if dragonfish.allow_plain_http_for.as_deref() == Some(a.host) => {
            let host = a.host;
            check.warnings.push(format!(
                "the token travels unprotected to {host}; keep it on a private network"
            ));
        }
        Ok(a) => {
            let hint = format!(
                "set erp.dragonfish.allow_plain_http_for = {:?}, on a private network only",
                a.host
            );
            check.fail(
                "erp.dragonfish.url",
                "is plain http: the token would travel unprotected",
                hint,
            );
        }
    }
    check.longest("erp.dragonfish.client_id", Some(&dragonfish.client_id), 40);
    check.longest("erp.dragonfish.origin", Some(&dragonfish.origin), 8);
    check.longest("erp.dragonfish.motive", dragonfish.motive.as_deref(), 3);
    check.longest("erp.dragonfish.seller", dragonfish.seller.as_deref(), 10);
    check.longest("erp.dragonfish.note", dragonfish.note.as_deref(), 60);
    if dragonfish
        .note
        .as_deref()
        .is_some_and(|note| note.contains(['%', '[', '\'']))
    {
        check.fail(
            "erp.dragonfish.note",
            "must hold none of % [ '",
            "the ERP's search takes them for wildcards",
        );
    }
    if dragonfish.separators.is_empty() {
        check.fail(
            "erp.dragonfish.separators",
            "must hold at least one character",
            "",
        );
    }
    if !utc_offset(&dragonfish.utc_offset) {
        check.fail(
            "erp.dragonfish.utc_offset",
            "is not an offset",
            "write it like -03:00",
        );
    }
    if dragonfish
        .quiet_hours
        .as_deref()
        .is_some_and(|hours| !quiet_hours(hours))
    {
        check.fail(
            "erp.dragonfish.quiet_hours",
            "is not a span of hours",
            "write it like 01:00-08:00",
        );
    }
}

fn sql(check: &mut Check, dragonfish: &DragonfishConfig) {
    let Some(sql) = &dragonfish.sql else {
        if dragonfish.stock_source != StockRoad::Api {
            check.fail(
                "erp.dragonfish.stock_source",
                "reads by SQL, and there is no section erp.dragonfish.sql",
                "",
            );
        }
        return;
    };
    if dragonfish.stock_source != StockRoad::Api && dragonfish.stock_field == StockField::Available
    {
        check.fail(
            "erp.dragonfish.stock_field",
            "SQL reads what lies there; two roads must not give two figures",
            "set stock_field = \"stock\", or stock_source = \"api\"",
        );
    }
    if sql.server.is_empty() == sql.connection_string.is_none() {
        check.fail(
            "erp.dragonfish.sql.server",
            "give either a server or a connection_string",
            "",
        );
    }
    if sql.user.is_some() != sql.password.is_some() && sql.connection_string.is_none() {
        check.fail(
            "erp.dragonfish.sql.user",
            "a user and a password go together",
            "leave both out to log in as the account of the process",
        );
    }
    if sql.encrypt && sql.trust_server_certificate {
        check.warnings.push(
            "erp.dragonfish.sql.trust_server_certificate accepts whoever answers as the SQL Server"
                .into(),
        );
    }
    if sql.changes_overlap.duration() > Duration::from_secs(24 * 3600) {
        check.fail(
            "erp.dragonfish.sql.changes_overlap",
            "must be at most 24h",
            "it is for clocks that differ; push.full_every finds everything else",
        );
    }
    for (key, span) in [
        ("erp.dragonfish.sql.connect_timeout", sql.connect_timeout),
        (
            "erp.dragonfish.sql.statement_timeout",
            sql.statement_timeout,
        ),
    ] {
        if span.duration() < Duration::from_secs(1) || span.duration() > Duration::from_secs(600) {
            check.fail(key, "must be from 1s to 600s", "");
        }
    }
}

/// Returns the section's waiting times with their bounds.
pub(super) fn spans(dragonfish: &DragonfishConfig) -> [Bounds; 4] {
    let (s, h) = (Span::secs, Span::hours);
    [
        (
            "erp.dragonfish.connect_timeout",
            dragonfish.connect_timeout,
            s(1),
            s(60),
        ),
        (
            "erp.dragonfish.stock_timeout",
            dragonfish.stock_timeout,
            s(1),
            LONGEST_CALL,
        ),
        (
            "erp.dragonfish.read_timeout",
            dragonfish.read_timeout,
            s(1),
            LONGEST_CALL,
        ),
        (
            "erp.dragonfish.token_warning",
            dragonfish.token_warning,
            h(1),
            h(365 * 24),
        ),
    ]
}
