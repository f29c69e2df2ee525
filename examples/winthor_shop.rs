//! A large shop with WinThor, served for the real binary: see `tests/bench/winthor`.
//!
//! `winthor_shop FOLDER PRODUCTS`: writes FOLDER/stockbridge.toml and its secrets, says "ready" and the number of SKUs,
//! and judges when its input is closed: exit code 0 only if every number is right.

#![allow(
    clippy::print_stdout,
    reason = "a program that talks to the person who started it"
)]

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stockbridge::domain::ids::WarehouseId;
use stockbridge::sandbox::catalogue::WAREHOUSE;
use stockbridge::sandbox::oracle::packs;
use stockbridge::sandbox::winthor::model::BRANCH;
use stockbridge::sandbox::winthor::server::{PASSWORD, USER};
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, WinthorSandbox};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map(PathBuf::from);
    let products = args.next().and_then(|text| text.parse().ok());
    let (Some(folder), Some(products)) = (folder, products) else {
        println!("usage: winthor_shop FOLDER PRODUCTS");
        return ExitCode::from(64);
    };
    match serve(&folder, products) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            println!("{err}");
            ExitCode::from(70)
        }
    }
}

fn serve(folder: &Path, products: u64) -> io::Result<bool> {
    let sandbox = WinthorSandbox::start(products)?;
    let files = [
        ("stockbridge.toml", configuration(&sandbox)),
        ("vtex-key", APP_KEY.to_owned()),
        ("vtex-token", APP_TOKEN.to_owned()),
        ("erp-password", PASSWORD.to_owned()),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    }
    println!("ready {}", sandbox.vtex.with(|store| store.products.len()));
    io::stdin().read_to_end(&mut Vec::new())?;
    let warehouse = WarehouseId::parse(WAREHOUSE).map_err(io::Error::other)?;
    let rows = packs(&sandbox, &warehouse);
    let right = rows.iter().filter(|row| row.right()).count();
    println!("{right} of {} numbers right", rows.len());
    for violation in sandbox.violations().iter().take(5) {
        println!("RULE BROKEN: {violation}");
    }
    Ok(right == rows.len() && sandbox.violations().is_empty())
}

fn configuration(sandbox: &WinthorSandbox) -> String {
    format!(
        r#"[store]
path = "state.sqlite"
shared_locks = "locks"
[vtex]
account = "tienda"
base_url = "{vtex}"
app_key = {{ file = "vtex-key" }}
app_token = {{ file = "vtex-token" }}
manage_feed = true
[poll]
cutover = "2020-01-01T00:00:00Z"
[erp.winthor]
url = "{erp}"
user = "{USER}"
password = {{ file = "erp-password" }}
page_size = 2000
[[warehouse]]
id = "{WAREHOUSE}"
bases = ["{BRANCH}"]
[push]
max_drop_percent = 90
[notify.mail]
transport = "file"
folder = "mail"
from = "stock@example.com"
to = ["shop@example.com"]
[protocol]
requests_a_minute = 100000
"#,
        vtex = sandbox.vtex.url(),
        erp = sandbox.winthor.url(),
    )
}
