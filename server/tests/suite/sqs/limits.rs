//! Without these, what AWS refuses would work here, and fail when the program moves.

use serde_json::{Value, json};

use super::wire::{BAD_ENTRY_ID, EMPTY_BATCH, INVALID, NOT_DISTINCT, Sqs, TOO_LONG, TOO_MANY};

const BATCHES: [&str; 3] =
    ["SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"];

/// An entry that any batch takes for one of its own.
fn entry(id: &str) -> Value {
    json!({"Id": id, "MessageBody": "x", "ReceiptHandle": "x", "VisibilityTimeout": 0})
}

#[tokio::test]
async fn a_batch_has_one_to_ten_entries_with_ids_of_their_own() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    for action in BATCHES {
        let batch = |entries: Vec<Value>| json!({"QueueUrl": url, "Entries": entries});
        let message = format!("There should be at least one {action}RequestEntry in the request.");
        sqs.refuses(action, batch(vec![]), EMPTY_BATCH, &message).await;
        let message = "Maximum number of entries per request are 10. You have sent 20.";
        let entries = (0..20).map(|index| entry(&index.to_string())).collect();
        sqs.refuses(action, batch(entries), TOO_MANY, message).await;
        let message = "Id a repeated.";
        let entries = vec![entry("a"), entry("b"), entry("a")];
        sqs.refuses(action, batch(entries), NOT_DISTINCT, message).await;
        let message = "A batch entry id can only contain alphanumeric characters, hyphens and \
                       underscores. It can be at most 80 letters long.";
        for id in ["", "a.b", "a b", &"a".repeat(81)] {
            sqs.refuses(action, batch(vec![entry(id)]), BAD_ENTRY_ID, message).await;
        }
        let good = batch(vec![entry(&"a".repeat(80)), entry("-_Z9")]);
        assert_eq!(sqs.json(action, &good).await.status, 200);
    }
    let sent = sqs.bodies(&url, 0).await;
    assert_eq!(sent, ["x", "x"], "nothing of what was refused was sent");
}

#[tokio::test]
async fn a_batch_is_no_longer_than_a_mebibyte() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let half = "x".repeat(512 << 10);
    let batch = |second: &str| {
        json!({"QueueUrl": url, "Entries": [
            {"Id": "a", "MessageBody": half}, {"Id": "b", "MessageBody": second},
        ]})
    };
    let message =
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.";
    let more = format!("{half}x");
    sqs.refuses("SendMessageBatch", batch(&more), TOO_LONG, message).await;
    let sent = sqs.ask("SendMessageBatch", batch(&half)).await;
    assert_eq!(sent["Successful"].as_array().unwrap().len(), 2);
    // Attributes count: name, type, value.
    let attributes = json!({"n": {"DataType": "String", "StringValue": "v"}});
    let mut batch = batch(&half[..half.len() - 7]);
    batch["Entries"][0]["MessageAttributes"] = attributes;
    let message =
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.";
    sqs.refuses("SendMessageBatch", batch, TOO_LONG, message).await;
}

#[tokio::test]
async fn a_message_is_no_longer_than_its_queue_allows() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({"MaximumMessageSize": "1024"})).await;
    let body = "x".repeat(1024);
    sqs.send_body(&url, &body).await;
    let attributes = json!({"n": {"DataType": "String", "StringValue": "v"}});
    let members =
        json!({"QueueUrl": url, "MessageBody": &body[8..], "MessageAttributes": attributes});
    sqs.ask("SendMessage", members).await;
    let message =
        "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.";
    for (body, attributes) in [(format!("{body}x"), json!({})), (body[7..].to_owned(), attributes)]
    {
        let members =
            json!({"QueueUrl": url, "MessageBody": body, "MessageAttributes": attributes});
        sqs.refuses("SendMessage", members, INVALID, message).await;
    }
    let entries = json!([
        {"Id": "a", "MessageBody": "1"},
        {"Id": "b", "MessageBody": format!("{body}x")},
        {"Id": "c", "MessageBody": "3"},
        {"Id": "d", "MessageBody": ""},
    ]);
    let batch = sqs.ask("SendMessageBatch", json!({"QueueUrl": url, "Entries": entries})).await;
    let expected = json!([
        {
            "Id": "b", "SenderFault": true, "Code": "InvalidParameterValue",
            "Message": "One or more parameters cannot be validated. Reason: Message must be shorter \
                        than 1024 bytes.",
        },
        {
            "Id": "d", "SenderFault": true, "Code": "InvalidParameterValue",
            "Message": "The request must contain the parameter MessageBody.",
        },
    ]);
    assert_eq!(batch["Failed"], expected);
    let ids: Vec<_> = batch["Successful"].as_array().unwrap().iter().map(|e| &e["Id"]).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn the_largest_message_is_a_mebibyte() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let body = "x".repeat(1 << 20);
    sqs.send_body(&url, &body).await;
    assert_eq!(sqs.bodies(&url, 3600).await, [body.as_str()]);
    let message =
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.";
    let members = json!({"QueueUrl": url, "MessageBody": format!("{body}x")});
    sqs.refuses("SendMessage", members, INVALID, message).await;
    // Escaped, it is longer on the wire by far.
    let body = "\u{e9}".repeat(512 << 10);
    let members = json!({"QueueUrl": url, "MessageBody": body});
    sqs.ask_xml("SendMessage", members).await;
    assert_eq!(sqs.bodies(&url, 0).await, [body]);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let sqs = Sqs::start().await;
    let bytes = (12 << 20) + 1;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: {bytes}\r\n\r\n"
    );
    let refused = sqs.send(head.as_bytes()).await;
    assert_eq!(refused.status, 413, "{refused:?}");
    assert_eq!(refused.header("connection"), Some("close"));
    let name = "com.amazon.coral.service#RequestEntityTooLargeException";
    assert_eq!(refused.json()["__type"], name);
}
