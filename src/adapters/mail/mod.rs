//! Notices by e-mail.
//!
//! [`Mail`] renders a notice with the [`render::Templates`] of the configured language and hands it to a mail server
//! (`smtp`) or writes it into a folder (`folder`). A mail is sent once a call, never repeated inside; its
//! `Message-ID` depends on the notice alone, so that a marked second copy can be recognised.

pub mod clean;
mod code;
mod folder;
mod message;
pub mod render;
pub mod samples;
mod smtp;
mod templates;
mod vars;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;
use secrecy::SecretString;

use crate::config::sections::{MailConfig, MailSecurity, MailTransport, NotifyConfig};
use crate::domain::notice::Notice;
use crate::domain::ports::{Check, CheckOutcome, Checks, Notifier, PortError, PortResult};

use self::message::Addresses;
use self::render::Templates;
use self::smtp::Smtp;

/// The channel that every installation has.
const FIRST: &str = "mail";

/// The most recipients of notices.
const MOST_RECIPIENTS: usize = 50;

/// Why notices cannot be sent with this configuration; nothing a later try would change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// A key of the configuration has a value that cannot be used.
    #[error("{key}: {reason}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A template cannot be read, parsed or rendered.
    #[error("template {name}: {reason}")]
    Template {
        /// The template's file or phrase.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Notices by e-mail.
pub struct Mail {
    templates: Templates,
    addresses: Addresses,
    route: Route,
}

enum Route {
    Server(Smtp),
    Folder(PathBuf),
}

impl Mail {
    /// Builds the adapter; connects to nothing. `account` stands in every subject and message id.
    ///
    /// The operator's own templates are rendered with sample contents first.
    ///
    /// # Errors
    ///
    /// [`MailError`] when an address, the way to the server or a template cannot be used.
    pub fn new(
        config: &NotifyConfig,
        password: Option<SecretString>,
        account: &str,
    ) -> Result<Self, MailError> {
        Self::of_channel(FIRST, config, password, account)
    }

    /// Builds the adapter for one channel, whose templates may be its own.
    ///
    /// # Errors
    ///
    /// As [`Mail::new`].
    pub fn of_channel(
        channel: &str,
        config: &NotifyConfig,
        password: Option<SecretString>,
        account: &str,
    ) -> Result<Self, MailError> {
        let templates = Templates::of_channel(channel, config, account)?;
        // Those compiled in are rendered by the tests; an idle run need not do it again.
        if config.templates.is_some() {
            templates.check()?;
        }
        Ok(Self {
            templates,
            addresses: addresses(&config.mail, account)?,
            route: route(&config.mail, password)?,
        })
    }

    fn try_send(&self, notice: &Notice) -> PortResult<()> {
        let rendered = self
            .templates
            .render(notice)
            .map_err(|err| PortError::rejected(err.to_string()))?;
        let mail = self
            .addresses
            .compose(notice, &rendered)
            .map_err(PortError::rejected)?;
        match &self.route {
            Route::Server(smtp) => smtp.deliver(mail.envelope(), &mail.formatted()),
            Route::Folder(folder) => folder::deliver(folder, &notice.key, &mail.formatted()),
        }
    }
}

/// Renders every kind of notice with sample contents as each of the channels would, for `config check`.
///
/// # Errors
///
/// [`MailError`] naming the first template that cannot be used, or a folder of templates that no channel uses.
pub fn check_templates(config: &NotifyConfig, channels: &[&str]) -> Result<(), MailError> {
    if let Some(folder) = &config.templates {
        for name in templates::subfolders(folder)? {
            if !channels.contains(&name.as_str()) {
                return Err(MailError::Template {
                    name: folder.join(&name).display().to_string(),
                    reason: format!("is no channel's; there are: {}", channels.join(", ")),
                });
            }
        }
    }
    for channel in channels {
        let templates = Templates::of_channel(channel, config, "sample")?;
        templates.check().map_err(|err| match err {
            MailError::Template { name, reason } => MailError::Template {
                name,
                reason: format!("{reason} (for channel {channel})"),
            },
            other @ MailError::Config { .. } => other,
        })?;
    }
    Ok(())
}

impl Notifier for Mail {
    fn send(&self, notice: &Notice) -> PortResult<()> {
        self.try_send(notice)
    }
}

impl Checks for Mail {
    fn checks(&self) -> Vec<Check> {
        let templates = match self.templates.check() {
            Ok(()) => Check::new("mail.templates", CheckOutcome::Ok, "every kind renders"),
            Err(err) => Check::new("mail.templates", CheckOutcome::Fail, err.to_string())
                .hint("correct the file in the folder of notify.templates"),
        };
        let way = match &self.route {
            Route::Server(smtp) => check_server(smtp),
            Route::Folder(folder) => check_folder(folder),
        };
        vec![templates, way]
    }
}

fn check_server(smtp: &Smtp) -> Check {
    let name = "mail.login";
    match smtp.probe() {
        Ok(detail) => Check::new(name, CheckOutcome::Ok, detail),
        Err(err @ PortError::Denied { .. }) => {
            Check::new(name, CheckOutcome::Fail, err.to_string())
                .hint("check notify.mail.user and notify.mail.password")
        }
        Err(
            err @ (PortError::Transient { .. }
            | PortError::Uncertain { .. }
            | PortError::Rejected { .. }),
        ) => Check::new(name, CheckOutcome::Fail, err.to_string())
            .hint("check notify.mail.host, port and security, and the way to the server"),
    }
}

fn check_folder(folder: &Path) -> Check {
    let name = "mail.folder";
    let shown = folder.display();
    match folder.metadata() {
        Ok(found) if found.is_dir() && !found.permissions().readonly() => Check::new(
            name,
            CheckOutcome::Warn,
            format!("notices only become files in {shown}"),
        )
        .hint("set notify.mail.transport = \"smtp\" to reach people"),
        Ok(_) => Check::new(
            name,
            CheckOutcome::Fail,
            format!("{shown} is no folder that can be written"),
        ),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Check::new(
            name,
            CheckOutcome::Warn,
            format!("{shown} does not exist; the first notice creates it"),
        ),
        Err(err) => Check::new(name, CheckOutcome::Fail, format!("{shown}: {err}")),
    }
}

fn addresses(config: &MailConfig, account: &str) -> Result<Addresses, MailError> {
    let from = mailbox("notify.mail.from", &config.from)?;
    if config.to.is_empty() || config.to.len() > MOST_RECIPIENTS {
        return Err(MailError::Config {
            key: "notify.mail.to",
            reason: format!(
                "must name 1 to {MOST_RECIPIENTS} recipients, not {}",
                config.to.len()
            ),
        });
    }
    let to = config
        .to
        .iter()
        .map(|to| mailbox("notify.mail.to", to))
        .collect::<Result<_, _>>()?;
    // The account keeps the ids of two stores apart that write from one domain.
    let label = account.chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => c,
        _ => '-',
    });
    let id_domain = format!("{}.{}", label.collect::<String>(), from.email.domain());
    Ok(Addresses {
        from,
        to,
        id_domain,
    })
}

fn mailbox(key: &'static str, text: &str) -> Result<Mailbox, MailError> {
    let refuse = |reason: &str| MailError::Config {
        key,
        reason: format!("{:?} {reason}", clean::clean(text, 80)),
    };
    if clean::clean(text, usize::MAX) != text {
        return Err(refuse(
            "holds blanks at an end, or characters that cannot be seen",
        ));
    }
    let mailbox: Mailbox = text.parse().map_err(|_| refuse("is not a mail address"))?;
    if !mailbox.email.to_string().is_ascii() {
        return Err(refuse("must be written in ASCII"));
    }
    Ok(mailbox)
}

fn route(config: &MailConfig, password: Option<SecretString>) -> Result<Route, MailError> {
    match config.transport {
        MailTransport::File => {
            let folder = config.folder.clone().ok_or_else(|| MailError::Config {
                key: "notify.mail.folder",
                reason: "is required when transport is \"file\"".into(),
            })?;
            Ok(Route::Folder(folder))
        }
        MailTransport::Smtp => server(config, password).map(Route::Server),
    }
}

fn server(config: &MailConfig, password: Option<SecretString>) -> Result<Smtp, MailError> {
    let refuse = |key, reason: &str| MailError::Config {
        key,
        reason: reason.to_owned(),
    };
    let host = config
        .host
        .clone()
        .ok_or_else(|| refuse("notify.mail.host", "is required when transport is \"smtp\""))?;
    if config.security == MailSecurity::None && !is_loopback(&host) {
        return Err(refuse(
            "notify.mail.security",
            "\"none\" is accepted for a server on this machine only; use \"starttls\" or \"tls\"",
        ));
    }
    let login = match (config.user.clone(), password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(refuse(
                "notify.mail.password",
                "is required with notify.mail.user",
            ));
        }
        (None, Some(_)) => {
            return Err(refuse(
                "notify.mail.user",
                "is required with notify.mail.password",
            ));
        }
    };
    let default_port = match config.security {
        MailSecurity::Tls => 465,
        MailSecurity::Starttls => 587,
        MailSecurity::None => 25,
    };
    let authority = config.ca_file.as_deref().map(read_authority).transpose()?;
    Ok(Smtp {
        host,
        authority,
        port: config.port.unwrap_or(default_port),
        security: config.security,
        login,
        auth: config.auth,
        timeout: config.timeout.duration(),
        tls: OnceLock::new(),
    })
}

fn read_authority(path: &Path) -> Result<Certificate, MailError> {
    let refuse = |reason: String| MailError::Config {
        key: "notify.mail.ca_file",
        reason: format!("{}: {reason}", path.display()),
    };
    let pem = std::fs::read(path).map_err(|err| refuse(err.to_string()))?;
    Certificate::from_pem(&pem).map_err(|_| refuse("holds no certificate in PEM form".into()))
}

/// Tells whether a host can only be this machine.
fn is_loopback(host: &str) -> bool {
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a configuration with a folder transport and the given lines of `[notify]`.
    pub(super) fn config(lines: &str) -> NotifyConfig {
        let text = format!(
            "{lines}\n[mail]\ntransport = \"file\"\nfolder = \"mails\"\nfrom = \"stock@tienda.example\"\n\
             to = [\"ventas@tienda.example\"]"
        );
        toml::from_str(&text).unwrap()
    }

    fn smtp(change: impl FnOnce(&mut MailConfig)) -> String {
        let mut config = config("");
        config.mail.transport = MailTransport::Smtp;
        config.mail.host = Some("mail.tienda.example".into());
        change(&mut config.mail);
        let password = config.mail.user.is_some().then(|| SecretString::from("x"));
        match Mail::new(&config, password, "tienda") {
            Ok(_) => "ok".into(),
            Err(err) => err.to_string(),
        }
    }

    #[test]
    fn c8_recipients_must_be_few_and_well_formed() {
        let with = |to: &[&str]| smtp(|mail| mail.to = to.iter().map(|t| (*t).into()).collect());
        assert_eq!(with(&["ventas@tienda.example"]), "ok");
        assert_eq!(with(&["Ventas <ventas@tienda.example>"]), "ok");
        assert!(with(&[]).starts_with("notify.mail.to: must name 1 to 50"));
        assert!(with(&["a@tienda.example"; 51]).contains("not 51"));
        for bad in ["", "ventas", "a@b@c", "a b@tienda.example"] {
            let err = with(&[bad]);
            assert!(err.starts_with("notify.mail.to: "), "{bad}: {err}");
        }
    }

    #[test]
    fn t3_addresses_with_line_breaks_are_refused() {
        for bad in [
            "ventas@tienda.example\r\nBcc: otra@tienda.example",
            "ventas@tienda.example\n",
            "Ventas\u{2028} <ventas@tienda.example>",
            "Ventas\0 <ventas@tienda.example>",
        ] {
            let err = smtp(|mail| mail.to = vec![bad.into()]);
            assert!(err.contains("cannot be seen"), "{bad:?}: {err}");
            let err = smtp(|mail| mail.from = bad.into());
            assert!(err.starts_with("notify.mail.from: "), "{bad:?}: {err}");
        }
    }

    #[test]
    fn mail_without_encryption_stays_on_this_machine() {
        let plain = |host: &str| {
            smtp(|mail| {
                mail.security = MailSecurity::None;
                mail.host = Some(host.into());
            })
        };
        for here in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(plain(here), "ok");
        }
        assert!(plain("mail.tienda.example").starts_with("notify.mail.security: "));
        assert!(plain("localhost.tienda.example").starts_with("notify.mail.security: "));
    }

    #[test]
    fn what_a_transport_needs_is_asked_for() {
        assert!(smtp(|mail| mail.host = None).starts_with("notify.mail.host: "));
        assert_eq!(smtp(|mail| mail.user = Some("stock".into())), "ok");
        let mut folder = config("");
        folder.mail.folder = None;
        let err = Mail::new(&folder, None, "tienda").err().unwrap();
        assert!(err.to_string().starts_with("notify.mail.folder: "));
        folder.mail.folder = Some("mails".into());
        folder.mail.host = None;
        assert!(Mail::new(&folder, None, "tienda").is_ok());
    }

    /// Loads templates with one file of the operator's, and returns the complaint.
    fn with_file(name: &str, text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let mut config = config("");
        config.templates = Some(folder.path().into());
        check_templates(&config, &["mail", "hook"]).map_err(|err| err.to_string())
    }

    #[test]
    fn t1_broken_templates_are_found_at_load() {
        let unknown = with_file("notice.txt.j2", "{{ orden }}").unwrap_err();
        assert_eq!(
            unknown,
            "template notice.txt.j2: undefined value in line 1 (for channel mail)"
        );
        for (name, text, says) in [
            (
                "notice.html.j2",
                "{% if order %}",
                "template notice.html.j2: syntax error",
            ),
            (
                "remito.txt.j2",
                "{{ order | nope }}",
                "template remito.txt.j2: unknown filter",
            ),
            (
                "remito.txt.j2",
                "{% if order %}{{ ordr }}{% endif %}",
                "undefined value",
            ),
            (
                "digest.txt.j2",
                "{% if not repeats %}{{ nothing }}{% endif %}",
                "undefined value",
            ),
            (
                "es.toml",
                "[notice.remito]\nlead = \"{{ x }}\"",
                "notice.remito.lead: undefined",
            ),
            (
                "es.toml",
                "[notice.remitos]\nlead = \"x\"",
                "template es.toml: ",
            ),
            (
                "es.toml",
                "[notice.remito]\nheader = \"x\"",
                "template es.toml: ",
            ),
            (
                "es.toml",
                "date = \"%Q%Q\"\nnonsense = 1",
                "template es.toml: ",
            ),
            ("remitos.txt.j2", "x", "did you mean remito.txt.j2?"),
        ] {
            let err = with_file(name, text).unwrap_err();
            assert!(
                err.contains(says) && !err.contains('\n'),
                "{name} {text}: {err}"
            );
        }
    }

    #[test]
    fn a_channel_has_templates_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let mut config = config("");
        config.templates = Some(folder.path().into());
        let text = |config: &NotifyConfig, channel: &str| {
            let templates = Templates::of_channel(channel, config, "tienda").unwrap();
            let mut notice = samples::notices().next().unwrap();
            notice.maybe_duplicate = false;
            let rendered = templates.render(&notice).unwrap();
            format!("{} | {}", rendered.subject, rendered.text)
        };
        write("remito.txt.j2", "all: {{ order }}");
        write("es.toml", "[notice.remito]\nsubject = \"all {{ order }}\"");
        write("hook/remito.txt.j2", "hook: {{ order }}");
        write(
            "hook/es.toml",
            "[notice.remito]\nsubject = \"hook {{ order }}\"",
        );
        let check = |config: &NotifyConfig| check_templates(config, &["mail", "hook"]);
        check(&config).unwrap();
        let order = "1234567890123-01";
        assert_eq!(
            text(&config, "mail"),
            format!("[tienda] all {order} | all: {order}")
        );
        assert_eq!(
            text(&config, "hook"),
            format!("[tienda] hook {order} | hook: {order}")
        );

        write("hook/remito.txt.j2", "{{ ordr }}");
        let err = check(&config).unwrap_err().to_string();
        assert!(
            err.ends_with("undefined value in line 1 (for channel hook)"),
            "{err}"
        );
        write("hook/remito.txt.j2", "x");
        write("hook/remit.txt.j2", "x");
        let err = check(&config).unwrap_err().to_string();
        assert!(err.contains("did you mean remito.txt.j2?"), "{err}");
        std::fs::remove_file(folder.path().join("hook/remit.txt.j2")).unwrap();
        write("hok/remito.txt.j2", "x");
        let err = check(&config).unwrap_err().to_string();
        assert!(
            err.contains("is no channel's; there are: mail, hook"),
            "{err}"
        );
    }

    #[test]
    fn templates_are_replaced_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write(
            "es.toml",
            "[notice.remito]\nsubject = \"A mover: {{ order }}\"",
        );
        write(
            "remito.html.j2",
            "<p>{{ lead }} {{ reason | safe }}</p>{% autoescape false %}{{ reason }}{% endautoescape %}",
        );
        write("README.md", "kept by the operator");
        let mut config = config("");
        config.templates = Some(folder.path().into());
        let templates = Templates::load(&config, "tienda").unwrap();
        let mut notice = samples::notices().next().unwrap();
        notice.maybe_duplicate = false;
        notice.body.reason = Some("<b>".into());
        let rendered = templates.render(&notice).unwrap();
        assert_eq!(rendered.subject, "[tienda] A mover: 1234567890123-01");
        assert_eq!(
            rendered.html,
            "<p>Hay que traer mercadería de los locales para el pedido 1234567890123-01 de la tienda web. \
             &lt;b&gt;</p>&lt;b&gt;"
        );
        assert!(rendered.text.contains("Qué hacer"));
    }
}
