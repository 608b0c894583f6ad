//! What texts must be by themselves, and what attributes must be together.

use super::{
    Attributes, DeduplicationScope, FifoThroughputLimit, NOTES_BYTES_MAX, REDRIVE_SOURCES_MAX,
    RedrivePermission, TAGS_BYTES_MAX, TAGS_MAX, TextMap, check_queue_name, queue_name::shorten,
    value::Field,
};
use crate::error::RequestError;

/// The longest key and value of a tag, in characters (SQS).
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

/// What the keys of tags must not begin with, in any case: AWS keeps it for itself.
const TAG_PREFIX_RESERVED: &str = "aws:";

/// An attribute whose value breaks a rule.
pub(crate) fn invalid(
    attribute: &'static str,
    value: impl AsRef<str>,
    expected: impl Into<String>,
) -> RequestError {
    let value = shorten(value.as_ref());
    RequestError::AttributeInvalid { attribute, value, expected: expected.into() }
}

fn check_count(
    name: &'static str,
    found: usize,
    what: &str,
    max: usize,
) -> Result<(), RequestError> {
    match found <= max {
        true => Ok(()),
        false => Err(invalid(name, format!("{found} {what}"), format!("at most {max}"))),
    }
}

pub(super) fn check_target_name(name: &'static str, queue: &str) -> Result<(), RequestError> {
    match queue {
        "" => Ok(()),
        _ => check_named_queue(name, queue),
    }
}

fn check_named_queue(name: &'static str, queue: &str) -> Result<(), RequestError> {
    let expected = "a queue's name";
    check_queue_name(queue).map_err(|_| invalid(name, format!("{queue:?}"), expected))
}

pub(super) fn check_queue_name_list(
    name: &'static str,
    queues: &[String],
) -> Result<(), RequestError> {
    check_count(name, queues.len(), "queues", REDRIVE_SOURCES_MAX)?;
    for (index, queue) in queues.iter().enumerate() {
        check_named_queue(name, queue)?;
        if queues[..index].contains(queue) {
            return Err(invalid(name, format!("{queue:?} twice"), "each queue once"));
        }
    }
    Ok(())
}

pub(super) fn check_tags(name: &'static str, tags: &TextMap) -> Result<(), RequestError> {
    const KEY: &str = "the key of a tag";
    const VALUE: &str = "the value of a tag";
    check_count(name, tags.len(), "tags", TAGS_MAX)?;
    for (key, value) in tags {
        let is_reserved = key
            .get(..TAG_PREFIX_RESERVED.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(TAG_PREFIX_RESERVED));
        if is_reserved {
            return Err(invalid(KEY, format!("{key:?}"), "one that does not begin with aws:"));
        }
        if key.is_empty() || key.chars().count() > TAG_KEY_CHARS_MAX {
            let expected = format!("1 to {TAG_KEY_CHARS_MAX} characters");
            return Err(invalid(KEY, format!("{key:?}"), expected));
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            let expected = format!("at most {TAG_VALUE_CHARS_MAX} characters");
            return Err(invalid(VALUE, format!("{value:?}"), expected));
        }
        let is_allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
        for (part, text) in [(KEY, key), (VALUE, value)] {
            if !text.chars().all(is_allowed) {
                let expected = "letters, digits, spaces and _ . : / = + - @";
                return Err(invalid(part, format!("{text:?}"), expected));
            }
        }
    }
    check_count(name, tags.value().text_bytes(), "bytes", TAGS_BYTES_MAX)
}

pub(super) fn check_notes(name: &'static str, notes: &TextMap) -> Result<(), RequestError> {
    check_count(name, notes.value().text_bytes(), "bytes", NOTES_BYTES_MAX)
}

impl Attributes {
    /// Checks what values must be together.
    pub fn check(&self) -> Result<(), RequestError> {
        if !self.fifo {
            self.check_standard()?;
        }
        if self.fifo_throughput_limit == FifoThroughputLimit::Group
            && self.deduplication_scope != DeduplicationScope::Group
        {
            let expected = "queue, unless deduplication-scope is group";
            return Err(invalid("fifo-throughput-limit", "group", expected));
        }
        match (self.receive_count_max, self.dead_letter_queue.is_empty()) {
            (0, false) => {
                let expected = "1 to 1000 with a dead-letter-queue";
                return Err(invalid("receive-count-max", "0", expected));
            }
            (count @ 1.., true) => {
                let expected = "0 without a dead-letter-queue";
                return Err(invalid("receive-count-max", count.to_string(), expected));
            }
            (0, true) | (1.., false) => {}
        }
        if !self.redrive_sources.is_empty() && self.redrive_permission != RedrivePermission::ByQueue
        {
            let expected = "none, unless redrive-permission is by-queue";
            return Err(invalid("redrive-sources", self.redrive_sources.shown(), expected));
        }
        Ok(())
    }

    /// A queue that is not FIFO has what only those have at its default.
    fn check_standard(&self) -> Result<(), RequestError> {
        let default = Self::default();
        let fifo_only = Self {
            content_based_deduplication: default.content_based_deduplication,
            deduplication_scope: default.deduplication_scope,
            fifo_throughput_limit: default.fifo_throughput_limit,
            deduplication_window_ms: default.deduplication_window_ms,
            ..self.clone()
        };
        match self.as_changes().first_difference(&fifo_only) {
            Some((name, given, expected)) => {
                Err(invalid(name, given, format!("{expected}, for the queue is not FIFO")))
            }
            None => Ok(()),
        }
    }

    /// Whether this queue may be the dead-letter queue of the one of that name.
    pub(crate) fn permits_redrive_from(&self, name: &str) -> bool {
        match self.redrive_permission {
            RedrivePermission::All => true,
            RedrivePermission::None => false,
            RedrivePermission::ByQueue => self.redrive_sources.iter().any(|queue| queue == name),
        }
    }
}
