//! The points of the security table in `tests/README.md` that no other test shows: of the process, its files, its sources.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/shop.rs"]
mod shop;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use shop::Shop;
use stockbridge::sandbox::APP_TOKEN;
use stockbridge::sandbox::faults::When;

/// The most packages in `Cargo.lock`; raised only with a reason, in the commit that needs it.
const MOST_PACKAGES: usize = 290;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ends: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != ".git" {
            files(&path, ends, found);
        } else if path.is_file() && ends.iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
}

/// Returns the code of every file of the product, without comments and tests, by its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root().join("src"), &[".rs"], &mut found);
    let code = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap().to_owned();
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let name = path
            .strip_prefix(root().join("src"))
            .unwrap()
            .to_string_lossy()
            .into_owned();
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    found.into_iter().map(code).collect()
}

fn with_word(word: &str) -> BTreeSet<String> {
    let named = sources()
        .into_iter()
        .filter(|(_, code)| code.contains(word));
    named
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("sandbox/"))
        .collect()
}

fn program(shop: &Shop, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockbridge"));
    command
        .args(args)
        .arg("--config")
        .arg(shop.path("stockbridge.toml"))
        .current_dir(shop.folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Set for the process that hardens itself and tells how it is.
const HARDENS: &str = "STOCKBRIDGE_TEST_HARDENS";

#[test]
fn p04_the_process_leaves_no_core_and_cannot_be_looked_into() {
    if std::env::var_os(HARDENS).is_some() {
        stockbridge::adapters::host::harden().unwrap();
        let now = format!("{:?}", rustix::process::dumpable_behavior().unwrap());
        assert_eq!(now, "NotDumpable");
        return;
    }
    let name = "p04_the_process_leaves_no_core_and_cannot_be_looked_into";
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(HARDENS, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && said.contains("1 passed"), "{said}");

    // The program itself, in the middle of its work.
    let shop = Shop::open(1);
    shop.sell(0, 1);
    let told = shop.sandbox.faults.hold_at(3, When::Before);
    let mut child = program(&shop, &["run"]).spawn().unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    // Its arguments and its environment, which others of this account may read, hold no secret.
    let line = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&line).contains(APP_TOKEN));
    child.wait().unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{words:?}");
}

#[test]
fn p05_secrets_are_opened_where_they_are_sent_and_nowhere_else() {
    let opened = with_word("expose_secret()");
    let places = [
        "adapters/dragonfish/session.rs",
        "adapters/mail/smtp.rs",
        "adapters/odbc/connect.rs",
        "adapters/odbc/worker.rs",
        "adapters/vtex/hook.rs",
        "adapters/vtex/mod.rs",
        "adapters/webhook/mod.rs",
        "adapters/whatsapp/mod.rs",
        "adapters/winthor/session.rs",
        // The part of a secret address that an error may show alone is made known to the log's filter.
        "app/channels.rs",
        // The short hash that `doctor` shows.
        "app/custody.rs",
        "app/serve.rs",
        "config/secret.rs",
        // The filter that takes them out of every line.
        "logging.rs",
        // Compared with what a caller sent, and the key of our own certificate.
        "serve/hook.rs",
        "serve/login.rs",
        "serve/stock.rs",
        "serve/tls.rs",
    ];
    let unknown: Vec<_> = opened
        .iter()
        .filter(|at| !places.contains(&at.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "a secret is opened in {unknown:?}; is that where it is sent?"
    );
}

#[test]
fn p08_nothing_in_the_repository_looks_like_a_live_secret() {
    let mut found = Vec::new();
    let ends = [
        ".rs", ".toml", ".md", ".sql", ".py", ".json", ".txt", ".service", ".example", ".j2", ".sh",
    ];
    files(root(), &ends, &mut found);
    assert!(found.len() > 200);
    // What the issuers put before their tokens, and what keys begin with. Put together here, so that this file has none.
    let marks = [
        ("-----BEGIN ", "RSA PRIVATE KEY"),
        ("-----BEGIN ", "OPENSSH PRIVATE KEY"),
        ("AGE-SECRET-", "KEY-1"),
        ("xox", "b-"),
        ("hooks.slack.com/", "services/T"),
        ("EAAG", "m0"),
        ("AKI", "AIOSF"),
        ("ghp", "_"),
        ("github_", "pat_"),
        ("vtexapptoken", "-"),
    ];
    for path in found {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for (begin, end) in marks {
            let mark = format!("{begin}{end}");
            assert!(!text.contains(&mark), "{}: {mark}", path.display());
        }
    }
}

#[test]
fn p09_no_source_can_switch_the_checks_of_tls_off() {
    for word in [
        "danger_accept",
        "dangerous()",
        "danger_",
        "set_verify",
        "SSL_VERIFY_NONE",
    ] {
        let named = with_word(word);
        assert!(named.is_empty(), "{word} in {named:?}");
    }
}

#[test]
fn p12_a_proxy_of_the_environment_is_not_used() {
    let shop = Shop::open(1);
    let order = shop.sell(0, 1);
    let mut command = program(&shop, &["run"]);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        // Nobody listens there: a call that took this way would fail.
        command.env(name, "http://127.0.0.1:9");
    }
    // More than once only where a busy machine answers late.
    let booked = (0..5).any(|_| {
        command.output().unwrap();
        shop.sandbox.clock.advance(61_000);
        shop.movements(&order) == (1, 0)
    });
    assert!(booked, "no call arrived");
}

#[test]
fn p24_every_file_is_its_owners_alone_whatever_the_umask() {
    let shop = Shop::open(1);
    shop.sell(0, 1);
    let own: BTreeSet<_> = names(shop.folder.path());
    let line = format!(
        "umask 000; exec {} run --config {}",
        env!("CARGO_BIN_EXE_stockbridge"),
        shop.path("stockbridge.toml").display()
    );
    for _ in 0..2 {
        let out = Command::new("sh").args(["-c", &line]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        // 3 where a busy machine answers late: what is looked at here is there all the same.
        assert!(matches!(out.status.code(), Some(0 | 3)), "{said}");
    }
    let save = format!("{line} && true").replace(" run ", " backup save.sqlite ");
    let ended = Command::new("sh")
        .args(["-c", &save])
        .current_dir(shop.folder.path())
        .status()
        .unwrap();
    assert!(ended.success());
    let made: Vec<_> = names(shop.folder.path())
        .difference(&own)
        .cloned()
        .collect();
    assert!(
        made.iter().any(|name| name.ends_with("save.sqlite")),
        "{made:?}"
    );
    assert!(made.iter().any(|name| name.ends_with(".mark")), "{made:?}");
    for name in made {
        let meta = fs::metadata(shop.path(&name)).unwrap();
        let mode = meta.mode() & 0o7777;
        // The locks of a service are for every account on the machine: to hold, not to write into.
        let shared = name.starts_with("locks");
        let allowed = match (meta.is_dir(), shared) {
            (true, true) => 0o1777,
            (true, false) => 0o700,
            (false, true) => 0o644,
            (false, false) => 0o600,
        };
        assert_eq!(mode & !allowed, 0, "{name} has mode {mode:04o}");
    }
}

/// Returns the names of all files and folders below a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    fn walk(folder: &Path, top: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.insert(
                path.strip_prefix(top)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
            );
            if path.is_dir() {
                walk(&path, top, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(folder, folder, &mut found);
    found
}

#[test]
fn p25_the_units_keep_the_program_in() {
    for unit in ["stockbridge.service", "stockbridge-serve.service"] {
        let text = fs::read_to_string(root().join("examples/systemd").join(unit)).unwrap();
        for line in [
            "User=stockbridge",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "ReadWritePaths=/var/lib/stockbridge",
            "PrivateTmp=yes",
            "CapabilityBoundingSet=",
            "UMask=0077",
            "LimitCORE=0",
            "StateDirectoryMode=0700",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{unit} lacks {line}"
            );
        }
        for begin in [
            "RestrictAddressFamilies=AF_INET ",
            "MemoryMax=",
            "LoadCredential=",
        ] {
            assert!(
                text.lines().any(|found| found.starts_with(begin)),
                "{unit} lacks {begin}"
            );
        }
    }
}

#[test]
fn p26_children_are_started_in_three_places_and_never_by_a_shell() {
    let places = [
        "adapters/command/mod.rs",
        "app/serve.rs",
        "config/child.rs",
        "config/secret.rs",
    ];
    let starts = with_word("process::{Child, Command")
        .into_iter()
        .chain(with_word("Command::new("))
        .collect::<BTreeSet<_>>();
    let unknown: Vec<_> = starts
        .iter()
        .filter(|at| !places.contains(&at.as_str()))
        .collect();
    // lettre's own command of the log-in has the same name, and clap's is no process.
    let unknown: Vec<_> = unknown
        .into_iter()
        .filter(|at| with_word("std::process::").contains(*at))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for word in ["\"sh\"", "\"bash\"", "\"/bin/sh\""] {
        assert!(with_word(word).is_empty(), "{word}");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}

#[test]
fn p29_the_audit_table_takes_only_additions() {
    let shop = Shop::open(1);
    shop.run(&["status"]);
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let add = "INSERT INTO audit (at, who, act, subject, detail) VALUES (1, 'a', 'b', 'c', 'd')";
    assert_eq!(file.execute(add, []).unwrap(), 1);
    for sql in ["DELETE FROM audit", "UPDATE audit SET at = 0"] {
        let err = file.execute(sql, []).unwrap_err().to_string();
        assert!(err.contains("append-only"), "{sql}: {err}");
    }
}

#[test]
fn p30_what_cannot_be_undone_needs_yes_where_nobody_can_be_asked() {
    let shop = Shop::open(1);
    shop.sell(0, 1);
    shop.cycles(1);
    let copy = shop.path("copy.sqlite");
    let saved = program(&shop, &["backup", copy.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(saved.status.code(), Some(0));
    let before = fs::read(shop.path("state.sqlite")).unwrap();
    let restore = ["backup", "restore", copy.to_str().unwrap()];
    let out = program(&shop, &restore).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_ne!(out.status.code(), Some(0), "{said}");
    assert!(said.contains("without a terminal, add --yes"), "{said}");
    assert!(fs::read(shop.path("state.sqlite")).unwrap() == before);
}

#[test]
fn p33_the_number_of_packages_has_a_budget() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.matches("[[package]]").count();
    assert!(
        packages <= MOST_PACKAGES,
        "{packages} packages; raise the budget of {MOST_PACKAGES} only with a reason"
    );
    let foreign = lock.lines().filter(|line| line.starts_with("source = "));
    for source in foreign {
        assert_eq!(
            source,
            "source = \"registry+https://github.com/rust-lang/crates.io-index\""
        );
    }
}

#[test]
fn p34_sqlite_is_newer_than_its_bug() {
    assert!(
        rusqlite::version_number() >= 3_051_003,
        "{}",
        rusqlite::version()
    );
}

#[test]
fn p35_p36_a_release_checks_overflow_and_holds_no_sandbox() {
    let manifest: toml::Table =
        toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let release = &manifest["profile"]["release"];
    assert_eq!(release["overflow-checks"].as_bool(), Some(true));
    assert!(
        release.get("panic").is_none(),
        "a panic must unwind to main"
    );
    let defaults = manifest["features"]["default"].as_array().unwrap();
    assert!(
        !defaults
            .iter()
            .any(|feature| feature.as_str() == Some("sandbox"))
    );
    // The gate looks for the sandbox's words in the release binary itself.
    let gate = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(
        gate.contains("SANDBOXTOKEN"),
        "the gate looks into the release binary"
    );
}

#[test]
fn p01_modes_of_secret_files_are_looked_at_by_the_program_itself() {
    let shop = Shop::open(1);
    fs::set_permissions(shop.path("token"), fs::Permissions::from_mode(0o640)).unwrap();
    let out = program(&shop, &["poll"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(78), "{said}");
    assert!(
        said.contains("chmod 600") && !said.contains(APP_TOKEN),
        "{said}"
    );
}

#[test]
fn every_test_that_the_table_names_is_there() {
    let readme = fs::read_to_string(root().join("tests/README.md")).unwrap();
    let table = readme.split("## Security, point by point").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    assert_eq!(rows.count(), 38);
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        files(&root().join(folder), &[".rs"], &mut found);
    }
    let code: String = found
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let quoted = table.split('`').skip(1).step_by(2);
    let named = quoted.filter(|word| word.contains('_') && !word.contains(['/', '.']));
    let missing: Vec<_> = named
        .filter(|name| {
            *name != "trust_server_certificate" && !code.contains(&format!("fn {name}("))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
