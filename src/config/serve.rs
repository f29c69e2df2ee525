//! `[serve]`: the long-running door. Its keys, and what must hold between them.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::load::ConfigError;
use crate::config::secret::SecretSource;
use crate::config::sections::Config;
use crate::config::span::Span;
use crate::config::validate::{address, is_loopback, utc_offset as utc_offset_is};

/// The long-running door.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// Where to listen: address and port.
    pub listen: String,
    /// Run the stages when the hook has told of an order.
    pub run_stages: bool,
    /// The least time from one such run to the next.
    pub wake_every: Span,
    /// The longest such run; then it is killed.
    pub run_limit: Span,
    /// Requests a second from one source, and twice as many at once; 0 for no limit.
    pub requests_a_second: u32,
    /// Take the last address of `X-Forwarded-For` for the source: only behind a proxy that sets it.
    pub behind_proxy: bool,
    /// Connections at a time; more wait.
    pub connections: u32,
    /// Requests that wait for the state file at a time; more are answered 503.
    pub queue: u32,
    /// Time for a request's head, and again for its body.
    pub read_timeout: Span,
    /// Time in which a request is answered, the wait for the state file included.
    pub answer_timeout: Span,
    /// Without a run of a stage for so long `/readyz` says that the program is not ready.
    pub stale_after: Span,
    /// Answer `/readyz` and `/metrics` to everyone, not to this machine only.
    pub open_metrics: bool,
    /// TLS, where no proxy ends it.
    pub tls: Option<TlsConfig>,
    /// VTEX's hook.
    pub hook: Option<HookConfig>,
    /// The available-stock interface for others.
    pub stock_api: Option<StockApiConfig>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8790".into(),
            run_stages: false,
            wake_every: Span::secs(3),
            run_limit: Span::secs(600),
            requests_a_second: 500,
            behind_proxy: false,
            connections: 512,
            queue: 1024,
            read_timeout: Span::secs(5),
            answer_timeout: Span::secs(3),
            stale_after: Span::secs(600),
            open_metrics: false,
            tls: None,
            hook: None,
            stock_api: None,
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// A PEM file with the certificate and those above it.
    pub certificate: PathBuf,
    /// A PEM file with the key; only its owner may be able to read it.
    pub key: PathBuf,
}

/// VTEX's hook.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// The address that VTEX posts to, as it is reached from outside.
    pub url: String,
    /// The header that proves that it is the hook.
    #[serde(default = "header")]
    pub header: String,
    /// Its value: at least 32 characters, made by chance.
    pub token: SecretSource,
    /// A value that is accepted besides, while it is replaced.
    #[serde(default)]
    pub previous_token: Option<SecretSource>,
    /// Create and repair the hook's configuration in `poll`; default false: only warn.
    #[serde(default)]
    pub manage: bool,
}

/// The available-stock interface of WinThor's page, answered from the configured ERP.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StockApiConfig {
    /// What a consumer sends as its bearer token: at least 32 characters, made by chance.
    pub token: SecretSource,
    /// A token that is accepted besides, while it is replaced.
    #[serde(default)]
    pub previous_token: Option<SecretSource>,
    /// How old a reading may be before a question makes a new one.
    #[serde(default = "minute")]
    pub refresh: Span,
    /// How old it may be when no new one can be made; then the answer is 503.
    #[serde(default = "ten_minutes")]
    pub max_age: Span,
    /// Rows of a page at most.
    #[serde(default = "largest_page")]
    pub largest_page: u32,
    /// In which offset from UTC changes are told and asked for, unless the ERP's own clock tells them.
    #[serde(default = "utc_offset")]
    pub utc_offset: String,
}

fn minute() -> Span {
    Span::secs(60)
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

fn largest_page() -> u32 {
    2000
}

fn utc_offset() -> String {
    "-03:00".into()
}

// VTEX's guides call the hook's headers pairs of names and values; its contract (Orders API) types them as an object that
// must have the one property `key`. This name is right by both.
fn header() -> String {
    "key".into()
}

/// The path that the hook posts to.
pub const HOOK_PATH: &str = "/webhook/vtex";

/// Lists the secrets with the key each stands under.
pub fn secrets(config: &ServeConfig) -> Vec<(String, &SecretSource)> {
    let mut named = Vec::new();
    if let Some(hook) = &config.hook {
        named.push(("serve.hook.token".to_owned(), &hook.token));
        let previous = hook.previous_token.as_ref();
        named.extend(previous.map(|source| ("serve.hook.previous_token".to_owned(), source)));
    }
    if let Some(api) = &config.stock_api {
        named.push(("serve.stock_api.token".to_owned(), &api.token));
        let previous = api.previous_token.as_ref();
        named.extend(previous.map(|source| ("serve.stock_api.previous_token".to_owned(), source)));
    }
    named
}

/// Checks the section; adds the mistakes, and what a person should know.
pub(super) fn check(config: &Config, errors: &mut Vec<ConfigError>, warnings: &mut Vec<String>) {
    let serve = &config.serve;
    let mut fail = |key: &str, reason: String, hint: &str| {
        let err = ConfigError::new(key, reason);
        errors.push(if hint.is_empty() { err } else { err.hint(hint) });
    };
    match serve.listen.parse::<SocketAddr>() {
        Err(_) => fail(
            "serve.listen",
            format!("{:?} is not an address with a port", serve.listen),
            "write it like 127.0.0.1:8790",
        ),
        Ok(at) if !at.ip().is_loopback() && serve.tls.is_none() => warnings.push(format!(
            "serve.listen {at} is open to other machines and unprotected: the hook's header travels readable; set \
             serve.tls, or listen on 127.0.0.1 behind a proxy"
        )),
        Ok(at) if !at.ip().is_loopback() && serve.behind_proxy => warnings.push(format!(
            "serve.behind_proxy believes X-Forwarded-For, and serve.listen {at} can be reached without the proxy"
        )),
        Ok(_) => {}
    }
    if let Some(hook) = &serve.hook {
        match address(&hook.url) {
            Err(reason) => fail("serve.hook.url", reason.into(), ""),
            Ok(at) if !at.secure && !is_loopback(at.host) => fail(
                "serve.hook.url",
                "must begin with https://".into(),
                "VTEX posts to https addresses only",
            ),
            Ok(at) if !at.path.ends_with(HOOK_PATH) => fail(
                "serve.hook.url",
                format!("must end with {HOOK_PATH}"),
                "that is where serve takes it",
            ),
            Ok(_) => {}
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if hook.header.is_empty() || hook.header.len() > 64 || !hook.header.chars().all(plain) {
            fail(
                "serve.hook.header",
                format!("{:?} is not the name of a header", hook.header),
                "use letters, digits and -",
            );
        }
    }
    if let Some(api) = &serve.stock_api {
        if !utc_offset_is(&api.utc_offset) {
            let hint = "write it like -03:00";
            fail(
                "serve.stock_api.utc_offset",
                "is not an offset".into(),
                hint,
            );
        }
        if api.max_age < api.refresh {
            let reason = "is shorter than serve.stock_api.refresh".into();
            fail("serve.stock_api.max_age", reason, "");
        }
        if !(1..=10_000).contains(&api.largest_page) {
            let reason = format!("{} is not between 1 and 10000", api.largest_page);
            fail("serve.stock_api.largest_page", reason, "");
        }
    }
    for (key, value, least, most) in [
        (
            "serve.requests_a_second",
            serve.requests_a_second,
            0,
            100_000,
        ),
        ("serve.connections", serve.connections, 8, 10_000),
        ("serve.queue", serve.queue, 8, 100_000),
    ] {
        if value < least || value > most {
            fail(
                key,
                format!("{value} is not between {least} and {most}"),
                "",
            );
        }
    }
}
