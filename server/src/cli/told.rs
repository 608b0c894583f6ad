//! What several commands tell on stderr alike.

use forebay_protocol::client::{Client, ClientError};
use forebay_protocol::{ErrorCode, Fact, QueueAttributes};

use super::failure::Failure;
use super::say::say;

/// Says why messages were given back, of those of which somebody said.
pub(super) fn say_reasons<'m>(messages: impl Iterator<Item = (u64, &'m str)>) {
    for (seq, reason) in messages.filter(|(_, reason)| !reason.is_empty()) {
        say(format_args!("{seq} was given back: {reason}"));
    }
}

/// Says that a queue's in-flight limit keeps messages back, if it does; whether that was said.
pub(super) async fn say_in_flight_limit(client: &Client, queue: &str) -> bool {
    // That it cannot be asked is no reason to fail: whoever receives goes on.
    let Ok(explained) = client.explain(queue, None).await else { return false };
    let waiting = explained.facts.iter().find_map(|fact| match fact {
        Fact::Waiting { messages, .. } => Some(*messages),
        _ => None,
    });
    let max = explained.facts.iter().find_map(|fact| match fact {
        Fact::InFlightLimit { max } => Some(*max),
        _ => None,
    });
    let (Some(messages), Some(max)) = (waiting, max) else { return false };
    say(format_args!(
        "forebay: queue {queue:?} has as many messages in flight as it may, {max}; messages that wait: \
         {messages}"
    ));
    true
}

/// The dead-letter queue that a queue names, if there is none of that name. That it cannot be asked is no
/// reason to fail.
pub(super) async fn missing_dead_letter_queue(
    client: &Client,
    attributes: &QueueAttributes,
) -> Option<String> {
    let name = attributes.dead_letter_queue.as_deref().filter(|name| !name.is_empty())?;
    match client.describe_queue(name).await {
        Err(ClientError::Refused(error)) if error.code == ErrorCode::UnknownQueue => {
            Some(name.to_owned())
        }
        _ => None,
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
