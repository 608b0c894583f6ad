//! Results on stdout, notes on stderr.
//!
//! Whoever reads results may close stdout, or its disk may be full: then the measurement ends, as if it had
//! been interrupted, and what it started and wrote goes.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::BenchError;

static REFUSED: OnceLock<io::ErrorKind> = OnceLock::new();
static REFUSAL: Notify = Notify::const_new();

/// Prints a line.
pub(crate) fn line(line: impl Display) {
    if let Err(error) = writeln!(io::stdout().lock(), "{line}")
        && REFUSED.set(error.kind()).is_ok()
    {
        REFUSAL.notify_one();
    }
}

/// Tells something beside the results. That nobody reads it must not end the measurement.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "forebay bench: {line}");
}

/// Whether all was printed so far.
pub(crate) fn check() -> Result<(), BenchError> {
    match REFUSED.get() {
        None => Ok(()),
        Some(io::ErrorKind::BrokenPipe) => Err(BenchError::output_closed()),
        Some(kind) => Err(BenchError::new(format!("stdout: {kind}"))),
    }
}

/// Waits until something could not be printed.
pub(crate) async fn refused() -> Result<(), BenchError> {
    REFUSAL.notified().await;
    check()
}
