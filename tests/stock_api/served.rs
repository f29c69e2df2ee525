//! The binary as a server, and how it is asked.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockbridge::sandbox::winthor::model::{BRANCH, OTHER};
use stockbridge::sandbox::winthor::server::{PASSWORD, USER};
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, WinthorSandbox};

/// The token that is accepted.
pub const TOKEN: &str = "5d1c0a9d7be14658a0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4051627";
/// The token before it.
pub const OLD: &str = "00ff0a9d7be14658a0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4051627";
/// The list's path.
pub const LIST: &str = "/api/stock-vtex/v1/available/list";

/// The user and password of the log-in.
pub const CONSUMER: [&str; 2] = ["PANEL", "una-clave-de-prueba"];

/// The binary, serving.
pub struct Served {
    /// Where.
    pub port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Asks it to close, and waits until it has.
    pub fn close(mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves a shop with this ERP, and with these further keys of the interface.
pub fn serve(vtex: &str, erp: &str, keys: &str, secrets: &[(&str, &str)]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let common = [
        ("key", APP_KEY),
        ("token", APP_TOKEN),
        ("api", TOKEN),
        ("old", OLD),
        ("consumer", CONSUMER[1]),
    ];
    for (name, value) in common.iter().chain(secrets) {
        let path = folder.path().join(name);
        fs::write(&path, value).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let user = CONSUMER[0];
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = format!(
        r#"
[store]
path = "state.sqlite"
shared_locks = "locks"
[vtex]
account = "tienda"
base_url = "{vtex}"
app_key = {{ file = "key" }}
app_token = {{ file = "token" }}
[poll]
cutover = "2020-01-01T00:00:00Z"
{erp}
[serve]
listen = "127.0.0.1:{port}"
[serve.stock_api]
token = {{ file = "api" }}
previous_token = {{ file = "old" }}
user = "{user}"
password = {{ file = "consumer" }}
largest_page = 500
{keys}
[notify.mail]
transport = "file"
folder = "mail"
from = "stock@example.com"
to = ["shop@example.com"]
"#
    );
    let config = folder.path().join("stockbridge.toml");
    fs::write(&config, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_stockbridge"))
        .args(["serve", "--config"])
        .arg(&config)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let served = Served {
        port,
        child,
        _folder: folder,
    };
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "serve does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    served
}

/// Serves the stock of a WinThor.
pub fn winthor(sandbox: &WinthorSandbox, keys: &str) -> Served {
    let erp = format!(
        "[erp.winthor]\nurl = \"{}\"\nuser = \"{USER}\"\npassword = {{ file = \"erp\" }}\n\
         [[warehouse]]\nid = \"1_1\"\nbases = [\"{BRANCH}\"]\n[[warehouse]]\nid = \"1_2\"\nbases = [\"{OTHER}\"]\n",
        sandbox.winthor.url()
    );
    serve(&sandbox.vtex.url(), &erp, keys, &[("erp", PASSWORD)])
}

/// One request; status and body.
pub fn ask(port: u16, path: &str, header: &str) -> (u16, Value) {
    send(port, "GET", path, header, "")
}

/// One request with a method and a body; status and body.
pub fn send(port: u16, method: &str, path: &str, header: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: here\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// The header with a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Every item of a question, page by page: by id and branch.
pub fn all(port: u16, query: &str, size: u32, header: &str) -> Items {
    let mut items = BTreeMap::new();
    for page in 1.. {
        let path = format!("{LIST}?{query}&page={page}&pageSize={size}");
        let (status, body) = ask(port, &path, header);
        assert_eq!(status, 200, "{query}: {body}");
        for item in body["items"].as_array().unwrap() {
            let id = |name: &str| item[name].as_str().unwrap().to_owned();
            let key = (id("productId"), id("warehouseBranchId"));
            let again = items.insert(key, item.clone());
            assert!(again.is_none(), "{query}: {item} twice");
        }
        if body["hasNext"] == json!(false) {
            break;
        }
        assert!(page < 1000, "{query} does not end");
    }
    items
}

/// Items by id and branch.
pub type Items = BTreeMap<(String, String), Value>;
