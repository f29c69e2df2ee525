//! The store's hook: posts each change of status to the registered address, and again until it is answered with 200.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::time::Moment;
use crate::sandbox::vtex::documents;
use crate::sandbox::vtex::model::{Notification, VtexModel};
use crate::sandbox::vtex::server::lock;
use crate::sandbox::{ACCOUNT, APP_KEY, SandboxClock};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(5_000);
/// Posts at a time.
const POSTMEN: usize = 4;
/// How often the postmen look for something to post.
const LOOK_MS: u64 = 2;

/// The postmen of a store; they stop when this is dropped.
pub(super) struct Postmen {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Postmen {
    pub(super) fn start(model: &Arc<Mutex<VtexModel>>, clock: &SandboxClock) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..POSTMEN).map(|_| {
            let (model, clock, stop) = (Arc::clone(model), clock.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if !post_next(&model, &clock) {
                        crate::sandbox::http::pause(LOOK_MS);
                    }
                }
            })
        });
        Self {
            threads: threads.collect(),
            stop,
        }
    }
}

impl Drop for Postmen {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Posts what is due; false when nothing is.
fn post_next(model: &Mutex<VtexModel>, clock: &SandboxClock) -> bool {
    let now = clock.now();
    let (config, next) = {
        let mut model = lock(model);
        let due = model.hooks.iter().position(|hook| hook.due <= now);
        let Some(next) = due.and_then(|at| model.hooks.remove(at)) else {
            return false;
        };
        (model.hook_config.clone(), next)
    };
    let answer = config.map(|config| post(&config, &document(&next, now)));
    let mut model = lock(model);
    match answer {
        Some(Some(200)) => model.hook_answers += 1,
        // Nobody is to be told any more.
        None => {}
        Some(_) => model.post_again(next, now),
    }
    true
}

fn document(hook: &Notification, now: Moment) -> Value {
    json!({
        "Domain": "Fulfillment", "OrderId": hook.order.as_str(), "State": hook.status, "LastState": "",
        "LastChange": documents::instant(now), "CurrentChange": documents::instant(now),
        "Origin": {"Account": ACCOUNT, "Key": APP_KEY},
    })
}

/// Tries whether an address answers, as the store does before it saves a configuration.
pub(super) fn answers(config: &Value) -> bool {
    post(config, &json!({"hookConfig": "ping"})) == Some(200)
}

/// Posts one document; returns the status of the answer.
fn post(config: &Value, document: &Value) -> Option<u16> {
    let url = config.pointer("/hook/url")?.as_str()?;
    let (authority, path) = url.strip_prefix("http://")?.split_once('/')?;
    let address: SocketAddr = authority.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_nodelay(true).ok()?;
    let body = document.to_string();
    let mut head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    for (name, value) in config.pointer("/hook/headers").and_then(Value::as_object)? {
        head.push_str(&format!("{name}: {}\r\n", value.as_str()?));
    }
    let request = format!("{head}\r\n{body}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = [0; 64];
    let mut n = 0;
    while n < 12 {
        match stream.read(&mut answer[n..]).ok()? {
            0 => return None,
            more => n += more,
        }
    }
    let line = std::str::from_utf8(&answer[..12]).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.parse().ok()
}
