//! A queue's attributes: their names, numbers, ranges, defaults and changes.
//!
//! One table, below, has a row per attribute: numbers first, then texts. From it come what a queue
//! has ([`Attributes`]), what a command may change ([`AttributeChanges`]), and what each value must
//! be by itself. What values must be together is in `check`; what a name must be, in `queue_name`.
//! Ranges follow SQS where it has them and are wider natively.

mod check;
mod queue_name;
mod value;

use crate::error::RequestError;
use crate::time::LogTime;
use crate::unit::Unit;
pub(crate) use check::invalid;
use check::{check_notes, check_queue_name_list, check_tags, check_target_name};
pub use queue_name::FIFO_SUFFIX;
pub(crate) use queue_name::{check_queue_name, check_type_of_name, shorten};
use value::Field;
pub use value::{
    DeduplicationScope, Durability, FifoThroughputLimit, RedrivePermission, TextMap, Value,
};

/// The longest visibility timeout: 12 h (SQS). Also the longest time from a receive to the end of
/// its lease, however often that is changed.
pub const VISIBILITY_MS_MAX: u64 = 12 * 3600 * 1000;

/// The longest delay: 100 years, which is no limit that anyone meets; it keeps sums in range.
pub const DELAY_MS_MAX: u64 = 100 * 365 * 24 * 3600 * 1000;

/// The longest wait of a receive: 20 s (SQS).
pub const RECEIVE_WAIT_MS_MAX: u64 = 20 * 1000;

/// The largest message that any queue may allow: 16 MiB.
pub const MESSAGE_BYTES_MAX: u64 = 16 << 20;

/// The longest retention: 100 years, which stands for "for ever".
pub const RETENTION_MS_MAX: u64 = DELAY_MS_MAX;

/// The most queues that may be named as a dead-letter queue's sources (SQS).
pub const REDRIVE_SOURCES_MAX: usize = 10;

/// The most tags (SQS recommends no more).
pub const TAGS_MAX: usize = 50;

/// The most bytes of all tags, as a record has them.
pub const TAGS_BYTES_MAX: usize = 32 << 10;

/// The most bytes of all notes, as a record has them.
pub const NOTES_BYTES_MAX: usize = 24 << 10;

/// The longest queue name (SQS).
pub const QUEUE_NAME_BYTES_MAX: usize = 80;

/// A number's row of the table.
#[derive(Debug)]
pub struct AttributeRow {
    /// The attribute's name in errors, documents and on the command line.
    pub name: &'static str,
    /// The number that stands for it in records (FORMAT.md, "Attributes").
    pub id: u16,
    /// What it counts.
    pub unit: Unit,
    /// Its value in a queue that was created without it.
    pub default: u64,
    /// The smallest value.
    pub min: u64,
    /// The largest value.
    pub max: u64,
}

/// A text's row of the table. A queue that was created without it has an empty one.
#[derive(Debug)]
pub struct TextRow {
    /// The attribute's name in errors, documents and on the command line.
    pub name: &'static str,
    /// The number that stands for it in records; has the bit [`TEXT_BIT`].
    pub id: u16,
    /// An empty one, which shows what kind of text it is.
    pub empty: fn() -> Value<'static>,
}

/// Set in the number of an attribute that is no number.
pub const TEXT_BIT: u16 = 0x8000;

macro_rules! attributes {
    (
        numbers { $( $(#[$doc:meta])* $id:literal $field:ident: $type:ty, $name:literal,
            $unit:ident, $default:expr, $min:expr, $max:expr; )* }
        texts { $( $(#[$text_doc:meta])* $text_id:literal $text_field:ident: $text_type:ty,
            $text_name:literal, $check:expr; )* }
    ) => {
        /// All attributes of a queue.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Attributes {
            $( $(#[$doc])* pub $field: $type, )*
            $( $(#[$text_doc])* pub $text_field: $text_type, )*
        }

        /// Attributes to set; `None` leaves one as it is, or at its default in a new queue.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct AttributeChanges {
            $( $(#[$doc])* pub $field: Option<$type>, )*
            $( $(#[$text_doc])* pub $text_field: Option<$text_type>, )*
        }

        /// Every number, in the order of their ids.
        pub const ATTRIBUTES: &[AttributeRow] = &[$( AttributeRow {
            name: $name, id: $id, unit: Unit::$unit, default: $default, min: $min, max: $max,
        }, )*];

        /// Every text, in the order of their ids.
        pub const TEXT_ATTRIBUTES: &[TextRow] = &[$( TextRow {
            name: $text_name, id: $text_id, empty: || <$text_type>::default().into_value(),
        }, )*];

        impl Attributes {
            /// These attributes with the changes made.
            pub fn with(&self, changes: &AttributeChanges) -> Self {
                Self {
                    $( $field: changes.$field.unwrap_or(self.$field), )*
                    $( $text_field: match &changes.$text_field {
                        Some(changed) => changed.clone(),
                        None => self.$text_field.clone(),
                    }, )*
                }
            }

            /// All of these as changes: what a record of them says.
            pub fn as_changes(&self) -> AttributeChanges {
                AttributeChanges {
                    $( $field: Some(self.$field), )*
                    $( $text_field: Some(self.$text_field.clone()), )*
                }
            }

            /// The bytes that the texts take in a record, without their numbers and counts.
            pub fn texts_bytes(&self) -> usize {
                0 $( + self.$text_field.value().text_bytes() )*
            }
        }

        impl Default for Attributes {
            fn default() -> Self {
                let known = "the table's defaults are values";
                Self {
                    $( $field: <$type>::from_value($default.into()).expect(known), )*
                    $( $text_field: Default::default(), )*
                }
            }
        }

        impl AttributeChanges {
            /// Checks each given value by itself.
            pub fn check(&self) -> Result<(), RequestError> {
                $( if let Some(Value::Number(value)) = self.$field.as_ref().map(Field::value) {
                    check_range_in(Unit::$unit, $name, value, $min, $max)?;
                } )*
                $( if let Some(value) = &self.$text_field { $check($text_name, value)?; } )*
                Ok(())
            }

            /// The attributes given: id and value, in the order of ids.
            pub fn iter(&self) -> impl Iterator<Item = (u16, Value<'_>)> {
                let numbers = [$( self.$field.as_ref().map(|value| ($id, value.value())), )*];
                let texts = [$( self.$text_field.as_ref().map(|v| ($text_id, v.value())), )*];
                numbers.into_iter().chain(texts).flatten()
            }

            /// Sets the attribute of that id. Refused are an id that no attribute has
            /// (`UnknownAttribute`), and a value that stands for nothing (`OutOfRange`).
            pub fn set<'v>(
                &mut self,
                id: u16,
                value: impl Into<Value<'v>>,
            ) -> Result<(), RequestError> {
                let value = value.into();
                match (id, &value) {
                    $( ($id, Value::Number(number)) => {
                        let (parameter, value, min, max) = ($name, *number, $min, $max);
                        let unit = Unit::$unit;
                        let error = RequestError::OutOfRange { parameter, unit, value, min, max };
                        self.$field = Some(<$type>::from_value(value.into()).ok_or(error)?);
                    } )*
                    $( ($text_id, _) => {
                        let error = RequestError::UnknownAttribute { id };
                        self.$text_field = Some(<$text_type>::from_value(value).ok_or(error)?);
                    } )*
                    _ => return Err(RequestError::UnknownAttribute { id }),
                }
                Ok(())
            }

            /// The first attribute given here that differs from `current`: its name, and what is
            /// given and current, in words.
            pub fn first_difference(
                &self,
                current: &Attributes,
            ) -> Option<(&'static str, String, String)> {
                $( if let Some(given) = &self.$field && *given != current.$field {
                    let shown = |value: &$type| shown_in_unit(Unit::$unit, value);
                    return Some(($name, shown(given), shown(&current.$field)));
                } )*
                $( if let Some(given) = &self.$text_field && *given != current.$text_field {
                    return Some(($text_name, given.shown(), current.$text_field.shown()));
                } )*
                None
            }

            /// Leaves only what is given here and is so in `current`.
            pub(crate) fn retain_current(&mut self, current: &Attributes) {
                $( self.$field = self.$field.take().filter(|given| *given == current.$field); )*
                $( self.$text_field =
                    self.$text_field.take().filter(|given| *given == current.$text_field); )*
            }

            /// The names of the attributes given, and their values in words.
            pub fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
                let numbers = [$( self.$field.as_ref().map(|v| ($name, v.shown())), )*];
                let texts = [$( self.$text_field.as_ref().map(|v| ($text_name, v.shown())), )*];
                numbers.into_iter().chain(texts).flatten()
            }
        }
    };
}

attributes! {
    numbers {
        /// How long a received message stays invisible, in ms.
        1 visibility_timeout_ms: u64, "visibility-timeout", Milliseconds, 30_000, 0, VISIBILITY_MS_MAX;
        /// How long a sent message stays invisible, in ms.
        2 delay_ms: u64, "delay", Milliseconds, 0, 0, DELAY_MS_MAX;
        /// How long a receive waits for a message, in ms.
        3 receive_wait_ms: u64, "receive-wait", Milliseconds, 0, 0, RECEIVE_WAIT_MS_MAX;
        /// The largest message in bytes: the body, and name, type and value of each attribute.
        4 message_bytes_max: u64, "message-bytes-max", Bytes, 1 << 20, 1 << 10, MESSAGE_BYTES_MAX;
        /// How long a message is kept, in ms; [`RETENTION_MS_MAX`] is for ever.
        5 retention_ms: u64, "retention", Milliseconds, 4 * 24 * 3600 * 1000, 60_000, RETENTION_MS_MAX;
        /// The most messages in flight at once.
        6 in_flight_max: u64, "in-flight-max", Count, 120_000, 1, 100_000_000;
        /// How often a message is received before it is a dead letter; 0: never one.
        7 receive_count_max: u64, "receive-count-max", Count, 0, 0, 1000;
        /// Whether the queue is FIFO. Set when it is created.
        8 fifo: bool, "fifo", Count, 0, 0, 1;
        /// Whether a message sent without a deduplication id takes the digest of its body for one.
        9 content_based_deduplication: bool, "content-based-deduplication", Count, 0, 0, 1;
        /// Among which messages a deduplication id is looked for.
        10 deduplication_scope: DeduplicationScope, "deduplication-scope", Count, 0, 0, 1;
        /// Stored for SQS; nothing is limited.
        11 fifo_throughput_limit: FifoThroughputLimit, "fifo-throughput-limit", Count, 0, 0, 1;
        /// How long a deduplication id is remembered, in ms.
        12 deduplication_window_ms: u64, "deduplication-window", Milliseconds, 300_000, 300_000, 604_800_000;
        /// What a send is answered behind.
        13 durability: Durability, "durability", Count, 0, 0, 1;
        /// Which queues may have this one as their dead-letter queue.
        14 redrive_permission: RedrivePermission, "redrive-permission", Count, 0, 0, 2;
    }
    texts {
        /// The name of the queue that gets this one's dead letters; empty: there is none.
        0x8001 dead_letter_queue: String, "dead-letter-queue", check_target_name;
        /// The queues that [`RedrivePermission::ByQueue`] permits, by name.
        0x8002 redrive_sources: Vec<String>, "redrive-sources", check_queue_name_list;
        /// What the queue's owner notes on it.
        0x8003 tags: TextMap, "tags", check_tags;
        /// What a front door keeps for itself, such as a policy. Means nothing here.
        0x8004 notes: TextMap, "notes", check_notes;
    }
}

/// A number's value in words, as it is typed.
fn shown_in_unit(unit: Unit, value: &impl Field) -> String {
    match (unit, value.value()) {
        (Unit::Count, _) => value.shown(),
        (unit, Value::Number(number)) => unit.shown(number),
        (_, _) => value.shown(),
    }
}

impl Attributes {
    /// The delay that is stored with a message: none in a FIFO queue, where the delay is the same for
    /// all, whenever it is changed, and reckoned from when they were sent.
    pub(crate) fn stored_delay_ms(&self) -> u64 {
        if self.fifo { 0 } else { self.delay_ms }
    }

    /// What was sent at this time or before has expired; `None`: nothing ever does.
    pub(crate) fn expired_by(&self, now: LogTime) -> Option<LogTime> {
        match self.retention_ms {
            RETENTION_MS_MAX => None,
            ms => now.0.checked_sub(ms).map(LogTime),
        }
    }

    /// When a message expires that was sent then; `None`: never.
    pub(crate) fn expires_at(&self, sent: LogTime) -> Option<LogTime> {
        (self.retention_ms < RETENTION_MS_MAX).then(|| sent.plus_ms(self.retention_ms))
    }

    /// What a queue has of which an older store says nothing: nothing expires there, and
    /// everything else is the default.
    pub fn as_before() -> Self {
        Self { retention_ms: RETENTION_MS_MAX, ..Self::default() }
    }
}

impl AttributeChanges {
    /// The bytes that the given texts take in a record, without their numbers and counts.
    pub fn texts_bytes(&self) -> usize {
        self.iter().map(|(_, value)| value.text_bytes()).sum()
    }
}

/// Checks that a number of things lies in `min..=max`, naming the parameter when it does not.
pub fn check_range(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), RequestError> {
    check_range_in(Unit::Count, name, value, min, max)
}

/// The same of a duration in milliseconds.
pub fn check_range_ms(
    name: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), RequestError> {
    check_range_in(Unit::Milliseconds, name, value, min, max)
}

fn check_range_in(
    unit: Unit,
    parameter: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), RequestError> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(RequestError::OutOfRange { parameter, unit, value, min, max }),
    }
}

impl std::fmt::Display for AttributeChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.shown().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}
