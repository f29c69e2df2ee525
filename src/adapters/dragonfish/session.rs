//! One conversation with a Dragonfish service: log-in, headers, one request at a time, quiet hours, errors in the
//! service's own words.
//!
//! The service runs inside a desktop program with one executor, so every request holds a lock that all processes of
//! the machine share. Reads are repeated by [`Calls`]; the movement POST has a client of its own that repeats nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::adapters::dragonfish::dates::{QuietHours, offset_min, token_end};
use crate::adapters::http::calls::{Calls, Env, Verdict, status_text};
use crate::adapters::http::client::{Answer, HttpClient, HttpOptions, Request};
use crate::adapters::http::json::{is_web_page, parse_json};
use crate::adapters::http::text::{decode_lossily, one_line};
use crate::config::sections::DragonfishConfig;
use crate::domain::ids::BaseCode;
use crate::domain::ports::{Held, Locks, Permit, PortError, PortResult};
use crate::domain::time::Moment;

/// What stays as it is in a query value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How much of an error's body is shown.
const EXCERPT: usize = 200;

const ID_CLIENTE: HeaderName = HeaderName::from_static("idcliente");
const BASE_DE_DATOS: HeaderName = HeaderName::from_static("basededatos");

/// One read.
#[derive(Debug)]
pub(super) struct Get<'q> {
    /// The operation's name, for logs and errors.
    pub(super) name: &'static str,
    /// What it is about, for errors.
    pub(super) about: String,
    /// The entity, and a key where one record is read: encoded, without slashes at its ends.
    pub(super) path: &'q str,
    /// The parameters, not yet encoded.
    pub(super) query: Vec<(&'static str, String)>,
    /// The base asked; `None` leaves it to the service.
    pub(super) base: Option<&'q BaseCode>,
    /// Time for the whole call.
    pub(super) timeout: Duration,
}

/// A conversation with one service.
pub(super) struct Session<'a> {
    reads: Calls<'a>,
    writes: Calls<'a>,
    env: Env<'a>,
    locks: &'a dyn Locks,
    lock_name: String,
    client_id: String,
    token: SecretString,
    authenticate: bool,
    logged_in: Mutex<bool>,
    quiet: Option<QuietHours>,
    offset_min: i64,
    read_timeout: Duration,
    lock_wait: Duration,
}

/// How a read ended, before a 401 is believed.
enum Reply {
    Body(Value),
    Empty,
    LoggedOut(String),
}

impl<'a> Session<'a> {
    /// Prepares a conversation without touching the network.
    pub(super) fn new(
        config: &DragonfishConfig,
        movement_limit: Duration,
        token: SecretString,
        env: Env<'a>,
        locks: &'a dyn Locks,
    ) -> Result<Self, String> {
        let client = |total_timeout, keep_alive| {
            HttpClient::new(
                &config.url,
                HttpOptions {
                    connect_timeout: config.connect_timeout.duration(),
                    total_timeout,
                    ca_file: None,
                    keep_alive,
                    // The operator has named this very host, so a name that leads to this machine is meant.
                    allow_local_addresses: config.allow_plain_http_for.is_some(),
                },
            )
        };
        let quiet = match &config.quiet_hours {
            Some(hours) => Some(QuietHours::parse(hours, &config.utc_offset)?),
            None => None,
        };
        let service = config.url.trim_end_matches('/').to_lowercase();
        let hash = Sha256::digest(service);
        let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(Self {
            reads: Calls::new(client(config.read_timeout.duration(), true)?, env),
            // A kept connection may be dead, and then nobody knows whether the request arrived.
            writes: Calls::new(client(movement_limit, false)?, env),
            env,
            locks,
            lock_name: format!("erp-{hash}"),
            client_id: config.client_id.clone(),
            token,
            authenticate: config.authenticate,
            logged_in: Mutex::new(false),
            quiet,
            offset_min: offset_min(&config.utc_offset)?,
            read_timeout: config.read_timeout.duration(),
            lock_wait: config.stock_timeout.duration(),
        })
    }

    /// Reads; `None` when the service says that there is nothing (404).
    pub(super) fn get(&self, get: &Get<'_>) -> PortResult<Option<Value>> {
        self.awake()?;
        self.log_in()?;
        let request = self.request(get)?;
        let first = self.fetch(&request, !self.authenticate)?;
        let reply = match first {
            // The service forgets its clients when it restarts: log in once more, ask once more.
            Reply::LoggedOut(_) => {
                self.authenticate()?;
                self.fetch(&request, true)?
            }
            Reply::Body(_) | Reply::Empty => first,
        };
        match reply {
            Reply::Body(body) => Ok(Some(body)),
            Reply::Empty => Ok(None),
            Reply::LoggedOut(reason) => Err(PortError::denied(reason)),
        }
    }

    /// Sends a write once and returns the answer whatever its status; [`PortError::Transient`] means not sent.
    pub(super) fn post<T: Serialize>(
        &self,
        name: &'static str,
        about: String,
        path: &str,
        base: &BaseCode,
        body: &T,
        permit: &Permit<'_>,
    ) -> PortResult<Answer> {
        self.awake()?;
        self.log_in().map_err(not_sent)?;
        let url = self.reads.client().url(&format!("/{path}/"));
        let request = Request {
            name,
            about,
            method: Method::POST,
            url: url.map_err(PortError::transient)?,
            headers: self.headers(Some(base)).map_err(PortError::transient)?,
            body: Some(serde_json::to_vec(body).map_err(|e| PortError::transient(e.to_string()))?),
            timeout: None,
        };
        let left_ms = permit.send_by.0.saturating_sub(permit.clock.boot().0);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        let _alone = self.alone(left.min(self.lock_wait))?;
        self.writes.write(request, Some(permit))
    }

    /// Asks what the service says about itself, without credentials and without a log-in.
    pub(super) fn version(&self) -> PortResult<Option<String>> {
        self.awake()?;
        let url = self.reads.client().url("/ObtenerInformacionServicio");
        let request = Request {
            name: "read service information",
            about: String::new(),
            method: Method::GET,
            url: url.map_err(PortError::rejected)?,
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]),
            body: None,
            timeout: Some(self.read_timeout),
        };
        match self.fetch(&request, true)? {
            Reply::Body(body) => Ok(body
                .pointer("/InformacionOrganic/Version")
                .and_then(Value::as_str)
                .map(|version| one_line(version, 40))),
            Reply::Empty | Reply::LoggedOut(_) => Ok(None),
        }
    }

    /// Logs in, once per process, where the configuration asks for it.
    pub(super) fn log_in(&self) -> PortResult<()> {
        if !self.authenticate {
            return Ok(());
        }
        {
            let done = self
                .logged_in
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if *done {
                return Ok(());
            }
        }
        self.authenticate()
    }

    /// Returns the service's offset from UTC in minutes.
    pub(super) fn offset_min(&self) -> i64 {
        self.offset_min
    }

    /// Returns wall time.
    pub(super) fn now(&self) -> Moment {
        self.env.clock.now()
    }

    /// Returns when the token ends, where it says so.
    pub(super) fn token_end(&self) -> Option<Moment> {
        token_end(self.token.expose_secret())
    }

    /// Describes an answer in the service's own words: reason phrase, `InformacionAdicional`, body. Never the token.
    pub(super) fn explain(&self, answer: &Answer) -> String {
        let mut text = status_text(answer);
        if let Some(more) = answer.header("InformacionAdicional") {
            // The service writes its line ends as two characters each.
            let more = more.replace("\\r\\n", " ").replace("\\t", " ");
            text = format!("{text}; {}", one_line(&more, EXCERPT));
        }
        let body = one_line(&decode_lossily(&answer.body), EXCERPT);
        let body = body.trim_start_matches('\u{feff}');
        if !answer.is_success() && !is_web_page(answer) && !body.is_empty() {
            text = format!("{text}; {body}");
        }
        if answer.status == 401 {
            match self.token_end() {
                Some(end) if end <= self.env.clock.now() => {
                    text = format!("{text}; the token ended at {end}, hint: get a new one");
                }
                Some(_) | None => {
                    text.push_str("; hint: token wrong or expired, or client not authenticated");
                }
            }
        }
        let token = self.token.expose_secret();
        if token.is_empty() {
            return text;
        }
        text.replace(token, "***")
    }

    /// Fails while the service's quiet hours last.
    fn awake(&self) -> PortResult<()> {
        let left = self
            .quiet
            .and_then(|quiet| quiet.left(self.env.clock.now()));
        match left {
            None => Ok(()),
            Some(left) => Err(PortError::Transient {
                reason: format!("quiet hours of the service, {} s left", left.as_secs()),
                retry_after: Some(left),
            }),
        }
    }

    fn request(&self, get: &Get<'_>) -> PortResult<Request> {
        // Without the final slash the service answers with a redirect.
        let mut path = format!("/{}/", get.path);
        for (i, (name, value)) in get.query.iter().enumerate() {
            path.push(if i == 0 { '?' } else { '&' });
            path.push_str(name);
            path.push('=');
            path.push_str(&encoded(value));
        }
        Ok(Request {
            name: get.name,
            about: get.about.clone(),
            method: Method::GET,
            url: self
                .reads
                .client()
                .url(&path)
                .map_err(PortError::rejected)?,
            headers: self.headers(get.base).map_err(PortError::rejected)?,
            body: None,
            timeout: Some(get.timeout),
        })
    }

    fn headers(&self, base: Option<&BaseCode>) -> Result<HeaderMap, String> {
        let value = |what: &str, text: &str| {
            HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| format!("{what} cannot stand in a header"))
        };
        let mut token = value("the token", self.token.expose_secret().trim())?;
        token.set_sensitive(true);
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([
            (ACCEPT, json.clone()),
            (CONTENT_TYPE, json),
            (ID_CLIENTE, value("client_id", &self.client_id)?),
            // Raw, without "Bearer": the service knows no other form.
            (AUTHORIZATION, token),
        ]);
        if let Some(base) = base {
            headers.insert(BASE_DE_DATOS, value("the base", base.as_str())?);
        }
        Ok(headers)
    }

    fn authenticate(&self) -> PortResult<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Credentials<'c> {
            id_cliente: &'c str,
            #[serde(rename = "JWToken")]
            token: &'c str,
        }
        let credentials = Credentials {
            id_cliente: &self.client_id,
            token: self.token.expose_secret().trim(),
        };
        let body =
            serde_json::to_vec(&credentials).map_err(|e| PortError::rejected(e.to_string()))?;
        let json = HeaderValue::from_static("application/json");
        let url = self.reads.client().url("/Autenticar/");
        let request = Request {
            name: "log in",
            about: String::new(),
            method: Method::POST,
            url: url.map_err(PortError::rejected)?,
            headers: HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]),
            body: Some(body),
            timeout: Some(self.read_timeout),
        };
        let _alone = self.alone(self.patience())?;
        // Logging in twice is harmless, so it may be repeated like a read.
        self.reads.read(&request, |answer| match answer.status {
            // Unverified: a version without log-in says so with one of these.
            200..=299 | 404 | 405 => Verdict::Take(()),
            _ => self.judge_status(answer).unwrap_or(Verdict::Take(())),
        })?;
        *self
            .logged_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        Ok(())
    }

    fn fetch(&self, request: &Request, last: bool) -> PortResult<Reply> {
        let _alone = self.alone(self.patience())?;
        self.reads.read(request, |answer| match answer.status {
            401 if !last => Verdict::Take(Reply::LoggedOut(self.explain(answer))),
            404 if is_web_page(answer) => {
                Verdict::Refuse("404 with a web page instead of data".to_owned())
            }
            404 => Verdict::Take(Reply::Empty),
            405 => Verdict::Again(format!(
                "{}; the service is still starting",
                self.explain(answer)
            )),
            _ => match self.judge_status(answer) {
                Some(verdict) => verdict,
                None => Verdict::of_json(parse_json(answer).map(Reply::Body)),
            },
        })
    }

    /// Judges by the status, in the service's own words.
    fn judge_status<T>(&self, answer: &Answer) -> Option<Verdict<T>> {
        let verdict = Verdict::of_status(answer, self.env.clock.now())?;
        let text = self.explain(answer);
        Some(match verdict {
            Verdict::Take(value) => Verdict::Take(value),
            Verdict::Again(_) => Verdict::Again(text),
            Verdict::Refuse(_) if (300..400).contains(&answer.status) => {
                Verdict::Refuse(format!("{text}: a redirect, which is never followed"))
            }
            Verdict::Refuse(_) => Verdict::Refuse(text),
            Verdict::Deny(_) => Verdict::Deny(text),
            Verdict::Wait(_, wait) => Verdict::Wait(text, wait),
        })
    }

    /// Returns how long a read waits for its turn: until the run's deadline, or as long as the longest call.
    fn patience(&self) -> Duration {
        let Some(until) = self.env.until else {
            return self.lock_wait;
        };
        let left_ms = until.0.saturating_sub(self.env.clock.boot().0);
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(self.lock_wait)
    }

    /// Waits until no other process of this machine talks to the service.
    ///
    /// Two locks: who waits for the service holds the turnstile, so that a process with many short requests cannot
    /// take the service again before the one that has waited longer.
    fn alone(&self, wait: Duration) -> PortResult<Box<dyn Held>> {
        let end = self
            .env
            .clock
            .boot()
            .plus_ms(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let busy = || {
            PortError::transient("the ERP service is busy with another process; nothing was sent")
        };
        let turnstile = self
            .locks
            .hold(&format!("{}-next", self.lock_name), wait)
            .map_err(PortError::transient)?
            .ok_or_else(busy)?;
        let left = u64::try_from(end.0.saturating_sub(self.env.clock.boot().0)).unwrap_or(0);
        let held = self
            .locks
            .hold(&self.lock_name, Duration::from_millis(left))
            .map_err(PortError::transient)?;
        drop(turnstile);
        held.ok_or_else(busy)
    }
}

/// Encodes a text for a path segment or a query value.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Turns the error of a log-in into one of the write behind it, which was certainly not sent.
fn not_sent(err: PortError) -> PortError {
    match err {
        PortError::Transient { .. } | PortError::Denied { .. } => err,
        PortError::Uncertain { reason } | PortError::Rejected { reason } => {
            PortError::transient(format!("not sent: {reason}"))
        }
    }
}
