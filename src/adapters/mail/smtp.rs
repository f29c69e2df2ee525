//! Mail through a server, one connection a mail.
//!
//! lettre's ready-made transport does not tell whether a failure came before or after the point of no return, so the
//! steps are taken one by one:
//!
//! | what fails | outcome |
//! |---|---|
//! | name, connection, TLS, greeting, STARTTLS not offered | transient: certainly not delivered |
//! | log-in: 5xx, or no method in common | denied |
//! | log-in: 4xx; any break before the final dot | transient |
//! | sender or data refused with 530, 534, 535, 538 (log in first) | denied |
//! | sender, data or every recipient refused with another 5xx | rejected |
//! | no recipient accepted, one of them with 4xx | transient |
//! | content refused after the final dot: 4xx / 5xx | transient / rejected: the server says that it did not take it |
//! | anything else after the final dot | uncertain (RFC 1047) |
//!
//! One accepted recipient is enough: the others are named in a warning, so that one dead mailbox does not keep the
//! goods of a whole shop from being sent.

use std::cell::Cell;
use std::error::Error as _;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Severity;
use secrecy::{ExposeSecret, SecretString};

use super::clean::clean;
use crate::config::sections::{MailAuth, MailSecurity};
use crate::domain::ports::{PortError, PortResult};

/// The longest text of a server that is shown.
const LONGEST_ANSWER: usize = 300;

/// A mail server and how to log in there.
pub(super) struct Smtp {
    /// The server's name, which its certificate must hold.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// How the connection is protected.
    pub(super) security: MailSecurity,
    /// Name and password, where the server wants them.
    pub(super) login: Option<(String, SecretString)>,
    /// How it logs in.
    pub(super) auth: MailAuth,
    /// An authority to trust besides the system's.
    pub(super) authority: Option<Certificate>,
    /// Time for each step.
    pub(super) timeout: Duration,
    /// Reading the system's certificates takes a while, and most runs send nothing.
    pub(super) tls: OnceLock<TlsParameters>,
}

impl Smtp {
    /// Sends one mail.
    pub(super) fn deliver(&self, envelope: &Envelope, mail: &[u8]) -> PortResult<()> {
        let mut connection = self.open()?;
        let sent = self
            .announce(&mut connection, envelope)
            .and_then(|()| self.transmit(&mut connection, mail));
        match sent {
            // The server answered: take leave and close. Whatever it says to that changes nothing.
            Ok(()) | Err(PortError::Rejected { .. } | PortError::Denied { .. }) => {
                connection.abort();
            }
            // It may be silent, and a farewell would wait for it once more.
            Err(PortError::Transient { .. } | PortError::Uncertain { .. }) => drop(connection),
        }
        sent
    }

    /// Connects and logs in, sends nothing, and says how the connection is protected.
    pub(super) fn probe(&self) -> PortResult<String> {
        let mut connection = self.open()?;
        let protection = if connection.is_encrypted() {
            "encrypted"
        } else {
            "not encrypted"
        };
        let login = match &self.login {
            Some(_) => "logged in",
            None => "connected without log-in",
        };
        connection.abort();
        Ok(format!("{login} at {}, {protection}", self.place()))
    }

    fn open(&self) -> PortResult<SmtpConnection> {
        let hello = ClientId::default();
        let wrapper = match self.security {
            MailSecurity::Tls => Some(self.tls()?),
            MailSecurity::Starttls | MailSecurity::None => None,
        };
        let address = (self.host.as_str(), self.port);
        let mut connection =
            SmtpConnection::connect(address, Some(self.timeout), &hello, wrapper, None)
                .map_err(|err| self.transient("connect to", &err))?;
        if self.security == MailSecurity::Starttls {
            if !connection.can_starttls() {
                connection.abort();
                return Err(PortError::transient(format!(
                    "mail server {} offers no STARTTLS; nothing is sent without encryption",
                    self.place()
                )));
            }
            connection
                .starttls(self.tls()?, &hello)
                .map_err(|err| self.transient("start TLS at", &err))?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection
                .auth(self.mechanisms(), &credentials)
                .map_err(|err| self.login_error(&err))?;
        }
        Ok(connection)
    }

    fn mechanisms(&self) -> &'static [Mechanism] {
        match self.auth {
            MailAuth::Password => &[Mechanism::Plain, Mechanism::Login],
            MailAuth::Xoauth2 => &[Mechanism::Xoauth2],
        }
    }

    /// Names sender and recipients and asks leave to send the content.
    fn announce(&self, connection: &mut SmtpConnection, envelope: &Envelope) -> PortResult<()> {
        connection
            .command(Mail::new(envelope.from().cloned(), vec![]))
            .map_err(|err| self.refused("sender refused by", &err))?;
        let mut accepted = 0_usize;
        let mut refusals = Vec::new();
        for (n, recipient) in (1..).zip(envelope.to()) {
            match connection.command(Rcpt::new(recipient.clone(), vec![])) {
                Ok(_) => accepted += 1,
                // Without a status the connection is broken, and the others need not be asked.
                Err(err) if err.status().is_none() => {
                    return Err(self.transient("name the recipients to", &err));
                }
                Err(err) => refusals.push((n, err)),
            }
        }
        if accepted == 0 {
            let transient = refusals.iter().find(|(_, err)| !err.is_permanent());
            return Err(match transient.or(refusals.first()) {
                Some((_, err)) => self.refused("every recipient refused by", err),
                None => PortError::rejected("the mail has no recipient"),
            });
        }
        for (n, err) in refusals {
            let reason = self.describe("recipient refused by", &err);
            log::warn!("notify.mail.to, address {n}: {reason}");
        }
        connection
            .command(Data)
            .map(drop)
            .map_err(|err| self.refused("content refused by", &err))
    }

    /// Sends the content and the final dot, after which only the server's word counts.
    fn transmit(&self, connection: &mut SmtpConnection, mail: &[u8]) -> PortResult<()> {
        let all_written = Cell::new(false);
        // lettre asks for the next part only once the one before was written, and writes the final dot after the last.
        let parts = std::iter::once(mail).chain(std::iter::from_fn(|| {
            all_written.set(true);
            None
        }));
        match connection.message_iter(parts) {
            Ok(answer) if answer.code().severity == Severity::PositiveCompletion => Ok(()),
            Ok(answer) => Err(PortError::uncertain(format!(
                "mail server {} answered {} to the content",
                self.place(),
                answer.code()
            ))),
            Err(err) if err.status().is_some() => Err(self.refused("content refused by", &err)),
            Err(err) if all_written.get() => Err(PortError::uncertain(
                self.describe("no answer to the content from", &err),
            )),
            Err(err) => Err(self.transient("send the content to", &err)),
        }
    }

    fn tls(&self) -> PortResult<&TlsParameters> {
        if let Some(ready) = self.tls.get() {
            return Ok(ready);
        }
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(authority) = &self.authority {
            builder = builder.add_root_certificate(authority.clone());
        }
        let built = builder
            .build_rustls()
            .map_err(|err| self.transient("prepare TLS for", &err))?;
        Ok(self.tls.get_or_init(|| built))
    }

    fn login_error(&self, err: &Error) -> PortError {
        let reason = self.describe("log in at", err);
        if err.is_permanent() || err.is_client() {
            PortError::denied(reason)
        } else {
            PortError::transient(reason)
        }
    }

    fn refused(&self, step: &str, err: &Error) -> PortError {
        let code = err.status().map(|code| code.to_string());
        let wants_login = matches!(code.as_deref(), Some("530" | "534" | "535" | "538"));
        let reason = self.describe(step, err);
        if wants_login {
            PortError::denied(reason)
        } else if err.is_permanent() {
            PortError::rejected(reason)
        } else {
            PortError::transient(reason)
        }
    }

    fn transient(&self, step: &str, err: &Error) -> PortError {
        PortError::transient(self.describe(step, err))
    }

    /// Says what was being done, where, and how it ended, on one line and without mail addresses.
    fn describe(&self, step: &str, err: &Error) -> String {
        let why = if timed_out(err) {
            format!("no answer within {} ms", self.timeout.as_millis())
        } else {
            mask_addresses(&clean(&err.to_string(), LONGEST_ANSWER))
        };
        format!("{step} mail server {}: {why}", self.place())
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Tells whether a time limit ended the step; the system calls that "temporarily unavailable" on a socket.
fn timed_out(err: &Error) -> bool {
    let mut source = err.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            );
        }
        source = cause.source();
    }
    false
}

/// Replaces the name in every mail address by dots: servers like to repeat addresses in their answers.
fn mask_addresses(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('@') {
        Some((name, domain)) => {
            let opening = if name.starts_with('<') { "<" } else { "" };
            format!("{opening}…@{domain}")
        }
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_answers_are_masked() {
        assert_eq!(
            mask_addresses("550 5.1.1 <persona@tienda.example>: user unknown"),
            "550 5.1.1 <…@tienda.example>: user unknown"
        );
    }
}
