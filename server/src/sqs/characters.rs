//! The characters that SQS takes, which are those that XML can have.

use std::borrow::Cow;

use forebay_protocol::is_sqs_character;

/// The first character of a text that SQS does not take.
pub(super) fn refused_character(text: &str) -> Option<char> {
    // Most texts are ASCII. The processor looks at many characters at once where it need not stop at one.
    let is_plain = |byte: u8| matches!(byte, b' '..=0x7f | b'\t' | b'\n' | b'\r');
    let are_plain = |bytes: &[u8]| bytes.iter().fold(true, |are, byte| are & is_plain(*byte));
    match text.as_bytes().chunks(256).all(are_plain) {
        true => None,
        false => text.chars().find(|character| !is_sqs_character(*character)),
    }
}

/// A text with U+FFFD for each character that SQS does not take.
pub(super) fn replace_refused(text: &str) -> Cow<'_, str> {
    match refused_character(text) {
        None => Cow::Borrowed(text),
        Some(_) => text.replace(|character| !is_sqs_character(character), "\u{fffd}").into(),
    }
}
