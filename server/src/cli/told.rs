//! What several commands tell on stderr alike.

use super::failure::Failure;
use super::say::say;

/// Says why messages were given back, of those of which somebody said.
pub(super) fn say_reasons<'m>(messages: impl Iterator<Item = (u64, &'m str)>) {
    for (seq, reason) in messages.filter(|(_, reason)| !reason.is_empty()) {
        say(format_args!("{seq} was given back: {reason}"));
    }
}

/// Says on stderr which receipts were refused and why; a failure if there are any.
pub(super) fn say_outcome(
    failures: &[forebay_protocol::Failure],
    done: &str,
    count: usize,
) -> Result<(), Failure> {
    for failure in failures {
        say(format_args!(
            "forebay: receipt {}: {}: {}",
            failure.index + 1,
            failure.code,
            failure.text
        ));
    }
    say(format_args!("{} of {count} {done}", count - failures.len()));
    if failures.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}
