//! An upgrade of the state file that dies at every step, and old copies of it that are put back.

use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::{Field, Findings};

const FIRST: &str = include_str!("../../../sql/migrations/0001_init.sql");

/// What opening a file is made of.
const CALLS: [&str; 6] = ["pwrite64", "fdatasync", "openat", "write", "link", "unlink"];

/// So many copies are put back into one shop: judging one looks at every order, and each leaves two files behind.
const IN_ONE_SHOP: u64 = 25;

/// Kills the upgrade of an old file, and the making of a new one, at each step; then puts copies of several ages back into a shop in use.
pub fn upgrade(program: &Path, restores: u64, seed: u64) -> Findings {
    let mut found = Findings::default();
    let field = Field::open(program, seed);
    let config = std::fs::read_to_string(field.shop.path("stockbridge.toml")).unwrap();
    let config = config.replace("\"state.sqlite\"", "\"old.sqlite\"");
    std::fs::write(field.shop.path("old.toml"), config).unwrap();
    let newest: i64 = field
        .look()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    for (aged, call) in [true, false]
        .into_iter()
        .flat_map(|aged| CALLS.map(|call| (aged, call)))
    {
        for n in 1.. {
            let file = field.shop.path("old.sqlite");
            remove(&file);
            if aged {
                old(&file);
            }
            let struck = killed(&field, call, n);
            found.struck += u64::from(struck);
            let end = again(&field, &[]).status().unwrap().code();
            let now = Connection::open(&file).unwrap();
            let one =
                |sql: &str| -> Option<String> { now.query_row(sql, [], |row| row.get(0)).ok() };
            let version = one("SELECT user_version || '' FROM pragma_user_version");
            let order = one("SELECT status FROM orders WHERE order_id = '1-01'");
            if !matches!(end, Some(0 | 5))
                || version != Some(newest.to_string())
                || order.as_deref() != aged.then_some("handling")
                || one("PRAGMA integrity_check").as_deref() != Some("ok")
            {
                found.wrong.push(format!(
                    "killed at {call} {n}: then {end:?}, version {version:?}, order {order:?}"
                ));
            }
            if !struck {
                break;
            }
        }
    }
    let mut left = restores;
    while left > 0 && found.wrong.is_empty() {
        let copies = left.min(IN_ONE_SHOP);
        found.wrong.extend(put_back(program, copies, seed + left));
        left -= copies;
    }
    found.told = format!(
        "{} upgrades and first starts killed, {restores} old copies put back",
        found.struck
    );
    found
}

fn remove(path: &Path) {
    for end in ["", "-wal", "-shm", "-journal", ".mark"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
}

/// Makes a file of the first version, with an order in it.
fn old(path: &Path) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(FIRST).unwrap();
    file.execute_batch(
        "INSERT INTO instance (id, instance_id, account, erp, created_at) VALUES (1, 'i', 'tienda', 'dragonfish WOO', 1);
         INSERT INTO orders (order_id, status, stage, complete, workflow_in_error, has_package, before_cutover, found_by,
             seen_at, read_at, fact_seq, taken_at)
         VALUES ('1-01', 'handling', 'handling', 1, 0, 0, 0, 'feed', 1, 1, 1, 1);",
    )
    .unwrap();
    file.pragma_update(None, "application_id", 0x5354_4b42)
        .unwrap();
    file.pragma_update(None, "user_version", 1).unwrap();
}

/// The program on the old file.
fn again(field: &Field, wrapper: &[String]) -> Command {
    let mut line = wrapper.to_vec();
    line.push(field.program.display().to_string());
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .args(["gc", "--config"])
        .arg(field.shop.path("old.toml"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Kills the first opening of the old file at the N-th call; whether it struck.
fn killed(field: &Field, call: &str, n: u64) -> bool {
    let log = field.shop.path("strace.log");
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:signal=KILL:when={n}");
    let path = log.display().to_string();
    let wrapper = [
        "strace", "-f", "-qq", "-o", &path, "-e", &trace, "-e", &inject,
    ];
    let wrapper: Vec<String> = wrapper.map(ToOwned::to_owned).to_vec();
    again(field, &wrapper).status().unwrap();
    std::fs::read_to_string(log)
        .unwrap_or_default()
        .contains("killed by SIGKILL")
}

/// Puts copies of several ages back into a shop in use.
fn put_back(program: &Path, restores: u64, seed: u64) -> Vec<String> {
    let mut field = Field::open(program, seed);
    let mut wrong = vec![];
    let mut copies = vec![];
    for n in 0..restores {
        for _ in 0..field.chance.u32(1..4) {
            field.trade();
            field.shop.cycles(1);
        }
        let copy = field
            .shop
            .path(&format!("copy{n}.sqlite"))
            .display()
            .to_string();
        if field.run(&["backup", &copy]) != Some(0) {
            wrong.push(format!("no copy {n} could be made"));
        }
        copies.push(copy);
        for _ in 0..field.chance.u32(0..3) {
            field.trade();
            field.shop.cycles(1);
        }
        let back = &copies[field
            .chance
            .usize(copies.len().saturating_sub(5)..copies.len())];
        if field.run(&["backup", "restore", back, "--yes"]) != Some(0) {
            wrong.push(format!("copy {back} could not be put back"));
        }
        wrong.extend(field.judge());
        if !wrong.is_empty() {
            break;
        }
    }
    wrong
}
