//! Without these, FIFO queues would be in order natively and not over SQS.

use forebay::Limits;
use forebay::sqs::Config;
use forebay_engine::disk::{Fault, SimDisk};
use serde_json::{Value, json};

use super::wire::{BAD_ATTRIBUTE_VALUE, INVALID, MISSING, Sqs};

/// Sends to a group, with a deduplication id that is the body.
async fn send(sqs: &Sqs, url: &str, group: &str, body: &str) -> Value {
    let members = json!({
        "QueueUrl": url, "MessageBody": body, "MessageGroupId": group,
        "MessageDeduplicationId": body,
    });
    sqs.ask("SendMessage", members).await
}

#[tokio::test]
async fn a_message_needs_a_group_and_something_to_tell_copies_by() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageDeduplicationId": "d"});
    let message = "The request must contain the parameter MessageGroupId.";
    sqs.refuses("SendMessage", members, MISSING, message).await;
    // In a batch one entry without it fails them all.
    let good = json!({
        "Id": "a", "MessageBody": "x", "MessageDeduplicationId": "d", "MessageGroupId": "g",
    });
    let without = |member: &str| {
        let mut entry = good.clone();
        entry["Id"] = json!("b");
        entry.as_object_mut().unwrap().remove(member);
        json!({"QueueUrl": url, "Entries": [good, entry]})
    };
    sqs.refuses("SendMessageBatch", without("MessageGroupId"), INVALID, message).await;
    let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g"});
    let message = "The queue should either have ContentBasedDeduplication enabled or \
                   MessageDeduplicationId provided explicitly";
    sqs.refuses("SendMessage", members, INVALID, message).await;
    sqs.refuses("SendMessageBatch", without("MessageDeduplicationId"), INVALID, message).await;
    assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessages"], "0");
    let long = "a".repeat(129);
    for (parameter, id) in [
        ("MessageGroupId", "a b"),
        ("MessageGroupId", long.as_str()),
        ("MessageDeduplicationId", "\u{e9}"),
        ("MessageDeduplicationId", long.as_str()),
    ] {
        let mut members = json!({
            "QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g",
            "MessageDeduplicationId": "d",
        });
        members[parameter] = json!(id);
        let message = format!(
            "Value {id} for parameter {parameter} is invalid. Reason: {parameter} can only include \
             alphanumeric and punctuation characters. 1 to 128 in length."
        );
        sqs.refuses("SendMessage", members, INVALID, &message).await;
    }
    let mut members = json!({
        "QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g",
        "MessageDeduplicationId": "d", "DelaySeconds": 2,
    });
    let message = "Value 2 for parameter DelaySeconds is invalid. Reason: The request include \
                   parameter that is not valid for this queue type.";
    sqs.refuses("SendMessage", members.clone(), INVALID, message).await;
    members["DelaySeconds"] = json!(0);
    sqs.ask("SendMessage", members).await;
}

#[tokio::test]
async fn sequence_numbers_have_twenty_digits_and_grow() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    let mut numbers = Vec::new();
    for body in ["1", "2"] {
        let sent = send(&sqs, &url, "g", body).await;
        numbers.push(sent["SequenceNumber"].as_str().unwrap().to_owned());
    }
    assert!(numbers[0] < numbers[1] && numbers.iter().all(|number| number.len() == 20));
    for (message, number) in sqs.receive(&url, 30).await.iter().zip(&numbers) {
        assert_eq!(message["Attributes"]["SequenceNumber"], *number);
        assert_eq!(message["Attributes"]["MessageGroupId"], "g");
        assert_eq!(message["Attributes"]["MessageDeduplicationId"], message["Body"]);
    }
}

#[tokio::test]
async fn a_copy_is_answered_as_the_original_for_five_minutes() {
    let sqs = Sqs::start().await;
    let attributes = json!({"FifoQueue": "true", "ContentBasedDeduplication": "true"});
    let url = sqs.create("q.fifo", attributes).await;
    let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g"});
    let first = sqs.ask("SendMessage", members.clone()).await;
    let xml = sqs.ask_xml("SendMessage", members.clone()).await;
    assert_eq!(xml["MessageId"], first["MessageId"]);
    let received = sqs.receive_one(&url, 30).await;
    // sha256 of "x"
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert_eq!(received["Attributes"]["MessageDeduplicationId"], hash);
    let members_of = json!({"QueueUrl": url, "ReceiptHandle": received["ReceiptHandle"]});
    sqs.ask("DeleteMessage", members_of).await;
    sqs.clock.advance(299_000);
    assert_eq!(sqs.ask("SendMessage", members.clone()).await["MessageId"], first["MessageId"]);
    assert!(sqs.receive(&url, 30).await.is_empty());
    sqs.clock.advance(2_000);
    assert_ne!(sqs.ask("SendMessage", members.clone()).await["MessageId"], first["MessageId"]);
    // A purge forgets what there was.
    sqs.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    sqs.ask("SendMessage", members).await;
    sqs.receive_one(&url, 30).await;
    let entries = json!([
        {"Id": "a", "MessageBody": "y", "MessageGroupId": "h"},
        {"Id": "b", "MessageBody": "y", "MessageGroupId": "h"},
    ]);
    let batch = sqs.ask("SendMessageBatch", json!({"QueueUrl": url, "Entries": entries})).await;
    let id = |index: usize| batch["Successful"][index]["MessageId"].clone();
    assert_eq!(id(0), id(1));
    assert!(batch["Successful"][0]["SequenceNumber"].is_string());
}

#[tokio::test]
async fn an_id_that_is_the_digest_of_a_body_tells_a_copy_of_it() {
    let sqs = Sqs::start().await;
    let attributes = json!({"FifoQueue": "true", "ContentBasedDeduplication": "true"});
    let url = sqs.create("q.fifo", attributes).await;
    // printf x | sha256sum
    let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let members = |body: &str, id: Option<&str>| {
        let mut members = json!({"QueueUrl": url, "MessageBody": body, "MessageGroupId": "g"});
        if let Some(id) = id {
            members["MessageDeduplicationId"] = json!(id);
        }
        members
    };
    let first = sqs.ask("SendMessage", members("x", None)).await;
    let copy = sqs.ask("SendMessage", members("another body", Some(digest))).await;
    assert_eq!(
        (&copy["MessageId"], &copy["SequenceNumber"]),
        (&first["MessageId"], &first["SequenceNumber"])
    );
    // In any other spelling it is an id like others.
    let other = sqs.ask("SendMessage", members("y", Some(&digest.to_uppercase()))).await;
    assert_ne!(other["MessageId"], first["MessageId"]);
    // The other way round.
    sqs.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    let first = sqs.ask("SendMessage", members("another body", Some(digest))).await;
    let copy = sqs.ask_xml("SendMessage", members("x", None)).await;
    assert_eq!(copy["MessageId"], first["MessageId"]);
    assert_eq!(sqs.bodies(&url, 30).await, ["another body"]);
}

#[tokio::test]
async fn a_group_waits_for_what_is_in_flight_and_others_do_not() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    for (group, body) in [("g", "1"), ("g", "2"), ("h", "3")] {
        send(&sqs, &url, group, body).await;
    }
    let members = json!({"QueueUrl": url, "VisibilityTimeout": 10});
    let first = sqs.ask("ReceiveMessage", members).await["Messages"][0].clone();
    assert_eq!(first["Body"], "1");
    assert_eq!(sqs.bodies(&url, 10).await, ["3"]);
    let delete = json!({"QueueUrl": url, "ReceiptHandle": first["ReceiptHandle"]});
    sqs.ask("DeleteMessage", delete.clone()).await;
    let second = sqs.receive_one(&url, 10).await;
    assert_eq!(second["Body"], "2");
    sqs.clock.advance(11_000);
    let handle = second["ReceiptHandle"].as_str().unwrap();
    let message = format!(
        "Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    );
    let expired = json!({"QueueUrl": url, "ReceiptHandle": handle});
    sqs.refuses("DeleteMessage", expired.clone(), INVALID, &message).await;
    // In a batch AWS says so in another way.
    let entries = json!([{"Id": "a", "ReceiptHandle": handle}]);
    let batch = json!({"QueueUrl": url, "Entries": entries});
    let failed = json!({
        "Id": "a", "SenderFault": true, "Code": "ReceiptHandleIsInvalid",
        "Message": "The receipt handle has expired",
    });
    assert_eq!(sqs.ask("DeleteMessageBatch", batch.clone()).await, json!({"Failed": [failed]}));
    let xml = sqs.ask_xml("DeleteMessageBatch", batch).await;
    assert_eq!(xml["BatchResultErrorEntry"]["Code"], "ReceiptHandleIsInvalid");
    let mut change = expired;
    change["VisibilityTimeout"] = json!(1);
    sqs.refuses("ChangeMessageVisibility", change.clone(), INVALID, &message).await;
    change["VisibilityTimeout"] = json!(0);
    sqs.ask("ChangeMessageVisibility", change).await;
    // Of a message that is gone a delete succeeds.
    sqs.ask("DeleteMessage", delete).await;
}

#[tokio::test]
async fn an_attempt_asked_again_gets_the_same_messages() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    for body in ["1", "2"] {
        send(&sqs, &url, "g", body).await;
    }
    let members =
        json!({"QueueUrl": url, "ReceiveRequestAttemptId": "a", "MaxNumberOfMessages": 10});
    let first = sqs.ask("ReceiveMessage", members.clone()).await;
    let again = sqs.ask("ReceiveMessage", members.clone()).await;
    assert_eq!(first["Messages"].as_array().unwrap().len(), 2);
    for index in 0..2 {
        let handle = |answer: &Value| answer["Messages"][index]["ReceiptHandle"].clone();
        assert_eq!(handle(&first), handle(&again));
    }
    assert_eq!(sqs.ask("ReceiveMessage", json!({"QueueUrl": url})).await, json!({}));
}

#[tokio::test]
async fn an_attempt_whose_messages_were_deleted_or_changed_is_refused() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    let attempt = |id: &str| json!({"QueueUrl": url, "ReceiveRequestAttemptId": id});
    let receive = async |id: &str| sqs.ask("ReceiveMessage", attempt(id)).await;
    let refused = async |id: &str| {
        let message = format!(
            "Value {id} for parameter ReceiveRequestAttemptId is invalid. Reason: The \
             receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
        );
        sqs.refuses("ReceiveMessage", attempt(id), INVALID, &message).await;
    };
    for (id, action, visibility) in [
        ("deleted", "DeleteMessage", None),
        ("longer", "ChangeMessageVisibility", Some(60)),
        ("visible", "ChangeMessageVisibility", Some(0)),
    ] {
        send(&sqs, &url, id, id).await;
        let received = receive(id).await["Messages"][0].clone();
        let mut members = json!({"QueueUrl": url, "ReceiptHandle": received["ReceiptHandle"]});
        if let Some(visibility) = visibility {
            members["VisibilityTimeout"] = json!(visibility);
        }
        sqs.ask(action, members).await;
        refused(id).await;
        // Whatever there is to be had.
        send(&sqs, &url, "other", &format!("behind-{id}")).await;
        sqs.clock.advance(300_000);
        refused(id).await;
        sqs.clock.advance(1);
        assert!(receive(id).await["Messages"].is_array(), "{id} is a new attempt");
        let client = sqs.client().await;
        client.purge_queue("q.fifo").await.unwrap();
    }
    // One whose lease ran out is a new one.
    send(&sqs, &url, "g", "x").await;
    for id in ["first", "other", "first"] {
        assert_eq!(receive(id).await["Messages"][0]["Body"], "x");
        sqs.clock.advance(30_000);
    }
}

/// As AWS does it: what is set of a queue that there is is read back, and copies are told as before.
#[tokio::test]
async fn a_scope_that_is_changed_later_is_told_and_changes_nothing() {
    let sqs = Sqs::start().await;
    let high =
        json!({"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"});
    let low = json!({"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"});
    for (name, before, after, is_copy) in
        [("becomes-high.fifo", &low, &high, true), ("becomes-low.fifo", &high, &low, false)]
    {
        let mut attributes = before.clone();
        attributes["FifoQueue"] = json!("true");
        let url = sqs.create(name, attributes).await;
        let first = send(&sqs, &url, "g", "x").await;
        let members = json!({"QueueUrl": url, "Attributes": after});
        sqs.ask("SetQueueAttributes", members).await;
        let told = sqs.attributes(&url).await;
        for (attribute, value) in after.as_object().unwrap() {
            assert_eq!(told[attribute], *value, "{name}");
        }
        let second = send(&sqs, &url, "h", "x").await;
        assert_eq!(first["MessageId"] == second["MessageId"], is_copy, "{name}");
        // What is told is what a creation is held against.
        let mut attributes = after.clone();
        attributes["FifoQueue"] = json!("true");
        assert_eq!(sqs.create(name, attributes).await, url);
    }
    let url = sqs.create("low.fifo", json!({"FifoQueue": "true"})).await;
    let message = "Invalid value for the parameter FifoThroughputLimit. Reason: The \
                   perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.";
    let limit = json!({"FifoThroughputLimit": "perMessageGroupId"});
    let members = json!({"QueueUrl": url, "Attributes": limit});
    sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_VALUE, message).await;
    let members = json!({
        "QueueName": "new.fifo",
        "Attributes": {"FifoQueue": "true", "FifoThroughputLimit": "perMessageGroupId"},
    });
    sqs.refuses("CreateQueue", members, BAD_ATTRIBUTE_VALUE, message).await;
}

#[tokio::test]
async fn what_the_queues_delay_holds_back_is_counted_as_delayed() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true", "DelaySeconds": "10"})).await;
    send(&sqs, &url, "g", "1").await;
    let counts = async || {
        let told = sqs.attributes(&url).await;
        ["", "Delayed", "NotVisible"]
            .map(|name| told[format!("ApproximateNumberOfMessages{name}")].clone())
    };
    assert_eq!(counts().await, ["0", "1", "0"]);
    assert!(sqs.receive(&url, 60).await.is_empty());
    sqs.clock.advance(10_000);
    assert_eq!(counts().await, ["1", "0", "0"]);
    sqs.receive_one(&url, 60).await;
    assert_eq!(counts().await, ["0", "0", "1"]);
    // A longer delay holds for what is stored too, unless it was received.
    send(&sqs, &url, "h", "2").await;
    let members = json!({"QueueUrl": url, "Attributes": {"DelaySeconds": "900"}});
    sqs.ask("SetQueueAttributes", members).await;
    sqs.clock.advance(60_000);
    assert_eq!(counts().await, ["1", "1", "0"]);
}

#[tokio::test]
async fn a_group_that_was_received_goes_to_the_back() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    for (group, body) in [("1", "a"), ("2", "b"), ("2", "c"), ("3", "d"), ("1", "e")] {
        send(&sqs, &url, group, body).await;
    }
    let mut bodies = Vec::new();
    for max in [3, 10] {
        let asked = json!({
            "QueueUrl": url, "MaxNumberOfMessages": max, "VisibilityTimeout": 0,
        });
        let received = sqs.ask("ReceiveMessage", asked).await;
        let messages = received["Messages"].as_array().unwrap().iter();
        bodies.push(messages.map(|m| m["Body"].as_str().unwrap()).collect::<String>());
    }
    assert_eq!(bodies, ["aeb", "daebc"]);
}

/// Natively it was found by `torture kill --strace`.
#[tokio::test]
async fn a_message_that_the_disk_did_not_give_is_not_overtaken_by_its_group() {
    let disk = SimDisk::new(1);
    let sqs = Sqs::start_on(disk.clone(), Config::default(), Limits::default()).await;
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    for (group, number) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
        // Two of these are more than is read at once: what fails is not read again one by one.
        let members = json!({
            "QueueUrl": url, "MessageBody": format!("{number}{}", "x".repeat(600_000)),
            "MessageGroupId": group, "MessageDeduplicationId": number,
        });
        sqs.ask("SendMessage", members).await;
    }
    // More than is kept of what was sent last.
    let other = sqs.create("other", json!({})).await;
    for _ in 0..20 {
        sqs.send_body(&other, &"x".repeat(1_000_000)).await;
    }
    let numbers = async || {
        let members = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
        let received = sqs.ask("ReceiveMessage", members).await;
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        let number = |message: &Value| message["Body"].as_str().unwrap()[..1].to_owned();
        messages.iter().map(number).collect::<Vec<_>>()
    };
    disk.fail_at(disk.operations(), Fault::ReadIo);
    let at_first = numbers().await;
    assert!(at_first.iter().all(|number| number == "3"), "none of group a: {at_first:?}");
    // What the disk did not give is tried again after a second.
    sqs.clock.advance(1_000);
    let mut later = numbers().await;
    later.retain(|number| number != "3");
    assert_eq!(later, ["1", "2", "4"]);
}
