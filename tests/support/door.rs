//! The long-running door as a process of its own, over a shop, and a client that can misbehave.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "each test file uses its part; a process is waited for in real time"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::shop::Shop;

/// The value of the hook's header.
pub const TOKEN: &str = "3f0c2a9d7be14658a0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4051627";
/// The header.
pub const HEADER: &str = "key";

/// The program: the one that belongs to the tests, elsewhere a release.
pub const BINARY: &str = match option_env!("CARGO_BIN_EXE_stockbridge") {
    Some(binary) => binary,
    None => "target/release/stockbridge",
};

/// An open door.
pub struct Door {
    /// Where it listens.
    pub port: u16,
    child: Child,
    lines: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// Finds a port that is free just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Adds a door to a shop's configuration: lines of `[serve]` and of `[serve.hook]`.
pub fn configure(shop: &Shop, port: u16, serve: &str, hook: &str) {
    let token = shop.path("hook-token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let file = shop.path("stockbridge.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.split("[serve]").next().unwrap();
    let text = format!(
        "{}\n[serve]\nlisten = \"127.0.0.1:{port}\"\n{serve}\n[serve.hook]\n\
         url = \"http://127.0.0.1:{port}/webhook/vtex\"\ntoken = {{ file = \"hook-token\" }}\n{hook}\n",
        text.trim_end()
    );
    fs::write(file, text).unwrap();
}

impl Door {
    /// Adds a door to a shop and opens it.
    pub fn open(shop: &Shop, serve: &str) -> Self {
        let port = free_port();
        configure(shop, port, serve, "");
        Self::start(shop, port)
    }

    /// Opens the door that a shop's configuration describes.
    pub fn start(shop: &Shop, port: u16) -> Self {
        Self::start_as(shop, port, Path::new(BINARY), &[])
    }

    /// The same with another binary, and variables.
    pub fn start_as(shop: &Shop, port: u16, binary: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "-v", "--wait", "5s", "--config"])
            .arg(shop.path("stockbridge.toml"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(String::new()));
        let (kept, stderr) = (Arc::clone(&lines), child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut door = Self {
            port,
            child,
            lines,
            reader: Some(reader),
        };
        let open = wait_for(Duration::from_secs(20), || {
            assert!(
                door.child.try_wait().unwrap().is_none(),
                "serve ended: {}",
                door.log()
            );
            door.log().contains("listening at")
        });
        assert!(open, "serve does not listen: {}", door.log());
        door
    }

    /// Returns what it has logged.
    pub fn log(&self) -> String {
        self.lines.lock().unwrap().clone()
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it, as a loss of power would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait_for(patience, || self.child.try_wait().unwrap().is_some());
        let status = self.child.try_wait().unwrap();
        // What it said last may still be on its way.
        if let (Some(_), Some(reader)) = (status, self.reader.take()) {
            reader.join().unwrap();
        }
        status
    }

    /// Posts an event with the right header; returns the status.
    pub fn tell(&self, order: &str) -> u16 {
        self.post(&event(order)).0
    }

    /// Posts a body with the right header; returns status and body.
    pub fn post(&self, body: &str) -> (u16, String) {
        self.ask(&post(body, Some(TOKEN)))
    }

    /// Reads a path.
    pub fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        self.ask(request.as_bytes())
    }

    /// Sends bytes and reads the answer to its end; status 0 when there was none.
    pub fn ask(&self, request: &[u8]) -> (u16, String) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return (0, String::new());
        };
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        // It may answer, and close, before all was sent.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        parse(&answer)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Takes status and body from an answer.
pub fn parse(answer: &[u8]) -> (u16, String) {
    let text = String::from_utf8_lossy(answer);
    let status = text.split(' ').nth(1).and_then(|n| n.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}

/// The body of an event.
pub fn event(order: &str) -> String {
    format!(
        r#"{{"Domain":"Fulfillment","OrderId":"{order}","State":"ready-for-handling","LastState":"window-to-cancel","LastChange":"2026-01-31T17:11:39.2550122Z","CurrentChange":"2026-01-31T17:12:48.0965893Z","Origin":{{"Account":"tienda","Key":"vtexappkey-tienda"}}}}"#
    )
}

/// A request to the hook.
pub fn post(body: &str, token: Option<&str>) -> Vec<u8> {
    let token = token.map_or_else(String::new, |token| format!("{HEADER}: {token}\r\n"));
    format!(
        "POST /webhook/vtex HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Waits until something is so; false when it takes too long.
pub fn wait_for(patience: Duration, mut so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + patience;
    loop {
        if so() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lists the orders in a shop's inbox.
pub fn inbox(shop: &Shop) -> Vec<String> {
    column(shop, "SELECT order_id FROM inbox ORDER BY order_id")
}

/// Reads one column of text from a shop's state file.
pub fn column(shop: &Shop, sql: &str) -> Vec<String> {
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    let mut found = file.prepare(sql).unwrap();
    let rows = found.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
