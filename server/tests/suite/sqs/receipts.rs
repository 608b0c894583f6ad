//! Without these, a consumer could delete or hold what another one works on, or not be able to.

use serde_json::{Value, json};

use super::wire::{BAD_HANDLE, INVALID, Sqs};

fn of(url: &str, message: &Value) -> Value {
    json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]})
}

fn change(url: &str, message: &Value, seconds: u64) -> Value {
    let mut members = of(url, message);
    members["VisibilityTimeout"] = json!(seconds);
    members
}

#[tokio::test]
async fn a_deleted_message_is_gone_and_may_be_deleted_again() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.send_body(&url, "x").await;
    let message = sqs.receive_one(&url, 30).await;
    for _ in 0..2 {
        assert_eq!(sqs.ask("DeleteMessage", of(&url, &message)).await, Value::Null);
        assert_eq!(sqs.ask_xml("DeleteMessage", of(&url, &message)).await, Value::Null);
    }
    sqs.clock.advance(60_000);
    assert!(sqs.receive(&url, 30).await.is_empty());
}

#[tokio::test]
async fn an_expired_receipt_deletes_until_the_message_is_received_again() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.send_body(&url, "x").await;
    let first = sqs.receive_one(&url, 1).await;
    sqs.clock.advance(2_000);
    let second = sqs.receive_one(&url, 1).await;
    assert_ne!(first["ReceiptHandle"], second["ReceiptHandle"]);
    // It succeeds, but the message is not deleted.
    sqs.ask("DeleteMessage", of(&url, &first)).await;
    sqs.clock.advance(2_000);
    sqs.ask("DeleteMessage", of(&url, &sqs.receive_one(&url, 1).await)).await;
    sqs.send_body(&url, "y").await;
    let third = sqs.receive_one(&url, 1).await;
    sqs.clock.advance(2_000);
    sqs.ask("DeleteMessage", of(&url, &third)).await;
    assert!(sqs.receive(&url, 30).await.is_empty());
}

#[tokio::test]
async fn a_text_that_is_no_receipt_is_refused() {
    let sqs = Sqs::start().await;
    let (url, other) = (sqs.create("q", json!({})).await, sqs.create("r", json!({})).await);
    sqs.send_body(&other, "x").await;
    let foreign = sqs.receive_one(&other, 30).await["ReceiptHandle"].clone();
    let foreign = foreign.as_str().unwrap();
    let long = "A".repeat(2000);
    for handle in ["garbage", "AAAA", foreign, &long] {
        let message = match handle == foreign {
            true => format!("The receipt handle \"{handle}\" is not valid for this queue."),
            false => {
                format!("The input receipt handle \"{handle}\" is not a valid receipt handle.")
            }
        };
        let members = json!({"QueueUrl": url, "ReceiptHandle": handle});
        sqs.refuses("DeleteMessage", members.clone(), BAD_HANDLE, &message).await;
        let mut members = members;
        members["VisibilityTimeout"] = json!(0);
        sqs.refuses("ChangeMessageVisibility", members, BAD_HANDLE, &message).await;
        let entry = json!({"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 0});
        let failed = json!([{
            "Id": "a", "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": message,
        }]);
        for action in ["DeleteMessageBatch", "ChangeMessageVisibilityBatch"] {
            let members = json!({"QueueUrl": url, "Entries": [entry]});
            assert_eq!(sqs.ask(action, members).await, json!({"Failed": failed}));
        }
    }
    assert_eq!(sqs.attributes(&other).await["ApproximateNumberOfMessagesNotVisible"], "1");
}

#[tokio::test]
async fn a_message_that_its_queue_has_not_kept_may_be_deleted_and_not_held() {
    let sqs = Sqs::start().await;
    for (name, mut attributes) in [("q", json!({})), ("q.fifo", json!({"FifoQueue": "true"}))] {
        attributes["MessageRetentionPeriod"] = json!("60");
        let url = sqs.create(name, attributes).await;
        let mut members = json!({"QueueUrl": url, "MessageBody": "x"});
        if name == "q.fifo" {
            members["MessageGroupId"] = json!("g");
            members["MessageDeduplicationId"] = json!("d");
        }
        sqs.ask("SendMessage", members).await;
        let message = sqs.receive_one(&url, 3600).await;
        sqs.clock.advance(61_000);
        assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessagesNotVisible"], "0");
        let handle = message["ReceiptHandle"].as_str().unwrap();
        let gone = format!(
            "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist \
             or is not available for visibility timeout change."
        );
        let members = change(&url, &message, 10);
        sqs.refuses("ChangeMessageVisibility", members, INVALID, &gone).await;
        assert_eq!(sqs.ask("DeleteMessage", of(&url, &message)).await, Value::Null);
        assert_eq!(sqs.ask_xml("DeleteMessage", of(&url, &message)).await, Value::Null);
    }
}

#[tokio::test]
async fn a_visibility_timeout_is_changed_from_now_on() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({"VisibilityTimeout": "10"})).await;
    sqs.send_body(&url, "x").await;
    let members = json!({"QueueUrl": url});
    let message = sqs.ask("ReceiveMessage", members).await["Messages"][0].clone();
    sqs.clock.advance(9_000);
    sqs.ask("ChangeMessageVisibility", change(&url, &message, 10)).await;
    sqs.clock.advance(9_000);
    assert!(sqs.receive(&url, 0).await.is_empty());
    sqs.clock.advance(1_000);
    let again = sqs.receive_one(&url, 100).await;
    assert_eq!(again["Attributes"]["ApproximateReceiveCount"], "2");
    // An older receipt changes what the newer one holds.
    assert_eq!(
        sqs.ask_xml("ChangeMessageVisibility", change(&url, &message, 0)).await,
        Value::Null
    );
    let again = sqs.receive_one(&url, 60).await;
    let handle = again["ReceiptHandle"].as_str().unwrap();
    sqs.ask("DeleteMessage", of(&url, &again)).await;
    let message = format!(
        "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or \
         is not available for visibility timeout change."
    );
    sqs.refuses("ChangeMessageVisibility", change(&url, &again, 1), INVALID, &message).await;
}

/// AWS goes by the message that a receipt names, not by the lease that it was given with.
#[tokio::test]
async fn an_expired_receipt_hides_its_message_again() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({"VisibilityTimeout": "5"})).await;
    sqs.send_body(&url, "x").await;
    let message = sqs.receive_one(&url, 1).await;
    sqs.clock.advance(2_000);
    assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessages"], "1");
    sqs.ask("ChangeMessageVisibility", change(&url, &message, 60)).await;
    assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessagesNotVisible"], "1");
    assert!(sqs.receive(&url, 0).await.is_empty());
    sqs.clock.advance(60_000);
    // The same in Query and in a batch; to make visible what is visible changes nothing.
    for seconds in [0, 60] {
        let members = change(&url, &message, seconds);
        assert_eq!(sqs.ask_xml("ChangeMessageVisibility", members.clone()).await, Value::Null);
        let hidden = if seconds == 0 { "0" } else { "1" };
        assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessagesNotVisible"], hidden);
        sqs.clock.advance(60_000);
        let mut entry = members;
        entry["Id"] = json!("a");
        let batch = json!({"QueueUrl": url, "Entries": [entry]});
        let changed = sqs.ask("ChangeMessageVisibilityBatch", batch).await;
        assert_eq!(changed, json!({"Successful": [{"Id": "a"}]}));
        assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessagesNotVisible"], hidden);
        sqs.clock.advance(60_000);
    }
    // Twelve hours count from the receive, and the next receive has the queue's own timeout.
    let limit = "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total \
                 VisibilityTimeout for the message is beyond the limit [43200 seconds]";
    sqs.refuses("ChangeMessageVisibility", change(&url, &message, 43_200), INVALID, limit).await;
    let received = sqs.ask("ReceiveMessage", json!({"QueueUrl": url})).await;
    sqs.clock.advance(4_000);
    assert!(sqs.receive(&url, 0).await.is_empty());
    sqs.clock.advance(1_000);
    sqs.ask("DeleteMessage", of(&url, &received["Messages"][0])).await;
    assert!(sqs.receive(&url, 0).await.is_empty());
}

#[tokio::test]
async fn a_message_is_hidden_for_twelve_hours_in_all() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.send_body(&url, "x").await;
    let received = sqs.receive_one(&url, 60).await;
    let message = "Value 43201 for parameter VisibilityTimeout is invalid. Reason: Must be between 0 \
                   and 43200.";
    sqs.refuses("ChangeMessageVisibility", change(&url, &received, 43_201), INVALID, message).await;
    sqs.ask("ChangeMessageVisibility", change(&url, &received, 43_200)).await;
    sqs.clock.advance(1_000);
    let message = "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total \
                   VisibilityTimeout for the message is beyond the limit [43200 seconds]";
    sqs.refuses("ChangeMessageVisibility", change(&url, &received, 43_200), INVALID, message).await;
    sqs.ask("ChangeMessageVisibility", change(&url, &received, 43_199)).await;
}

#[tokio::test]
async fn batches_tell_what_became_of_each_entry() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.send_body(&url, "1").await;
    sqs.send_body(&url, "2").await;
    let messages = sqs.receive(&url, 60).await;
    let handle = |index: usize| messages[index]["ReceiptHandle"].clone();
    let entries = json!([
        {"Id": "a", "ReceiptHandle": handle(0), "VisibilityTimeout": 0},
        {"Id": "b", "ReceiptHandle": "garbage", "VisibilityTimeout": 0},
        {"Id": "c", "ReceiptHandle": handle(1), "VisibilityTimeout": 99_999},
        {"Id": "d", "ReceiptHandle": handle(1)},
    ]);
    let members = json!({"QueueUrl": url, "Entries": entries});
    let changed = sqs.ask("ChangeMessageVisibilityBatch", members.clone()).await;
    assert_eq!(changed["Successful"], json!([{"Id": "a"}]));
    let expected = json!([
        {
            "Id": "b", "SenderFault": true, "Code": "ReceiptHandleIsInvalid",
            "Message": "The input receipt handle \"garbage\" is not a valid receipt handle.",
        },
        {
            "Id": "c", "SenderFault": true, "Code": "InvalidParameterValue",
            "Message": "Value 99999 for parameter VisibilityTimeout is invalid. Reason: Must be \
                        between 0 and 43200.",
        },
        {
            "Id": "d", "SenderFault": true, "Code": "MissingParameter",
            "Message": "The request must contain the parameter \
                        ChangeMessageVisibilityBatchRequestEntry.4.VisibilityTimeout.",
        },
    ]);
    assert_eq!(changed["Failed"], expected);
    let xml = sqs.ask_xml("ChangeMessageVisibilityBatch", members).await;
    assert_eq!(xml["ChangeMessageVisibilityBatchResultEntry"], json!({"Id": "a"}));
    assert_eq!(xml["BatchResultErrorEntry"][0]["SenderFault"], "true");
    let entries = json!([
        {"Id": "a", "ReceiptHandle": handle(0)}, {"Id": "b", "ReceiptHandle": handle(1)},
    ]);
    let members = json!({"QueueUrl": url, "Entries": entries});
    let deleted = sqs.ask("DeleteMessageBatch", members.clone()).await;
    assert_eq!(deleted, json!({"Successful": [{"Id": "a"}, {"Id": "b"}]}), "no Failed");
    let xml = sqs.ask_xml("DeleteMessageBatch", members).await;
    assert_eq!(xml, json!({"DeleteMessageBatchResultEntry": [{"Id": "a"}, {"Id": "b"}]}));
    let entries = json!([{"Id": "x", "ReceiptHandle": "garbage"}]);
    let failed = sqs.ask("DeleteMessageBatch", json!({"QueueUrl": url, "Entries": entries})).await;
    assert_eq!(failed.get("Successful"), None);
    assert!(sqs.receive(&url, 0).await.is_empty());
}
