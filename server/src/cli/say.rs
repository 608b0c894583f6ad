//! What a command tells on stderr.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to stderr. That nobody reads it must not stop what it tells about: `eprintln!`
/// panics when stderr is a closed pipe or a full disk.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
