//! What must hold between the keys of the configuration. Every mistake is found, not only the first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::load::ConfigError;
use crate::config::sections::{
    Config, ErpConfig, MailAuth, MailSecurity, MailTransport, VirtualDepot, WarehouseConfig,
};
use crate::config::span::Span;
use crate::config::{dragonfish, winthor};
use crate::domain::ids::BaseCode;
use crate::domain::time::Moment;

const DAY: u64 = 24;
/// No single call may be allowed more than this.
pub(super) const LONGEST_CALL: Span = Span::secs(600);

/// A key, its waiting time, and the least and the most that it may be.
pub(super) type Bounds = (&'static str, Span, Span, Span);

/// Checks everything; returns the mistakes, and what a person should know.
pub fn validate(config: &Config) -> (Vec<ConfigError>, Vec<String>) {
    let mut check = Check {
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    check.vtex(config);
    check.erp(config);
    check.warehouses(config);
    check.mail(config);
    crate::config::channels_check::check(config, &mut check.errors);
    crate::config::serve::check(config, &mut check.errors, &mut check.warnings);
    check.spans(config);
    check.numbers(config);
    if Moment::parse(&config.poll.cutover).is_none() {
        check.fail(
            "poll.cutover",
            "is not an instant",
            "write it like 2026-01-31T00:00:00-03:00",
        );
    }
    (check.errors, check.warnings)
}

pub(super) struct Check {
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

/// The parts of an address that matter.
pub(super) struct Address<'a> {
    pub(super) secure: bool,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
}

/// Takes an address apart; credentials, queries and fragments have no place in one.
pub(super) fn address(text: &str) -> Result<Address<'_>, &'static str> {
    let (secure, rest) = match text.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => return Err("must begin with https:// or http://"),
    };
    if text.contains(['?', '#', '@']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must hold no user, query, fragment or blank");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']').ok_or("lacks the ] of its host")?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    // What stands behind the host is a port: anything else would make it another host than the one judged here.
    // Digits are asked for, since numbers may be read with a sign.
    let is_port = port.strip_prefix(':').is_some_and(|n| {
        n.bytes().all(|b| b.is_ascii_digit()) && n.parse::<u16>().is_ok_and(|n| n > 0)
    });
    if host.is_empty() {
        Err("names no host")
    } else if !port.is_empty() && !is_port {
        Err("must have nothing but a port behind its host")
    } else {
        Ok(Address { secure, host, path })
    }
}

/// Tells whether a host is this machine itself.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Tells whether every configured host is this machine: only then may waiting times be as short as a test needs.
fn all_loopback(config: &Config) -> bool {
    let local = |url: &str| address(url).is_ok_and(|a| is_loopback(a.host));
    let mail = &config.notify.mail;
    config.vtex.base_url.as_deref().is_some_and(local)
        && config.erp.dragonfish.iter().all(|erp| local(&erp.url))
        && config.erp.winthor.iter().all(|erp| local(&erp.url))
        && (mail.transport == MailTransport::File || mail.host.as_deref().is_some_and(is_loopback))
        && crate::config::channels::all_loopback(&config.channel)
}

impl Check {
    pub(super) fn fail(&mut self, key: &str, reason: impl Into<String>, hint: impl Into<String>) {
        let hint: String = hint.into();
        let err = ConfigError::new(key, reason);
        self.errors
            .push(if hint.is_empty() { err } else { err.hint(hint) });
    }

    pub(super) fn longest(&mut self, key: &str, text: Option<&str>, most: usize) {
        let Some(text) = text else { return };
        if text.is_empty()
            || text.chars().count() > most
            || !text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        {
            self.fail(
                key,
                format!("{text:?} must be 1 to {most} printable ASCII characters"),
                "",
            );
        }
    }

    fn vtex(&mut self, config: &Config) {
        let vtex = &config.vtex;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if vtex.account.is_empty() || !vtex.account.chars().all(plain) {
            self.fail(
                "vtex.account",
                "must be the account's name: a-z 0-9 -",
                "the first part of its admin address",
            );
        }
        if let Some(url) = &vtex.base_url {
            match address(url) {
                Err(reason) => self.fail("vtex.base_url", reason, ""),
                Ok(a) if !a.secure && !is_loopback(a.host) => {
                    self.fail(
                        "vtex.base_url",
                        "must begin with https://",
                        "the key and token travel with every call",
                    );
                }
                Ok(a) if !a.path.trim_end_matches('/').is_empty() => {
                    self.fail(
                        "vtex.base_url",
                        "must end with the host",
                        "paths are added by the program",
                    );
                }
                Ok(a)
                    if !is_loopback(a.host)
                        && !a.host.starts_with(&format!("{}.", vtex.account)) =>
                {
                    self.fail(
                        "vtex.base_url",
                        format!("is not a host of account {}", vtex.account),
                        "",
                    );
                }
                Ok(_) => {}
            }
        }
    }

    fn erp(&mut self, config: &Config) {
        let erp = &config.erp;
        match (&erp.dragonfish, &erp.winthor) {
            (Some(dragonfish), None) => {
                dragonfish::check(self, dragonfish);
                self.depot(config);
            }
            (None, Some(winthor)) => winthor::check(self, config, winthor),
            (Some(_), Some(_)) => self.fail(
                "erp",
                "has both sections, erp.dragonfish and erp.winthor",
                "one state file serves one ERP",
            ),
            (None, None) => self.fail(
                "erp",
                "has neither section, erp.dragonfish nor erp.winthor",
                "add the one of your ERP",
            ),
        }
        for base in erp.blocked_bases.iter().chain(&erp.pick_order) {
            self.base("erp", base);
        }
    }

    /// The depot in which sales are booked.
    fn depot(&mut self, config: &Config) {
        let erp = &config.erp;
        if erp.depot == BaseCode::none() {
            let hint = "the base in which sales are booked";
            return self.fail("erp.depot", "is missing", hint);
        }
        let pair = format!("{}={}", config.vtex.account, erp.depot);
        let listed = |known: &String| known.to_uppercase() == pair.to_uppercase();
        if !erp.pairs.is_empty() && !erp.pairs.iter().any(listed) {
            let reason = format!(
                "account {} does not go with depot {}",
                config.vtex.account, erp.depot
            );
            self.fail(
                "erp.pairs",
                reason,
                "a test base never serves the shop, nor the reverse",
            );
        }
        if erp.blocked_bases.contains(&erp.depot) {
            self.fail(
                "erp.depot",
                format!("{} is blocked", erp.depot),
                "sales are booked in the depot",
            );
        }
        self.base("erp", &erp.depot);
    }

    fn base(&mut self, key: &str, base: &BaseCode) {
        if base.as_str().chars().count() > 8 {
            self.fail(
                key,
                format!("base {base} has more than 8 characters"),
                "use the base's code, not its database",
            );
        }
    }

    fn warehouses(&mut self, config: &Config) {
        let erp = &config.erp;
        if config.warehouse.is_empty() {
            self.fail(
                "warehouse",
                "there is none",
                "add a [[warehouse]] with its id and bases",
            );
        }
        let mut fed: BTreeMap<&BaseCode, &str> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for (at, warehouse) in (0..).zip(&config.warehouse) {
            let n_before = self.errors.len();
            self.warehouse(erp, warehouse, &mut fed, &mut ids);
            for err in self.errors.iter_mut().skip(n_before) {
                err.block = Some(at);
            }
        }
    }

    fn warehouse<'a>(
        &mut self,
        erp: &'a ErpConfig,
        warehouse: &'a WarehouseConfig,
        fed: &mut BTreeMap<&'a BaseCode, &'a str>,
        ids: &mut BTreeSet<&'a str>,
    ) {
        let id = warehouse.id.as_str();
        if !ids.insert(id) {
            self.fail("warehouse", format!("{id} stands twice"), "");
        }
        if warehouse.safety_stock.is_negative() {
            self.fail("warehouse.safety_stock", format!("of {id} is negative"), "");
        }
        // Without a depot, sales are booked where the goods lie.
        let own = warehouse.bases.first().filter(|_| erp.winthor.is_some());
        let booked_in = warehouse
            .movement_base
            .as_ref()
            .or(own)
            .unwrap_or(&erp.depot);
        let depot_counts = erp.virtual_depot == VirtualDepot::Included && *booked_in == erp.depot;
        let extra = (depot_counts && !warehouse.bases.contains(&erp.depot)).then_some(&erp.depot);
        for base in warehouse.bases.iter().chain(extra) {
            self.base("warehouse.bases", base);
            if erp.blocked_bases.contains(base) {
                self.fail(
                    "warehouse.bases",
                    format!("{base} of {id} is blocked"),
                    "remove it here or there",
                );
            }
            if let Some(other) = fed.insert(base, id) {
                let reason =
                    format!("{base} feeds both {other} and {id}: its units would be sold twice");
                self.fail(
                    "warehouse.bases",
                    reason,
                    "give each base to one warehouse; set movement_base",
                );
            }
        }
        if warehouse.bases.is_empty() {
            self.fail("warehouse.bases", format!("of {id} is empty"), "");
        }
        if erp.blocked_bases.contains(booked_in) {
            self.fail(
                "warehouse.movement_base",
                format!("{booked_in} of {id} is blocked"),
                "",
            );
        }
        let stays = *booked_in == erp.depot || warehouse.bases.contains(booked_in);
        if !stays {
            let reason = format!(
                "{booked_in} of {id} is not one of its bases: a sale would not lower its stock"
            );
            self.fail("warehouse.movement_base", reason, "name it in bases");
        }
    }

    fn mail(&mut self, config: &Config) {
        let mail = &config.notify.mail;
        if mail.auth == MailAuth::Xoauth2 && mail.user.is_none() {
            self.fail("notify.mail.auth", "xoauth2 needs user and password", "");
        }
        if mail
            .quiet_hours
            .as_deref()
            .is_some_and(|hours| !quiet_hours(hours))
        {
            self.fail(
                "notify.mail.quiet_hours",
                "is not written like that",
                "write it as 22:00-07:00",
            );
        }
        if mail.to.is_empty() || mail.to.len() > 50 {
            self.fail("notify.mail.to", "must name 1 to 50 recipients", "");
        }
        for (key, text) in mail
            .to
            .iter()
            .map(|to| ("notify.mail.to", to))
            .chain([("notify.mail.from", &mail.from)])
        {
            if text.parse::<lettre::Address>().is_err() {
                self.fail(
                    key,
                    "holds something that is not a mail address",
                    "write it like stock@example.com",
                );
            }
        }
        match mail.transport {
            MailTransport::File if mail.folder.is_none() => {
                self.fail(
                    "notify.mail.folder",
                    "is missing",
                    "the file transport needs a folder",
                );
            }
            MailTransport::Smtp if mail.host.is_none() => {
                self.fail(
                    "notify.mail.host",
                    "is missing",
                    "name the mail server, or set transport = \"file\"",
                );
            }
            MailTransport::File | MailTransport::Smtp => {}
        }
        let local = mail.host.as_deref().is_none_or(is_loopback);
        if mail.transport == MailTransport::Smtp && mail.security == MailSecurity::None && !local {
            self.fail(
                "notify.mail.security",
                "none is for a server on this machine only",
                "use tls or starttls",
            );
        }
        if mail.user.is_some() != mail.password.is_some() {
            self.fail("notify.mail.user", "and password belong together", "");
        }
        if !utc_offset(&config.notify.utc_offset) {
            self.fail(
                "notify.utc_offset",
                "is not an offset",
                "write it like -03:00",
            );
        }
    }

    /// Every waiting time within its bounds; the lower ones open where every host is this machine.
    fn spans(&mut self, config: &Config) {
        let open = all_loopback(config);
        let (s, h) = (Span::secs, Span::hours);
        let (vtex, poll, protocol) = (&config.vtex, &config.poll, &config.protocol);
        let (notify, gc) = (&config.notify, &config.gc);
        let serve = &config.serve;
        let bounds: &[Bounds] = &[
            ("vtex.feed_visibility", vtex.feed_visibility, s(30), h(12)),
            ("vtex.connect_timeout", vtex.connect_timeout, s(1), s(60)),
            ("vtex.total_timeout", vtex.total_timeout, s(1), LONGEST_CALL),
            ("poll.sweep_every", poll.sweep_every, s(60), h(DAY)),
            ("poll.sweep_window", poll.sweep_window, h(1), h(30 * DAY)),
            (
                "poll.ready_sweep_every",
                poll.ready_sweep_every,
                h(1),
                h(7 * DAY),
            ),
            ("poll.reread_every", poll.reread_every, s(600), h(DAY)),
            ("poll.refs_every", poll.refs_every, h(1), h(30 * DAY)),
            (
                "poll.unreadable_after",
                poll.unreadable_after,
                h(1),
                h(30 * DAY),
            ),
            ("poll.stuck_after", poll.stuck_after, h(1), h(30 * DAY)),
            ("protocol.gap", protocol.gap, s(1), s(60)),
            (
                "protocol.movement_limit",
                protocol.movement_limit,
                s(10),
                LONGEST_CALL,
            ),
            (
                "protocol.movement_settle",
                protocol.movement_settle,
                s(60),
                h(DAY),
            ),
            (
                "protocol.absences_apart",
                protocol.absences_apart,
                s(30),
                h(1),
            ),
            (
                "protocol.undecided_after",
                protocol.undecided_after,
                h(1),
                h(7 * DAY),
            ),
            (
                "protocol.handling_limit",
                protocol.handling_limit,
                s(5),
                LONGEST_CALL,
            ),
            (
                "protocol.handling_recheck",
                protocol.handling_recheck,
                s(30),
                h(1),
            ),
            (
                "protocol.stock_limit",
                protocol.stock_limit,
                s(5),
                LONGEST_CALL,
            ),
            ("protocol.stock_settle", protocol.stock_settle, s(10), h(1)),
            ("protocol.backoff_base", protocol.backoff_base, s(1), h(1)),
            ("protocol.backoff_cap", protocol.backoff_cap, s(60), h(DAY)),
            (
                "protocol.min_retry_after",
                protocol.min_retry_after,
                s(1),
                h(1),
            ),
            ("protocol.breaker_open", protocol.breaker_open, s(10), h(1)),
            ("protocol.watchdog", protocol.watchdog, s(5), s(600)),
            (
                "push.full_every",
                config.push.full_every,
                s(300),
                h(7 * DAY),
            ),
            ("notify.digest_every", notify.digest_every, h(1), h(7 * DAY)),
            ("serve.wake_every", serve.wake_every, s(1), h(1)),
            ("serve.run_limit", serve.run_limit, s(300), h(2)),
            ("serve.read_timeout", serve.read_timeout, s(1), s(60)),
            // VTEX gives up after 5 seconds.
            ("serve.answer_timeout", serve.answer_timeout, s(1), s(4)),
            ("serve.stale_after", serve.stale_after, s(60), h(7 * DAY)),
            (
                "notify.mail.timeout",
                notify.mail.timeout,
                s(1),
                LONGEST_CALL,
            ),
        ];
        let dragonfish = config.erp.dragonfish.iter().flat_map(dragonfish::spans);
        let winthor = config.erp.winthor.iter().flat_map(winthor::spans);
        let all = bounds.iter().copied().chain(dragonfish).chain(winthor);
        for (key, value, least, most) in all {
            let least = if open { Span::secs(0) } else { least };
            self.within(key, value, least, most);
        }
        self.within(
            "vtex.feed_retention",
            vtex.feed_retention,
            h(4 * DAY),
            h(14 * DAY),
        );
        for (key, value) in [
            ("gc.settled_after", gc.settled_after),
            ("gc.notices_after", gc.notices_after),
            ("gc.rejects_after", gc.rejects_after),
            ("gc.records_after", gc.records_after),
        ] {
            self.within(key, value, h(14 * DAY), h(3650 * DAY));
        }
        self.between_spans(config, open);
    }

    fn within(&mut self, key: &str, value: Span, least: Span, most: Span) {
        if value < least || value > most {
            self.fail(
                key,
                format!("{value} is not between {least} and {most}"),
                "",
            );
        }
    }

    /// What the proof of the protocol needs between two waiting times.
    fn between_spans(&mut self, config: &Config, open: bool) {
        let protocol = &config.protocol;
        let calls = config.erp.dragonfish.as_ref();
        let calls = calls.map(|erp| erp.stock_timeout.max(erp.read_timeout));
        let longest = calls.unwrap_or(Span::secs(0)).max(protocol.movement_limit);
        if protocol.movement_settle < longest && !open {
            let hint =
                "requests queue behind one executor, so an abandoned one may start that late";
            self.fail(
                "protocol.movement_settle",
                format!("is shorter than the longest ERP call, {longest}"),
                hint,
            );
        }
        for (key, limit) in [
            ("protocol.handling_limit", protocol.handling_limit),
            ("protocol.stock_limit", protocol.stock_limit),
        ] {
            if config.vtex.total_timeout > limit {
                self.fail(
                    key,
                    format!(
                        "is shorter than vtex.total_timeout, {}",
                        config.vtex.total_timeout
                    ),
                    "",
                );
            }
        }
        if protocol.backoff_cap < protocol.backoff_base {
            self.fail(
                "protocol.backoff_cap",
                "is shorter than protocol.backoff_base",
                "",
            );
        }
    }

    fn numbers(&mut self, config: &Config) {
        let number = |value: u32| u64::from(value);
        let workers = u64::try_from(config.vtex.workers).unwrap_or(u64::MAX);
        let bounds = [
            ("vtex.workers", workers, 1, 32),
            (
                "push.max_drop_percent",
                number(config.push.max_drop_percent),
                1,
                100,
            ),
            (
                "push.max_drop_count",
                number(config.push.max_drop_count),
                1,
                1_000_000,
            ),
            ("poll.list_last", number(config.poll.list_last), 1, 3000),
            ("poll.empty_reads", number(config.poll.empty_reads), 1, 20),
            (
                "poll.unreadable_tries",
                number(config.poll.unreadable_tries),
                1,
                1000,
            ),
            (
                "protocol.max_attempts",
                number(config.protocol.max_attempts),
                1,
                20,
            ),
            (
                "protocol.requests_a_minute",
                number(config.protocol.requests_a_minute),
                60,
                100_000,
            ),
            (
                "protocol.breaker_failures",
                number(config.protocol.breaker_failures),
                1,
                100,
            ),
            (
                "notify.max_resends",
                number(config.notify.max_resends),
                0,
                10,
            ),
        ];
        for (key, value, least, most) in bounds {
            if value < least || value > most {
                self.fail(
                    key,
                    format!("{value} is not between {least} and {most}"),
                    "",
                );
            }
        }
        if let Some(dragonfish) = &config.erp.dragonfish
            && !(10..=5000).contains(&dragonfish.page_size)
        {
            let reason = format!("{} is not between 10 and 5000", dragonfish.page_size);
            self.fail("erp.dragonfish.page_size", reason, "");
        }
        if config.safety_stock.values().any(|qty| qty.is_negative()) {
            self.fail("safety_stock", "holds a negative quantity", "");
        }
    }
}

/// `-03:00`, `+00:00`.
pub(super) fn utc_offset(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['+', '-']) else {
        return false;
    };
    clock(rest).is_some_and(|minutes| minutes <= 14 * 60)
}

/// `01:00-08:00`.
pub(super) fn quiet_hours(text: &str) -> bool {
    text.split_once('-')
        .is_some_and(|(from, to)| clock(from).is_some() && clock(to).is_some() && from != to)
}

/// Minutes of `HH:MM`.
pub fn clock(text: &str) -> Option<u32> {
    let (hours, minutes) = text
        .split_once(':')
        .filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    // A sign is no digit.
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_behind_a_host_stands_a_port_in_digits_or_nothing() {
        for good in [
            "http://localhost",
            "http://localhost:80/in",
            "https://[::1]:8443",
            "http://127.0.0.1:65535",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://localhost:+80",
            "http://localhost:-1",
            "http://localhost:",
            "http://localhost:0",
            "http://localhost:65536",
            "http://localhost:80:80",
            "http://localhost:8o",
            "http://[::1]+80",
            "http://",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_hour_holds_no_sign() {
        assert_eq!(clock("07:30"), Some(450));
        for bad in ["+7:30", "07:+3", "24:00", "7:30", "07:60"] {
            assert_eq!(clock(bad), None, "{bad}");
        }
    }
}
