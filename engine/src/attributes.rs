//! A queue's attributes: their ranges, defaults and changes.
//!
//! One table ([`ATTRIBUTES`]) has a row per attribute; ranges follow SQS where it has them and
//! are wider natively (delay, message size).

use crate::error::RequestError;

/// All attributes of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// How long a received message stays invisible, in ms.
    pub visibility_timeout_ms: u64,
    /// How long a sent message stays invisible, in ms.
    pub delay_ms: u64,
    /// How long a receive waits for a message, in ms.
    pub receive_wait_ms: u64,
    /// The largest message in bytes: the body, and name, type and value of each attribute.
    pub message_bytes_max: u64,
}

/// Attributes to set; `None` leaves one as it is, or at its default in a new queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttributeChanges {
    /// See [`Attributes::visibility_timeout_ms`].
    pub visibility_timeout_ms: Option<u64>,
    /// See [`Attributes::delay_ms`].
    pub delay_ms: Option<u64>,
    /// See [`Attributes::receive_wait_ms`].
    pub receive_wait_ms: Option<u64>,
    /// See [`Attributes::message_bytes_max`].
    pub message_bytes_max: Option<u64>,
}

/// A row of the attribute table.
#[derive(Debug)]
pub struct AttributeRow {
    /// The attribute's name in errors, documents and on the command line.
    pub name: &'static str,
    /// The number that stands for it in records (FORMAT.md, "Attributes").
    pub id: u16,
    /// Its value in a queue that was created without it.
    pub default: u64,
    /// The smallest value.
    pub min: u64,
    /// The largest value.
    pub max: u64,
    get: fn(&AttributeChanges) -> Option<u64>,
    set: fn(&mut AttributeChanges, u64),
}

/// The longest visibility timeout: 12 h (SQS). Also the longest time from a receive to the end of
/// its lease, however often that is changed.
pub const VISIBILITY_MS_MAX: u64 = 12 * 3600 * 1000;

/// The longest delay: 100 years, which is no limit that anyone meets; it keeps sums in range.
pub const DELAY_MS_MAX: u64 = 100 * 365 * 24 * 3600 * 1000;

/// The longest wait of a receive: 20 s (SQS).
pub const RECEIVE_WAIT_MS_MAX: u64 = 20 * 1000;

/// The largest message that any queue may allow: 16 MiB.
pub const MESSAGE_BYTES_MAX: u64 = 16 << 20;

/// Every attribute, in the order of their numbers.
pub const ATTRIBUTES: [AttributeRow; 4] = [
    AttributeRow {
        name: "visibility-timeout",
        id: 1,
        default: 30_000,
        min: 0,
        max: VISIBILITY_MS_MAX,
        get: |c| c.visibility_timeout_ms,
        set: |c, v| c.visibility_timeout_ms = Some(v),
    },
    AttributeRow {
        name: "delay",
        id: 2,
        default: 0,
        min: 0,
        max: DELAY_MS_MAX,
        get: |c| c.delay_ms,
        set: |c, v| c.delay_ms = Some(v),
    },
    AttributeRow {
        name: "receive-wait",
        id: 3,
        default: 0,
        min: 0,
        max: RECEIVE_WAIT_MS_MAX,
        get: |c| c.receive_wait_ms,
        set: |c, v| c.receive_wait_ms = Some(v),
    },
    AttributeRow {
        name: "message-bytes-max",
        id: 4,
        default: 1 << 20,
        min: 1 << 10,
        max: MESSAGE_BYTES_MAX,
        get: |c| c.message_bytes_max,
        set: |c, v| c.message_bytes_max = Some(v),
    },
];

impl AttributeChanges {
    /// Checks each given value against its range.
    pub fn check(&self) -> Result<(), RequestError> {
        for row in &ATTRIBUTES {
            if let Some(value) = (row.get)(self) {
                check_range(row.name, value, row.min, row.max)?;
            }
        }
        Ok(())
    }

    /// The attributes given, as `(id, value)`.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        ATTRIBUTES.iter().filter_map(|row| (row.get)(self).map(|value| (row.id, value)))
    }

    /// Sets the attribute with that number; false when no attribute has it.
    pub fn set(&mut self, id: u16, value: u64) -> bool {
        match ATTRIBUTES.iter().find(|row| row.id == id) {
            Some(row) => {
                (row.set)(self, value);
                true
            }
            None => false,
        }
    }

    /// The first attribute given here that differs from `current`, as (name, given, current).
    pub fn first_difference(&self, current: &Attributes) -> Option<(&'static str, u64, u64)> {
        let current = current.as_changes();
        ATTRIBUTES.iter().find_map(|row| {
            let (given, is) = ((row.get)(self)?, (row.get)(&current)?);
            (given != is).then_some((row.name, given, is))
        })
    }
}

impl Attributes {
    /// These attributes with the changes made.
    pub fn with(self, changes: &AttributeChanges) -> Self {
        Self {
            visibility_timeout_ms: changes
                .visibility_timeout_ms
                .unwrap_or(self.visibility_timeout_ms),
            delay_ms: changes.delay_ms.unwrap_or(self.delay_ms),
            receive_wait_ms: changes.receive_wait_ms.unwrap_or(self.receive_wait_ms),
            message_bytes_max: changes.message_bytes_max.unwrap_or(self.message_bytes_max),
        }
    }

    /// All of these as changes: what a record of them says.
    pub fn as_changes(&self) -> AttributeChanges {
        AttributeChanges {
            visibility_timeout_ms: Some(self.visibility_timeout_ms),
            delay_ms: Some(self.delay_ms),
            receive_wait_ms: Some(self.receive_wait_ms),
            message_bytes_max: Some(self.message_bytes_max),
        }
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            visibility_timeout_ms: ATTRIBUTES[0].default,
            delay_ms: ATTRIBUTES[1].default,
            receive_wait_ms: ATTRIBUTES[2].default,
            message_bytes_max: ATTRIBUTES[3].default,
        }
    }
}

/// Checks that `value` lies in `min..=max`, naming the parameter when it does not.
pub fn check_range(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), RequestError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(RequestError::OutOfRange { parameter: name, value, min, max })
    }
}

impl std::fmt::Display for AttributeChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = ATTRIBUTES.iter().filter_map(|row| Some((row.name, (row.get)(self)?)));
        for (index, (name, value)) in given.enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}
