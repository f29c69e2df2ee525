//! One conversation with WinThor's services: log-in, token, errors in their own words.
//!
//! The token's life is no contract, so it is kept until it is refused, and asked for once more then.

use std::sync::{Mutex, PoisonError};

use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::adapters::http::calls::{Calls, Env, Verdict, status_text};
use crate::adapters::http::client::{Answer, HttpClient, HttpOptions, Request};
use crate::adapters::http::json::{is_web_page, parse_json, parse_json_bytes};
use crate::adapters::http::text::one_line;
use crate::config::winthor::{LogInFields, PasswordHash, TokenForm, WinthorConfig};
use crate::domain::ports::{PortError, PortResult};
use crate::domain::time::Moment;

/// What stays as it is in a query value; commas do, since one consumer found them needed so.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',')
    .remove(b':');

/// How much of an error's text is shown.
const EXCERPT: usize = 200;

/// A conversation with one installation.
pub(super) struct Session<'a> {
    calls: Calls<'a>,
    config: &'a WinthorConfig,
    password: SecretString,
    token: Mutex<Option<SecretString>>,
}

/// How a read ended, before a 401 is believed.
enum Reply {
    Body(Value),
    Nothing,
    LoggedOut(String),
}

impl<'a> Session<'a> {
    /// Prepares a conversation without touching the network.
    pub(super) fn new(
        config: &'a WinthorConfig,
        password: SecretString,
        env: Env<'a>,
    ) -> Result<Self, String> {
        let client = HttpClient::new(
            &config.url,
            HttpOptions {
                connect_timeout: config.connect_timeout.duration(),
                total_timeout: config.read_timeout.duration(),
                ca_file: None,
                keep_alive: true,
                // The operator has named this very host, so a name that leads to this machine is meant.
                allow_local_addresses: config.allow_plain_http_for.is_some(),
            },
        )?;
        Ok(Self {
            calls: Calls::new(client, env),
            config,
            password,
            token: Mutex::new(None),
        })
    }

    /// Reads a path with its query; `None` when the services say that there is nothing (404).
    pub(super) fn get(
        &self,
        name: &'static str,
        about: &str,
        path: &str,
    ) -> PortResult<Option<Value>> {
        let first = self.fetch(name, about, path, false)?;
        let reply = match first {
            Reply::LoggedOut(_) => self.fetch(name, about, path, true)?,
            Reply::Body(_) | Reply::Nothing => first,
        };
        match reply {
            Reply::Body(body) => Ok(Some(body)),
            Reply::Nothing => Ok(None),
            Reply::LoggedOut(reason) => Err(PortError::denied(reason)),
        }
    }

    /// Returns wall time.
    pub(super) fn now(&self) -> Moment {
        self.calls.env().clock.now()
    }

    fn fetch(&self, name: &'static str, about: &str, path: &str, anew: bool) -> PortResult<Reply> {
        let token = self.token(anew)?;
        let request = Request {
            name,
            about: about.to_owned(),
            method: Method::GET,
            url: self.calls.client().url(path).map_err(PortError::rejected)?,
            headers: self.headers(&token).map_err(PortError::rejected)?,
            body: None,
            timeout: None,
        };
        self.calls.read(&request, |answer| {
            if answer.status == 401 {
                return Verdict::Take(Reply::LoggedOut(self.explain(answer, &token)));
            }
            match Verdict::of_status(answer, self.now()) {
                Some(Verdict::Refuse(reason)) if (300..400).contains(&answer.status) => {
                    Verdict::Refuse(reason)
                }
                Some(Verdict::Refuse(_)) => Verdict::Refuse(self.explain(answer, &token)),
                Some(Verdict::Again(_)) => Verdict::Again(self.explain(answer, &token)),
                Some(Verdict::Deny(_)) => Verdict::Deny(self.explain(answer, &token)),
                Some(Verdict::Wait(_, wait)) => Verdict::Wait(self.explain(answer, &token), wait),
                Some(Verdict::Take(never)) => Verdict::Take(never),
                None if answer.status == 404 && is_web_page(answer) => {
                    Verdict::Refuse("404 with a web page instead of data".to_owned())
                }
                None if answer.status == 404 => Verdict::Take(Reply::Nothing),
                None => Verdict::of_json(parse_json(answer).map(Reply::Body)),
            }
        })
    }

    fn headers(&self, token: &SecretString) -> Result<HeaderMap, String> {
        let (name, text) = match self.config.auth {
            TokenForm::Bearer => (AUTHORIZATION, format!("Bearer {}", token.expose_secret())),
            TokenForm::Cookie => (COOKIE, format!("suukie={}", token.expose_secret())),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the token of WinThor cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        let json = HeaderValue::from_static("application/json");
        Ok(HeaderMap::from_iter([(ACCEPT, json), (name, value)]))
    }

    /// Returns the token; asks for one when there is none, or `anew`.
    pub(super) fn token(&self, anew: bool) -> PortResult<SecretString> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = held.as_ref().filter(|_| !anew) {
            return Ok(token.clone());
        }
        let token = self.log_in()?;
        *held = Some(token.clone());
        Ok(token)
    }

    fn log_in(&self) -> PortResult<SecretString> {
        let hashed = self.hashed();
        let (user, secret) = (&self.config.user, hashed.expose_secret());
        let body = match self.config.login_fields {
            LogInFields::LoginSenha => json!({ "login": user, "senha": secret }),
            LogInFields::UsernamePassword => json!({ "username": user, "password": secret }),
        };
        let url = self.calls.client().url(&self.config.login_path);
        let json = HeaderValue::from_static("application/json");
        let request = Request {
            name: "log in to WinThor",
            about: String::new(),
            method: Method::POST,
            url: url.map_err(PortError::rejected)?,
            headers: HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]),
            body: Some(body.to_string().into_bytes()),
            timeout: None,
        };
        let title = request.title();
        // A log-in that was lost has done nothing: the next one is as good.
        let answer = self.calls.write(request, None).map_err(|err| match err {
            PortError::Uncertain { reason } => PortError::transient(reason),
            other => other,
        })?;
        match answer.status {
            200..=299 => {}
            400 | 401 | 403 => {
                let hint = "hint: user, password, login_fields, password_hash";
                let reason = format!("{title}: {}; {hint}", self.explain(&answer, &hashed));
                return Err(PortError::denied(reason));
            }
            _ => {
                let reason = format!("{title}: {}", self.explain(&answer, &hashed));
                return Err(match self.calls.asked_wait(&answer) {
                    retry_after @ Some(_) => PortError::Transient {
                        reason,
                        retry_after,
                    },
                    None if answer.status >= 500 => PortError::transient(reason),
                    None => PortError::rejected(reason),
                });
            }
        }
        let body: Value =
            parse_json(&answer).map_err(|err| PortError::rejected(format!("{title}: {err}")))?;
        match body.get("accessToken").and_then(Value::as_str) {
            Some(token) if !token.trim().is_empty() => Ok(token.trim().to_owned().into()),
            Some(_) | None => Err(PortError::rejected(format!(
                "{title}: the answer holds no accessToken"
            ))),
        }
    }

    /// Describes an answer in the services' own words, of which there are two forms; never what was sent in secret.
    fn explain(&self, answer: &Answer, sent: &SecretString) -> String {
        let status = status_text(answer);
        let Ok(Value::Object(body)) = parse_json_bytes::<Value>(&answer.body) else {
            return status;
        };
        let said = ["message", "description", "detailedMessage"];
        let said = said.iter().filter_map(|key| body.get(*key)?.as_str());
        let mut said: Vec<_> = said.map(|text| one_line(text, EXCERPT)).collect();
        said.dedup();
        if said.is_empty() {
            return status;
        }
        let mut text = format!("{status}; {}", said.join("; "));
        for secret in [sent.expose_secret(), self.password.expose_secret().trim()] {
            if !secret.is_empty() {
                text = text.replace(secret, "***");
            }
        }
        text
    }

    fn hashed(&self) -> SecretString {
        let password = self.password.expose_secret().trim_end_matches(['\r', '\n']);
        let digits = |text: &str| -> String {
            let hash = Md5::digest(text.as_bytes());
            hash.iter().map(|byte| format!("{byte:02X}")).collect()
        };
        match self.config.password_hash {
            PasswordHash::Md5Upper => digits(&password.to_uppercase()).into(),
            PasswordHash::Md5 => digits(password).into(),
            PasswordHash::Plain => password.to_owned().into(),
        }
    }
}

/// Encodes a query value.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
