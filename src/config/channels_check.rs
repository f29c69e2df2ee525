//! What must hold for channels and routes. Every mistake is found, not only the first.

use std::collections::BTreeSet;

use crate::config::channels::{
    ChannelConfig, Preset, RouteConfig, WebhookConfig, WhatsappConfig, without_query,
};
use crate::config::load::ConfigError;
use crate::config::sections::{Config, MailTransport};
use crate::config::span::Span;
use crate::config::validate::{address, is_loopback, quiet_hours};
use crate::domain::notice::NoticeKind;

/// The most channels and routes.
const MOST: usize = 50;

/// Adds the mistakes in channels and routes.
pub(super) fn check(config: &Config, errors: &mut Vec<ConfigError>) {
    let mut names = BTreeSet::from(["mail"]);
    if config.channel.len() > MOST || config.route.len() > MOST {
        fail(
            errors,
            "channel",
            format!("at most {MOST} channels and {MOST} routes"),
        );
    }
    for channel in &config.channel {
        let key = format!("channel {:?}", channel.name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if channel.name.is_empty() || channel.name.len() > 30 || !channel.name.chars().all(plain) {
            fail(errors, &key, "name must be 1 to 30 of a-z 0-9 -");
        }
        if !names.insert(&channel.name) {
            fail(
                errors,
                &key,
                "the name is taken; [notify.mail] is the channel mail",
            );
        }
        check_channel(channel, &key, errors);
    }
    for route in &config.route {
        check_route(route, &names, errors);
    }
    if config.route.is_empty() {
        return;
    }
    // A line that no shop can give, or a shop without a route, must reach somebody.
    for kind in NoticeKind::ALL {
        let takes = |route: &RouteConfig| {
            (route.kinds.is_empty() || route.kinds.contains(&kind)) && route.bases.is_empty()
        };
        if !config.route.iter().any(takes) {
            let reason = format!("no route without bases takes {}", kind.as_str());
            fail(errors, "route", reason);
        }
    }
}

fn fail(errors: &mut Vec<ConfigError>, key: &str, reason: impl Into<String>) {
    errors.push(ConfigError::new(key, reason));
}

fn check_channel(channel: &ChannelConfig, key: &str, errors: &mut Vec<ConfigError>) {
    let types = [
        channel.mail.is_some(),
        channel.whatsapp.is_some(),
        channel.webhook.is_some(),
        channel.command.is_some(),
    ];
    if types.into_iter().filter(|given| *given).count() != 1 {
        fail(
            errors,
            key,
            "must have exactly one of mail, whatsapp, webhook, command",
        );
    }
    if channel
        .quiet_hours
        .as_deref()
        .is_some_and(|hours| !quiet_hours(hours))
    {
        fail(errors, key, "quiet_hours is written like 22:00-07:00");
    }
    // Their texts are cut, and a list that was cut would leave goods behind.
    let short = channel.whatsapp.is_some()
        || channel
            .webhook
            .as_ref()
            .is_some_and(|webhook| webhook.preset != Preset::Json);
    if channel.batch() && short {
        fail(
            errors,
            key,
            "batch is for mail, command and preset = \"json\": the others cut a long list",
        );
    }
    let limits = Span::secs(1)..=Span::secs(120);
    if !limits.contains(&channel.timeout()) {
        fail(errors, key, "timeout must be from 1s to 120s");
    }
    if let Some(mail) = &channel.mail
        && mail.transport == MailTransport::Smtp
        && mail.host.is_none()
    {
        fail(errors, key, "mail.host is missing");
    }
    if let Some(mail) = &channel.mail
        && (mail.quiet_hours.is_some() || mail.batch.is_some())
    {
        fail(
            errors,
            key,
            "quiet_hours and batch stand beside its name, not in mail",
        );
    }
    if let Some(whatsapp) = &channel.whatsapp {
        check_whatsapp(whatsapp, key, errors);
    }
    if let Some(webhook) = &channel.webhook {
        check_webhook(webhook, key, errors);
    }
    if let Some(command) = &channel.command {
        let absolute = command
            .argv
            .first()
            .is_some_and(|program| program.starts_with('/'));
        if !absolute || command.argv.iter().any(|arg| arg.contains('\0')) {
            fail(
                errors,
                key,
                "command.argv must begin with a program's whole path",
            );
        }
    }
}

fn check_whatsapp(whatsapp: &WhatsappConfig, key: &str, errors: &mut Vec<ConfigError>) {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(&whatsapp.phone_number_id) {
        fail(errors, key, "whatsapp.phone_number_id must be digits");
    }
    let number = whatsapp.to.strip_prefix('+').unwrap_or(&whatsapp.to);
    if !digits(number) || !(7..=15).contains(&number.len()) {
        fail(
            errors,
            key,
            "whatsapp.to must be a number with its country code, as +5491112345678",
        );
    }
    for name in whatsapp.template.keys() {
        if name != "default" && NoticeKind::parse(name).is_none() {
            fail(
                errors,
                key,
                format!("whatsapp.template.{name} is no kind of notice"),
            );
        }
    }
    check_url(&whatsapp.api_url, key, "whatsapp.api_url", false, errors);
}

/// Checks that what is sent there can be read on the way by nobody: the host itself is judged, not how the text begins.
fn check_url(text: &str, key: &str, name: &str, query: bool, errors: &mut Vec<ConfigError>) {
    let judged = if query { without_query(text) } else { text };
    match address(judged) {
        Err(reason) => fail(errors, key, format!("{name} {reason}")),
        Ok(found) if !found.secure && !is_loopback(found.host) => {
            fail(errors, key, format!("{name} must begin with https://"));
        }
        Ok(_) => {}
    }
}

fn check_webhook(webhook: &WebhookConfig, key: &str, errors: &mut Vec<ConfigError>) {
    if webhook.url.is_some() == webhook.secret_url.is_some() {
        fail(
            errors,
            key,
            "must have exactly one of webhook.url and webhook.secret_url",
        );
    }
    if let Some(url) = &webhook.url {
        check_url(url, key, "webhook.url", true, errors);
    }
    let addressed = matches!(webhook.preset, Preset::Telegram | Preset::Ntfy);
    if addressed && webhook.to.is_none() {
        fail(
            errors,
            key,
            "webhook.to is missing: Telegram's chat or ntfy's topic",
        );
    }
    if webhook.body.is_some() && webhook.preset != Preset::Json {
        fail(errors, key, "webhook.body goes with preset = \"json\" only");
    }
}

fn check_route(route: &RouteConfig, names: &BTreeSet<&str>, errors: &mut Vec<ConfigError>) {
    if route.channels.is_empty() {
        fail(errors, "route.channels", "must name a channel");
    }
    for name in route.channels.iter().chain(&route.escalate_to) {
        if !names.contains(name.as_str()) {
            fail(
                errors,
                "route.channels",
                format!("there is no channel {name:?}"),
            );
        }
    }
    if route.escalate_after.is_some() == route.escalate_to.is_empty() {
        fail(
            errors,
            "route.escalate_after",
            "and escalate_to belong together",
        );
    }
    let limits = Span::secs(60)..=Span::hours(7 * 24);
    if route
        .escalate_after
        .is_some_and(|after| !limits.contains(&after))
    {
        fail(errors, "route.escalate_after", "must be from 1m to 7d");
    }
    if !route.bases.is_empty() {
        let goods = [
            NoticeKind::Remito,
            NoticeKind::RemitoChanged,
            NoticeKind::RemitoWithdrawn,
        ];
        if route.kinds.is_empty() || route.kinds.iter().any(|kind| !goods.contains(kind)) {
            let reason =
                "a route with bases takes remito, remito-changed and remito-withdrawn only";
            fail(errors, "route.bases", reason);
        } else if goods.iter().any(|kind| !route.kinds.contains(kind)) {
            // A shop that is told to pick must also be told to stop.
            fail(
                errors,
                "route.bases",
                "a route with bases takes all three kinds of remito",
            );
        }
    }
}
