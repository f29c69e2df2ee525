//! Ways to reach people besides `[notify.mail]`, and which notice goes where.
//!
//! `[notify.mail]` is the channel `mail`, which every installation has. Each `[[channel]]` is one more, of exactly one
//! type, and each `[[route]]` sends kinds of notices to channels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::secret::SecretSource;
use crate::config::sections::{MailConfig, MailTransport};
use crate::config::span::Span;
use crate::config::validate::{address, is_loopback};
use crate::domain::ids::BaseCode;
use crate::domain::notice::NoticeKind;

/// One more way to reach people.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Its name, in routes and in the keys of notices: a-z 0-9 -, at most 30 characters.
    pub name: String,
    /// Local hours in which nothing is sent, as `22:00-07:00`.
    #[serde(default)]
    pub quiet_hours: Option<String>,
    /// Whether the remito notices of a run go out as one list per base; default true for mail, false otherwise.
    #[serde(default)]
    pub batch: Option<bool>,
    /// What happens to a notice whose fate is unknown; default `quarantine` for WhatsApp, `resend` otherwise.
    #[serde(default)]
    pub on_unknown: Option<OnUnknown>,
    /// E-mail to other people, or by another server.
    #[serde(default)]
    pub mail: Option<MailConfig>,
    /// WhatsApp, by Meta's Cloud API.
    #[serde(default)]
    pub whatsapp: Option<WhatsappConfig>,
    /// A POST of JSON.
    #[serde(default)]
    pub webhook: Option<WebhookConfig>,
    /// A program.
    #[serde(default)]
    pub command: Option<CommandConfig>,
}

impl ChannelConfig {
    /// Returns what happens to a notice whose fate is unknown.
    pub fn on_unknown(&self) -> OnUnknown {
        let default = if self.whatsapp.is_some() {
            OnUnknown::Quarantine
        } else {
            OnUnknown::Resend
        };
        self.on_unknown.unwrap_or(default)
    }

    /// Tells whether the remito notices of a run go out as one list.
    pub fn batch(&self) -> bool {
        self.batch.unwrap_or(self.mail.is_some())
    }

    /// Returns the longest that one notice may take.
    pub fn timeout(&self) -> Span {
        let spans = [
            self.mail.as_ref().map(|c| c.timeout),
            self.whatsapp.as_ref().map(|c| c.timeout),
            self.webhook.as_ref().map(|c| c.timeout),
            self.command.as_ref().map(|c| c.timeout),
        ];
        spans.into_iter().flatten().max().unwrap_or(Span::secs(30))
    }

    /// Lists the channel's secrets with the keys they stand under.
    pub fn secrets(&self) -> Vec<(String, &SecretSource)> {
        let key = |rest: &str| format!("channel {}: {rest}", self.name);
        let mut found = Vec::new();
        if let Some(source) = self.mail.as_ref().and_then(|m| m.password.as_ref()) {
            found.push((key("mail.password"), source));
        }
        if let Some(whatsapp) = &self.whatsapp {
            found.push((key("whatsapp.token"), &whatsapp.token));
        }
        if let Some(webhook) = &self.webhook {
            let sources = [
                ("webhook.secret_url", &webhook.secret_url),
                ("webhook.signing_key", &webhook.signing_key),
                ("webhook.token", &webhook.token),
            ];
            found.extend(
                sources
                    .into_iter()
                    .filter_map(|(name, source)| Some((key(name), source.as_ref()?))),
            );
        }
        found
    }
}

/// What happens to a notice whose fate is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// It is sent again, marked as a possible duplicate.
    Resend,
    /// A person looks at it.
    Quarantine,
}

/// WhatsApp, by Meta's Cloud API: one number; approved templates only, since free text needs an open conversation.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WhatsappConfig {
    /// The id of the sender's number, as the API gives it.
    pub phone_number_id: String,
    /// The recipient: digits with the country code, a leading + allowed.
    pub to: String,
    /// The access token.
    pub token: SecretSource,
    /// The approved template of each kind; `default` serves the others.
    pub template: BTreeMap<String, WhatsappTemplate>,
    /// The API's address and version.
    #[serde(default = "graph")]
    pub api_url: String,
    /// Time for a call.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

/// An approved template.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WhatsappTemplate {
    /// Its name there.
    pub name: String,
    /// Its language there, such as `es_AR`.
    pub language: String,
    /// The body's parameters in order, each a template over the variables of notices.
    #[serde(default)]
    pub parameters: Vec<String>,
}

/// A POST of JSON.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The address; `secret_url` where knowing it is the permission to post.
    #[serde(default)]
    pub url: Option<String>,
    /// The address as a secret (Slack, Teams, Telegram).
    #[serde(default)]
    pub secret_url: Option<SecretSource>,
    /// The form of the body.
    #[serde(default)]
    pub preset: Preset,
    /// A body of one's own: a template whose every value is written as JSON. Only with `preset = "json"`.
    #[serde(default)]
    pub body: Option<String>,
    /// Telegram's chat, or ntfy's topic.
    #[serde(default)]
    pub to: Option<String>,
    /// Signs every body: `X-Stockbridge-Signature: v1=HEX`, HMAC-SHA256 over `TIMESTAMP.BODY`.
    #[serde(default)]
    pub signing_key: Option<SecretSource>,
    /// Sent as `Authorization: Bearer`.
    #[serde(default)]
    pub token: Option<SecretSource>,
    /// Accept an address of this machine or its link.
    #[serde(default)]
    pub allow_local: bool,
    /// A PEM file with a private certificate authority to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Time for a call.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

/// The form of a webhook's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Every field of the notice.
    #[default]
    Json,
    /// Slack's incoming webhook.
    Slack,
    /// A Teams workflow that takes an adaptive card.
    Teams,
    /// Telegram's `sendMessage`.
    Telegram,
    /// An ntfy server.
    Ntfy,
}

/// A program that gets a notice as JSON on its standard input.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program, by its whole path, and its arguments; no shell.
    pub argv: Vec<String>,
    /// How long it may run.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

/// Which notices go where.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The kinds; all when empty.
    #[serde(default)]
    pub kinds: Vec<NoticeKind>,
    /// The channels, by name.
    pub channels: Vec<String>,
    /// One notice for each of these bases, with the goods to take there only; everything when empty.
    #[serde(default)]
    pub bases: Vec<BaseCode>,
    /// After how long an order that is still parked is told to `escalate_to`.
    #[serde(default)]
    pub escalate_after: Option<Span>,
    /// The channels that are told then.
    #[serde(default)]
    pub escalate_to: Vec<String>,
}

/// Tells whether no channel leads away from this machine.
pub fn all_loopback(channels: &[ChannelConfig]) -> bool {
    let local = |url: &str| address(without_query(url)).is_ok_and(|a| is_loopback(a.host));
    channels.iter().all(|channel| {
        let webhook = channel.webhook.as_ref();
        let whatsapp = channel.whatsapp.as_ref();
        let mail = channel.mail.as_ref();
        webhook.is_none_or(|hook| hook.url.as_deref().is_none_or(local))
            && whatsapp.is_none_or(|w| local(&w.api_url))
            && mail.is_none_or(|m| m.transport == MailTransport::File)
    })
}

/// Returns an address without its query, by which some webhooks tell their rooms apart.
pub(super) fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

fn graph() -> String {
    "https://graph.facebook.com/v23.0".into()
}

fn half_a_minute() -> Span {
    Span::secs(30)
}
