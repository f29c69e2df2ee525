//! One HTTP client for one host: sends a request once and says how it ended.
//!
//! Redirects are never followed, proxies never used, nothing is repeated behind the caller's back, every answer is
//! bounded in time, size and number of headers. The client is built at the first call: an idle run pays nothing.

use std::error::Error as _;
use std::fmt;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use hyper::ext::ReasonPhrase;
use reqwest::blocking::{Body, Client};
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{Certificate, Method, Url, redirect, retry};

use crate::adapters::http::text::{decode_lossily, one_line};
use crate::domain::ports::PortError;

/// The largest answer that is read, in bytes after decompression.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// The largest number of headers that is read.
pub const MAX_HEADERS: usize = 100;

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Time to find the host and to connect.
    pub connect_timeout: Duration,
    /// Time for a whole call, where the request names none.
    pub total_timeout: Duration,
    /// A PEM file with authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether a connection may serve several calls; off where a stale one could cost an unknown outcome.
    pub keep_alive: bool,
    /// Whether the host's name may lead to this machine or to a link-local address: only for a host that the
    /// configuration lists. A base address that is itself an address or `localhost` needs no such leave.
    pub allow_local_addresses: bool,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation's name, for logs and errors (`read order`).
    pub name: &'static str,
    /// What it is about (an order id, a SKU), for errors; may be empty.
    pub about: String,
    /// The method.
    pub method: Method,
    /// The whole address, on the client's host.
    pub url: Url,
    /// Headers, secrets among them marked sensitive.
    pub headers: HeaderMap,
    /// The body, if any.
    pub body: Option<Vec<u8>>,
    /// Time for the whole call; `None` takes the client's.
    pub timeout: Option<Duration>,
}

impl Request {
    /// Names the operation and what it is about.
    pub fn title(&self) -> String {
        if self.about.is_empty() {
            return self.name.to_owned();
        }
        format!("{} {}", self.name, one_line(&self.about, 80))
    }
}

/// A whole answer, whatever its status.
#[derive(Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The reason phrase for display; empty when there was none, or none that HTTP allows.
    pub reason_phrase: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns a header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers
            .get(name)
            .map(|value| decode_lossily(value.as_bytes()))
    }

    /// Tells whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for Answer {
    /// Shows no header and no body: both may hold secrets or personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Certainly not sent: name not found, refused, no connection, a request that cannot be built.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Certainly not sent: the host could not prove who it is.
    #[error("not sent: {0}")]
    BadTls(String),
    /// Sent, or perhaps sent, and no whole answer came.
    #[error("{0}")]
    Lost(String),
    /// Sent, and the answer is larger than the limit.
    #[error("{0}")]
    TooLarge(String),
}

impl HttpError {
    /// Returns what it means for a write that is not to be repeated while it may have taken effect.
    pub fn of_write(&self, reason: String) -> PortError {
        match self {
            Self::NotSent(_) | Self::BadTls(_) => PortError::transient(reason),
            Self::Lost(_) | Self::TooLarge(_) => PortError::uncertain(reason),
        }
    }
}

/// A client for one host.
pub struct HttpClient {
    base: Url,
    host: String,
    options: HttpOptions,
    client: Mutex<Option<Client>>,
}

impl HttpClient {
    /// Prepares a client for the host of `base` without touching the network.
    ///
    /// # Errors
    ///
    /// A sentence for a person when `base` is not an `http` or `https` address with a host.
    pub fn new(base: &str, options: HttpOptions) -> Result<Self, String> {
        let base = Url::parse(base).map_err(|err| format!("the base address is invalid: {err}"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("the base address must begin with http:// or https://".to_owned());
        }
        let (Some(name), Some(port)) = (base.host_str(), base.port_or_known_default()) else {
            return Err("the base address names no host".to_owned());
        };
        let host = format!("{name}:{port}");
        Ok(Self {
            base,
            host,
            options,
            client: Mutex::new(None),
        })
    }

    /// Returns `host:port`, the key of the host's gate.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the base address.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Builds an address below the base from a path and a query that are already percent-encoded.
    ///
    /// # Errors
    ///
    /// A sentence when the path does not make an address on the client's host.
    pub fn url(&self, path_and_query: &str) -> Result<Url, String> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{path_and_query}"))
            .map_err(|err| format!("cannot build an address: {err}"))?;
        if url.origin() != self.base.origin() {
            return Err("the address leaves the configured host".to_owned());
        }
        Ok(url)
    }

    /// Finds the host and builds the client, if that was not yet done; sends nothing.
    ///
    /// Calling it before the last check of a claim keeps a slow name server out of the claim's time.
    pub fn ready(&self) -> Result<(), HttpError> {
        self.client().map(drop)
    }

    /// Sends a request once and reads the whole answer, whatever its status.
    pub fn execute(&self, request: Request) -> Result<Answer, HttpError> {
        let started = Instant::now();
        let name = request.name;
        let result = self.exchange(request, started);
        let duration_ms = started.elapsed().as_millis();
        let host = &self.host;
        match &result {
            Ok(answer) => log::debug!(
                "http.host":% = host, "http.operation" = name, "http.status" = answer.status, "duration_ms":% = duration_ms;
                "{name} at {host}: {} in {duration_ms} ms", answer.status
            ),
            Err(err) => log::debug!(
                "http.host":% = host, "http.operation" = name, "duration_ms":% = duration_ms;
                "{name} at {host}: {err} after {duration_ms} ms"
            ),
        }
        result
    }

    fn exchange(&self, request: Request, started: Instant) -> Result<Answer, HttpError> {
        if request.url.origin() != self.base.origin() {
            return Err(HttpError::NotSent(
                "the address leaves the configured host".to_owned(),
            ));
        }
        let client = self.client()?;
        let limit = request.timeout.unwrap_or(self.options.total_timeout);
        let bodiless = matches!(request.method, Method::GET | Method::HEAD | Method::DELETE);
        let mut builder = client
            .request(request.method, request.url)
            .headers(request.headers)
            .timeout(limit);
        builder = match request.body {
            Some(body) => builder.body(Body::from(body)),
            // Some servers answer 411 to a write that does not say that it is empty.
            None if bodiless => builder,
            None => builder.header(CONTENT_LENGTH, 0),
        };
        let mut response = builder.send().map_err(|err| classify(&err, limit))?;
        if response.headers().len() > MAX_HEADERS {
            return Err(HttpError::TooLarge(format!(
                "the answer has more than {MAX_HEADERS} headers"
            )));
        }
        let body = read_body(&mut response, started, limit)?;
        Ok(Answer {
            status: response.status().as_u16(),
            reason_phrase: reason_phrase(&response),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    fn client(&self) -> Result<Client, HttpError> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = self.build()?;
        *slot = Some(client.clone());
        Ok(client)
    }

    fn build(&self) -> Result<Client, HttpError> {
        let addresses = self.addresses()?;
        // A second call reports that a provider is installed already, which is all that is wanted.
        drop(rustls::crypto::ring::default_provider().install_default());
        let name = self.base.host_str().unwrap_or_default();
        let mut builder = Client::builder()
            .user_agent(concat!("stockbridge/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(self.options.connect_timeout)
            .timeout(self.options.total_timeout)
            .resolve_to_addrs(name, &addresses);
        if !self.options.keep_alive {
            builder = builder.pool_max_idle_per_host(0);
        }
        if self.base.scheme() == "http" {
            // No redirect leads to https from here, so the system's authorities need not be read.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &self.options.ca_file {
            let pem = std::fs::read(path).map_err(|err| {
                HttpError::BadTls(format!("cannot read {}: {err}", path.display()))
            })?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| {
                HttpError::BadTls(format!("{} holds no PEM certificate", path.display()))
            })?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder
            .build()
            .map_err(|err| HttpError::BadTls(chain(&err)))
    }

    /// Finds the host's addresses once, so that what was checked is what is connected to.
    fn addresses(&self) -> Result<Vec<SocketAddr>, HttpError> {
        let name = self.base.host_str().unwrap_or_default().to_owned();
        let port = self.base.port_or_known_default().unwrap_or(0);
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = literal.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let (tx, rx) = mpsc::channel();
        let asked = name.clone();
        // The resolver has no time-out of its own; a thread that it holds is left behind and dies with the process.
        std::thread::spawn(move || {
            let found = (asked.as_str(), port).to_socket_addrs();
            tx.send(found.map(Iterator::collect::<Vec<_>>)).ok();
        });
        let found = rx
            .recv_timeout(self.options.connect_timeout)
            .map_err(|_| HttpError::NotSent(format!("no name server answered for {name}")))?
            .map_err(|_| HttpError::NotSent(format!("the name {name} was not found")))?;
        let trusted = self.options.allow_local_addresses || name == "localhost";
        if !trusted && let Some(bad) = found.iter().find(|address| is_local(address.ip())) {
            return Err(HttpError::NotSent(format!(
                "the name {name} leads to {}, an address of this machine or its link",
                bad.ip()
            )));
        }
        if found.is_empty() {
            return Err(HttpError::NotSent(format!(
                "the name {name} has no address"
            )));
        }
        Ok(found)
    }
}

/// Tells whether an address means this machine, its link, or a cloud's metadata service.
fn is_local(ip: IpAddr) -> bool {
    const METADATA: [u8; 4] = [100, 100, 100, 200];
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets() == METADATA
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.segments()[..2] == [0xfd00, 0x0ec2]
        }
    }
}

fn read_body(
    response: &mut reqwest::blocking::Response,
    started: Instant,
    limit: Duration,
) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        let n_read = response
            .read(&mut chunk)
            .map_err(|err| HttpError::Lost(format!("the answer broke off: {}", chain(&err))))?;
        if n_read == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..n_read]);
        if body.len() > MAX_BODY {
            return Err(HttpError::TooLarge(format!(
                "the answer is larger than {MAX_BODY} bytes"
            )));
        }
        if started.elapsed() > limit {
            return Err(HttpError::Lost(format!(
                "no whole answer within {} ms",
                limit.as_millis()
            )));
        }
    }
}

fn reason_phrase(response: &reqwest::blocking::Response) -> String {
    match response.extensions().get::<ReasonPhrase>() {
        Some(phrase) => one_line(&decode_lossily(phrase.as_bytes()), 200),
        None => response
            .status()
            .canonical_reason()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Sorts an error by the one question that matters: can the other side have seen the request?
fn classify(err: &reqwest::Error, limit: Duration) -> HttpError {
    let text = chain(err);
    if err.is_builder() {
        return HttpError::NotSent(text);
    }
    if err.is_connect() {
        let mut source = err.source();
        while let Some(cause) = source {
            if is_tls(cause) {
                return HttpError::BadTls(text);
            }
            source = cause.source();
        }
        return HttpError::NotSent(text);
    }
    if err.is_timeout() {
        return HttpError::Lost(format!("no answer within {} ms", limit.as_millis()));
    }
    HttpError::Lost(text)
}

fn is_tls(err: &(dyn std::error::Error + 'static)) -> bool {
    if err.is::<rustls::Error>() {
        return true;
    }
    // An I/O error hides what it wraps from `source`.
    err.downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .is_some_and(|inner| is_tls(inner))
}

/// Writes an error and its causes on one line, without addresses (a query may name what should not be logged).
fn chain(err: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(err);
    while let Some(err) = next {
        // The outermost text of reqwest repeats the address; its causes say what happened.
        let outer = err
            .downcast_ref::<reqwest::Error>()
            .is_some_and(|e| e.url().is_some());
        let text = err.to_string();
        if !outer && parts.last() != Some(&text) {
            parts.push(text);
        }
        next = err.source();
    }
    if parts.is_empty() {
        parts.push("the request failed".to_owned());
    }
    one_line(&parts.join(": "), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> Result<HttpClient, String> {
        HttpClient::new(
            base,
            HttpOptions {
                connect_timeout: Duration::from_secs(1),
                total_timeout: Duration::from_secs(1),
                ca_file: None,
                keep_alive: false,
                allow_local_addresses: false,
            },
        )
    }

    #[test]
    fn only_web_addresses_with_a_host_make_a_client() {
        for bad in ["", "tienda", "ftp://x", "data:x", "http://"] {
            assert!(client(bad).is_err(), "{bad}");
        }
        assert_eq!(client("https://a.example").unwrap().host(), "a.example:443");
        assert_eq!(client("http://[::1]:8009/x").unwrap().host(), "[::1]:8009");
    }

    #[test]
    fn addresses_stay_below_the_base() {
        let below = client("http://erp:8008/api.Dragonfish/").unwrap();
        assert_eq!(
            below.url("/Stock/?page=1").unwrap().as_str(),
            "http://erp:8008/api.Dragonfish/Stock/?page=1"
        );
        assert!(client("http://erp").unwrap().url("@elsewhere/").is_err());
    }

    #[test]
    fn v31_addresses_of_this_machine_and_its_link_are_local() {
        for bad in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "169.254.169.254",
            "100.100.100.200",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_local(bad.parse().unwrap()), "{bad}");
        }
        for good in ["10.0.0.7", "192.168.1.9", "203.0.113.9", "2001:db8::1"] {
            assert!(!is_local(good.parse().unwrap()), "{good}");
        }
    }

    #[test]
    fn i13_an_answer_shows_neither_headers_nor_body() {
        let answer = Answer {
            status: 200,
            reason_phrase: String::new(),
            headers: HeaderMap::new(),
            body: b"canary".to_vec(),
        };
        assert!(!format!("{answer:?}").contains("canary"));
    }
}
