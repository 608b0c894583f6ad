//! What a message's attributes may be: the rules of SQS ("Amazon SQS message metadata", and the
//! parameters of SendMessage).

use super::{MESSAGE_ATTRIBUTES_MAX, MessageAttribute, MessageAttributes, Section};
use crate::error::{ErrorCode, ProtocolError};
use crate::wire::{Fault, Unreadable};

/// The longest group or deduplication id.
const ID_BYTES_MAX: usize = 128;

/// The longest trace header.
const TRACE_BYTES_MAX: usize = 1024;

/// The longest name.
const NAME_BYTES_MAX: usize = 256;

/// The longest type.
const TYPE_CHARACTERS_MAX: usize = 256;

/// The most digits of a number, zeros at its ends not counted.
const NUMBER_DIGITS_MAX: usize = 38;

/// A number is from minus ten to this power ...
const NUMBER_POWER_MIN: i64 = 128;

/// ... to ten to this one.
const NUMBER_POWER_MAX: i64 = 126;

/// Error texts show no more of what was given.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// What the value of an attribute is, whatever its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// Text.
    String,
    /// A decimal number, as text.
    Number,
    /// Bytes.
    Binary,
}

/// Whether the name of an attribute may have this in it. SQS takes letters of every script.
pub fn is_attribute_name_character(character: char) -> bool {
    character.is_alphanumeric() || "_-.".contains(character)
}

/// A rule that was broken: what was given, and what was expected.
pub(super) struct BrokenRule(pub(super) String);

impl MessageAttributes {
    /// Checks every rule but the size, which is the queue's. The error is `BadMessageAttribute`, and
    /// says what was given and what was expected.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let MessageAttributes { group, deduplication, trace, attributes } = self;
        let texts = [group, deduplication, trace].map(Option::as_deref);
        Ok(check_rules(texts, attributes)?)
    }
}

impl Section<'_> {
    pub(super) fn check_rules(&self) -> Result<(), BrokenRule> {
        check_rules([self.group, self.deduplication, self.trace], &self.attributes)
    }
}

fn check_rules(
    [group, deduplication, trace]: [Option<&str>; 3],
    attributes: &[MessageAttribute],
) -> Result<(), BrokenRule> {
    check_id("group id", group)?;
    check_id("deduplication id", deduplication)?;
    if let Some(trace) = trace {
        check_trace(trace)?;
    }
    if attributes.len() > MESSAGE_ATTRIBUTES_MAX {
        return Err(BrokenRule(too_many_text()));
    }
    for (at, attribute) in attributes.iter().enumerate() {
        attribute.check_rules()?;
        // There are ten at the most.
        if attributes[..at].iter().any(|before| before.name == attribute.name) {
            return Err(attribute.broken("the name is given twice"));
        }
    }
    Ok(())
}

impl MessageAttribute {
    /// What the value is, if the type is one that there is.
    pub fn data_type(&self) -> Option<DataType> {
        let (base, label) = match self.data_type.split_once('.') {
            Some((base, label)) => (base, Some(label)),
            None => (&*self.data_type, None),
        };
        if label.is_some_and(|label| label.is_empty() || !label.chars().all(is_sqs_character)) {
            return None;
        }
        match base {
            "String" => Some(DataType::String),
            "Number" => Some(DataType::Number),
            "Binary" => Some(DataType::Binary),
            _ => None,
        }
    }

    fn check_rules(&self) -> Result<(), BrokenRule> {
        self.check_name()?;
        let Some(data_type) = self.data_type().filter(|_| self.type_is_short()) else {
            return Err(self.broken(&format!(
                "type {}, expected String, Number or Binary, and maybe a label behind a dot, at most \
                 {TYPE_CHARACTERS_MAX} characters",
                shown(&self.data_type)
            )));
        };
        if self.value.is_empty() {
            return Err(self.broken("the value is empty"));
        }
        if data_type == DataType::Binary {
            return Ok(());
        }
        let Ok(text) = str::from_utf8(&self.value) else {
            return Err(self.broken("the value is not UTF-8"));
        };
        if data_type == DataType::Number {
            return check_number(text)
                .map_err(|rule| self.broken(&format!("number {}: {rule}", shown(text))));
        }
        match text.chars().find(|character| !is_sqs_character(*character)) {
            Some(character) => Err(self.broken(&format!("the value has {character:?} in it"))),
            None => Ok(()),
        }
    }

    fn check_name(&self) -> Result<(), BrokenRule> {
        let name = &*self.name;
        if name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || !name.chars().all(is_attribute_name_character)
        {
            return Err(self.broken(&format!(
                "a name is 1 to {NAME_BYTES_MAX} bytes of letters, digits, _ - ."
            )));
        }
        if name.starts_with('.') || name.ends_with('.') {
            return Err(self.broken("a name has no dot at an end"));
        }
        let begins =
            |with: &str| name.get(..with.len()).is_some_and(|at| at.eq_ignore_ascii_case(with));
        if begins("AWS.") || begins("Amazon.") {
            return Err(self.broken("names that begin with AWS. or Amazon. are reserved"));
        }
        Ok(())
    }

    fn type_is_short(&self) -> bool {
        self.data_type.chars().nth(TYPE_CHARACTERS_MAX).is_none()
    }

    fn broken(&self, rule: &str) -> BrokenRule {
        BrokenRule(format!("message attribute {}: {rule}", shown(&self.name)))
    }
}

/// Whether SQS allows the character in bodies and in values that are text.
pub fn is_sqs_character(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// More attributes than are read.
pub(super) fn too_many() -> Unreadable {
    Fault::Coded(ErrorCode::BadMessageAttribute, too_many_text()).into()
}

fn too_many_text() -> String {
    format!("more than {MESSAGE_ATTRIBUTES_MAX} message attributes")
}

fn check_id(what: &str, id: Option<&str>) -> Result<(), BrokenRule> {
    let Some(id) = id else { return Ok(()) };
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(BrokenRule(format!(
        "{what} {}, expected 1 to {ID_BYTES_MAX} ASCII letters, digits and punctuation marks",
        shown(id)
    )))
}

fn check_trace(trace: &str) -> Result<(), BrokenRule> {
    if (1..=TRACE_BYTES_MAX).contains(&trace.len()) && trace.chars().all(is_sqs_character) {
        return Ok(());
    }
    Err(BrokenRule(format!(
        "trace header {}, expected text of 1 to {TRACE_BYTES_MAX} bytes",
        shown(trace)
    )))
}

/// A number is `[+-] digits [. digits] [e [+-] digits]`.
fn check_number(text: &str) -> Result<(), String> {
    let syntax = || "expected a decimal number".to_owned();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| syntax())?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return Err(syntax());
    }
    let is_significant = |digit: u8| digit != b'0';
    let Some(first) = digits().position(is_significant) else { return Ok(()) };
    let last = digits().enumerate().filter(|(_, digit)| is_significant(*digit)).last();
    let (last, last_digit) = last.expect("there is a first one");
    if last - first >= NUMBER_DIGITS_MAX {
        return Err(format!("expected at most {NUMBER_DIGITS_MAX} digits"));
    }
    // Of the first digit that counts.
    let power = whole.len() as i64 - 1 - first as i64 + i64::from(exponent);
    let is_power_of_ten = first == last && last_digit == b'1';
    let power_max = if text.starts_with('-') { NUMBER_POWER_MIN } else { NUMBER_POWER_MAX };
    if power < power_max || (power == power_max && is_power_of_ten) {
        return Ok(());
    }
    Err(format!("expected -10^{NUMBER_POWER_MIN} to 10^{NUMBER_POWER_MAX}"))
}

/// What was given, quoted, and cut if it is long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
