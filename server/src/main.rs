//! The `forebay` binary: see [`forebay::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    forebay::cli::run()
}
