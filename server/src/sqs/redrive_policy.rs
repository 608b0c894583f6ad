//! RedrivePolicy and RedriveAllowPolicy: JSON in an attribute, in the engine attributes of their own.

use forebay_engine::attributes::{AttributeChanges, Attributes, RedrivePermission};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::address::Addresses;
use super::attribute_name::{Name, invalid_because};
use super::error::{Result, SqsError};
use super::policy::POLICY_BYTES_MAX;

const REDRIVE_POLICY: &str = "RedrivePolicy";
const REDRIVE_ALLOW_POLICY: &str = "RedriveAllowPolicy";

const TARGET: &str = "deadLetterTargetArn";
const COUNT: &str = "maxReceiveCount";

/// The range of maxReceiveCount.
const COUNTS: std::ops::RangeInclusive<u64> = 1..=1000;

/// A policy as it is read back: these members, in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    max_receive_count: u64,
}

/// Who may have a queue as its dead-letter queue.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedriveAllowPolicy {
    redrive_permission: String,
    #[serde(rename = "sourceQueueArns", default, skip_serializing_if = "Vec::is_empty")]
    source_queue_arns: Vec<String>,
}

/// Sets what a RedrivePolicy says; an empty one takes it away.
pub(super) fn set_redrive_policy(
    text: &str,
    addresses: &Addresses,
    changes: &mut AttributeChanges,
) -> Result<()> {
    if text.is_empty() {
        changes.dead_letter_queue = Some(String::new());
        changes.receive_count_max = Some(0);
        return Ok(());
    }
    let refused = |reason: String| SqsError::invalid_value(text, REDRIVE_POLICY, reason);
    let Some(policy) = parse::<Map<String, Value>>(text) else {
        let reason = "Redrive policy is not a valid JSON map.";
        return Err(invalid_because(Name::RedrivePolicy, reason));
    };
    let member = |name: &str| {
        let missing = || format!("Redrive policy does not contain mandatory attribute: {name}.");
        policy.get(name).ok_or_else(|| refused(missing()))
    };
    let (count, target) = (member(COUNT)?, member(TARGET)?);
    if policy.len() > 2 {
        let text = format!("Only following attributes are supported: [{TARGET}, {COUNT}].");
        return Err(refused(text));
    }
    let number = match count {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let Some(number) = number.filter(|number| COUNTS.contains(number)) else {
        let shown = count.as_str().map_or_else(|| count.to_string(), str::to_owned);
        let valid = "valid values are from 1 to 1000 both inclusive.";
        return Err(refused(format!("Invalid value for {COUNT}: {shown}, {valid}")));
    };
    // What is no ARN at all is not looked for.
    let arn = target.as_str().unwrap_or_default();
    let parts: Vec<&str> = arn.split(':').collect();
    let &["arn", _, "sqs", region, account, _] = parts.as_slice() else {
        let reason = match parts.as_slice() {
            ["arn", _, _, _, _, ..] => format!("Only SQS queues are valid resources for {TARGET}."),
            _ => format!("Invalid value for {TARGET}."),
        };
        return Err(refused(reason));
    };
    if region != addresses.region {
        let reason = "Dead-letter target must be in same region as the source.";
        return Err(refused(reason.to_owned()));
    }
    if account != addresses.account {
        let reason = "Dead-letter target owner should be same as the source.";
        return Err(refused(reason.to_owned()));
    }
    let Some(name) = addresses.queue_of_arn(arn) else {
        return Err(refused("Dead letter target does not exist.".to_owned()));
    };
    changes.dead_letter_queue = Some(name.to_owned());
    changes.receive_count_max = Some(number);
    Ok(())
}

/// The RedrivePolicy of a queue, if it has one.
pub(super) fn redrive_policy(attributes: &Attributes, addresses: &Addresses) -> Option<String> {
    if attributes.dead_letter_queue.is_empty() {
        return None;
    }
    let policy = RedrivePolicy {
        dead_letter_target_arn: addresses.arn(&attributes.dead_letter_queue),
        max_receive_count: attributes.receive_count_max,
    };
    Some(to_json(&policy))
}

/// Sets what a RedriveAllowPolicy says; an empty one is the default.
pub(super) fn set_redrive_allow_policy(
    text: &str,
    addresses: &Addresses,
    changes: &mut AttributeChanges,
) -> Result<()> {
    let refused = |reason: &str| {
        let reason = format!("Amazon SQS can't create the redrive allow policy. {reason}");
        SqsError::invalid_value(text, REDRIVE_ALLOW_POLICY, reason)
    };
    let unsupported = || {
        let reason = "Amazon SQS can't create the redrive allow policy, as it\u{2019}s in an unsupported \
                      format.";
        invalid_because(Name::RedriveAllowPolicy, reason)
    };
    let allow_all = || RedriveAllowPolicy {
        redrive_permission: "allowAll".to_owned(),
        source_queue_arns: Vec::new(),
    };
    let policy = match text {
        "" => allow_all(),
        _ => parse(text).ok_or_else(unsupported)?,
    };
    let sources = policy.source_queue_arns;
    let permission = match &*policy.redrive_permission {
        "allowAll" => RedrivePermission::All,
        "denyAll" => RedrivePermission::None,
        "byQueue" => RedrivePermission::ByQueue,
        _ => return Err(unsupported()),
    };
    match (permission, sources.len()) {
        (RedrivePermission::ByQueue, 0) => {
            return Err(refused(
                "When you specify the byQueue permission type, you must also specify one or more \
                 sourceQueueArns values.",
            ));
        }
        (RedrivePermission::ByQueue, 1..=10) => {}
        (RedrivePermission::ByQueue, _) => {
            return Err(refused("The maximum number of source queue ARNs you can specify is 10."));
        }
        (_, 0) => {}
        _ => {
            return Err(refused(
                "To specify one or more source queue ARNs, you must set redrivePermission to byQueue.",
            ));
        }
    }
    let name = |arn: &String| addresses.queue_of_arn(arn).map(str::to_owned);
    let names: Option<Vec<_>> = sources.iter().map(name).collect();
    let names =
        names.ok_or_else(|| refused("A sourceQueueArn is no queue of this account and Region."))?;
    changes.redrive_permission = Some(permission);
    changes.redrive_sources = Some(names);
    Ok(())
}

/// The RedriveAllowPolicy of a queue. Where it is the default it stands there only if it was set.
pub(super) fn redrive_allow_policy(attributes: &Attributes, addresses: &Addresses) -> String {
    let redrive_permission = match attributes.redrive_permission {
        RedrivePermission::All => "allowAll",
        RedrivePermission::None => "denyAll",
        RedrivePermission::ByQueue => "byQueue",
    };
    let arns = attributes.redrive_sources.iter().map(|name| addresses.arn(name));
    to_json(&RedriveAllowPolicy {
        redrive_permission: redrive_permission.to_owned(),
        source_queue_arns: arns.collect(),
    })
}

/// A policy's members. None of these is longer than the longest Policy, and what is made of a longer text
/// would take far more memory than it.
fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    (text.len() <= POLICY_BYTES_MAX).then(|| serde_json::from_str(text).ok())?
}

fn to_json(policy: &impl Serialize) -> String {
    serde_json::to_string(policy).expect("texts and numbers can be written")
}
