//! The `forebay` binary: see [`forebay::cli`].

mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::give_memory_back();
    forebay::cli::run()
}
