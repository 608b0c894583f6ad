//! AddPermission and RemovePermission: statements in a queue's Policy.

use forebay_engine::attributes::{AttributeChanges, Attributes};
use forebay_engine::command::Command;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::attribute_name::Name;
use super::endpoint::{Asked, Endpoint};
use super::error::{Result, SqsError};
use super::inputs::{self, TextMap, required};
use super::outputs::Nothing;
use super::policy;
use super::queue_attributes;
use super::queues::queue;

/// The longest label.
const LABEL_BYTES_MAX: usize = 80;

/// The digits of an account's id.
const ACCOUNT_DIGITS: usize = 12;

/// What a queue's owner may let others do.
/// Who may do something may do it in batches, which have no rights of their own.
const ACTIONS: [&str; 12] = [
    "*",
    "CancelMessageMoveTask",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListMessageMoveTasks",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
    "StartMessageMoveTask",
];

/// What only a queue's owner may do, whatever a policy says.
pub(super) const OWNERS_ACTIONS: [&str; 9] = [
    "AddPermission",
    "CreateQueue",
    "DeleteQueue",
    "ListQueueTags",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "TagQueue",
    "UntagQueue",
];

/// A queue's Policy, in the order in which AWS writes it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    /// As they were written.
    #[serde(default, deserialize_with = "one_or_several")]
    statement: Vec<Box<RawValue>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// The statement that AddPermission makes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Permission<'a> {
    sid: &'a str,
    effect: &'static str,
    principal: Value,
    action: Value,
    resource: &'a str,
}

pub(super) async fn add(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::AddPermission,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    let label = label(input.label)?;
    let accounts = required(input.aws_account_ids, "AWSAccountIds")?;
    let actions = required(input.actions.filter(|actions| !actions.is_empty()), "Actions")?;
    check_label(&label)?;
    check_actions(&actions)?;
    check_accounts(&accounts)?;
    let _changing = endpoint.changing.lock().await;
    let attributes = endpoint.describe(&name).await?.attributes;
    let arn = endpoint.addresses.arn(&name);
    let mut policy = Policy::of(&attributes).unwrap_or_else(|| Policy {
        version: Some(json!("2008-10-17")),
        id: Some(json!(format!("{arn}/SQSDefaultPolicy"))),
        ..Policy::default()
    });
    if policy.statement.iter().any(|statement| is_labelled(statement, &label)) {
        return Err(SqsError::invalid_value(label, "Label", "Already exists."));
    }
    let principals = accounts.iter().map(|id| format!("arn:aws:iam::{id}:root")).collect();
    let actions = actions.iter().map(|action| format!("SQS:{action}")).collect();
    let permission = Permission {
        sid: &label,
        effect: "Allow",
        principal: json!({ "AWS": one_or_many(principals) }),
        action: one_or_many(actions),
        resource: &arn,
    };
    policy.statement.push(to_raw_value(&permission).map_err(unwritable)?);
    policy::check_statements(policy.statement.len())?;
    set_policy(endpoint, name, &attributes, &policy.text()?).await
}

pub(super) async fn remove(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::RemovePermission,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    let label = label(input.label)?;
    let _changing = endpoint.changing.lock().await;
    let attributes = endpoint.describe(&name).await?.attributes;
    let Some(mut policy) = Policy::of(&attributes) else {
        return Err(SqsError::invalid_value(label, "Label", "can't find label."));
    };
    let before = policy.statement.len();
    policy.statement.retain(|statement| !is_labelled(statement, &label));
    if policy.statement.len() == before {
        let reason = "can't find label on existing policy.";
        return Err(SqsError::invalid_value(label, "Label", reason));
    }
    let text = if policy.statement.is_empty() { String::new() } else { policy.text()? };
    set_policy(endpoint, name, &attributes, &text).await
}

/// An empty one is as good as none.
fn label(given: Option<String>) -> Result<String> {
    required(given.filter(|label| !label.is_empty()), "Label")
}

fn check_label(label: &str) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match label.len() <= LABEL_BYTES_MAX && label.bytes().all(is_allowed) {
        true => Ok(()),
        false => Err(SqsError::invalid_value(
            label,
            "Label",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.",
        )),
    }
}

fn check_accounts(accounts: &[String]) -> Result<()> {
    let is_account =
        |id: &str| id.len() == ACCOUNT_DIGITS && id.bytes().all(|byte| byte.is_ascii_digit());
    let bad = accounts.iter().find(|id| !is_account(id)).map(String::as_str);
    match bad {
        // No account at all is none that can be verified.
        None if accounts.is_empty() => {
            Err(SqsError::invalid_value("[]", "PrincipalId", "Unable to verify."))
        }
        None => Ok(()),
        Some(id) => {
            let reason = "Unable to verify principal.";
            Err(SqsError::invalid_value(format!("[{id}]"), "PrincipalId", reason))
        }
    }
}

fn check_actions(actions: &[String]) -> Result<()> {
    policy::check_actions(actions.len())?;
    for action in actions {
        if OWNERS_ACTIONS.contains(&action.as_str()) {
            return Err(SqsError::invalid_value(
                format!("SQS:{action}"),
                "ActionName",
                "Only the queue owner is allowed to invoke this action.",
            ));
        }
        if !ACTIONS.contains(&action.as_str()) {
            let reason = "Please refer to the appropriate WSDL for a list of valid actions.";
            return Err(SqsError::invalid_value(format!("SQS:{action}"), "ActionName", reason));
        }
    }
    Ok(())
}

impl Policy {
    /// The one that a queue has.
    fn of(attributes: &Attributes) -> Option<Self> {
        let text = queue_attributes::note(attributes, Name::Policy)?;
        serde_json::from_str(text).ok()
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(unwritable)
    }
}

/// A policy's statements; a single one may stand there without a list around it.
fn one_or_several<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<Box<RawValue>>, D::Error> {
    let statements = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(statements.get()).unwrap_or_else(|_| vec![statements]))
}

fn is_labelled(statement: &RawValue, label: &str) -> bool {
    let statement: Value = serde_json::from_str(statement.get()).unwrap_or_default();
    statement["Sid"] == *label
}

fn unwritable(error: serde_json::Error) -> SqsError {
    SqsError::internal(error.to_string())
}

fn one_or_many(mut texts: Vec<String>) -> Value {
    match texts.len() {
        1 => Value::String(texts.remove(0)),
        _ => json!(texts),
    }
}

async fn set_policy(
    endpoint: &Endpoint,
    name: String,
    before: &Attributes,
    text: &str,
) -> Result<Nothing> {
    let given = TextMap::from([(Name::Policy.as_str().to_owned(), text.to_owned())]);
    let changes: AttributeChanges =
        queue_attributes::changes(&given, before, false, &endpoint.addresses)?;
    endpoint.ask(Command::AlterQueue { name, attributes: changes.into() }).await?;
    Ok(Nothing)
}
