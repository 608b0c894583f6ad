//! Without these, a policy would not be what AddPermission and RemovePermission make of it.

use serde_json::{Value, json};

use super::wire::{INVALID, OVER_LIMIT, Sqs};

const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:q";

async fn policy(sqs: &Sqs) -> Option<Value> {
    let attributes = sqs.attributes(&sqs.url("q")).await;
    let policy = attributes.get("Policy")?.as_str().unwrap().to_owned();
    Some(serde_json::from_str(&policy).unwrap())
}

#[tokio::test]
async fn a_permission_is_a_statement_of_the_policy() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let one = json!({
        "QueueUrl": url, "Label": "one", "AWSAccountIds": ["111111111111"],
        "Actions": ["ReceiveMessage"],
    });
    let several = json!({
        "QueueUrl": url, "Label": "several", "AWSAccountIds": ["111111111111", "222222222222"],
        "Actions": ["SendMessage", "*"],
    });
    sqs.ask("AddPermission", one.clone()).await;
    assert_eq!(sqs.ask_xml("AddPermission", several).await, Value::Null);
    let first = json!({
        "Sid": "one", "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": "SQS:ReceiveMessage", "Resource": ARN,
    });
    let second = json!({
        "Sid": "several", "Effect": "Allow",
        "Principal": {
            "AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root"],
        },
        "Action": ["SQS:SendMessage", "SQS:*"], "Resource": ARN,
    });
    let whole = |statements: Value| {
        json!({
            "Version": "2008-10-17", "Id": format!("{ARN}/SQSDefaultPolicy"),
            "Statement": statements,
        })
    };
    assert_eq!(policy(&sqs).await, Some(whole(json!([first, second]))));
    let message = "Value one for parameter Label is invalid. Reason: Already exists.";
    sqs.refuses("AddPermission", one, INVALID, message).await;
    let label = |label: &str| json!({"QueueUrl": url, "Label": label});
    sqs.ask("RemovePermission", label("one")).await;
    assert_eq!(policy(&sqs).await, Some(whole(json!([second]))));
    let message = "Value one for parameter Label is invalid. Reason: can't find label.";
    sqs.refuses("RemovePermission", label("one"), INVALID, message).await;
    assert_eq!(sqs.ask_xml("RemovePermission", label("several")).await, Value::Null);
    assert_eq!(policy(&sqs).await, None);
}

#[tokio::test]
async fn what_only_an_owner_may_do_is_not_permitted_to_others() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let permit = |actions: Value| {
        json!({
            "QueueUrl": url, "Label": "l", "AWSAccountIds": ["111111111111"], "Actions": actions,
        })
    };
    for action in [
        "AddPermission",
        "CreateQueue",
        "DeleteQueue",
        "ListQueueTags",
        "ListQueues",
        "RemovePermission",
        "SetQueueAttributes",
        "TagQueue",
        "UntagQueue",
    ] {
        let message = format!(
            "Value SQS:{action} for parameter ActionName is invalid. Reason: Only the queue owner is \
             allowed to invoke this action."
        );
        sqs.refuses("AddPermission", permit(json!([action])), INVALID, &message).await;
    }
    let message = "8 Actions were found, maximum allowed is 7.";
    let eight = vec!["SendMessage"; 8];
    sqs.refuses("AddPermission", permit(json!(eight)), OVER_LIMIT, message).await;
    assert_eq!(policy(&sqs).await, None);
}
