//! The attributes of a queue as SQS has them, from and to the engine's.

use std::collections::BTreeMap;

use forebay_engine::attributes::{
    AttributeChanges, Attributes, DeduplicationScope, FifoThroughputLimit, RedrivePermission,
};
use forebay_engine::command::QueueInfo;
use serde_json::Value;

use super::address::Addresses;
use super::attribute_name::{Kind, Name, invalid, invalid_because, unknown};
use super::error::{Code, Result, SqsError};
use super::inputs::TextMap;
use super::policy;
use super::redrive_policy::{
    redrive_allow_policy, redrive_policy, set_redrive_allow_policy, set_redrive_policy,
};

/// KmsDataKeyReusePeriodSeconds of a queue that was given a key without it.
const REUSE_SECONDS: &str = "300";

// The values of DeduplicationScope and FifoThroughputLimit.
const QUEUE: &str = "queue";
const MESSAGE_GROUP: &str = "messageGroup";
const PER_QUEUE: &str = "perQueue";
const PER_GROUP: &str = "perMessageGroupId";

/// What a request changes: `before` is what the queue has, the defaults if it is to be created.
pub(crate) fn changes(
    given: &TextMap,
    before: &Attributes,
    is_new: bool,
    addresses: &Addresses,
) -> Result<AttributeChanges> {
    let mut setting = Setting {
        changes: AttributeChanges::default(),
        notes: before.notes.clone(),
        before,
        fifo: before.fifo,
        is_new,
        addresses,
    };
    if is_new && asks_fifo(given) {
        setting.fifo = true;
        setting.changes.fifo = Some(true);
    }
    // A name that no attribute of the queue has is told before a value that none can have.
    let mut named = Vec::with_capacity(given.len());
    for (name, value) in given {
        let name = Name::parse(name)?;
        setting.check_name(name)?;
        named.push((name, value));
    }
    for (name, value) in named {
        setting.set(name, value)?;
    }
    setting.settle_encryption(given)?;
    setting.check_throughput()?;
    let Setting { mut changes, notes, .. } = setting;
    if notes != before.notes {
        changes.notes = Some(notes);
    }
    Ok(changes)
}

/// Whether attributes are those of a FIFO queue.
pub(crate) fn asks_fifo(given: &TextMap) -> bool {
    given.get("FifoQueue").is_some_and(|value| boolean(Name::FifoQueue, value) == Ok(true))
}

/// A queue is FIFO or is not said to be.
pub(crate) fn check_type(given: &TextMap) -> Result<()> {
    match given.contains_key("FifoQueue") && !asks_fifo(given) {
        true => Err(unknown("FifoQueue")),
        false => Ok(()),
    }
}

struct Setting<'a> {
    changes: AttributeChanges,
    notes: BTreeMap<String, String>,
    before: &'a Attributes,
    fifo: bool,
    is_new: bool,
    addresses: &'a Addresses,
}

impl Setting<'_> {
    /// Whether the queue has an attribute of this name that can be set.
    fn check_name(&self, name: Name) -> Result<()> {
        match name.kind() {
            Kind::ReadOnly => Err(unknown(name.as_str())),
            Kind::FifoOnly if !self.fifo => Err(fifo_only(name)),
            Kind::FifoOnly | Kind::AnyQueue => Ok(()),
        }
    }

    fn set(&mut self, name: Name, value: &str) -> Result<()> {
        let changes = &mut self.changes;
        match name {
            Name::DelaySeconds => changes.delay_ms = Some(seconds(name, value, 0, 900)?),
            Name::MaximumMessageSize => {
                changes.message_bytes_max = Some(number(name, value, 1024, 1 << 20)?);
            }
            Name::MessageRetentionPeriod => {
                changes.retention_ms = Some(seconds(name, value, 60, 1_209_600)?);
            }
            Name::ReceiveMessageWaitTimeSeconds => {
                changes.receive_wait_ms = Some(seconds(name, value, 0, 20)?);
            }
            Name::VisibilityTimeout => {
                changes.visibility_timeout_ms = Some(seconds(name, value, 0, 43_200)?);
            }
            Name::RedrivePolicy => set_redrive_policy(value, self.addresses, changes)?,
            Name::RedriveAllowPolicy => {
                set_redrive_allow_policy(value, self.addresses, changes)?;
                self.note(name, value);
            }
            Name::Policy => {
                if !value.is_empty() {
                    policy::check(value)?;
                }
                self.note(name, value);
            }
            Name::KmsMasterKeyId => self.note(name, value),
            Name::KmsDataKeyReusePeriodSeconds => {
                let seconds = number(name, value, 60, 86_400)?;
                self.note(name, &seconds.to_string());
            }
            Name::SqsManagedSseEnabled => {
                boolean(name, value)?;
                self.note(name, value);
            }
            // What the queue is already may be said again.
            Name::FifoQueue if boolean(name, value)? => {}
            Name::FifoQueue => {
                return Err(invalid_because(name, "Modifying queue type is not supported."));
            }
            Name::ContentBasedDeduplication => {
                changes.content_based_deduplication = Some(boolean(name, value)?);
            }
            Name::DeduplicationScope => {
                let scope = match value {
                    QUEUE => DeduplicationScope::Queue,
                    MESSAGE_GROUP => DeduplicationScope::Group,
                    _ => return Err(invalid(name)),
                };
                match self.is_new {
                    true => changes.deduplication_scope = Some(scope),
                    false => self.tell(name, value, scope_text(self.before.deduplication_scope)),
                }
            }
            Name::FifoThroughputLimit => {
                let limit = match value {
                    PER_QUEUE => FifoThroughputLimit::Queue,
                    PER_GROUP => FifoThroughputLimit::Group,
                    _ => return Err(invalid(name)),
                };
                match self.is_new {
                    true => changes.fifo_throughput_limit = Some(limit),
                    false => self.tell(name, value, limit_text(self.before.fifo_throughput_limit)),
                }
            }
            Name::ApproximateNumberOfMessages
            | Name::ApproximateNumberOfMessagesDelayed
            | Name::ApproximateNumberOfMessagesNotVisible
            | Name::CreatedTimestamp
            | Name::LastModifiedTimestamp
            | Name::QueueArn => {}
        }
        Ok(())
    }

    /// What is set of a queue that there is, and changes nothing but what is told of it: so it is in SQS.
    fn tell(&mut self, name: Name, value: &str, acts: &str) {
        self.note(name, if value == acts { "" } else { value });
    }

    /// What is told of a queue that there is must go together. Of a new one the engine sees to it.
    fn check_throughput(&self) -> Result<()> {
        let told = |name: Name, acts| self.notes.get(&name.note()).map_or(acts, String::as_str);
        let scope = told(Name::DeduplicationScope, scope_text(self.before.deduplication_scope));
        let limit = told(Name::FifoThroughputLimit, limit_text(self.before.fifo_throughput_limit));
        match (limit, scope) {
            (PER_GROUP, QUEUE) if !self.is_new => Err(only_per_group()),
            _ => Ok(()),
        }
    }

    /// Keeps a text; an empty one takes it away.
    fn note(&mut self, name: Name, value: &str) {
        match value {
            "" => drop(self.notes.remove(&name.note())),
            _ => drop(self.notes.insert(name.note(), value.to_owned())),
        }
    }

    /// One kind of encryption at a time: a key turns SQS's own off, and that takes the key away.
    fn settle_encryption(&mut self, given: &TextMap) -> Result<()> {
        let asks_own = |value: &String| boolean(Name::SqsManagedSseEnabled, value) == Ok(true);
        let asks_own = given.get("SqsManagedSseEnabled").is_some_and(asks_own);
        let asks_key = given.get("KmsMasterKeyId").is_some_and(|key| !key.is_empty());
        if asks_own && asks_key {
            let text = "You can use one type of server-side encryption (SSE) at one time. You can \
                        either enable KMS SSE or SQS SSE.";
            return Err(SqsError::new(Code::InvalidAttributeName, text));
        }
        if asks_own {
            self.note(Name::KmsMasterKeyId, "");
            self.note(Name::KmsDataKeyReusePeriodSeconds, "");
        } else if self.notes.contains_key(&Name::KmsMasterKeyId.note()) {
            self.note(Name::SqsManagedSseEnabled, "false");
        }
        Ok(())
    }
}

fn scope_text(scope: DeduplicationScope) -> &'static str {
    match scope {
        DeduplicationScope::Queue => QUEUE,
        DeduplicationScope::Group => MESSAGE_GROUP,
    }
}

fn limit_text(limit: FifoThroughputLimit) -> &'static str {
    match limit {
        FifoThroughputLimit::Queue => PER_QUEUE,
        FifoThroughputLimit::Group => PER_GROUP,
    }
}

fn only_per_group() -> SqsError {
    invalid_because(
        Name::FifoThroughputLimit,
        "The perMessageGroupId value is allowed only when the value for DeduplicationScope is \
         messageGroup.",
    )
}

fn fifo_only(name: Name) -> SqsError {
    match name {
        Name::DeduplicationScope | Name::FifoThroughputLimit => {
            let name = name.as_str();
            let text = format!("You can specify the {name} only when FifoQueue is set to true.");
            SqsError::new(Code::InvalidAttributeName, text)
        }
        name => unknown(name.as_str()),
    }
}

fn number(name: Name, value: &str, min: u64, max: u64) -> Result<u64> {
    let number = value.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| invalid(name))
}

fn seconds(name: Name, value: &str, min: u64, max: u64) -> Result<u64> {
    Ok(number(name, value, min, max)? * 1000)
}

fn boolean(name: Name, value: &str) -> Result<bool> {
    match value {
        "true" | "True" => Ok(true),
        "false" | "False" => Ok(false),
        _ => Err(invalid(name)),
    }
}

/// A policy or key that is kept of a queue.
pub(crate) fn note(attributes: &Attributes, name: Name) -> Option<&String> {
    attributes.notes.get(&name.note())
}

/// The value of an attribute that a queue has.
pub(crate) fn read(info: &QueueInfo, name: Name, addresses: &Addresses) -> Option<String> {
    let (attributes, counts) = (&*info.attributes, info.counts);
    if name.kind() == Kind::FifoOnly && !attributes.fifo {
        return None;
    }
    let seconds = |ms: u64| Some((ms / 1000).to_string());
    let note = |name| note(attributes, name).cloned();
    match name {
        Name::DelaySeconds => seconds(attributes.delay_ms),
        Name::MaximumMessageSize => Some(attributes.message_bytes_max.to_string()),
        Name::MessageRetentionPeriod => seconds(attributes.retention_ms),
        Name::ReceiveMessageWaitTimeSeconds => seconds(attributes.receive_wait_ms),
        Name::VisibilityTimeout => seconds(attributes.visibility_timeout_ms),
        Name::Policy | Name::KmsMasterKeyId => note(name),
        Name::RedrivePolicy => redrive_policy(attributes, addresses),
        Name::RedriveAllowPolicy => (attributes.redrive_permission != RedrivePermission::All
            || note(name).is_some())
        .then(|| redrive_allow_policy(attributes, addresses)),
        Name::KmsDataKeyReusePeriodSeconds => {
            // Without a key only what is not the default is shown.
            let has_key = note(Name::KmsMasterKeyId).is_some();
            let seconds = note(name).unwrap_or_else(|| REUSE_SECONDS.to_owned());
            (has_key || seconds != REUSE_SECONDS).then_some(seconds)
        }
        Name::SqsManagedSseEnabled => {
            Some(note(name).map_or_else(|| "true".to_owned(), |value| value.to_lowercase()))
        }
        Name::FifoQueue => Some("true".to_owned()),
        Name::ContentBasedDeduplication => Some(attributes.content_based_deduplication.to_string()),
        Name::DeduplicationScope => {
            let acts = || scope_text(attributes.deduplication_scope).to_owned();
            Some(note(name).unwrap_or_else(acts))
        }
        Name::FifoThroughputLimit => {
            let acts = || limit_text(attributes.fifo_throughput_limit).to_owned();
            Some(note(name).unwrap_or_else(acts))
        }
        Name::ApproximateNumberOfMessages => Some(counts.waiting.to_string()),
        Name::ApproximateNumberOfMessagesDelayed => Some(counts.delayed.to_string()),
        Name::ApproximateNumberOfMessagesNotVisible => Some(counts.in_flight.to_string()),
        Name::CreatedTimestamp => seconds(info.created.0),
        Name::LastModifiedTimestamp => seconds(info.modified.0),
        Name::QueueArn => Some(addresses.arn(&info.name)),
    }
}

/// The first attribute given that the queue does not have so.
pub(crate) fn first_difference(
    given: &TextMap,
    current: &QueueInfo,
    addresses: &Addresses,
) -> Result<Option<Name>> {
    // A queue that there is keeps its type, whatever is asked: that is for the comparison to say.
    let mut asked = given.clone();
    if asked.remove("FifoQueue").is_some() && !current.attributes.fifo {
        return Ok(Some(Name::FifoQueue));
    }
    // What is asked for must be good by itself. It need not go together with what the queue has: then it differs.
    let alone = Attributes {
        fifo: current.attributes.fifo,
        deduplication_scope: DeduplicationScope::Group,
        ..Attributes::default()
    };
    let changes = changes(&asked, &alone, false, addresses)?;
    let asked_for = QueueInfo { attributes: alone.with(&changes).into(), ..current.clone() };
    for name in asked.keys() {
        let name = Name::parse(name)?;
        if meant(&asked_for, name, addresses) != meant(current, name, addresses) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What an attribute's value means: one that says its default is as good as none, and a policy is what its
/// JSON says.
fn meant(info: &QueueInfo, name: Name, addresses: &Addresses) -> Option<Value> {
    let told = read(info, name, addresses);
    match name {
        Name::Policy => told.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
        Name::RedriveAllowPolicy => Some(redrive_allow_policy(&info.attributes, addresses).into()),
        Name::KmsDataKeyReusePeriodSeconds => {
            Some(told.unwrap_or_else(|| REUSE_SECONDS.to_owned()).into())
        }
        _ => told.map(Value::String),
    }
}

/// What the engine refuses of attributes, in the words of SQS.
pub(crate) fn refused(error: forebay_engine::RequestError, given: &TextMap) -> SqsError {
    use forebay_engine::RequestError::AttributeInvalid;
    match error {
        AttributeInvalid { attribute: "dead-letter-queue", expected, .. } => {
            let policy = given.get("RedrivePolicy").map_or("", String::as_str);
            let reason = match &*expected {
                "a queue that exists" | "a queue's name" => "Dead letter target does not exist.",
                expected if expected.contains("FIFO") => {
                    // AWS ends it so.
                    "Dead-letter queue must be same type of queue as the source.."
                }
                _ => {
                    "The dead-letter queue's redrive allow policy does not allow this source queue."
                }
            };
            SqsError::invalid_value(policy, "RedrivePolicy", reason)
        }
        AttributeInvalid { attribute: "fifo-throughput-limit", .. } => only_per_group(),
        error => error.into(),
    }
}
