//! Without these, what AWS refuses would work here, and fail when the program moves.

use serde_json::{Value, json};

use super::wire::{
    BAD_ATTRIBUTE_VALUE, BAD_ENTRY_ID, EMPTY_BATCH, INVALID, NOT_DISTINCT, Sqs, TOO_LONG, TOO_MANY,
};

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

/// What a request of the Query protocol with this form is answered.
async fn form(sqs: &Sqs, body: &str) -> (u16, Value) {
    let request = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let outcome = sqs.send(request.as_bytes()).await;
    (outcome.status, outcome.xml()["ErrorResponse"]["Error"]["Code"].clone())
}

#[tokio::test]
async fn a_request_of_very_many_parameters_is_refused_before_anything_is_made_of_them() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let fill = "&a=".repeat(1997);
    let most = format!("Action=GetQueueAttributes&QueueUrl=q&AttributeName.1=All{fill}");
    assert_eq!(form(&sqs, &most).await, (200, Value::Null));
    let refused = (404, json!("MalformedQueryString"));
    assert_eq!(form(&sqs, &format!("{most}&a=")).await, refused);
    let very_many = format!("Action=ListQueues{}", "&a.1.2.3.4=".repeat(400_000));
    assert_eq!(form(&sqs, &very_many).await, refused);
    let parameters = "&a=".repeat(1000);
    let split = format!(
        "POST /?Action=ListQueues{parameters} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{parameters}",
        parameters.len()
    );
    assert_eq!(sqs.send(split.as_bytes()).await.status, 404, "they are counted together");

    let receive =
        |count: usize| json!({"QueueUrl": url, "MessageAttributeNames": vec!["a"; count]});
    sqs.ask("ReceiveMessage", receive(1999)).await;
    let error = "com.amazon.coral.service#SerializationException";
    for members in [
        receive(2000),
        receive(400_000),
        json!({"QueueUrl": url, "Unknown": vec![Value::Array(Vec::new()); 400_000]}),
    ] {
        let refused = sqs.json("ReceiveMessage", &members).await;
        assert_eq!((refused.status, &refused.json()["__type"]), (400, &json!(error)));
    }
    // Texts have as many commas as they like.
    let body = ",\\\",".repeat(2000);
    sqs.send_body(&url, &body).await;
    assert_eq!(sqs.bodies(&url, 0).await, [body]);
}

#[tokio::test]
async fn a_redrive_policy_is_no_longer_than_a_policy() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let long = format!("{{\"a\":[{}0]}}", "0,".repeat(8192));
    for name in ["RedrivePolicy", "RedriveAllowPolicy"] {
        let members = json!({"QueueUrl": url, "Attributes": {name: long}});
        let refused = sqs.json("SetQueueAttributes", &members).await;
        assert_eq!(refused.json()["__type"], BAD_ATTRIBUTE_VALUE.json, "{name}");
    }
}

#[tokio::test]
async fn a_parameter_is_what_was_sent_or_is_refused() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let malformed = (404, json!("MalformedQueryString"));
    let input = (400, json!("MalformedInput"));
    let contents = (400, json!("InvalidMessageContents"));
    let invalid = (400, json!("InvalidParameterValue"));
    for (parameters, expected) in [
        ("Action=SendMessage&QueueUrl=q&MessageBody=100%", &malformed),
        ("Action=SendMessage&QueueUrl=q&MessageBody=%4", &malformed),
        ("Action=SendMessage&QueueUrl=q&MessageBody=%zz", &malformed),
        ("Action=SendMessage&QueueUrl=q&MessageBody=%+1", &malformed),
        ("Action=SendMessage&QueueUrl=q&MessageBody=%ff", &contents),
        ("Action=SendMessage&QueueUrl=q&MessageBody=a%c3", &contents),
        ("Action=SendMessage&QueueUrl=q&MessageBody=%ed%a0%80", &contents),
        ("Action=SendMessage&QueueUrl=q&MessageBody=x&%ff=x", &malformed),
        ("Action=SendMessage&QueueUrl=q&MessageBody=x&DelaySeconds=", &invalid),
        ("Action=SendMessage&QueueUrl=q&MessageBody=x&DelaySeconds=1.5", &invalid),
        ("Action=SendMessage&QueueUrl=q&MessageBody=x&Action=SendMessage", &malformed),
        ("Action=PurgeQueue&QueueUrl=q&Action=SendMessage", &malformed),
        ("Action=UntagQueue&QueueUrl=q&TagKey.0=k", &input),
        ("Action=UntagQueue&QueueUrl=q&TagKey.2001=k", &input),
        ("Action=UntagQueue&QueueUrl=q&TagKey.1=k&TagKey.01=l", &input),
        ("Action=UntagQueue&QueueUrl=q&TagKey.x=k", &input),
        ("Action=UntagQueue&QueueUrl=q&TagKey.1.x=k", &input),
    ] {
        assert_eq!(&form(&sqs, parameters).await, expected, "{parameters}");
    }
    let listed = sqs.get("/?Action=DeleteMessageBatch&QueueUrl=q&Entries.1.Id=a").await;
    let error = &listed.xml()["ErrorResponse"]["Error"];
    assert_eq!((listed.status, &error["Code"]), (400, &json!("MalformedInput")));
    assert_eq!(error["Message"], "Top level element may not be treated as a list");
    assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessages"], "0");
    let good = "Action=SendMessage&QueueUrl=q&MessageBody=%e2%82%AC+%2b&&TagKey.2000=k";
    assert_eq!(form(&sqs, good).await, (200, Value::Null));
    assert_eq!(sqs.bodies(&url, 0).await, ["\u{20ac} +"]);
    // What a message's attribute lacks is told as what it is.
    let value = "&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=x";
    for (parameters, message) in [
        (value, "The request must contain non-empty message (user) attribute names."),
        (
            "&MessageAttribute.1.Name=a",
            "The message (user) attribute 'a' must contain a non-empty message attribute value.",
        ),
    ] {
        let refused =
            sqs.get(&format!("/?Action=SendMessage&QueueUrl=q&MessageBody=x{parameters}")).await;
        let error = &refused.xml()["ErrorResponse"]["Error"];
        assert_eq!(
            (&error["Code"], &error["Message"]),
            (&json!("InvalidParameterValue"), &json!(message))
        );
    }
    // As older SDKs write an empty list: with the name that only JSON has for it.
    let empty_batch = "AWS.SimpleQueueService.EmptyBatchRequest";
    for (parameters, expected) in [
        ("Action=SendMessageBatch&QueueUrl=q&Entries=", empty_batch),
        ("Action=DeleteMessageBatch&QueueUrl=q&Entries=", empty_batch),
        ("Action=UntagQueue&QueueUrl=q&TagKeys=", "InvalidParameterValue"),
        ("Action=UntagQueue&QueueUrl=q&TagKeys=k", "MissingParameter"),
    ] {
        assert_eq!(form(&sqs, parameters).await, (400, json!(expected)), "{parameters}");
    }
    let nobody = "Action=AddPermission&QueueUrl=q&Label=l&ActionName.1=SendMessage&AWSAccountIds=";
    let refused = sqs.get(&format!("/?{nobody}")).await.xml();
    let message = "Value [] for parameter PrincipalId is invalid. Reason: Unable to verify.";
    assert_eq!(refused["ErrorResponse"]["Error"]["Message"], message);
    assert_eq!(form(&sqs, "Action=UntagQueue&QueueUrl=q&TagKeys=&TagKey.1=k").await.0, 200);
    for empty in ["GetQueueAttributes&AttributeNames=", "ReceiveMessage&MessageAttributeNames="] {
        let parameters = format!("Action={empty}&QueueUrl=q");
        assert_eq!(form(&sqs, &parameters).await, (200, Value::Null));
    }
    // One attribute, or one name of a list, needs no number.
    let one =
        "Action=SetQueueAttributes&QueueUrl=q&Attribute.Name=VisibilityTimeout&Attribute.Value=35";
    assert_eq!(form(&sqs, one).await, (200, Value::Null));
    let told =
        sqs.get("/?Action=GetQueueAttributes&QueueUrl=q&AttributeName=VisibilityTimeout").await;
    let told = &told.xml()["GetQueueAttributesResponse"]["GetQueueAttributesResult"];
    assert_eq!(told["Attribute"], json!({"Name": "VisibilityTimeout", "Value": "35"}));
}
