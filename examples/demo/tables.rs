//! The tables behind the ERP's service, for a day on which stock is read by SQL: the TDS server of the tests, kept equal
//! to the sandbox's installation, and the driver that reads it.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use stockbridge::sandbox::Sandbox;

/// The roads by which stock can be read, as the configuration names them.
pub const ROADS: [&str; 5] = ["api", "sql", "api-then-sql", "sql-then-api", "both"];
/// The login's password; nobody but this machine can reach the server.
pub const PASSWORD: &str = "p;w d";
/// FreeTDS as Debian installs it.
const FREETDS: &str = "/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so";

/// A running server.
pub struct Tables {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    port: u16,
    driver: PathBuf,
    sent: String,
}

impl Tables {
    /// Starts the server.
    pub fn start() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/py/bin/python3");
        let missing = |what: &str| {
            let hint = "hint: tests/all installs it (apt and pip), once";
            io::Error::other(format!("stock by SQL needs {what}; {hint}"))
        };
        if !cfg!(feature = "odbc") {
            return Err(io::Error::other("this program was built without ODBC"));
        }
        let driver = driver(root).ok_or_else(|| missing("Microsoft's ODBC driver or FreeTDS"))?;
        if site(root, "pysqlbridge").is_none() || site(root, "duckdb").is_none() {
            return Err(missing("the TDS server of the tests, in target/py"));
        }
        let mut child = Command::new(python)
            .arg(root.join("tests/support/sql_rig.py"))
            .arg("--empty")
            .env_clear()
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let silent = || io::Error::other("the TDS server of the tests does not start");
        let input = child.stdin.take().ok_or_else(silent)?;
        let mut output = BufReader::new(child.stdout.take().ok_or_else(silent)?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.split_whitespace().nth(1);
        let port = port.and_then(|port| port.parse().ok()).ok_or_else(silent)?;
        Ok(Self {
            child,
            input,
            output,
            port,
            driver,
            sent: String::new(),
        })
    }

    /// Returns the configuration's section.
    pub fn section(&self) -> String {
        format!(
            "[erp.dragonfish.sql]\ndriver = \"{}\"\nserver = \"127.0.0.1,{}\"\nuser = \"reader\"\n\
             password = {{ file = \"sql-password\" }}\ntrust_server_certificate = true\nconnect_timeout = \"5s\"\n\
             statement_timeout = \"5s\"\n",
            self.driver.display(),
            self.port
        )
    }

    /// Gives the server the stock that the installation has now, and its offline bases.
    pub fn mirror(&mut self, sandbox: &Sandbox, folder: &Path) -> io::Result<()> {
        let (rows, offline) = sandbox.dragonfish.with(|erp| {
            let offline: Vec<_> = erp.offline.iter().map(ToString::to_string).collect();
            (erp.table(), offline.join(","))
        });
        let now = format!("{offline}\n{rows}");
        if now == self.sent {
            return Ok(());
        }
        let path = folder.join("tables.tsv");
        fs::write(&path, rows)?;
        self.order(&format!("load {}", path.display()))?;
        self.order(&format!("offline {offline}"))?;
        self.sent = now;
        Ok(())
    }

    /// Lets the server be reached, or not.
    pub fn reachable(&mut self, yes: bool) -> io::Result<()> {
        self.order(if yes { "pass" } else { "close" })
    }

    fn order(&mut self, order: &str) -> io::Result<()> {
        writeln!(self.input, "{order}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match line.trim() {
            "ok" => Ok(()),
            told => Err(io::Error::other(format!("the TDS server: {told}"))),
        }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds a part of the Python environment.
fn site(root: &Path, part: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(root.join("target/py/lib")).ok()?;
    let mut found = versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages").join(part));
    found.find(|path| path.exists())
}

fn driver(root: &Path) -> Option<PathBuf> {
    let microsoft = "mssql_python_odbc/libs/linux/debian_ubuntu/x86_64/lib";
    let microsoft = site(root, microsoft).and_then(|folder| {
        let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let mut files = files.map(|file| file.path());
        files.find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libmsodbcsql")
        })
    });
    microsoft.or_else(|| Some(PathBuf::from(FREETDS)).filter(|path| path.exists()))
}
