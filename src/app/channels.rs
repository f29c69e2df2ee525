//! The channels of an installation behind one door: each notice goes by the channel it was queued for.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::adapters::command::Program;
use crate::adapters::mail::Mail;
use crate::adapters::mail::render::Templates;
use crate::adapters::mail::samples;
use crate::adapters::webhook::{Secrets, Webhook};
use crate::adapters::whatsapp::Whatsapp;
use crate::app::Failure;
use crate::app::world::{Machine, secret};
use crate::config::channels::{ChannelConfig, WebhookConfig};
use crate::config::load::Loaded;
use crate::config::secret::SecretSource;
use crate::config::sections::{Config, MailConfig, NotifyConfig};
use crate::domain::notice::{Notice, NoticeKind};
use crate::domain::ports::{Check, Checks, Notifier, PortError, PortResult};
use crate::exit::Exit;
use crate::logging;
use crate::store::outbox::MAIL;

/// A way to reach people that `doctor` can ask.
trait Channel: Notifier + Checks {}
impl<T: Notifier + Checks> Channel for T {}

/// Every channel by its name.
pub struct Channels<'a>(BTreeMap<String, Box<dyn Channel + 'a>>);

impl<'a> Channels<'a> {
    /// Resolves the secrets and builds the channels, without touching the network.
    pub fn open(loaded: &Loaded, machine: &'a Machine) -> Result<Self, Failure> {
        let config = &loaded.config;
        let mut channels: BTreeMap<String, Box<dyn Channel + 'a>> = BTreeMap::new();
        let mail = open_mail(loaded, MAIL, "notify.mail.password", &config.notify.mail)?;
        channels.insert(MAIL.to_owned(), Box::new(mail));
        for channel in &config.channel {
            channels.insert(channel.name.clone(), open(loaded, machine, channel)?);
        }
        Ok(Self(channels))
    }

    /// Sends an invented notice of a kind by a channel, past the queue.
    pub fn test(&self, kind: NoticeKind, channel: &str, key: &str) -> PortResult<()> {
        let sample = samples::notices().find(|notice| notice.kind == kind);
        let sample = sample.ok_or_else(|| PortError::rejected("no such kind"))?;
        self.send(&Notice {
            key: key.to_owned(),
            channel: channel.to_owned(),
            ..sample
        })
    }
}

impl Notifier for Channels<'_> {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        match self.0.get(&notice.channel) {
            Some(channel) => channel.send(notice).map_err(without_secrets),
            None => Err(PortError::rejected(format!(
                "there is no channel {} any more",
                notice.channel
            ))),
        }
    }
}

impl Checks for Channels<'_> {
    fn checks(&self) -> Vec<Check> {
        self.0
            .values()
            .flat_map(|channel| channel.checks())
            .collect()
    }
}

/// Takes live secrets out of a reason before it is kept: some services send back what they were sent.
fn without_secrets(err: PortError) -> PortError {
    let clean = |reason: String| logging::redacted(&reason);
    match err {
        PortError::Transient {
            reason,
            retry_after,
        } => PortError::Transient {
            reason: clean(reason),
            retry_after,
        },
        PortError::Uncertain { reason } => PortError::uncertain(clean(reason)),
        PortError::Rejected { reason } => PortError::rejected(clean(reason)),
        PortError::Denied { reason } => PortError::denied(clean(reason)),
    }
}

/// Renders every kind for every channel with sample contents, for `config check`.
///
/// # Errors
///
/// A sentence that names the first template that cannot be used.
pub fn check_templates(config: &Config) -> Result<(), String> {
    let others = config.channel.iter().map(|channel| channel.name.as_str());
    let names: Vec<_> = std::iter::once(MAIL).chain(others).collect();
    crate::adapters::mail::check_templates(&config.notify, &names)
        .map_err(|err| err.to_string())?;
    for channel in &config.channel {
        let texts = texts(config, &channel.name)?;
        if let Some(whatsapp) = &channel.whatsapp {
            Whatsapp::check_templates(&channel.name, whatsapp, &texts)?;
        }
        if let Some(webhook) = &channel.webhook {
            Webhook::check_templates(&channel.name, webhook, &texts)?;
        }
    }
    Ok(())
}

/// Lists every secret with the key it stands under.
pub fn secrets(config: &Config) -> Vec<(String, &SecretSource)> {
    let mut named = vec![
        ("vtex.app_key".to_owned(), &config.vtex.app_key),
        ("vtex.app_token".to_owned(), &config.vtex.app_token),
    ];
    named.extend(crate::app::erp::secrets(config));
    let password = config.notify.mail.password.as_ref();
    named.extend(password.map(|source| ("notify.mail.password".to_owned(), source)));
    named.extend(config.channel.iter().flat_map(ChannelConfig::secrets));
    named.extend(crate::config::serve::secrets(&config.serve));
    named
}

/// Answers `notify --test`.
pub fn test(loaded: &Loaded, kind: NoticeKind, channel: &str) -> Result<String, Failure> {
    let machine = Machine::new(loaded).map_err(|err| Failure::new(Exit::Broken, err))?;
    let channels = Channels::open(loaded, &machine)?;
    if !channels.0.contains_key(channel) {
        let known: Vec<_> = channels.0.keys().cloned().collect();
        let reason = format!("no channel {channel:?}; there are: {}", known.join(", "));
        return Err(Failure::new(Exit::Usage, reason));
    }
    // A key of its own each time, so that no mail program takes a second test for a copy of the first.
    let key = format!("test.{}.{:08x}", kind.as_str(), fastrand::u32(..));
    match channels.test(kind, channel, &key) {
        Ok(()) => Ok(format!("test notice {key} was taken by channel {channel}")),
        Err(err) => {
            let exit = match &err {
                PortError::Denied { .. } => Exit::Denied,
                PortError::Transient { .. } => Exit::Unreachable,
                PortError::Uncertain { .. } | PortError::Rejected { .. } => Exit::Person,
            };
            Err(Failure::new(exit, format!("channel {channel}: {err}")))
        }
    }
}

fn texts(config: &Config, channel: &str) -> Result<Templates, String> {
    Templates::of_channel(channel, &config.notify, &config.vtex.account)
        .map_err(|err| err.to_string())
}

fn wrong(err: impl ToString) -> Failure {
    Failure::new(Exit::Config, err.to_string())
}

fn open_mail(
    loaded: &Loaded,
    channel: &str,
    key: &str,
    mail: &MailConfig,
) -> Result<Mail, Failure> {
    let config = &loaded.config;
    let password = match &mail.password {
        Some(source) => Some(secret(loaded, key, source)?),
        None => None,
    };
    let notify = NotifyConfig {
        mail: mail.clone(),
        ..config.notify.clone()
    };
    Mail::of_channel(channel, &notify, password, &config.vtex.account).map_err(wrong)
}

fn open<'a>(
    loaded: &Loaded,
    machine: &'a Machine,
    channel: &ChannelConfig,
) -> Result<Box<dyn Channel + 'a>, Failure> {
    let name = &channel.name;
    let texts = texts(&loaded.config, name).map_err(wrong)?;
    if let Some(mail) = &channel.mail {
        let key = format!("channel {name}: mail.password");
        return Ok(Box::new(open_mail(loaded, name, &key, mail)?));
    }
    if let Some(whatsapp) = &channel.whatsapp {
        let key = format!("channel {name}: whatsapp.token");
        let token = secret(loaded, &key, &whatsapp.token)?;
        let built = Whatsapp::new(name, whatsapp, token, texts).map_err(wrong)?;
        return Ok(Box::new(built));
    }
    if let Some(webhook) = &channel.webhook {
        let secrets = webhook_secrets(loaded, name, webhook)?;
        let built = Webhook::new(name, webhook, secrets, texts, &machine.clock).map_err(wrong)?;
        return Ok(Box::new(built));
    }
    if let Some(command) = &channel.command {
        return Ok(Box::new(Program::new(name, command, texts)));
    }
    Err(wrong(format!("channel {name} has no type")))
}

fn webhook_secrets(
    loaded: &Loaded,
    name: &str,
    webhook: &WebhookConfig,
) -> Result<Secrets, Failure> {
    let read = |what: &str, source: &Option<SecretSource>| match source {
        Some(source) => secret(loaded, &format!("channel {name}: {what}"), source).map(Some),
        None => Ok(None),
    };
    let url = read("webhook.secret_url", &webhook.secret_url)?;
    if let Some(url) = &url {
        // What follows the host is what must not be known, and an error may show it alone.
        let after_host = url
            .expose_secret()
            .splitn(4, '/')
            .nth(3)
            .unwrap_or_default();
        logging::redact(&SecretString::from(after_host));
    }
    Ok(Secrets {
        url,
        signing_key: read("webhook.signing_key", &webhook.signing_key)?,
        token: read("webhook.token", &webhook.token)?,
    })
}
