//! Secrets that lie encrypted: each tool of the readme, as the real program, opens the store's token for a real run.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/parts.rs"]
mod parts;
#[path = "support/shop.rs"]
mod shop;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shop::Shop;
use stockbridge::sandbox::APP_TOKEN;

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A shop whose owner's home is a folder of its own, with no token that could be read by itself.
struct Home {
    shop: Shop,
    home: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let shop = Shop::open(1);
        fs::remove_file(shop.path("token")).unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { shop, home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a tool as the owner would to put the secret away; returns what it prints.
    fn tool(&self, argv: &[&str], input: &str) -> String {
        let mut child = Command::new(argv[0])
            .args(&argv[1..])
            .env_clear()
            .envs([("PATH", PATH), ("HOME", self.home.path().to_str().unwrap())])
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{argv:?}: {said}");
        String::from_utf8(out.stdout).unwrap()
    }

    /// Asks the store with the token from a command, and again with a command that cannot open it.
    fn opens(&self, argv: &[&str], cannot: &[&str]) {
        assert!(
            !contains(self.home.path(), APP_TOKEN),
            "it lies there readable"
        );
        let config = self.shop.path("stockbridge.toml");
        let text = fs::read_to_string(&config).unwrap();
        let before = "app_token = { file = \"token\" }";
        assert!(text.contains(before));
        let with =
            |argv: &[&str]| text.replace(before, &format!("app_token = {{ command = {argv:?} }}"));
        let run = || {
            Command::new(env!("CARGO_BIN_EXE_stockbridge"))
                .args(["poll", "-vvv", "--config"])
                .arg(&config)
                .env_clear()
                .envs([("PATH", PATH), ("HOME", self.home.path().to_str().unwrap())])
                .stdin(Stdio::null())
                .output()
                .unwrap()
        };
        fs::write(&config, with(argv)).unwrap();
        self.shop.sell(0, 1);
        let out = run();
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert_eq!(out.status.code(), Some(0), "{said}");
        assert!(said.contains("read order"), "the store was asked: {said}");
        assert!(!said.contains(APP_TOKEN));

        fs::write(&config, with(cannot)).unwrap();
        let out = run();
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert_eq!(out.status.code(), Some(78), "{said}");
        assert!(
            said.contains("vtex.app_token") && !said.contains(APP_TOKEN),
            "{said}"
        );
    }
}

fn contains(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return contains(&path, text);
        }
        path.is_file() && String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text)
    })
}

#[test]
fn age_opens_the_token() {
    if !parts::part("age", parts::command_exists("age")) {
        return;
    }
    let home = Home::new();
    for name in ["key", "other"] {
        home.tool(&["age-keygen", "-o", name], "");
    }
    let recipient = home.tool(&["age-keygen", "-y", "key"], "");
    home.tool(&["age", "-r", recipient.trim(), "-o", "wa.age"], APP_TOKEN);
    let (key, other, file) = (home.path("key"), home.path("other"), home.path("wa.age"));
    let open = |key: &Path| {
        let argv = [
            "/usr/bin/age",
            "-d",
            "-i",
            key.to_str().unwrap(),
            file.to_str().unwrap(),
        ];
        argv.map(str::to_owned)
    };
    let (open, cannot) = (open(&key), open(&other));
    home.opens(
        &open.each_ref().map(String::as_str),
        &cannot.each_ref().map(String::as_str),
    );
}

#[test]
fn sops_opens_the_token_from_a_file_for_git() {
    let sops = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/py/bin/sops");
    let tools = sops.is_file() && parts::command_exists("age");
    if !parts::part("sops and age", tools) {
        return;
    }
    let sops = sops.to_str().unwrap();
    let home = Home::new();
    // Where sops looks for it, with next to no environment.
    fs::create_dir_all(home.path(".config/sops/age")).unwrap();
    home.tool(&["age-keygen", "-o", ".config/sops/age/keys.txt"], "");
    let recipient = home.tool(&["age-keygen", "-y", ".config/sops/age/keys.txt"], "");
    let plain = format!("wa: {APP_TOKEN}\n");
    let file = home.path("secrets.yaml");
    fs::write(&file, plain).unwrap();
    let file = file.to_str().unwrap();
    home.tool(
        &[
            sops,
            "encrypt",
            "--age",
            recipient.trim(),
            "--in-place",
            file,
        ],
        "",
    );
    home.opens(
        &[sops, "decrypt", "--extract", "[\"wa\"]", file],
        &[sops, "decrypt", "--extract", "[\"nobody\"]", file],
    );
}

#[test]
fn pass_opens_the_token_with_a_key_that_needs_no_person() {
    let tools = parts::command_exists("pass") && parts::command_exists("gpg");
    if !parts::part("pass and gpg", tools) {
        return;
    }
    let home = Home::new();
    fs::create_dir(home.path(".gnupg")).unwrap();
    fs::set_permissions(home.path(".gnupg"), fs::Permissions::from_mode(0o700)).unwrap();
    let user = "stock@tienda.example";
    home.tool(
        &[
            "gpg",
            "--batch",
            "--passphrase",
            "",
            "--quick-generate-key",
            user,
            "default",
            "default",
            "never",
        ],
        "",
    );
    home.tool(&["pass", "init", user], "");
    home.tool(&["pass", "insert", "--multiline", "stock/wa"], APP_TOKEN);
    home.opens(
        &["/usr/bin/pass", "show", "stock/wa"],
        &["/usr/bin/pass", "show", "stock/nobody"],
    );
    home.tool(&["gpgconf", "--kill", "all"], "");
}

#[test]
fn systemd_creds_opens_the_token_as_a_command_and_as_a_credential() {
    let there = parts::part("systemd-creds", parts::command_exists("systemd-creds"));
    let root = rustix::process::geteuid().is_root();
    if !there || !parts::optional_part("root, who alone may read the host's key", root) {
        return;
    }
    let home = Home::new();
    let file = home.path("wa.cred");
    let file = file.to_str().unwrap();
    home.tool(
        &[
            "systemd-creds",
            "encrypt",
            "--with-key=host",
            "--name=wa",
            "-",
            file,
        ],
        APP_TOKEN,
    );
    home.opens(
        &["/usr/bin/systemd-creds", "decrypt", "--name=wa", file, "-"],
        // Under another name it does not open: nobody can put one secret in another's place.
        &[
            "/usr/bin/systemd-creds",
            "decrypt",
            "--name=other",
            file,
            "-",
        ],
    );

    // What `LoadCredentialEncrypted=` leaves for a unit: the opened file in a folder that only it can read.
    let folder = home.path("credentials");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let opened = home.tool(&["systemd-creds", "decrypt", "--name=wa", file, "-"], "");
    fs::write(folder.join("wa"), opened).unwrap();
    fs::set_permissions(folder.join("wa"), fs::Permissions::from_mode(0o400)).unwrap();
    let config = home.shop.path("stockbridge.toml");
    let text = fs::read_to_string(&config).unwrap();
    let at = text.find("app_token = ").unwrap();
    let end = at + text[at..].find('\n').unwrap();
    let text = format!(
        "{}app_token = {{ credential = \"wa\" }}{}",
        &text[..at],
        &text[end..]
    );
    fs::write(&config, text).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_stockbridge"))
        .args(["poll", "--config"])
        .arg(&config)
        .env_clear()
        .env("CREDENTIALS_DIRECTORY", &folder)
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(0));
}
