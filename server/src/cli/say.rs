//! What a command tells on stderr.

use std::fmt::Display;
use std::io::Write;

use super::progress;

/// Writes a line to stderr, above a progress line if there is one. That nobody reads it must not stop what it
/// tells about: `eprintln!` panics when stderr is a closed pipe or a full disk.
pub(super) fn say(line: impl Display) {
    progress::without_line(|| {
        let _ = writeln!(std::io::stderr(), "{line}");
    });
}
