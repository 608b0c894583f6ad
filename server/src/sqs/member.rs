//! How the members of a request are read, and what SQS says of one that is of another kind than it must be.
//!
//! A member that is null is as good as none. A number is whole: one with a fraction is none. Whatever stands
//! there is taken as it is (`deserialize_any`): asked for one kind, the decoder would refuse others in words of its
//! own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most entries of a batch.
pub(super) const BATCH_ENTRIES_MAX: usize = 10;

/// What a member can be.
pub(super) trait Member<'de>: Sized {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// A member that may be absent.
pub(super) fn read<'de, D: Deserializer<'de>, T: Member<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Item<T>>::deserialize(deserializer)?.map(|item| item.0))
}

/// A value in a list or a map.
struct Item<T>(T);

impl<'de, T: Member<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Item)
    }
}

impl<'de> Member<'de> for String {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::read(deserializer).map(Cow::into_owned)
    }
}

/// A text that stays where it is, if it can be read there.
impl<'a, 'de: 'a> Member<'de> for Cow<'a, str> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

impl<'de> Member<'de> for i64 {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

impl<'de, T: Member<'de>> Member<'de> for Vec<T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(List(PhantomData))
    }
}

impl<'de, T: Member<'de>> Member<'de> for BTreeMap<String, T> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Map(PhantomData))
    }
}

/// What is told of a value that is no text and no number either way.
macro_rules! misplaced {
    ($target:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($target)
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            Err(inconvertible(if value { "TRUE_VALUE" } else { "FALSE_VALUE" }, $target))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(inconvertible("NUMBER_VALUE", $target))
        }
    };
}

/// A text or a number is no list and no map.
macro_rules! no_structure {
    () => {
        fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(A::Error::custom("Start of list found where not expected"))
        }

        fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(A::Error::custom("Start of structure or map found where not expected."))
        }
    };
}

/// A list or a map is no text and no number.
macro_rules! no_scalar {
    ($what:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($what)
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(unexpected())
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(unexpected())
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(unexpected())
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(unexpected())
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(unexpected())
        }
    };
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    misplaced!("a String");
    no_structure!();

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(inconvertible("NUMBER_VALUE", "a String"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(inconvertible("NUMBER_VALUE", "a String"))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

struct Number;

impl<'de> Visitor<'de> for Number {
    type Value = i64;

    misplaced!("an Integer");
    no_structure!();

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| inconvertible("NUMBER_VALUE", "an Integer"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<i64, E> {
        Err(inconvertible("STRING_VALUE", "an Integer"))
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: Member<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    no_scalar!("a list");

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(Item(item)) = items.next_element()? {
            if list.is_empty() {
                // As many as a batch has: then it never grows.
                list.reserve(BATCH_ENTRIES_MAX);
            }
            list.push(item);
        }
        Ok(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Vec<T>, A::Error> {
        Err(A::Error::custom("Start of structure or map found where not expected."))
    }
}

struct Map<T>(PhantomData<T>);

impl<'de, T: Member<'de>> Visitor<'de> for Map<T> {
    type Value = BTreeMap<String, T>;

    no_scalar!("a map");

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("Start of list found where not expected"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        // A value that is null is as good as none.
        while let Some((key, value)) = entries.next_entry::<String, Option<Item<T>>>()? {
            if let Some(Item(value)) = value {
                map.insert(key, value);
            }
        }
        Ok(map)
    }
}

/// A structure, which is a map with known keys; a list of its values in order is none.
struct Structure<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Structure<T> {
    type Value = T;

    no_scalar!("a structure");

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Err(A::Error::custom("Start of list found where not expected"))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Reads a structure.
pub(super) fn structure<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(Structure(PhantomData))
}

fn inconvertible<E: Error>(found: &str, expected: &str) -> E {
    E::custom(format!("{found} can not be converted to {expected}"))
}

fn unexpected<E: Error>() -> E {
    E::custom("Unexpected field type")
}
