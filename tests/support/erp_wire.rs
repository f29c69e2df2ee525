//! A scripted peer for the Dragonfish adapter: raw replies in order, every request kept, and a still world around it.

#![allow(
    clippy::disallowed_methods,
    reason = "a peer that hangs must really hang"
)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use stockbridge::domain::ports::{CallOutcome, Clock, Gate, Held, Locks, PortResult, Rng};
use stockbridge::domain::time::{BootId, BootTime, Moment};

/// What the peer does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Writes these bytes and closes.
    Raw(Vec<u8>),
    /// Closes without a word.
    Cut,
    /// Keeps the caller waiting, then closes.
    Stall(Duration),
}

/// Builds a JSON reply.
pub fn json(status: &str, body: &str) -> Reply {
    with(status.as_bytes(), &[], body.as_bytes())
}

/// Builds a reply from raw parts.
pub fn with(status: &[u8], headers: &[&[u8]], body: &[u8]) -> Reply {
    let mut raw = b"HTTP/1.1 ".to_vec();
    raw.extend(status);
    raw.extend(b"\r\nContent-Type: application/json\r\nConnection: close\r\n");
    for header in headers {
        raw.extend(*header);
        raw.extend(b"\r\n");
    }
    raw.extend(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    raw.extend(body);
    Reply::Raw(raw)
}

/// One request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Method and target.
    pub line: String,
    /// Header lines.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Seen {
    /// Returns a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The peer.
pub struct Wire {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Wire {
    /// Starts a peer that answers with these replies in order, and with a cut afterwards.
    pub fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            let mut script: VecDeque<_> = replies.into();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else {
                    continue;
                };
                log.lock().unwrap().push(request);
                match script.pop_front().unwrap_or(Reply::Cut) {
                    Reply::Raw(bytes) => drop(stream.write_all(&bytes)),
                    Reply::Cut => {}
                    Reply::Stall(time) => thread::sleep(time),
                }
            }
        });
        Self { port, seen }
    }

    /// Returns the service's address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api.Dragonfish", self.port)
    }

    /// Returns what arrived.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns method and target of what arrived.
    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut seen = Seen {
        line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
        ..Seen::default()
    };
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        seen.headers.push((name.to_owned(), value.to_owned()));
    }
    let length = seen.header("content-length").and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    seen.body = String::from_utf8(body).ok()?;
    Some(seen)
}

/// A world that stands still: time moves only by sleeping, chance is always 0, locks are free, the gate only notes.
pub struct Still {
    /// Wall time in milliseconds.
    pub now: AtomicI64,
    /// Boot time in milliseconds.
    pub boot: AtomicI64,
    /// What the gate was told.
    pub outcomes: Mutex<Vec<CallOutcome>>,
    /// Names of the locks asked for.
    pub locks: Mutex<Vec<String>>,
    /// The name of a lock that somebody else holds.
    pub taken: Option<&'static str>,
}

impl Default for Still {
    fn default() -> Self {
        Self {
            now: AtomicI64::new(1_767_268_800_000),
            boot: AtomicI64::new(1_000_000),
            outcomes: Mutex::default(),
            locks: Mutex::default(),
            taken: None,
        }
    }
}

impl Clock for Still {
    fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::Relaxed))
    }
    fn boot(&self) -> BootTime {
        BootTime(self.boot.load(Ordering::Relaxed))
    }
    fn boot_id(&self) -> BootId {
        BootId("boot".into())
    }
    fn sleep(&self, duration: Duration) {
        let ms = i64::try_from(duration.as_millis()).unwrap();
        self.now.fetch_add(ms, Ordering::Relaxed);
        self.boot.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Rng for Still {
    fn uniform(&self, _max: u64) -> u64 {
        0
    }
}

impl Gate for Still {
    fn admit(&self, _host: &str) -> PortResult<()> {
        Ok(())
    }
    fn report(&self, _host: &str, outcome: CallOutcome) {
        self.outcomes.lock().unwrap().push(outcome);
    }
}

struct Free;

impl Held for Free {}

impl Locks for Still {
    fn hold(&self, name: &str, _wait: Duration) -> Result<Option<Box<dyn Held>>, String> {
        self.locks.lock().unwrap().push(name.to_owned());
        if self.taken.is_some_and(|taken| name.ends_with(taken)) {
            return Ok(None);
        }
        Ok(Some(Box::new(Free)))
    }
}
