//! Who may do what: a key's own rights, and the Policy of the queue.
//!
//! A key of the server's account may do what its rights or the policy allow, one of another account only
//! what the policy allows, and never what is the owner's alone; what the policy denies, nobody may. Conditions are not looked at: a statement
//! that has some, or says what it is *not* about, allows nothing, and denies whatever else it says.

use serde_json::Value;

use super::action::{Action, Request};
use super::address::queue_of_url;
use super::attribute_name::Name;
use super::credentials::{Case, Key, matches};
use super::endpoint::Endpoint;
use super::error::{Code, Result, SqsError};
use super::permissions::OWNERS_ACTIONS;
use super::policy::several;
use super::queue_attributes;

/// Checks that the holder of the key may do what a request asks for.
pub(super) async fn check(endpoint: &Endpoint, key: &Key, request: &Request) -> Result<()> {
    // Rights to single actions are rights to batches of them.
    let action = request.action().name().trim_end_matches("Batch");
    let (queue, destination) = queues(endpoint, request);
    check_one(endpoint, key, action, queue.as_deref()).await?;
    match destination {
        Some(destination) => {
            let action = Action::SendMessage.name();
            check_one(endpoint, key, action, Some(&destination)).await
        }
        None => Ok(()),
    }
}

/// The queue that a request is about, and another one that it sends to.
fn queues(endpoint: &Endpoint, request: &Request) -> (Option<String>, Option<String>) {
    let of_arn =
        |arn: &Option<String>| Some(endpoint.addresses.queue_of_arn(arn.as_deref()?)?.to_owned());
    match request {
        Request::CreateQueue(input) => (input.queue_name.clone(), None),
        Request::GetQueueUrl(input) => (input.queue_name.clone(), None),
        Request::StartMessageMoveTask(input) => {
            (of_arn(&input.source_arn), of_arn(&input.destination_arn))
        }
        Request::ListMessageMoveTasks(input) => (of_arn(&input.source_arn), None),
        Request::CancelMessageMoveTask(input) => {
            let source = super::move_tasks::source_arn(input.task_handle.as_deref());
            (of_arn(&source), None)
        }
        request => {
            let url = request.clone().queue_url().and_then(|url| url.clone());
            (url.and_then(|url| queue_of_url(&url).ok().map(str::to_owned)), None)
        }
    }
}

async fn check_one(
    endpoint: &Endpoint,
    key: &Key,
    action: &str,
    queue: Option<&str>,
) -> Result<()> {
    let own = &endpoint.addresses.account;
    let info = match queue {
        Some(queue) => endpoint.find(queue).await?,
        None => None,
    };
    let policy = info.and_then(|info| {
        let text = queue_attributes::note(&info.attributes, Name::Policy)?;
        serde_json::from_str::<Value>(text).ok()
    });
    let arn = queue.map_or_else(|| "*".to_owned(), |queue| endpoint.addresses.arn(queue));
    let access =
        Access { principal: &key.arn(own), account: key.account(own), action, resource: &arn };
    let said = policy.map_or(Said::Nothing, |policy| access.of_policy(&policy));
    let is_own = key.account(own) == own;
    // No policy lets another account do what is the owner's alone.
    let by_policy = is_own || !OWNERS_ACTIONS.contains(&action);
    let is_allowed = match said {
        Said::Allowed => by_policy,
        Said::Nothing => is_own && key.may(action, queue),
        Said::Denied => false,
    };
    if is_allowed {
        return Ok(());
    }
    let text = format!(
        "User: {} is not authorized to perform: sqs:{} on resource: {arn}",
        key.arn(own),
        action.to_lowercase()
    );
    Err(SqsError::new(Code::AccessDenied, text))
}

/// What a policy says to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Allowed,
    Denied,
}

/// Who asks to do what.
struct Access<'a> {
    principal: &'a str,
    account: &'a str,
    action: &'a str,
    resource: &'a str,
}

impl Access<'_> {
    fn of_policy(&self, policy: &Value) -> Said {
        let mut said = Said::Nothing;
        for statement in several(&policy["Statement"]) {
            let is_conditional = ["Condition", "NotPrincipal", "NotAction", "NotResource"]
                .iter()
                .any(|member| statement.get(member).is_some());
            let is_denial = statement["Effect"] == "Deny";
            if !self.is_meant(statement, is_denial) {
                continue;
            }
            match (is_denial, is_conditional) {
                (true, _) => return Said::Denied,
                (false, false) => said = Said::Allowed,
                (false, true) => {}
            }
        }
        said
    }

    /// Whether a statement is about this. What it does not say is about everything, if it denies.
    fn is_meant(&self, statement: &Value, or_silent: bool) -> bool {
        let says = |member: &str, matches: &dyn Fn(&str) -> bool| match statement.get(member) {
            None => or_silent,
            Some(patterns) => several(patterns).filter_map(Value::as_str).any(matches),
        };
        let principals = match statement.get("Principal") {
            Some(Value::Object(kinds)) => kinds.get("AWS").cloned().unwrap_or_default(),
            Some(other) => other.clone(),
            None => Value::Null,
        };
        let is_principal = match &principals {
            Value::Null => or_silent,
            principals => {
                several(principals).filter_map(Value::as_str).any(|one| self.is_principal(one))
            }
        };
        is_principal
            && says("Action", &|pattern| {
                matches(pattern, &format!("sqs:{}", self.action), Case::Ignored)
            })
            && says("Resource", &|pattern| matches(pattern, self.resource, Case::Respected))
    }

    fn is_principal(&self, named: &str) -> bool {
        named == "*"
            || named == self.principal
            || named == self.account
            || named == format!("arn:aws:iam::{}:root", self.account)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(statements: Value) -> Said {
        let access = Access {
            principal: "arn:aws:iam::111111111111:user/ada",
            account: "111111111111",
            action: "SendMessage",
            resource: "arn:aws:sqs:us-east-1:000000000000:q",
        };
        access.of_policy(&json!({ "Statement": statements }))
    }

    fn statement(effect: &str, principal: Value, action: Value) -> Value {
        json!({"Effect": effect, "Principal": principal, "Action": action, "Resource": "*"})
    }

    #[test]
    fn a_policy_allows_whom_it_names_what_it_names() {
        let root = json!({"AWS": "arn:aws:iam::111111111111:root"});
        for principal in [
            root.clone(),
            json!("*"),
            json!({"AWS": "*"}),
            json!({"AWS": ["222222222222", "111111111111"]}),
            json!({"AWS": "arn:aws:iam::111111111111:user/ada"}),
        ] {
            let allowed = statement("Allow", principal, json!("SQS:SendMessage"));
            assert_eq!(said(json!([allowed])), Said::Allowed, "{allowed}");
        }
        for action in [json!("*"), json!("sqs:*"), json!(["SQS:Receive*", "sqs:send*"])] {
            assert_eq!(said(statement("Allow", root.clone(), action)), Said::Allowed);
        }
        for (principal, action) in [
            (json!({"AWS": "222222222222"}), json!("SQS:*")),
            (json!({"Service": "sns.amazonaws.com"}), json!("SQS:*")),
            (root.clone(), json!("SQS:ReceiveMessage")),
            (root.clone(), json!("SendMessage")),
        ] {
            assert_eq!(said(statement("Allow", principal, action)), Said::Nothing);
        }
        let mut elsewhere = statement("Allow", root.clone(), json!("SQS:*"));
        elsewhere["Resource"] = json!("arn:aws:sqs:us-east-1:000000000000:other");
        assert_eq!(said(elsewhere), Said::Nothing);
    }

    #[test]
    fn what_is_denied_is_denied_whatever_else_is_allowed() {
        let allow = statement("Allow", json!("*"), json!("SQS:*"));
        let deny = statement("Deny", json!("*"), json!("SQS:SendMessage"));
        assert_eq!(said(json!([allow, deny])), Said::Denied);
        // Conditions are not looked at, for the side of caution.
        let with = |mut statement: Value| {
            statement["Condition"] = json!({"Bool": {"aws:SecureTransport": "false"}});
            statement
        };
        assert_eq!(said(json!([with(allow)])), Said::Nothing);
        assert_eq!(said(json!([with(deny)])), Said::Denied);
    }
}
