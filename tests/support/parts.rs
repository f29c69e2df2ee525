//! Parts from outside that some tests need: a Python environment, a command, a folder.
//!
//! On a machine without them a test says so on raw stderr, where no test harness hides it, and passes without having
//! looked at anything. `tests/all` brings the parts and sets `STOCKBRIDGE_REQUIRE_PARTS=1`, which turns every such
//! skip into a failure.

#![allow(dead_code, reason = "each test file uses some of these")]

use std::io::Write;
use std::path::{Path, PathBuf};

/// Tells whether a test may go on: true when its part is there.
///
/// Panics when the part is absent and all parts are required.
pub(crate) fn part(name: &str, available: bool) -> bool {
    let required = variable("STOCKBRIDGE_REQUIRE_PARTS").is_some_and(|value| value == "1");
    assert!(
        available || !required,
        "{} needs {name}, and STOCKBRIDGE_REQUIRE_PARTS=1 allows no skip",
        test_name()
    );
    optional_part(name, available)
}

/// Like [`part`], for what is never required, such as files outside this repository.
pub(crate) fn optional_part(name: &str, available: bool) -> bool {
    if !available {
        // Only the print macros are captured by the harness; a write to the stream itself is not.
        let line = format!("SKIPPED {}: needs {name}\n", test_name());
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    available
}

/// Reads a variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests ask the environment for their parts"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the Python of the environment that `tests/all` makes, where there is one with `aiosmtpd`.
pub(crate) fn mail_python() -> Option<PathBuf> {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/py");
    let python = environment.join("bin/python3");
    let installed = std::fs::read_dir(environment.join("lib"))
        .ok()?
        .filter_map(Result::ok)
        .any(|version| version.path().join("site-packages/aiosmtpd").is_dir());
    (installed && python.exists()).then_some(python)
}

/// Tells whether a command is in the search path.
pub(crate) fn command_exists(name: &str) -> bool {
    variable("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

fn test_name() -> String {
    let thread = std::thread::current();
    thread.name().unwrap_or("a test").to_owned()
}
