//! The Query protocol's requests: parameters of a form, made into the JSON that says the same.
//!
//! Total: any parameters give a value or an error. There are never so many that what is made of them
//! would be large beside them, and none is changed: what is no text is refused.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{Code, Result, SqsError};
use super::names::{self, Shape};

/// The most parameters of a request, and the highest number of an item. A batch of ten messages with ten
/// attributes each has less than 500.
pub(super) const PARAMETERS_MAX: usize = 2000;

/// The parameter that names the action.
const ACTION: &str = "Action";

/// The parameters of a request by their names; of one that is given twice the last counts, but for the
/// action: no one may take it for another than it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    values: BTreeMap<String, String>,
    given: usize,
}

/// So many names deep is the deepest parameter: `Entry.1.MessageAttribute.1.Value.StringListValue.1`.
const DEPTH_MAX: usize = 7;

/// Parameters as a tree: by the names between the dots.
#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    below: BTreeMap<String, Node>,
}

impl Parameters {
    /// Adds those of a text: of the part of a URL behind the question mark, or of a form.
    pub(super) fn add(&mut self, text: &[u8]) -> Result<()> {
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            self.given += 1;
            if self.given > PARAMETERS_MAX {
                let text = format!("A request has at most {PARAMETERS_MAX} parameters");
                return Err(SqsError::new(Code::MalformedQueryString, text));
            }
            let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(end + 1..).unwrap_or_default();
            let name = String::from_utf8(unescape(&pair[..end])?).map_err(|_| {
                let text = "The name of a parameter is not UTF-8";
                SqsError::new(Code::MalformedQueryString, text)
            })?;
            let value =
                String::from_utf8(unescape(value)?).map_err(|_| SqsError::invalid_characters())?;
            let is_action = name == ACTION;
            if self.values.insert(name, value).is_some() && is_action {
                let text = format!("The parameter {ACTION} is given twice");
                return Err(SqsError::new(Code::MalformedQueryString, text));
            }
        }
        Ok(())
    }

    /// The name of the action.
    pub(super) fn action(&self) -> Option<&str> {
        self.get(ACTION)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The request's members as JSON.
    pub(super) fn into_json(self) -> Result<Value> {
        let mut root = Node::default();
        for (name, value) in self.values {
            let mut node = &mut root;
            for (depth, part) in name.split('.').enumerate() {
                if depth == DEPTH_MAX {
                    let text = format!("The parameter {name} is not recognized");
                    return Err(SqsError::new(Code::MalformedQueryString, text));
                }
                node = node.below.entry(part.to_owned()).or_default();
            }
            node.value = Some(value);
        }
        root.into_members()
    }
}

impl Node {
    /// A structure.
    fn into_members(self) -> Result<Value> {
        let mut members = Map::new();
        for (name, node) in self.below {
            let (json, value) = match names::in_request(&name) {
                None => match (names::of_json(&name), &node.value) {
                    // So older SDKs write a list in which there is nothing.
                    (Some(Shape::List), Some(value)) if value.is_empty() => {
                        members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                        continue;
                    }
                    // What JSON calls so has another name here: it is not known, as any other.
                    (Some(_), Some(_)) => continue,
                    (None, Some(_)) => (name.as_str(), node.into_text(&name)?),
                    (_, None) => {
                        let text = "Top level element may not be treated as a list";
                        return Err(SqsError::new(Code::Serialization, text));
                    }
                },
                Some(member) => {
                    let value = match member.shape {
                        Shape::Number => node.into_number(&name)?,
                        Shape::List => node.into_list(&name)?,
                        Shape::Map { key, value } => node.into_map(&name, key, value)?,
                    };
                    (member.json, value)
                }
            };
            match (members.get_mut(json), value) {
                // Both spellings of a map: what is in either is in it.
                (Some(Value::Object(entries)), Value::Object(more)) => entries.extend(more),
                (_, value) => drop(members.insert(json.to_owned(), value)),
            }
        }
        Ok(Value::Object(members))
    }

    fn into_text(self, name: &str) -> Result<Value> {
        match self.value {
            Some(value) => Ok(Value::String(value)),
            None => Err(malformed(name, "a value")),
        }
    }

    fn into_number(self, name: &str) -> Result<Value> {
        let text = self.value.ok_or_else(|| malformed(name, "a whole number"))?;
        match text.parse::<i64>() {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(SqsError::invalid_value(text, name, "Must be a whole number.")),
        }
    }

    /// Items in the order of their numbers. A value right at the name is a list of one.
    fn into_list(self, name: &str) -> Result<Value> {
        let mut items = Vec::new();
        if let Some(value) = self.value {
            items.push(Value::String(value));
        }
        for (_, node) in numbered(name, self.below)? {
            items.push(match node.below.is_empty() {
                true => node.into_text(name)?,
                false => node.into_members()?,
            });
        }
        Ok(Value::Array(items))
    }

    /// Entries in the order of their numbers. A key and a value right at the name are one entry.
    fn into_map(mut self, name: &str, key_name: &str, value_name: &str) -> Result<Value> {
        let parts = [key_name, value_name];
        let single = parts.into_iter().filter_map(|part| self.below.remove_entry(part));
        let single = Node { value: None, below: single.collect() };
        let single = (!single.below.is_empty()).then(|| (name.to_owned(), single));
        let numbered = numbered(name, self.below)?.into_iter();
        let numbered = numbered.map(|(number, node)| (format!("{name}.{number}"), node));
        let mut map = Map::new();
        for (place, mut node) in single.into_iter().chain(numbered) {
            let missing = |part: &str| SqsError::missing(&format!("{place}.{part}"));
            // What a message's attribute lacks is said where its rules are.
            let may_lack = matches!(name, "MessageAttribute" | "MessageAttributes");
            let key = match node.below.remove(key_name).and_then(|node| node.value) {
                Some(key) => key,
                None if may_lack => String::new(),
                None => return Err(missing(key_name)),
            };
            let value = match node.below.remove(value_name) {
                Some(value) if value.below.is_empty() => value.into_text(name)?,
                Some(value) => value.into_members()?,
                None if may_lack => Value::Object(Map::new()),
                None => return Err(missing(value_name)),
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

fn numbered(name: &str, below: BTreeMap<String, Node>) -> Result<BTreeMap<u32, Node>> {
    let number = |(text, node): (String, Node)| {
        let number =
            text.parse().ok().filter(|number| (1..=PARAMETERS_MAX as u32).contains(number));
        // Another spelling of a number would be the same item again.
        match number.filter(|number| number.to_string() == text) {
            Some(number) => Ok((number, node)),
            None => {
                let expected = format!("a number of 1 to {PARAMETERS_MAX} behind its name");
                Err(malformed(name, &expected))
            }
        }
    };
    below.into_iter().map(number).collect()
}

fn malformed(name: &str, expected: &str) -> SqsError {
    SqsError::new(Code::Serialization, format!("{name}: expected {expected}"))
}

/// The bytes that a name or value of a form stands for.
fn unescape(text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let escaped = digit().zip(digit()).map(|(high, low)| (high << 4 | low) as u8);
                escaped.ok_or_else(|| {
                    let text = "A percent sign is not followed by two hexadecimal digits";
                    SqsError::new(Code::MalformedQueryString, text)
                })?
            }
            byte => *byte,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json_of(text: &str) -> Result<Value> {
        let mut parameters = Parameters::default();
        parameters.add(text.as_bytes())?;
        parameters.into_json()
    }

    #[test]
    fn flattened_lists_and_maps_become_those_of_json() {
        let text = "QueueUrl=u&SendMessageBatchRequestEntry.2.Id=b\
                    &SendMessageBatchRequestEntry.10.Id=c&SendMessageBatchRequestEntry.2.DelaySeconds=3\
                    &SendMessageBatchRequestEntry.2.MessageAttribute.1.Name=n\
                    &SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.DataType=String\
                    &SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.StringValue=a%20b%2Bc";
        let value = json!({"DataType": "String", "StringValue": "a b+c"});
        let expected = json!({"QueueUrl": "u", "Entries": [
            {"Id": "b", "DelaySeconds": 3, "MessageAttributes": {"n": value}}, {"Id": "c"},
        ]});
        assert_eq!(json_of(text), Ok(expected));
        let tags = json!({"Tags": {"k": "v", "l": ""}, "TagKeys": ["x", "y"]});
        let text = "Tag.1.Key=k&Tag.1.Value=v&Tag.2.Key=l&Tag.2.Value=&TagKey.1=x&TagKey.2=y";
        assert_eq!(json_of(text), Ok(tags));
        let one = json!({"AttributeNames": ["All"], "Attributes": {"DelaySeconds": "5"}});
        let text = "AttributeName=All&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5";
        assert_eq!(json_of(text), Ok(one));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "DelaySeconds=x",
            "TagKey.x=1",
            "Tag.1.Key=k",
            "Tag.1.Value=v",
            "a.b.c.d.e.f.g.h=1",
            "QueueUrl.1=u",
            "DelaySeconds=",
            "TagKey.0=1",
            "TagKey.01=1",
            "TagKey.+1=1",
            "TagKey.2001=1",
            "Action=a&Action=a",
            "QueueUrl=%",
            "QueueUrl=%4",
            "QueueUrl=%4x",
            "QueueUrl=%+4",
            "%zz=u",
            "QueueUrl=%ff",
            "%ff=u",
        ] {
            assert!(json_of(text).is_err(), "{text} was taken");
        }
        assert!(json_of("TagKey.2000=1&&=&a&QueueUrl=%4a%C3%a4+").is_ok());
    }
}
