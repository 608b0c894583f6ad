//! Without these, a policy would not be what AddPermission and RemovePermission make of it.

use serde_json::{Value, json};

use super::wire::{BAD_ATTRIBUTE_VALUE, INVALID, OVER_LIMIT, Sqs};

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
    let message =
        "Value one for parameter Label is invalid. Reason: can't find label on existing policy.";
    sqs.refuses("RemovePermission", label("one"), INVALID, message).await;
    assert_eq!(sqs.ask_xml("RemovePermission", label("several")).await, Value::Null);
    assert_eq!(policy(&sqs).await, None);
    let message = "Value one for parameter Label is invalid. Reason: can't find label.";
    sqs.refuses("RemovePermission", label("one"), INVALID, message).await;
}

#[tokio::test]
async fn a_policy_is_written_in_the_order_of_aws_and_what_others_wrote_stays_as_it_is() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let text = async || sqs.attributes(&url).await["Policy"].as_str().unwrap().to_owned();
    let permit = async |label: &str| {
        let members = json!({
            "QueueUrl": url, "Label": label, "AWSAccountIds": ["111111111111"],
            "Actions": ["SendMessage"],
        });
        sqs.ask("AddPermission", members).await;
    };
    let made = |label: &str| {
        let principal = r#"{"AWS":"arn:aws:iam::111111111111:root"}"#;
        format!(
            r#"{{"Sid":"{label}","Effect":"Allow","Principal":{principal},"Action":"SQS:SendMessage","Resource":"{ARN}"}}"#
        )
    };
    permit("a").await;
    permit("b").await;
    let begin = format!(r#"{{"Version":"2008-10-17","Id":"{ARN}/SQSDefaultPolicy","Statement":["#);
    assert_eq!(text().await, format!("{begin}{},{}]}}", made("a"), made("b")));
    let label = |label: &str| json!({"QueueUrl": url, "Label": label});
    sqs.ask("RemovePermission", label("a")).await;
    assert_eq!(text().await, format!("{begin}{}]}}", made("b")));
    // A single statement without a list around it, too.
    let own = r#"{ "Action": "SQS:*", "Principal": "*", "Sid": "a", "Effect": "Deny" }"#;
    for policy in [
        format!(r#"{{"Statement": [{own}], "Version": "2012-10-17"}}"#),
        format!(r#"{{"Statement": {own}, "Version": "2012-10-17"}}"#),
    ] {
        let members = json!({"QueueUrl": url, "Attributes": {"Policy": policy}});
        sqs.ask("SetQueueAttributes", members).await;
        permit("b").await;
        let begin = r#"{"Version":"2012-10-17","Statement":["#;
        assert_eq!(text().await, format!("{begin}{own},{}]}}", made("b")));
        let message = "Value a for parameter Label is invalid. Reason: Already exists.";
        let mut again = label("a");
        again["AWSAccountIds"] = json!(["111111111111"]);
        again["Actions"] = json!(["SendMessage"]);
        sqs.refuses("AddPermission", again, INVALID, message).await;
        sqs.ask("RemovePermission", label("b")).await;
        assert_eq!(text().await, format!("{begin}{own}]}}"));
    }
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

#[tokio::test]
async fn a_permission_is_for_accounts() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    for id in ["1", "1111111111111", "11111111111a", "*", ""] {
        let members = json!({
            "QueueUrl": url, "Label": "l", "AWSAccountIds": ["111111111111", id],
            "Actions": ["SendMessage"],
        });
        let message = format!(
            "Value [{id}] for parameter PrincipalId is invalid. Reason: Unable to verify principal."
        );
        sqs.refuses("AddPermission", members, INVALID, &message).await;
    }
    let nobody = json!({
        "QueueUrl": url, "Label": "l", "AWSAccountIds": [], "Actions": ["SendMessage"],
    });
    let refused = sqs.json("AddPermission", &nobody).await.json();
    let message = "Value [] for parameter PrincipalId is invalid. Reason: Unable to verify.";
    assert_eq!((&refused["__type"], &refused["message"]), (&json!(INVALID.json), &json!(message)));
    assert_eq!(policy(&sqs).await, None);
}

#[tokio::test]
async fn what_is_no_action_is_not_permitted() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    // A right to an action is one to batches of it, which have none of their own.
    for action in ["SendMessageBatch", "DeleteMessageBatch", "sendmessage", "", "SQS:SendMessage"] {
        let members = json!({
            "QueueUrl": url, "Label": "l", "AWSAccountIds": ["111111111111"], "Actions": [action],
        });
        let message = format!(
            "Value SQS:{action} for parameter ActionName is invalid. Reason: Please refer to the \
             appropriate WSDL for a list of valid actions."
        );
        sqs.refuses("AddPermission", members, INVALID, &message).await;
    }
    assert_eq!(policy(&sqs).await, None);
}

#[tokio::test]
async fn a_policy_that_is_none_is_refused() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let allow = || json!({"Effect": "Allow", "Principal": "*", "Action": "SQS:*", "Resource": "*"});
    let with = |member: &str, value: Value| {
        let mut statement = allow();
        statement[member] = value;
        json!({ "Statement": [statement] })
    };
    let without = |member: &str| {
        let mut statement = allow();
        statement.as_object_mut().unwrap().remove(member);
        json!({ "Statement": statement })
    };
    for refused in [
        json!({}),
        json!({"Id": "x"}),
        json!({"Version": "2013-10-17", "Statement": allow()}),
        json!({"Version": 2012, "Statement": allow()}),
        json!({"Statement": "Allow"}),
        json!({"Statement": null}),
        json!({"Statement": [allow(), "Allow"]}),
        json!({"Statement": []}),
        without("Effect"),
        without("Principal"),
        without("Action"),
        with("Principal", json!([])),
        with("Action", json!(null)),
        with("Effect", json!("allow")),
        with("Effect", json!("Refuse")),
        with("Effect", json!(1)),
        with("Action", json!(1)),
        with("Resource", json!(["*", {}])),
        with("Principal", json!({"AWS": 111_111_111_111_u64})),
        with("Condition", json!("x")),
        with("Effects", json!("Allow")),
        json!({"Name": "x", "Statement": allow()}),
        with("Condition", json!({"StringEquals": "x"})),
    ] {
        let members = json!({"QueueUrl": url, "Attributes": {"Policy": refused.to_string()}});
        let message = "Invalid value for the parameter Policy.";
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_VALUE, message).await;
    }
    for taken in [
        json!({ "Statement": allow() }),
        json!({"Version": "2008-10-17", "Statement": allow()}),
        json!({"Version": "2012-10-17", "Statement": allow()}),
        with("Effect", json!("Deny")),
        without("Resource"),
        json!({"Statement": {"Effect": "Deny", "NotPrincipal": "*", "NotAction": "SQS:*"}}),
    ] {
        let members = json!({"QueueUrl": url, "Attributes": {"Policy": taken.to_string()}});
        sqs.ask("SetQueueAttributes", members).await;
        assert_eq!(policy(&sqs).await, Some(taken));
    }
}

#[tokio::test]
async fn a_policy_has_twenty_statements_fifty_principals_and_in_each_ten_conditions_and_seven_actions()
 {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let statement = |principals: usize, actions: usize| {
        json!({
            "Effect": "Allow", "Principal": {"AWS": vec!["111111111111"; principals]},
            "Action": vec!["SQS:SendMessage"; actions], "Resource": "*",
        })
    };
    let conditional = |keys: usize| {
        let mut statement = statement(1, 1);
        let keys: serde_json::Map<_, _> =
            (0..keys).map(|key| (format!("aws:Key{key}"), json!("x"))).collect();
        statement["Condition"] = json!({"StringEquals": keys, "Bool": {"aws:Flag": "true"}});
        statement
    };
    let set = |statements: Vec<Value>| {
        let policy = json!({ "Statement": statements }).to_string();
        json!({"QueueUrl": url, "Attributes": {"Policy": policy}})
    };
    let twenty = || vec![statement(1, 1); 20];
    // As a queue has it that twenty topics send to.
    let of_topic = |topic: usize| {
        let mut statement = statement(1, 1);
        let topic = format!("arn:aws:sns:us-east-1:000000000000:topic-{topic}");
        statement["Condition"] = json!({"ArnEquals": {"aws:SourceArn": topic}});
        statement
    };
    let topics = |count: usize| (0..count).map(of_topic).collect::<Vec<_>>();
    let ten = || vec![conditional(9), conditional(9)];
    for most in [vec![statement(25, 7); 2], vec![statement(50, 1)], ten(), topics(20), twenty()] {
        sqs.ask("SetQueueAttributes", set(most)).await;
    }
    for (more, message) in [
        (
            vec![statement(1, 1); 21],
            "21 statements were found in the submitted policy, max allowed is 20",
        ),
        (topics(21), "21 statements were found in the submitted policy, max allowed is 20"),
        (
            vec![statement(25, 1), statement(26, 1)],
            "51 Principals were found, maximum allowed is 50.",
        ),
        (
            vec![statement(1, 8)],
            "8 actions were found in a statement from the submitted policy, max allowed is 7",
        ),
        (vec![conditional(1), conditional(10)], "11 Conditions were found, maximum allowed is 10."),
    ] {
        sqs.refuses("SetQueueAttributes", set(more), OVER_LIMIT, message).await;
    }
    let one_more = json!({
        "QueueUrl": url, "Label": "l", "AWSAccountIds": ["111111111111"],
        "Actions": ["SendMessage"],
    });
    let message = "21 Statements were found, maximum allowed is 20.";
    sqs.refuses("AddPermission", one_more, OVER_LIMIT, message).await;
    assert_eq!(policy(&sqs).await, Some(json!({ "Statement": twenty() })));
}

#[tokio::test]
async fn a_policy_is_no_longer_than_eight_kibibytes() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let policy = |bytes: usize| {
        let begin =
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"SQS:SendMessage","Sid":""#;
        format!("{begin}{}\"}}}}", "s".repeat(bytes - begin.len() - 3))
    };
    let set = |bytes: usize| json!({"QueueUrl": url, "Attributes": {"Policy": policy(bytes)}});
    let message = "Submitted policy is over max allowed size.";
    sqs.refuses("SetQueueAttributes", set(8193), OVER_LIMIT, message).await;
    let created = json!({"QueueName": "r", "Attributes": {"Policy": policy(8193)}});
    sqs.refuses("CreateQueue", created, OVER_LIMIT, message).await;
    sqs.ask("SetQueueAttributes", set(8192)).await;
    let permit = json!({
        "QueueUrl": url, "Label": "l", "AWSAccountIds": ["111111111111"],
        "Actions": ["SendMessage"],
    });
    sqs.refuses("AddPermission", permit, OVER_LIMIT, message).await;
    assert_eq!(sqs.attributes(&url).await["Policy"], policy(8192));
}
