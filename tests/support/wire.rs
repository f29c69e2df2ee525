//! A scripted HTTP peer on loopback, and the fakes that an adapter is handed: clocks, chance, gate.
//!
//! The peer answers byte for byte what a test wrote, so that broken answers can be told as they come off the wire.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file takes in this one and uses its own part of it"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a peer that hangs must really hang"
)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use stockbridge::domain::ports::{CallOutcome, Clock, Gate, PortError, PortResult, Rng};
use stockbridge::domain::time::{BootId, BootTime, Moment};

/// What the peer does with one request.
#[derive(Clone)]
pub enum Reply {
    /// Writes these bytes and closes the connection.
    Raw(Vec<u8>),
    /// Writes these bytes one by one, so far apart, then closes the connection.
    Drip(Vec<u8>, Duration),
    /// Reads the request, writes nothing, keeps the connection open for so long.
    Hang(Duration),
}

/// Builds a whole answer with a JSON body.
pub fn json(status: &str, body: &str) -> Reply {
    with(
        status,
        &[("content-type", "application/json; charset=utf-8")],
        body.as_bytes(),
    )
}

/// Builds a whole answer.
pub fn with(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    // A 204 must not carry a length.
    if !status.starts_with("204") {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    Reply::Raw(bytes)
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query, encoded.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Seen {
    /// Returns the only header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let found = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "header {name} was sent twice");
        found
    }

    /// Reads the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The peer.
pub struct Wire {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Wire {
    /// Starts a peer that gives these answers in turn; the last one again and again.
    pub fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(VecDeque::from(replies)));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                thread::spawn(move || serve(stream, &script, &log));
            }
        });
        Self { port, seen }
    }

    /// Returns the peer's address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the peer's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns the one request that came.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

fn serve(mut stream: TcpStream, script: &Mutex<VecDeque<Reply>>, log: &Mutex<Vec<Seen>>) {
    let Some(seen) = read_request(&stream) else {
        return;
    };
    log.lock().unwrap().push(seen);
    let reply = {
        let mut script = script.lock().unwrap();
        match script.len() {
            0 => return,
            1 => script[0].clone(),
            _ => script.pop_front().unwrap(),
        }
    };
    // The client may have hung up in the meantime, which is its good right.
    match reply {
        Reply::Raw(bytes) => drop(stream.write_all(&bytes)),
        Reply::Drip(bytes, pause) => {
            for byte in bytes {
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
                thread::sleep(pause);
            }
        }
        Reply::Hang(time) => thread::sleep(time),
    }
    stream.shutdown(Shutdown::Write).ok();
    // Reading to the end keeps the kernel from answering unread bytes with a reset.
    std::io::copy(&mut stream, &mut std::io::sink()).ok();
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen {
        method,
        target,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// Clocks that only move when somebody sleeps.
pub struct StillClock {
    boot_ms: AtomicI64,
    /// What was slept, in milliseconds.
    pub slept: Mutex<Vec<u128>>,
}

impl StillClock {
    /// The wall time that never moves.
    pub const NOW: &'static str = "2026-03-02T12:00:00Z";

    /// Starts at boot time 1,000,000 ms.
    pub fn new() -> Self {
        Self {
            boot_ms: AtomicI64::new(1_000_000),
            slept: Mutex::new(Vec::new()),
        }
    }
}

impl Clock for StillClock {
    fn now(&self) -> Moment {
        Moment::parse(Self::NOW).unwrap()
    }
    fn boot(&self) -> BootTime {
        BootTime(self.boot_ms.load(Ordering::SeqCst))
    }
    fn boot_id(&self) -> BootId {
        BootId("test".to_owned())
    }
    fn sleep(&self, duration: Duration) {
        self.slept.lock().unwrap().push(duration.as_millis());
        let ms = i64::try_from(duration.as_millis()).unwrap();
        self.boot_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Chance that always draws the largest number.
pub struct Largest;

impl Rng for Largest {
    fn uniform(&self, max: u64) -> u64 {
        max
    }
}

/// A gate that lets all pass, or none, and remembers what it was told.
pub struct GateLog {
    closed: bool,
    /// Host and outcome of each call.
    pub told: Mutex<Vec<(String, CallOutcome)>>,
}

impl GateLog {
    /// A gate that lets all pass.
    pub fn open() -> Self {
        Self {
            closed: false,
            told: Mutex::new(Vec::new()),
        }
    }

    /// A gate that lets none pass.
    pub fn closed() -> Self {
        Self {
            closed: true,
            told: Mutex::new(Vec::new()),
        }
    }

    /// Returns the outcomes so far.
    pub fn outcomes(&self) -> Vec<CallOutcome> {
        self.told.lock().unwrap().iter().map(|(_, o)| *o).collect()
    }
}

impl Gate for GateLog {
    fn admit(&self, host: &str) -> PortResult<()> {
        if self.closed {
            return Err(PortError::transient(format!("{host} is left alone")));
        }
        Ok(())
    }
    fn report(&self, host: &str, outcome: CallOutcome) {
        self.told.lock().unwrap().push((host.to_owned(), outcome));
    }
}
