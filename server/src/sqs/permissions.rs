//! AddPermission and RemovePermission: statements in a queue's Policy.

use forebay_engine::attributes::{AttributeChanges, Attributes};
use forebay_engine::command::Command;
use serde_json::{Map, Value, json};

use super::attribute_name::Name;
use super::endpoint::{Asked, Endpoint};
use super::error::{Result, SqsError};
use super::inputs::{self, TextMap, required};
use super::outputs::Nothing;
use super::policy;
use super::queue_attributes;
use super::queues::queue;

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

pub(super) async fn add(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::AddPermission,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    let label = required(input.label, "Label")?;
    let accounts = required(input.aws_account_ids, "AWSAccountIds")?;
    let actions = required(input.actions.filter(|actions| !actions.is_empty()), "Actions")?;
    check_label(&label)?;
    check_actions(&actions)?;
    check_accounts(&accounts)?;
    let _changing = endpoint.changing.lock().await;
    let attributes = endpoint.describe(&name).await?.attributes;
    let arn = endpoint.addresses.arn(&name);
    let mut policy = current(&attributes).unwrap_or_else(|| {
        let id = format!("{arn}/SQSDefaultPolicy");
        Map::from_iter([
            ("Version".to_owned(), json!("2008-10-17")),
            ("Id".to_owned(), json!(id)),
            ("Statement".to_owned(), json!([])),
        ])
    });
    let statements = statements(&mut policy);
    if statements.iter().any(|statement| is_labelled(statement, &label)) {
        return Err(SqsError::invalid_value(label, "Label", "Already exists."));
    }
    let principals = accounts.iter().map(|id| format!("arn:aws:iam::{id}:root")).collect();
    let actions = actions.iter().map(|action| format!("SQS:{action}")).collect();
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_many(principals) },
        "Action": one_or_many(actions),
        "Resource": arn,
    }));
    set_policy(endpoint, name, &attributes, &Value::Object(policy).to_string()).await
}

pub(super) async fn remove(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::RemovePermission,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    let label = required(input.label, "Label")?;
    let _changing = endpoint.changing.lock().await;
    let attributes = endpoint.describe(&name).await?.attributes;
    let mut policy = current(&attributes).unwrap_or_default();
    let statements = statements(&mut policy);
    let before = statements.len();
    statements.retain(|statement| !is_labelled(statement, &label));
    if statements.len() == before {
        return Err(SqsError::invalid_value(label, "Label", "can't find label."));
    }
    let text = match statements.is_empty() {
        true => String::new(),
        false => Value::Object(policy).to_string(),
    };
    set_policy(endpoint, name, &attributes, &text).await
}

fn check_label(label: &str) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match (1..=80).contains(&label.len()) && label.bytes().all(is_allowed) {
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
    // No account at all is none that can be verified.
    match bad.or(accounts.is_empty().then_some("")) {
        None => Ok(()),
        Some(id) => {
            Err(SqsError::invalid_value(format!("[{id}]"), "PrincipalId", "Unable to verify."))
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

fn current(attributes: &Attributes) -> Option<Map<String, Value>> {
    let text = queue_attributes::note(attributes, Name::Policy)?;
    serde_json::from_str(text).ok()
}

/// A policy's statements; a single one may stand there without a list around it.
fn statements(policy: &mut Map<String, Value>) -> &mut Vec<Value> {
    let statements = policy.entry("Statement").or_insert_with(|| json!([]));
    if !statements.is_array() {
        *statements = Value::Array(vec![statements.take()]);
    }
    statements.as_array_mut().expect("it was made one")
}

fn is_labelled(statement: &Value, label: &str) -> bool {
    statement.get("Sid").and_then(Value::as_str) == Some(label)
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
