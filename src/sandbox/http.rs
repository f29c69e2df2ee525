//! A small HTTP/1.1 server that can misbehave: answer late, cut an answer, hang up without one, write any bytes as a
//! reason. It shares nothing with the client it tests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use percent_encoding::percent_decode_str;

/// The largest request that is read.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, decoded segment by segment.
    pub segments: Vec<String>,
    /// The path as sent.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns the body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or(serde_json::Value::Null)
    }

    /// Returns a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// How an answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mischief {
    /// As it should.
    #[default]
    None,
    /// Only the first half of the body, then the connection ends.
    Cut,
    /// Not at all: the connection ends.
    Reset,
    /// Not at all, and the connection stays open for so many milliseconds.
    Hang(u64),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The reason phrase, any bytes.
    pub reason: Vec<u8>,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it leaves.
    pub mischief: Mischief,
}

impl Reply {
    /// Builds an answer without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            reason: b"-".to_vec(),
            headers: vec![],
            body: vec![],
            mischief: Mischief::None,
        }
    }

    /// Builds a JSON answer.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        let body = value.to_string().into_bytes();
        Self {
            body,
            ..Self::empty(status)
        }
        .header("Content-Type", "application/json; charset=utf-8")
    }

    /// Builds a plain text answer.
    pub fn text(status: u16, text: &str) -> Self {
        Self {
            body: text.as_bytes().to_vec(),
            ..Self::empty(status)
        }
        .header("Content-Type", "text/plain")
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the reason phrase.
    pub fn reason(mut self, text: &str) -> Self {
        self.reason = text.as_bytes().to_vec();
        self
    }
}

/// A running server; it stops when dropped.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a free loopback port.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn start(handler: Arc<dyn Fn(&Request) -> Reply + Send + Sync>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let handler = Arc::clone(&handler);
                std::thread::spawn(move || {
                    // A client that goes away in the middle is nothing to report.
                    let _ = serve(stream, &*handler);
                });
            }
        });
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the server's address as a URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the server's port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, handler: &dyn Fn(&Request) -> Reply) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read_request(&mut stream, &mut buffer)? else {
            return Ok(());
        };
        let reply = handler(&request);
        let keep = request
            .header("connection")
            .is_none_or(|c| !c.eq_ignore_ascii_case("close"));
        if !write_reply(&mut stream, &reply, keep)? || !keep {
            return Ok(());
        }
    }
}

/// Reads one request; `None` when the client is done, or sent what is no request.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    loop {
        if let Some((mut request, head)) = parse_head(buffer) {
            let length = request
                .header("content-length")
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            if buffer.len() >= head + length {
                request.body = buffer[head..head + length].to_vec();
                buffer.drain(..head + length);
                return Ok(Some(request));
            }
        }
        let mut chunk = [0_u8; 8192];
        let n = stream.read(&mut chunk)?;
        if n == 0 || buffer.len() > MOST_BYTES {
            return Ok(None);
        }
        buffer.extend_from_slice(&chunk[..n]);
    }
}

fn parse_head(buffer: &[u8]) -> Option<(Request, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(buffer).ok()? else {
        return None;
    };
    let target = parsed.path?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let headers = parsed.headers.iter();
    let request = Request {
        method: parsed.method?.to_owned(),
        segments: path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
            .collect(),
        path: path.to_owned(),
        query: pairs
            .map(|(name, value)| (decode(name), decode(value)))
            .collect(),
        headers: headers
            .map(|h| {
                (
                    h.name.to_lowercase(),
                    String::from_utf8_lossy(h.value).into_owned(),
                )
            })
            .collect(),
        body: vec![],
    };
    Some((request, head))
}

/// Writes an answer; false when the connection must end.
fn write_reply(stream: &mut TcpStream, reply: &Reply, keep: bool) -> std::io::Result<bool> {
    match reply.mischief {
        Mischief::Reset => {
            stream.shutdown(Shutdown::Both)?;
            return Ok(false);
        }
        Mischief::Hang(ms) => {
            pause(ms);
            stream.shutdown(Shutdown::Both)?;
            return Ok(false);
        }
        Mischief::None | Mischief::Cut => {}
    }
    let mut out = format!("HTTP/1.1 {} ", reply.status).into_bytes();
    out.extend_from_slice(&reply.reason);
    out.extend_from_slice(b"\r\n");
    for (name, value) in &reply.headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if reply.status != 204 {
        out.extend_from_slice(format!("Content-Length: {}\r\n", reply.body.len()).as_bytes());
    }
    out.extend_from_slice(if keep {
        b"\r\n"
    } else {
        b"Connection: close\r\n\r\n"
    });
    let cut = reply.mischief == Mischief::Cut;
    let length = if cut {
        reply.body.len() / 2
    } else {
        reply.body.len()
    };
    out.extend_from_slice(&reply.body[..length]);
    stream.write_all(&out)?;
    stream.flush()?;
    if cut {
        stream.shutdown(Shutdown::Both)?;
    }
    Ok(!cut)
}

/// Waits, as a slow peer does.
#[expect(
    clippy::disallowed_methods,
    reason = "a peer that hangs must really hang"
)]
pub(super) fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
