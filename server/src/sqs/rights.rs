//! Who may do what: a key's own rights, and the Policy of the queue.
//!
//! A key of the server's account may do what its rights or the policy allow, one of another account only
//! what the policy allows, and never what is the owner's alone; what the policy denies, nobody may. A statement
//! whose conditions cannot be judged ([`super::conditions`]) allows nothing, and denies whatever else it says.
//! One that allows the server's account something grants that account's keys nothing by itself.

use std::net::IpAddr;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::action::{Action, Request};
use super::address::queue_of_url;
use super::attribute_name::Name;
use super::conditions;
use super::credentials::{Case, Credentials, Key, matches};
use super::endpoint::Endpoint;
use super::error::{Code, Result, SqsError};
use super::permissions::OWNERS_ACTIONS;
use super::policy::several;
use super::queue_attributes;

/// What conditions may ask of a request, beside who made it.
#[derive(Debug)]
pub(super) struct Circumstances {
    pub(super) source: IpAddr,
    pub(super) now: OffsetDateTime,
    pub(super) user_agent: Option<String>,
}

impl Credentials {
    /// The keys of a file's text. A right to what no action is called would be one that nobody has.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        // Rights to single actions are rights to batches of them.
        let names = || Action::ALL.iter().map(|action| action.name());
        let singles = || names().filter(|name| !name.ends_with("Batch"));
        Self::read(text, |pattern| singles().any(|name| matches(pattern, name, Case::Ignored)))
    }
}

/// Checks that the holder of the key may do what a request asks for.
pub(super) async fn check(
    endpoint: &Endpoint,
    key: &Key,
    request: &Request<'_>,
    circumstances: &Circumstances,
) -> Result<()> {
    let queue = queue(endpoint, request);
    for action in needed(request.action()) {
        check_one(endpoint, key, action, queue.as_deref(), circumstances).await?;
    }
    for destination in destinations(endpoint, request, queue.as_deref()).await? {
        let action = Action::SendMessage.name();
        check_one(endpoint, key, action, Some(&destination), circumstances).await?;
    }
    Ok(())
}

/// The actions that a key must be allowed for this one, on the queue that it is about: for a move task also
/// what the task does there.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html>
fn needed(action: Action) -> impl Iterator<Item = &'static str> {
    const MOVES: &[Action] =
        &[Action::ReceiveMessage, Action::DeleteMessage, Action::GetQueueAttributes];
    let also = match action {
        Action::StartMessageMoveTask | Action::CancelMessageMoveTask => MOVES,
        Action::ListMessageMoveTasks => &[Action::GetQueueAttributes],
        _ => &[],
    };
    // Rights to single actions are rights to batches of them.
    let name = action.name().trim_end_matches("Batch");
    [name].into_iter().chain(also.iter().map(|action| action.name()))
}

/// The queue that a request is about.
fn queue(endpoint: &Endpoint, request: &Request<'_>) -> Option<String> {
    let of_arn = |arn: Option<&str>| Some(endpoint.addresses.queue_of_arn(arn?)?.to_owned());
    match request {
        Request::CreateQueue(input) => input.queue_name.clone(),
        Request::GetQueueUrl(input) => input.queue_name.clone(),
        Request::StartMessageMoveTask(input) => of_arn(input.source_arn.as_deref()),
        Request::ListMessageMoveTasks(input) => of_arn(input.source_arn.as_deref()),
        Request::CancelMessageMoveTask(input) => {
            of_arn(super::move_tasks::source_arn(input.task_handle.as_deref()).as_deref())
        }
        request => {
            let name = request.queue_url().and_then(|url| queue_of_url(url).ok());
            name.map(str::to_owned)
        }
    }
}

/// The queues that a request sends messages of its queue to: those that they came from, if it names none.
async fn destinations(
    endpoint: &Endpoint,
    request: &Request<'_>,
    queue: Option<&str>,
) -> Result<Vec<String>> {
    let Request::StartMessageMoveTask(input) = request else { return Ok(Vec::new()) };
    match (&input.destination_arn, queue) {
        (Some(arn), _) => {
            Ok(endpoint.addresses.queue_of_arn(arn).map(str::to_owned).into_iter().collect())
        }
        (None, Some(queue)) => super::move_tasks::sources(endpoint, queue).await,
        (None, None) => Ok(Vec::new()),
    }
}

async fn check_one(
    endpoint: &Endpoint,
    key: &Key,
    action: &str,
    queue: Option<&str>,
    circumstances: &Circumstances,
) -> Result<()> {
    let own = &endpoint.addresses.account;
    let attributes = match queue {
        Some(queue) => endpoint.attributes(queue).await?,
        None => None,
    };
    let policy = attributes.and_then(|attributes| {
        let text = queue_attributes::note(&attributes, Name::Policy)?;
        serde_json::from_str::<Value>(text).ok()
    });
    let arn = queue.map_or_else(|| "*".to_owned(), |queue| endpoint.addresses.arn(queue));
    let principal = key.arn(own);
    let is_own = key.account(own) == own;
    let access = Access {
        principal: &principal,
        account: key.account(own),
        is_own,
        action,
        resource: &arn,
        region: &endpoint.addresses.region,
        circumstances,
    };
    let said = policy.map_or(Said::Nothing, |policy| access.of_policy(&policy));
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
    let action = format!("sqs:{}", action.to_lowercase());
    let why = match said {
        Said::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        _ if is_own => format!("because no identity-based policy allows the {action} action"),
        _ => format!("because no resource-based policy allows the {action} action"),
    };
    let text = format!(
        "User: {principal} is not authorized to perform: {action} on resource: {arn} {why}"
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
    /// Whether this is the account that the queue is of.
    is_own: bool,
    action: &'a str,
    resource: &'a str,
    region: &'a str,
    circumstances: &'a Circumstances,
}

impl Access<'_> {
    fn of_policy(&self, policy: &Value) -> Said {
        let mut said = Said::Nothing;
        for statement in several(&policy["Statement"]) {
            let is_denial = statement["Effect"] == "Deny";
            if !self.is_meant(statement, is_denial) {
                continue;
            }
            let holds = match statement.get("Condition") {
                None => Some(true),
                Some(condition) => conditions::hold(condition, &|key| self.value_of(key)),
            };
            match (is_denial, holds) {
                (true, Some(true) | None) => return Said::Denied,
                (false, Some(true)) => said = Said::Allowed,
                (_, Some(false)) | (false, None) => {}
            }
        }
        said
    }

    /// Whether a statement is about this. What it does not say is about everything, if it denies.
    fn is_meant(&self, statement: &Value, or_silent: bool) -> bool {
        let says = |member: &str, but: &str, matches: &dyn Fn(&str) -> bool| {
            let any = |patterns: &Value| texts(patterns).into_iter().any(matches);
            match (statement.get(member), statement.get(but)) {
                (Some(patterns), _) => any(patterns),
                (None, Some(patterns)) => !any(patterns),
                (None, None) => or_silent,
            }
        };
        // To allow the owning account something grants its keys nothing by itself, as in IAM. Where an
        // account is excepted or denied, all its keys are.
        let only_users = self.is_own && !or_silent && statement.get("Principal").is_some();
        says("Principal", "NotPrincipal", &|named| {
            self.is_user(named) || !only_users && self.is_account(named)
        }) && says("Action", "NotAction", &|pattern| {
            matches(pattern, &format!("sqs:{}", self.action), Case::Ignored)
        }) && says("Resource", "NotResource", &|pattern| {
            matches(pattern, self.resource, Case::Respected)
        })
    }

    /// What a key of a condition, in lower case, stands for; `None`: this request has none such.
    fn value_of(&self, key: &str) -> Option<String> {
        let Circumstances { source, now, user_agent } = self.circumstances;
        Some(match key {
            "aws:sourceip" => source.to_canonical().to_string(),
            // What is before this server may speak TLS; this server does not.
            "aws:securetransport" => "false".to_owned(),
            "aws:currenttime" => now.format(&Rfc3339).ok()?,
            "aws:epochtime" => now.unix_timestamp().to_string(),
            "aws:useragent" => user_agent.clone()?,
            "aws:requestedregion" => self.region.to_owned(),
            "aws:principalarn" => self.principal.to_owned(),
            "aws:principalaccount" => self.account.to_owned(),
            "aws:principaltype" => "User".to_owned(),
            "aws:username" => self.principal.rsplit('/').next()?.to_owned(),
            _ => return None,
        })
    }

    fn is_user(&self, named: &str) -> bool {
        named == "*" || named == self.principal
    }

    fn is_account(&self, named: &str) -> bool {
        named == self.account || named == format!("arn:aws:iam::{}:root", self.account)
    }
}

/// The texts of a list, or of principals those of AWS.
fn texts(patterns: &Value) -> Vec<&str> {
    let patterns = match patterns {
        Value::Object(kinds) => kinds.get("AWS").unwrap_or(&Value::Null),
        other => other,
    };
    several(patterns).filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(statements: Value) -> Said {
        let circumstances = Circumstances {
            source: IpAddr::from([10, 1, 2, 3]),
            now: OffsetDateTime::UNIX_EPOCH,
            user_agent: None,
        };
        let access = Access {
            principal: "arn:aws:iam::111111111111:user/ada",
            account: "111111111111",
            is_own: false,
            action: "SendMessage",
            resource: "arn:aws:sqs:us-east-1:000000000000:q",
            region: "us-east-1",
            circumstances: &circumstances,
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
    }

    #[test]
    fn a_statement_says_what_its_conditions_say_and_less_if_they_cannot_be_judged() {
        let with = |effect: &str, condition: Value| {
            let mut statement = statement(effect, json!("*"), json!("SQS:SendMessage"));
            statement["Condition"] = condition;
            said(statement)
        };
        let here = json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}});
        let elsewhere = json!({"IpAddress": {"aws:SourceIp": "192.168.0.0/16"}});
        let ada = json!({"StringEquals": {"aws:username": "ada"}});
        let unknown = json!({"ForAnyValue:StringLike": {"aws:TagKeys": "x"}});
        assert_eq!(with("Allow", here.clone()), Said::Allowed);
        assert_eq!(with("Allow", ada), Said::Allowed);
        assert_eq!(with("Allow", elsewhere.clone()), Said::Nothing);
        assert_eq!(with("Allow", unknown.clone()), Said::Nothing);
        assert_eq!(with("Deny", here), Said::Denied);
        assert_eq!(with("Deny", elsewhere), Said::Nothing);
        assert_eq!(with("Deny", unknown), Said::Denied);
    }

    #[test]
    fn a_statement_may_say_what_it_is_not_about() {
        let but = |member: &str, value: Value| {
            let mut statement = statement("Allow", json!("*"), json!("SQS:*"));
            let members = statement.as_object_mut().unwrap();
            members.remove(member.trim_start_matches("Not"));
            members.insert(member.to_owned(), value);
            said(statement)
        };
        assert_eq!(but("NotAction", json!("SQS:ReceiveMessage")), Said::Allowed);
        assert_eq!(but("NotAction", json!(["SQS:Send*"])), Said::Nothing);
        assert_eq!(but("NotPrincipal", json!({"AWS": "222222222222"})), Said::Allowed);
        assert_eq!(but("NotPrincipal", json!({"AWS": ["111111111111"]})), Said::Nothing);
        assert_eq!(but("NotResource", json!("arn:aws:sqs:*:other")), Said::Allowed);
        assert_eq!(but("NotResource", json!("arn:aws:sqs:*:q")), Said::Nothing);
    }
}
