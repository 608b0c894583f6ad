//! What an attribute's value may be: a number, also one that stands for a word, or a text.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Texts by their names.
pub type TextMap = BTreeMap<String, String>;

/// A value of any attribute, as it is stored and travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Number(u64),
    /// A text.
    Text(Cow<'a, str>),
    /// Texts in an order.
    List(Cow<'a, [String]>),
    /// Texts by their names.
    Map(Cow<'a, TextMap>),
}

/// A type of attribute: its values, as they are stored and as they are shown.
pub(super) trait Field: Sized {
    fn value(&self) -> Value<'_>;
    /// `None` if the value stands for nothing of this type.
    fn from_value(value: Value<'_>) -> Option<Self>;
    /// As it stands in an error or a list.
    fn shown(&self) -> String;
    /// The value, owned.
    fn into_value(self) -> Value<'static> {
        match self.value() {
            Value::Number(number) => Value::Number(number),
            Value::Text(text) => Value::Text(text.into_owned().into()),
            Value::List(list) => Value::List(list.into_owned().into()),
            Value::Map(map) => Value::Map(Cow::Owned(map.into_owned())),
        }
    }
}

/// The words that numbers stand for, one row a word.
macro_rules! words {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$word_doc:meta])* $number:literal $word:ident $shown:literal, )* } )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$word_doc])* $word, )* }

        impl Field for $name {
            fn value(&self) -> Value<'_> {
                Value::Number(match self { $( Self::$word => $number, )* })
            }
            fn from_value(value: Value<'_>) -> Option<Self> {
                match value {
                    $( Value::Number($number) => Some(Self::$word), )*
                    _ => None,
                }
            }
            fn shown(&self) -> String {
                match self { $( Self::$word => $shown.to_owned(), )* }
            }
        }
    )* };
}

words! {
    /// Among which messages a deduplication id is looked for.
    DeduplicationScope {
        /// All of the queue.
        0 Queue "queue",
        /// Those of the same group.
        1 Group "group",
    }
    /// What SQS limits the throughput of.
    FifoThroughputLimit {
        /// The queue.
        0 Queue "queue",
        /// Each group.
        1 Group "group",
    }
    /// What a send is answered behind.
    Durability {
        /// It is synced to the disk.
        0 Sync "sync",
        /// The system has it: a killed process loses nothing, a power cut may.
        1 Written "written",
    }
    /// Which queues may have this one as their dead-letter queue.
    RedrivePermission {
        /// Every queue.
        0 All "all",
        /// No queue.
        1 None "none",
        /// Those in `redrive_sources`.
        2 ByQueue "by-queue",
    }
}

impl Field for u64 {
    fn value(&self) -> Value<'_> {
        Value::Number(*self)
    }
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Field for bool {
    fn value(&self) -> Value<'_> {
        Value::Number(u64::from(*self))
    }
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Number(number @ 0..=1) => Some(number == 1),
            _ => None,
        }
    }
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Field for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self.into())
    }
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Field for Vec<String> {
    fn value(&self) -> Value<'_> {
        Value::List(self.into())
    }
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::List(list) => Some(list.into_owned()),
            _ => None,
        }
    }
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Field for TextMap {
    fn value(&self) -> Value<'_> {
        Value::Map(Cow::Borrowed(self))
    }
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Map(map) => Some(map.into_owned()),
            _ => None,
        }
    }
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl Value<'_> {
    /// The bytes that a text takes in a record (FORMAT.md, "Attributes"), without its number and
    /// count; 0 for a number.
    pub fn text_bytes(&self) -> usize {
        match self {
            Value::Number(_) => 0,
            Value::Text(text) => text.len(),
            Value::List(list) => list.iter().map(|text| 2 + text.len()).sum(),
            Value::Map(map) => map.iter().map(|(key, value)| 4 + key.len() + value.len()).sum(),
        }
    }
}
