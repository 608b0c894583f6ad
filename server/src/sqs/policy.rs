//! What a queue's Policy must be: JSON that says something to somebody, within the limits of SQS.

use serde_json::{Map, Value};

use super::attribute_name::{Name, invalid};
use super::error::{Code, Result, SqsError};

/// The longest Policy.
pub(super) const POLICY_BYTES_MAX: usize = 8192;

/// The versions of the language of policies.
const VERSIONS: [&str; 2] = ["2008-10-17", "2012-10-17"];

/// The most actions of a statement.
const ACTIONS_MAX: usize = 7;

/// The most statements of a policy.
const STATEMENTS_MAX: usize = 20;

/// The most principals of all statements of a policy.
const PRINCIPALS_MAX: usize = 50;

/// The most conditions of a statement.
const CONDITIONS_MAX: usize = 10;

/// The members of a policy, and of a statement: nothing else may stand there.
const MEMBERS: [&str; 3] = ["Version", "Id", "Statement"];
const STATEMENT_MEMBERS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// The members of a statement that say what it is about: a text or a list of texts.
const PATTERNS: [&str; 4] = ["Action", "NotAction", "Resource", "NotResource"];

/// Checks the text of a Policy.
pub(super) fn check(text: &str) -> Result<()> {
    let refused = || invalid(Name::Policy);
    if text.len() > POLICY_BYTES_MAX {
        let text = "Submitted policy is over max allowed size.";
        return Err(SqsError::new(Code::OverLimit, text));
    }
    let policy: Map<String, Value> = serde_json::from_str(text).map_err(|_| refused())?;
    if !policy.keys().all(|member| MEMBERS.contains(&member.as_str())) {
        return Err(refused());
    }
    if policy.get("Version").is_some_and(|version| !VERSIONS.iter().any(|known| version == known)) {
        return Err(refused());
    }
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => &statements[..],
        Some(one) => std::slice::from_ref(one),
        None => return Err(refused()),
    };
    if statements.is_empty() {
        return Err(refused());
    }
    if statements.len() > STATEMENTS_MAX {
        let text = format!(
            "{} statements were found in the submitted policy, max allowed is {STATEMENTS_MAX}",
            statements.len()
        );
        return Err(SqsError::new(Code::OverLimit, text));
    }
    let mut principals = 0;
    for statement in statements {
        if !is_statement(statement) {
            return Err(refused());
        }
        for member in ["Action", "NotAction"] {
            let actions = several(&statement[member]).count();
            if actions > ACTIONS_MAX {
                let text = format!(
                    "{actions} actions were found in a statement from the submitted policy, max \
                     allowed is {ACTIONS_MAX}"
                );
                return Err(SqsError::new(Code::OverLimit, text));
            }
        }
        principals += principals_of(statement).ok_or_else(refused)?;
        let conditions = conditions_of(statement).ok_or_else(refused)?;
        check_count(conditions, "Conditions", CONDITIONS_MAX)?;
    }
    check_count(principals, "Principals", PRINCIPALS_MAX)
}

/// Checks the number of statements that AddPermission makes of a policy's.
pub(super) fn check_statements(count: usize) -> Result<()> {
    check_count(count, "Statements", STATEMENTS_MAX)
}

/// Checks the number of actions that AddPermission is given.
pub(super) fn check_actions(count: usize) -> Result<()> {
    check_count(count, "Actions", ACTIONS_MAX)
}

fn check_count(count: usize, what: &str, max: usize) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    let text = format!("{count} {what} were found, maximum allowed is {max}.");
    Err(SqsError::new(Code::OverLimit, text))
}

fn is_statement(statement: &Value) -> bool {
    let is_text = |member: &&str| match statement.get(member) {
        None => true,
        Some(patterns) => several(patterns).all(Value::is_string),
    };
    let says =
        |members: [&str; 2]| members.iter().any(|member| several(&statement[member]).count() > 0);
    let is_known = |member: &String| STATEMENT_MEMBERS.contains(&member.as_str());
    statement.as_object().is_some_and(|members| members.keys().all(is_known))
        && matches!(statement["Effect"].as_str(), Some("Allow" | "Deny"))
        && says(["Principal", "NotPrincipal"])
        && says(["Action", "NotAction"])
        && PATTERNS.iter().all(is_text)
}

/// How many principals a statement names; `None`: what it names is nobody.
fn principals_of(statement: &Value) -> Option<usize> {
    let mut count = 0;
    for member in ["Principal", "NotPrincipal"] {
        let named: Vec<_> = match statement.get(member) {
            None => continue,
            Some(Value::Object(kinds)) => kinds.values().flat_map(several).collect(),
            Some(one) => several(one).collect(),
        };
        if !named.iter().all(|principal| principal.is_string()) {
            return None;
        }
        count += named.len();
    }
    Some(count)
}

/// How many conditions a statement has: keys, each with an operator. `None`: they are none.
fn conditions_of(statement: &Value) -> Option<usize> {
    let Some(operators) = statement.get("Condition") else { return Some(0) };
    operators.as_object()?.values().map(|keys| Some(keys.as_object()?.len())).sum()
}

/// The items of a list, or the one value that stands for a list; none if there is nothing.
pub(super) fn several(value: &Value) -> impl Iterator<Item = &Value> {
    let items = match value {
        Value::Array(items) => &items[..],
        Value::Null => &[],
        one => std::slice::from_ref(one),
    };
    items.iter()
}
