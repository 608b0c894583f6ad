//! The digests that SQS answers with, so that a client can compare what was stored with what it
//! sent ("Amazon SQS message metadata", "Calculating the MD5 message digest").

use ::md5::{Digest, Md5};

use super::{DataType, MessageAttribute, MessageAttributes};

/// The MD5 of a body, in hexadecimal.
pub fn md5_of_body(body: &[u8]) -> String {
    hex(Md5::new().chain_update(body))
}

/// The MD5 of attributes in any order, in hexadecimal; `None` of none. On a receive it is that of the
/// attributes which are given to the consumer.
pub fn md5_of_message_attributes<'a>(
    attributes: impl IntoIterator<Item = &'a MessageAttribute>,
) -> Option<String> {
    let mut sorted: Vec<_> = attributes.into_iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    if sorted.is_empty() {
        return None;
    }
    let mut hasher = Md5::new();
    for attribute in sorted {
        add_counted(&mut hasher, attribute.name.as_bytes());
        add_counted(&mut hasher, attribute.data_type.as_bytes());
        let is_binary = attribute.data_type() == Some(DataType::Binary);
        hasher.update([if is_binary { 2 } else { 1 }]);
        add_counted(&mut hasher, &attribute.value);
    }
    Some(hex(hasher))
}

impl MessageAttributes {
    /// The MD5 of what SQS calls system attributes on a send, which is the trace header.
    pub fn md5_of_system_attributes(&self) -> Option<String> {
        let trace = self.trace.as_deref()?;
        md5_of_message_attributes([&MessageAttribute::string("AWSTraceHeader", trace)])
    }
}

fn add_counted(hasher: &mut Md5, bytes: &[u8]) {
    // What a message holds is far below 4 GiB.
    hasher.update((bytes.len() as u32).to_be_bytes());
    hasher.update(bytes);
}

fn hex(hasher: Md5) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let mut text = String::with_capacity(32);
    for byte in hasher.finalize() {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}
