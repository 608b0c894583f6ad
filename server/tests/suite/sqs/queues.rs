//! Without these, a program could lose, confuse or not find its queues.

use serde_json::{Value, json};

use super::wire::{
    BAD_ATTRIBUTE_NAME, BAD_ATTRIBUTE_VALUE, DELETED_RECENTLY, EXISTS, INVALID, PURGING, STATEMENT,
    Sqs,
};

#[tokio::test]
async fn creating_a_queue_again_finds_it_if_nothing_differs() {
    let sqs = Sqs::start().await;
    let policy = |id: &str| format!("{{\"Statement\":{STATEMENT},\"Id\":\"{id}\"}}");
    let url = sqs.create("q", json!({"DelaySeconds": "3", "Policy": policy("1")})).await;
    for same in [json!({}), json!({"DelaySeconds": "3"}), json!({"VisibilityTimeout": "30"})] {
        assert_eq!(sqs.create("q", same).await, url);
    }
    let message = |attribute: &str| {
        format!(
            "A queue already exists with the same name and a different value for attribute \
             {attribute}"
        )
    };
    for (name, value) in [
        ("DelaySeconds", "4"),
        ("VisibilityTimeout", "31"),
        ("Policy", &policy("2")),
        ("KmsMasterKeyId", "key"),
        ("SqsManagedSseEnabled", "false"),
        ("MessageRetentionPeriod", "60"),
    ] {
        let members = json!({"QueueName": "q", "Attributes": {name: value}});
        sqs.refuses("CreateQueue", members, EXISTS, &message(name)).await;
    }
    // Also when it was changed since.
    let members = json!({"QueueUrl": url, "Attributes": {"DelaySeconds": "9"}});
    sqs.ask("SetQueueAttributes", members).await;
    assert_eq!(sqs.create("q", json!({})).await, url);
    assert_eq!(sqs.create("q", json!({"DelaySeconds": "9"})).await, url);
    let members = json!({"QueueName": "q", "Attributes": {"DelaySeconds": "3"}});
    sqs.refuses("CreateQueue", members, EXISTS, &message("DelaySeconds")).await;
    let members = json!({"QueueName": "q", "tags": {"other": "tag"}});
    assert_eq!(sqs.ask("CreateQueue", members).await["QueueUrl"], url);
    let xml = sqs.ask_xml("CreateQueue", json!({"QueueName": "q"})).await;
    assert_eq!(xml["QueueUrl"], url);
}

#[tokio::test]
async fn a_queue_is_the_same_if_what_is_given_means_the_same() {
    let sqs = Sqs::start().await;
    let defaults = json!({
        "DelaySeconds": "0",
        "KmsDataKeyReusePeriodSeconds": "300",
        "KmsMasterKeyId": "",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "Policy": "",
        "ReceiveMessageWaitTimeSeconds": "0",
        "RedriveAllowPolicy": "{\"redrivePermission\":\"allowAll\"}",
        "RedrivePolicy": "",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    });
    let url = sqs.create("plain", json!({})).await;
    assert_eq!(sqs.create("plain", defaults.clone()).await, url);
    let url = sqs.create("said", defaults.clone()).await;
    assert_eq!(sqs.create("said", json!({})).await, url);
    assert_eq!(sqs.create("said", defaults).await, url);
    let policy = |id: &str| format!("{{\"Id\":\"{id}\",\"Statement\":{STATEMENT}}}");
    let url = sqs.create("q", json!({"Policy": policy("a")})).await;
    let same = format!("{{ \"Statement\": {STATEMENT}, \"Id\": \"\\u0061\" }}");
    assert_eq!(sqs.create("q", json!({"Policy": same})).await, url);
    for (name, value) in [
        ("KmsDataKeyReusePeriodSeconds", "301"),
        ("RedriveAllowPolicy", "{\"redrivePermission\":\"denyAll\"}"),
        ("Policy", &policy("b")),
    ] {
        let message = format!(
            "A queue already exists with the same name and a different value for attribute {name}"
        );
        let members = json!({"QueueName": "plain", "Attributes": {name: value}});
        sqs.refuses("CreateQueue", members, EXISTS, &message).await;
    }
}

#[tokio::test]
async fn what_differs_is_told_although_it_would_not_go_together_with_what_the_queue_has() {
    let sqs = Sqs::start().await;
    let url = sqs.create("key", json!({"KmsMasterKeyId": "key"})).await;
    let high = json!({
        "FifoQueue": "true", "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    });
    let line = sqs.create("high.fifo", high.clone()).await;
    sqs.create("low.fifo", json!({"FifoQueue": "true"})).await;
    for (name, attributes, differs) in [
        ("key", json!({"SqsManagedSseEnabled": "true"}), "SqsManagedSseEnabled"),
        (
            "high.fifo",
            json!({"FifoQueue": "true", "DeduplicationScope": "queue"}),
            "DeduplicationScope",
        ),
        (
            "low.fifo",
            json!({"FifoQueue": "true", "FifoThroughputLimit": "perMessageGroupId"}),
            "FifoThroughputLimit",
        ),
    ] {
        let message = format!(
            "A queue already exists with the same name and a different value for attribute {differs}"
        );
        let members = json!({"QueueName": name, "Attributes": attributes});
        sqs.refuses("CreateQueue", members, EXISTS, &message).await;
    }
    let same = json!({"KmsMasterKeyId": "key", "SqsManagedSseEnabled": "false"});
    assert_eq!(sqs.create("key", same).await, url);
    for attribute in ["DeduplicationScope", "FifoThroughputLimit"] {
        let one = json!({"FifoQueue": "true", attribute: high[attribute]});
        assert_eq!(sqs.create("high.fifo", one).await, line);
    }
    // But what is asked for must go together.
    let both = json!({"KmsMasterKeyId": "other", "SqsManagedSseEnabled": "true"});
    let message = "You can use one type of server-side encryption (SSE) at one time. You can either \
                   enable KMS SSE or SQS SSE.";
    let members = json!({"QueueName": "key", "Attributes": both});
    sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_NAME, message).await;
    let both = json!({
        "FifoQueue": "true", "DeduplicationScope": "queue",
        "FifoThroughputLimit": "perMessageGroupId",
    });
    let message = "Invalid value for the parameter FifoThroughputLimit. Reason: The \
                   perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.";
    for name in ["high.fifo", "low.fifo"] {
        let members = json!({"QueueName": name, "Attributes": both});
        sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_VALUE, message).await;
    }
}

#[tokio::test]
async fn a_name_that_no_queue_may_have_is_refused() {
    let sqs = Sqs::start().await;
    let long = "a".repeat(81);
    let plain =
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
    for name in ["a/b", "a b", "\u{e4}", "q.fifo", "q.", &long] {
        sqs.refuses("CreateQueue", json!({"QueueName": name}), INVALID, plain).await;
    }
    let message = "Value for parameter QueueName is invalid. Reason: Must specify a queue name.";
    sqs.refuses("CreateQueue", json!({}), INVALID, message).await;
    let message = "Queue name cannot be empty";
    sqs.refuses("CreateQueue", json!({"QueueName": ""}), INVALID, message).await;
    let fifo = "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
                underscores, must end with .fifo suffix and be 1 to 80 in length.";
    let long = format!("{}.fifo", "a".repeat(76));
    for name in ["q", ".fifo", "a/b.fifo", &long] {
        let members = json!({"QueueName": name, "Attributes": {"FifoQueue": "true"}});
        sqs.refuses("CreateQueue", members, INVALID, fifo).await;
    }
    sqs.create(&"a".repeat(80), json!({})).await;
    sqs.create(&format!("{}.fifo", "a".repeat(75)), json!({"FifoQueue": "true"})).await;
}

#[tokio::test]
async fn a_deleted_queue_is_gone_and_its_name_rests() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.send_body(&url, "gone with it").await;
    sqs.ask("DeleteQueue", json!({"QueueUrl": url})).await;
    assert_eq!(sqs.ask("ListQueues", json!({})).await, json!({}));
    let message = "You must wait 60 seconds after deleting a queue before you can create another \
                   with the same name.";
    sqs.refuses("CreateQueue", json!({"QueueName": "q"}), DELETED_RECENTLY, message).await;
    sqs.create("r", json!({})).await;
    let xml = sqs.ask_xml("DeleteQueue", json!({"QueueUrl": sqs.url("r")})).await;
    assert_eq!(xml, Value::Null, "an action without members has no result");
}

#[tokio::test]
async fn queues_are_listed_by_prefix_and_in_pages() {
    let sqs = Sqs::start().await;
    for name in ["a1", "a2", "a3", "b1"] {
        sqs.create(name, json!({})).await;
    }
    let urls = |names: &[&str]| json!(names.iter().map(|name| sqs.url(name)).collect::<Vec<_>>());
    let all = sqs.ask("ListQueues", json!({})).await;
    assert_eq!(all, json!({"QueueUrls": urls(&["a1", "a2", "a3", "b1"])}));
    let members = json!({"QueueNamePrefix": "a", "MaxResults": 2});
    let first = sqs.ask("ListQueues", members.clone()).await;
    assert_eq!(first["QueueUrls"], urls(&["a1", "a2"]));
    let token = first["NextToken"].as_str().unwrap();
    let mut next = members.clone();
    next["NextToken"] = json!(token);
    assert_eq!(sqs.ask("ListQueues", next.clone()).await, json!({"QueueUrls": urls(&["a3"])}));
    let xml = sqs.ask_xml("ListQueues", members).await;
    assert_eq!(xml["QueueUrl"], urls(&["a1", "a2"]));
    assert_eq!(xml["NextToken"], token);
    assert_eq!(sqs.ask_xml("ListQueues", json!({"QueueNamePrefix": "c"})).await, "");
    let none = sqs.ask("ListQueues", json!({"QueueNamePrefix": "c"})).await;
    assert_eq!(none, json!({}));
    for max in [0, 1001] {
        let message = "Value for parameter MaxResults is invalid. Reason: MaxResults must be an integer \
                       between 1 and 1000.";
        sqs.refuses("ListQueues", json!({"MaxResults": max}), INVALID, message).await;
        let members = json!({"QueueUrl": sqs.url("a1"), "MaxResults": max});
        sqs.refuses("ListDeadLetterSourceQueues", members, INVALID, message).await;
    }
    let members = json!({"NextToken": "?", "MaxResults": 1});
    sqs.refuses("ListQueues", members, INVALID, "Invalid or expired next token.").await;
    let message = "MaxResults is a mandatory parameter when you provide a value for NextToken.";
    sqs.refuses("ListQueues", json!({"NextToken": token}), INVALID, message).await;
}

#[tokio::test]
async fn a_purge_takes_everything_and_is_not_repeated_at_once() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.send_body(&url, "in flight").await;
    sqs.receive_one(&url, 60).await;
    sqs.send_body(&url, "waiting").await;
    let members = json!({"QueueUrl": url, "MessageBody": "delayed", "DelaySeconds": 60});
    sqs.ask("SendMessage", members).await;
    let attributes = sqs.attributes(&url).await;
    for name in ["", "NotVisible", "Delayed"] {
        assert_eq!(attributes[format!("ApproximateNumberOfMessages{name}")], "1");
    }
    sqs.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    let attributes = sqs.attributes(&url).await;
    for name in ["", "NotVisible", "Delayed"] {
        assert_eq!(attributes[format!("ApproximateNumberOfMessages{name}")], "0");
    }
    let message = "Only one PurgeQueue operation on q is allowed every 60 seconds.";
    sqs.refuses("PurgeQueue", json!({"QueueUrl": url}), PURGING, message).await;
}

#[tokio::test]
async fn tags_are_set_overwritten_listed_and_taken_away() {
    let sqs = Sqs::start().await;
    let members = json!({"QueueName": "q", "tags": {"a": "1", "A": "2"}});
    let url = sqs.ask("CreateQueue", members).await["QueueUrl"].clone();
    sqs.ask("TagQueue", json!({"QueueUrl": url, "Tags": {"a": "3", "b": ""}})).await;
    let tags = json!({"a": "3", "A": "2", "b": ""});
    assert_eq!(sqs.ask("ListQueueTags", json!({"QueueUrl": url})).await, json!({"Tags": tags}));
    let xml = sqs.ask_xml("ListQueueTags", json!({"QueueUrl": url})).await;
    let expected = json!([
        {"Key": "A", "Value": "2"}, {"Key": "a", "Value": "3"}, {"Key": "b", "Value": ""},
    ]);
    assert_eq!(xml["Tag"], expected);
    let xml = sqs.ask_xml("UntagQueue", json!({"QueueUrl": url, "TagKeys": ["a", "none"]})).await;
    assert_eq!(xml, Value::Null);
    sqs.ask("UntagQueue", json!({"QueueUrl": url, "TagKeys": ["A", "b"]})).await;
    assert_eq!(sqs.ask("ListQueueTags", json!({"QueueUrl": url})).await, json!({}));
    // As the AWS SDKs for Java spell it.
    let form = ["Action=TagQueue", "QueueUrl=q", "Tags.1.Key=java", "Tags.1.Value=v"].join("&");
    assert_eq!(sqs.get(&format!("/?{form}")).await.status, 200);
    let tags = sqs.ask("ListQueueTags", json!({"QueueUrl": url})).await;
    assert_eq!(tags, json!({"Tags": {"java": "v"}}));
    let (long, longest) = ("k".repeat(129), "k".repeat(128));
    let length = "Tag keys must be between 1 and 128 characters in length.";
    for bad in ["", &long] {
        let members = json!({"QueueUrl": url, "Tags": {bad: "v"}});
        sqs.refuses("TagQueue", members, INVALID, length).await;
        let members = json!({"QueueName": "bad", "tags": {bad: "v"}});
        sqs.refuses("CreateQueue", members, INVALID, length).await;
        let members = json!({"QueueUrl": url, "TagKeys": [bad]});
        sqs.refuses("UntagQueue", members, INVALID, length).await;
    }
    let refused = sqs.json("UntagQueue", &json!({"QueueUrl": url, "TagKeys": []})).await;
    assert_eq!((refused.status, &refused.json()["message"]), (400, &json!(length)));
    let value = "v".repeat(256);
    let members = json!({"QueueUrl": url, "Tags": {longest.as_str(): value}});
    sqs.ask("TagQueue", members).await;
    let members = json!({"QueueUrl": url, "Tags": {"k": format!("{value}v")}});
    let message = "Tag values must be between 0 and 256 characters in length.";
    sqs.refuses("TagQueue", members, INVALID, message).await;
    let many: serde_json::Map<_, _> =
        (0..49).map(|index| (format!("k{index}"), json!("v"))).collect();
    let message = "Too many tags added for queue q.";
    sqs.refuses("TagQueue", json!({"QueueUrl": url, "Tags": many}), INVALID, message).await;
    sqs.ask("UntagQueue", json!({"QueueUrl": url, "TagKeys": [longest]})).await;
    sqs.ask("TagQueue", json!({"QueueUrl": url, "Tags": many})).await;
    sqs.ask("UntagQueue", json!({"QueueUrl": url, "TagKeys": ["k0"]})).await;
    for (key, reason) in [
        ("aws:x", "Must be one that does not begin with aws:."),
        ("a*", "Must be letters, digits, spaces and _ . : / = + - @."),
    ] {
        let refused = sqs.json("TagQueue", &json!({"QueueUrl": url, "Tags": {key: "v"}})).await;
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert_eq!(refused.json()["__type"], INVALID.json);
        assert!(message.starts_with(&format!("Value {}", &key[..2])), "{message}");
        let end = format!(" for parameter Tag.Key is invalid. Reason: {reason}");
        assert!(message.ends_with(&end), "{message}");
    }
    let of_query = json!({"QueueName": "r", "tags": {"k": "v"}});
    let url = sqs.ask_xml("CreateQueue", of_query).await["QueueUrl"].clone();
    let tags = sqs.ask("ListQueueTags", json!({"QueueUrl": url})).await;
    assert_eq!(tags, json!({"Tags": {"k": "v"}}));
}
