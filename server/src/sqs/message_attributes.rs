//! What travels with a message, from the words of SQS to the protocol's: rules in the words of SQS, and
//! which attributes a receive is given.
//!
//! The rules are those of `forebay_protocol::MessageAttributes::check`; here they are only told in other
//! words, and what is not told here is told there.

use bytes::Bytes;
use data_encoding::{BASE64, BASE64_MIME_PERMISSIVE};
use forebay_protocol::{
    DataType, MESSAGE_ATTRIBUTES_MAX, MessageAttribute, is_attribute_name_character,
};

use super::characters::refused_character;
use super::error::{Code, INVALID_CHARACTERS, Result, SqsError};
use super::inputs::{AttributeValue, ValueMap};
use super::outputs::Value;

/// The one attribute that a send may have for SQS itself.
const TRACE_HEADER: &str = "AWSTraceHeader";

/// The longest name, and the longest type, of an attribute.
const NAME_BYTES_MAX: usize = 256;

/// The attributes of a send.
pub(super) fn attributes(given: Option<ValueMap>) -> Result<Vec<MessageAttribute>> {
    let given = given.unwrap_or_default();
    if given.len() > MESSAGE_ATTRIBUTES_MAX {
        return Err(SqsError::invalid(format!(
            "Number of message attributes [{}] exceeds the allowed maximum \
             [{MESSAGE_ATTRIBUTES_MAX}].",
            given.len()
        )));
    }
    given.into_iter().map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: String, value: AttributeValue) -> Result<MessageAttribute> {
    check_name(&name)?;
    let said = |text: String| Err(SqsError::invalid(text));
    if value == AttributeValue::default() {
        return said(format!(
            "The message (user) attribute '{name}' must contain a non-empty message attribute value."
        ));
    }
    let lists = [value.string_list_values, value.binary_list_values];
    if lists.into_iter().flatten().any(|list| !list.is_empty()) {
        return Err(SqsError::new(
            Code::UnsupportedOperation,
            "Message attribute list values in SendMessage operation are not supported.",
        ));
    }
    let data_type = value.data_type.unwrap_or_default();
    if data_type.is_empty() {
        return said(format!(
            "The message (user) attribute '{name}' must contain a non-empty message attribute type."
        ));
    }
    if data_type.len() > NAME_BYTES_MAX {
        return said("Message (user) attribute types must be shorter than 256 Bytes".to_owned());
    }
    let mut attribute = MessageAttribute::new(name, data_type, Bytes::new());
    let MessageAttribute { name, data_type, .. } = &attribute;
    let Some(kind) = attribute.data_type() else {
        return said(format!(
            "The type of message (user) attribute '{name}' is invalid. You must use only the following \
             supported type prefixes: Binary, Number, String."
        ));
    };
    let text = value.string_value.unwrap_or_default();
    let binary = value.binary_value.unwrap_or_default();
    let is_binary = kind == DataType::Binary;
    let (kind_name, field) = match kind {
        DataType::String => ("String", "String"),
        DataType::Number => ("Number", "String"),
        DataType::Binary => ("Binary", "Binary"),
    };
    match (text.is_empty(), binary.is_empty()) {
        (true, true) => {
            return said(format!(
                "Message (user) attribute '{name}' must contain a non-empty value of type '{data_type}'."
            ));
        }
        (false, false) => {
            return said(format!("Message (user) attribute '{name}' must have a single value."));
        }
        (_, is_text) if is_text == is_binary => {
            return said(format!(
                "Message (user) attribute '{name}' with type '{kind_name}' must use field '{field}'."
            ));
        }
        _ => {}
    }
    attribute.value = match is_binary {
        true => decode_base64(&binary).ok_or_else(|| {
            let text = format!("The value of attribute '{name}' is not base64.");
            SqsError::new(Code::Serialization, text)
        })?,
        false => text.into(),
    };
    check_value(&attribute, kind)?;
    Ok(attribute)
}

fn check_name(name: &str) -> Result<()> {
    let said = |text: &str| Err(SqsError::invalid(text));
    if name.is_empty() {
        return said("The request must contain non-empty message (user) attribute names.");
    }
    if name.len() > NAME_BYTES_MAX {
        return said("Message (user) attribute names must be shorter than 256 Bytes");
    }
    if !name.chars().all(is_attribute_name_character) {
        // AWS says so, to the last space.
        return said(
            "Message (user) attributes name can only contain upper and lower score characters, digits, \
             periods, hyphens and underscores. ",
        );
    }
    let begins =
        |with: &str| name.get(..with.len()).is_some_and(|at| at.eq_ignore_ascii_case(with));
    // Its documentation says that two dots together are refused; it takes them.
    let has_bad_dot = name.starts_with('.') || name.ends_with('.');
    if begins("AWS.") || begins("Amazon.") || has_bad_dot {
        return said(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings \
             are reserved for internal use. Additionally, they cannot start or end with '.'.",
        );
    }
    Ok(())
}

fn check_value(attribute: &MessageAttribute, kind: DataType) -> Result<()> {
    let text = str::from_utf8(&attribute.value).unwrap_or_default();
    if kind == DataType::String && refused_character(text).is_some() {
        // In a body it is InvalidMessageContents, which names the character.
        return Err(SqsError::invalid(INVALID_CHARACTERS));
    }
    let alone = forebay_protocol::MessageAttributes {
        attributes: vec![attribute.clone()],
        ..Default::default()
    };
    alone.check().map_err(|broken| match kind {
        DataType::Number => SqsError::invalid(format!(
            "Can't cast the value of message (user) attribute '{}' to a number.",
            attribute.name
        )),
        _ => SqsError::invalid(broken.text),
    })
}

/// The trace header of a send, if its system attributes have one.
pub(super) fn trace_header(given: Option<ValueMap>) -> Result<Option<String>> {
    let mut trace = None;
    for (name, value) in given.unwrap_or_default() {
        if name != TRACE_HEADER {
            return Err(SqsError::invalid(format!(
                "Message system attribute name '{name}' is invalid."
            )));
        }
        if value.data_type.as_deref() != Some("String") {
            return Err(SqsError::invalid(format!(
                "The message system attribute '{name}' is reserved for AWS X-Ray trace header. The type \
                 must be 'String'."
            )));
        }
        match value.string_value {
            Some(text) if !text.is_empty() => trace = Some(text),
            _ => {
                return Err(SqsError::invalid(format!(
                    "Message system attribute '{name}' must contain a non-empty value of type \
                     'String'."
                )));
            }
        }
    }
    Ok(trace)
}

/// An attribute as a receive gives it.
pub(super) fn value(attribute: &MessageAttribute) -> Value {
    let is_binary = attribute.data_type() == Some(DataType::Binary);
    let (string_value, binary_value) = match is_binary {
        true => (None, Some(BASE64.encode(&attribute.value))),
        false => (Some(String::from_utf8_lossy(&attribute.value).into_owned()), None),
    };
    Value { data_type: attribute.data_type.clone(), string_value, binary_value }
}

/// Which attributes of messages a receive asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    is_all: bool,
    names: Vec<String>,
    prefixes: Vec<String>,
}

impl Filter {
    pub(super) fn new(names: Option<Vec<String>>) -> Self {
        let mut filter = Self::default();
        for name in names.unwrap_or_default() {
            match &*name {
                "All" | ".*" | "*" => filter.is_all = true,
                name if name.ends_with(".*") => {
                    filter.prefixes.push(name[..name.len() - ".*".len()].to_owned());
                }
                _ => filter.names.push(name),
            }
        }
        filter
    }

    pub(super) fn takes(&self, name: &str) -> bool {
        self.is_all
            || self.names.iter().any(|wanted| wanted == name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// Base64 as clients write it: with line breaks, if they like.
fn decode_base64(text: &str) -> Option<Bytes> {
    BASE64_MIME_PERMISSIVE.decode(text.as_bytes()).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(names: &[&str]) -> Filter {
        Filter::new(Some(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn a_receive_is_given_what_its_names_prefixes_and_stars_say() {
        assert!(!Filter::new(None).takes("Hello"));
        for all in ["All", ".*", "*"] {
            assert!(filter(&[all]).takes("Hello"), "{all}");
        }
        let some = filter(&["Hello", "bar.*", "nothing"]);
        assert!(some.takes("Hello") && some.takes("bar.x") && some.takes("barn"));
        assert!(!some.takes("ba") && !some.takes("foobar"));
        assert!(!some.takes("hello") && !some.takes("Help.Me"));
    }
}
