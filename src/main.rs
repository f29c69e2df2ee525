//! The street door.

use std::process::ExitCode;

fn main() -> ExitCode {
    stockbridge::app::run(std::env::args_os())
}
