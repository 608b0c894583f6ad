//! Without these, tools that set a queue's attributes and read them back would never be done.

use serde_json::{Value, json};

use super::wire::{BAD_ATTRIBUTE_NAME, BAD_ATTRIBUTE_VALUE, BEGIN_MS, INVALID, STATEMENT, Sqs};

#[tokio::test]
async fn a_new_queue_has_the_defaults_and_nothing_else() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let now = (BEGIN_MS / 1000).to_string();
    let expected = json!({
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "CreatedTimestamp": now,
        "DelaySeconds": "0",
        "LastModifiedTimestamp": now,
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    });
    assert_eq!(sqs.attributes(&url).await, expected);
    let mut expected = expected;
    expected["QueueArn"] = json!("arn:aws:sqs:us-east-1:000000000000:q.fifo");
    expected["FifoQueue"] = json!("true");
    expected["ContentBasedDeduplication"] = json!("false");
    expected["DeduplicationScope"] = json!("queue");
    expected["FifoThroughputLimit"] = json!("perQueue");
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    assert_eq!(sqs.attributes(&url).await, expected);
}

#[tokio::test]
async fn only_what_is_asked_for_is_told() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let asked = |names: Value| json!({"QueueUrl": url, "AttributeNames": names});
    let some = asked(json!(["DelaySeconds", "Policy", "RedrivePolicy"]));
    let told = sqs.ask("GetQueueAttributes", some.clone()).await;
    assert_eq!(told, json!({"Attributes": {"DelaySeconds": "0"}}));
    let xml = sqs.ask_xml("GetQueueAttributes", some).await;
    assert_eq!(xml, json!({"Attribute": {"Name": "DelaySeconds", "Value": "0"}}));
    for nothing in [json!({"QueueUrl": url}), asked(json!([])), asked(json!(["Policy"]))] {
        assert_eq!(sqs.ask("GetQueueAttributes", nothing).await, json!({}));
    }
    let message = "Unknown Attribute Foobar.";
    let members = asked(json!(["All", "Foobar"]));
    sqs.refuses("GetQueueAttributes", members, BAD_ATTRIBUTE_NAME, message).await;
}

#[tokio::test]
async fn every_attribute_is_set_to_its_limits_and_not_beyond() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let policy = |bytes: usize| {
        let (begin, end) = (format!("{{\"Statement\":[{STATEMENT}],\"Id\":\""), "\"}");
        format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len()))
    };
    let longest = policy(8192);
    for (name, good, bad) in [
        ("DelaySeconds", ["0", "900"], ["-1", "901"]),
        ("MaximumMessageSize", ["1024", "1048576"], ["1023", "1048577"]),
        ("MessageRetentionPeriod", ["60", "1209600"], ["59", "1209601"]),
        ("ReceiveMessageWaitTimeSeconds", ["0", "20"], ["-1", "21"]),
        ("VisibilityTimeout", ["0", "43200"], ["x", "43201"]),
        ("KmsDataKeyReusePeriodSeconds", ["60", "86400"], ["59", "86401"]),
        ("SqsManagedSseEnabled", ["true", "false"], ["yes", ""]),
        ("Policy", [&policy(200), &longest], ["[]", "{}"]),
    ] {
        for value in good {
            let members = json!({"QueueUrl": url, "Attributes": {name: value}});
            sqs.ask("SetQueueAttributes", members.clone()).await;
            assert_eq!(sqs.attributes(&url).await[name], value, "{name}");
            assert_eq!(sqs.ask_xml("SetQueueAttributes", members).await, Value::Null);
        }
        for value in bad {
            let message = format!("Invalid value for the parameter {name}.");
            let members = json!({"QueueUrl": url, "Attributes": {name: value}});
            sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_VALUE, &message).await;
            let members = json!({"QueueName": "new", "Attributes": {name: value}});
            sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_VALUE, &message).await;
        }
    }
    // Numbers are told as numbers, however they were written.
    for name in ["KmsDataKeyReusePeriodSeconds", "MessageRetentionPeriod"] {
        for value in ["+600", "0600"] {
            let members = json!({"QueueUrl": url, "Attributes": {name: value}});
            sqs.ask("SetQueueAttributes", members).await;
            assert_eq!(sqs.attributes(&url).await[name], "600", "{name} {value}");
        }
    }
    for name in ["Foobar", "QueueArn", "All", "ApproximateNumberOfMessages"] {
        let members = json!({"QueueUrl": url, "Attributes": {name: "1"}});
        let message = format!("Unknown Attribute {name}.");
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_NAME, &message).await;
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_told_before_a_value_that_is_none() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let only = "You can specify the FifoThroughputLimit only when FifoQueue is set to true.";
    for (name, message) in [
        ("Foobar", "Unknown Attribute Foobar."),
        ("QueueArn", "Unknown Attribute QueueArn."),
        ("FifoThroughputLimit", only),
    ] {
        let both = json!({"DelaySeconds": "-1", name: "perQueue"});
        let members = json!({"QueueUrl": url, "Attributes": both});
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_NAME, message).await;
        let members = json!({"QueueName": "r", "Attributes": both});
        sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_NAME, message).await;
    }
}

#[tokio::test]
async fn an_empty_text_takes_a_policy_or_key_away() {
    let sqs = Sqs::start().await;
    let policy = format!("{{\"Statement\":{STATEMENT}}}");
    let url = sqs.create("q", json!({"Policy": policy, "KmsMasterKeyId": "key"})).await;
    let attributes = sqs.attributes(&url).await;
    assert_eq!(attributes["KmsMasterKeyId"], "key");
    assert_eq!(attributes["KmsDataKeyReusePeriodSeconds"], "300");
    assert_eq!(attributes["SqsManagedSseEnabled"], "false");
    let none = json!({"Policy": "", "KmsMasterKeyId": "", "RedrivePolicy": ""});
    sqs.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": none})).await;
    let attributes = sqs.attributes(&url).await;
    for name in ["Policy", "KmsMasterKeyId", "RedrivePolicy", "KmsDataKeyReusePeriodSeconds"] {
        assert_eq!(attributes.get(name), None);
    }
}

#[tokio::test]
async fn without_a_key_the_default_of_how_long_it_is_used_is_not_shown() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let shown = |attributes: Value| attributes.get("KmsDataKeyReusePeriodSeconds").cloned();
    let key = json!({"KmsMasterKeyId": "key", "KmsDataKeyReusePeriodSeconds": "300"});
    sqs.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": key})).await;
    assert_eq!(shown(sqs.attributes(&url).await), Some(json!("300")));
    let none = json!({"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"});
    sqs.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": none})).await;
    assert_eq!(shown(sqs.attributes(&url).await), None);
    let other = json!({"KmsDataKeyReusePeriodSeconds": "600"});
    sqs.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": other})).await;
    assert_eq!(shown(sqs.attributes(&url).await), Some(json!("600")));
}

#[tokio::test]
async fn one_kind_of_encryption_at_a_time() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let message = "You can use one type of server-side encryption (SSE) at one time. You can either \
                   enable KMS SSE or SQS SSE.";
    for yes in ["true", "True"] {
        let both = json!({"KmsMasterKeyId": "key", "SqsManagedSseEnabled": yes});
        let members = json!({"QueueUrl": url, "Attributes": both});
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_NAME, message).await;
        let members = json!({"QueueName": "r", "Attributes": both});
        sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_NAME, message).await;
    }
    let key = json!({"KmsMasterKeyId": "key", "KmsDataKeyReusePeriodSeconds": "600"});
    sqs.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": key})).await;
    // Asked for alone, SQS's own takes the key's place.
    let members = json!({"QueueUrl": url, "Attributes": {"SqsManagedSseEnabled": "true"}});
    sqs.ask("SetQueueAttributes", members).await;
    let attributes = sqs.attributes(&url).await;
    assert_eq!(attributes["SqsManagedSseEnabled"], "true");
    assert_eq!(attributes.get("KmsMasterKeyId"), None);
    assert_eq!(attributes.get("KmsDataKeyReusePeriodSeconds"), None);
}

#[tokio::test]
async fn attributes_of_fifo_queues_are_theirs_alone() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let only =
        |name: &str| format!("You can specify the {name} only when FifoQueue is set to true.");
    for (name, value, message) in [
        ("ContentBasedDeduplication", "true", "Unknown Attribute ContentBasedDeduplication."),
        ("DeduplicationScope", "queue", &only("DeduplicationScope")),
        ("FifoThroughputLimit", "perQueue", &only("FifoThroughputLimit")),
    ] {
        let members = json!({"QueueUrl": url, "Attributes": {name: value}});
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_NAME, message).await;
        let members = json!({"QueueName": "r", "Attributes": {name: value}});
        sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_NAME, message).await;
    }
    let message = "Unknown Attribute FifoQueue.";
    for name in ["r", "q"] {
        let members = json!({"QueueName": name, "Attributes": {"FifoQueue": "false"}});
        sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_NAME, message).await;
    }
    for value in ["true", "false"] {
        let members = json!({"QueueUrl": url, "Attributes": {"FifoQueue": value}});
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_NAME, message).await;
    }
    let message = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not \
                   supported.";
    let fifo = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    let members = json!({"QueueUrl": fifo, "Attributes": {"FifoQueue": "false"}});
    sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_VALUE, message).await;
    // What it is already may be said again.
    let members = json!({"QueueUrl": fifo, "Attributes": {"FifoQueue": "true"}});
    sqs.ask("SetQueueAttributes", members).await;
    // Also in the way that some write it.
    let members = json!({"QueueName": "True", "Attributes": {"FifoQueue": "True"}});
    let name = "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
                underscores, must end with .fifo suffix and be 1 to 80 in length.";
    sqs.refuses("CreateQueue", members, INVALID, name).await;
    let url = sqs.create("True.fifo", json!({"FifoQueue": "True"})).await;
    assert_eq!(sqs.attributes(&url).await["FifoQueue"], "true");
    assert_eq!(sqs.create("True.fifo", json!({"FifoQueue": "True"})).await, url);
    let high = json!({
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    });
    sqs.ask("SetQueueAttributes", json!({"QueueUrl": fifo, "Attributes": high})).await;
    let attributes = sqs.attributes(&fifo).await;
    for (name, value) in high.as_object().unwrap() {
        assert_eq!(attributes[name], *value);
    }
    let low = json!({"DeduplicationScope": "queue"});
    let message = "Invalid value for the parameter FifoThroughputLimit. Reason: The \
                   perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.";
    let members = json!({"QueueUrl": fifo, "Attributes": low});
    sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_VALUE, message).await;
}
