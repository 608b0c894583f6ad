//! Without these, a client would not understand what an answer is: requests and answers as HTTP.

use serde_json::json;

use super::wire::{BAD_ADDRESS, INVALID, MISSING, NO_QUEUE, Sqs};

/// Every action, with the least that it must be given.
const ACTIONS: [&str; 23] = [
    "AddPermission",
    "CancelMessageMoveTask",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "CreateQueue",
    "DeleteMessage",
    "DeleteMessageBatch",
    "DeleteQueue",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "RemovePermission",
    "SendMessage",
    "SendMessageBatch",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

#[tokio::test]
async fn an_answer_in_json_has_its_type_and_a_request_id() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    assert_eq!(url, sqs.url("q"));
    let listed = sqs.json("ListQueues", &json!({})).await;
    assert_eq!(listed.header("content-type"), Some("application/x-amz-json-1.0"));
    assert_eq!(listed.header("x-amzn-requestid").map(str::len), Some(36));
    assert_eq!(listed.header("x-amzn-query-error"), None);
    assert_eq!(listed.body, format!("{{\"QueueUrls\":[\"{url}\"]}}"));
    let empty = sqs.json("ReceiveMessage", &json!({"QueueUrl": url})).await;
    assert_eq!((empty.status, &*empty.body), (200, "{}"));
    let nothing = sqs.json("PurgeQueue", &json!({"QueueUrl": url})).await;
    assert_eq!((nothing.status, &*nothing.body), (200, ""));
    assert_eq!(nothing.header("content-length"), Some("0"));
}

#[tokio::test]
async fn an_answer_in_query_is_xml_with_a_request_id() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let asked = sqs.query("GetQueueUrl", &json!({"QueueName": "q"})).await;
    assert_eq!(asked.header("content-type"), Some("text/xml"));
    let request_id = asked.header("x-amzn-requestid").unwrap();
    let namespace = "http://queue.amazonaws.com/doc/2012-11-05/";
    let expected = format!(
        "<?xml version=\"1.0\"?><GetQueueUrlResponse xmlns=\"{namespace}\"><GetQueueUrlResult>\
         <QueueUrl>{url}</QueueUrl></GetQueueUrlResult><ResponseMetadata>\
         <RequestId>{request_id}</RequestId></ResponseMetadata></GetQueueUrlResponse>"
    );
    assert_eq!(asked.body, expected);
    let refused = sqs.query("GetQueueUrl", &json!({"QueueName": "none"})).await;
    let request_id = refused.header("x-amzn-requestid").unwrap();
    let expected = format!(
        "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{namespace}\"><Error><Type>Sender</Type>\
         <Code>AWS.SimpleQueueService.NonExistentQueue</Code>\
         <Message>The specified queue does not exist for this wsdl version.</Message><Detail/></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>"
    );
    assert_eq!(refused.body, expected);
    assert_eq!(refused.header("x-amzn-query-error"), None, "the name stands in the body");
}

#[tokio::test]
async fn what_xml_cannot_have_is_no_part_of_an_answer() {
    let sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    let path = "/000000000000/q?Action=SendMessage&MessageBody=x&MessageGroupId=%01%EF%BF%BE%09";
    let refused = sqs.get(path).await;
    let is_in_xml = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    assert!(refused.body.chars().all(is_in_xml), "{refused:?}");
    let message = refused.xml()["ErrorResponse"]["Error"]["Message"].clone();
    let begin = "Value \u{fffd}\u{fffd}\t for parameter MessageGroupId is invalid.";
    assert!(message.as_str().unwrap().starts_with(begin), "{message}");
}

#[tokio::test]
async fn an_answer_in_query_is_json_for_who_accepts_that() {
    let sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    let get = async |path: &str, accept: &str| {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        sqs.send(head.as_bytes()).await
    };
    let json = "application/json";
    let sent = get("/000000000000/q?Action=SendMessage&MessageBody=x", json).await;
    assert_eq!((sent.status, sent.header("content-type")), (200, Some(json)));
    let result = &sent.json()["SendMessageResponse"]["SendMessageResult"];
    assert_eq!(result["MD5OfMessageBody"], "9dd4e461268c8034f5c8564e155c67a6");
    assert_eq!(result.get("SequenceNumber"), Some(&json!(null)));
    let names = "AttributeName.1=DelaySeconds&AttributeName.2=VisibilityTimeout";
    let path = format!("/000000000000/q?Action=GetQueueAttributes&{names}");
    let told = get(&path, json).await.json();
    let expected = json!([
        {"Name": "DelaySeconds", "Value": "0"}, {"Name": "VisibilityTimeout", "Value": "30"},
    ]);
    let response = &told["GetQueueAttributesResponse"];
    assert_eq!(response["GetQueueAttributesResult"]["Attributes"], expected);
    assert!(response["ResponseMetadata"]["RequestId"].is_string());
    let refused = get("/000000000000/q?Action=ListQueues", json).await;
    let error = json!({
        "Code": "InvalidAction", "Type": "Sender",
        "Message": "The action ListQueues is not valid for this endpoint.",
    });
    assert_eq!((refused.status, &refused.json()["Error"]), (400, &error));
    let gone = get("/?Action=GetQueueUrl&QueueName=none", json).await.json();
    let message = "The specified queue does not exist for this wsdl version.";
    assert_eq!(gone["Error"]["Message"], message);
    let asked = get("/?Action=GetQueueUrl&QueueName=q", "application/json, text/plain, */*").await;
    assert_eq!(asked.header("content-type"), Some(json));
    // Without an action there is no such answer, and who rather has something else gets XML.
    let unknown = get("/000000000000/q", json).await;
    assert_eq!((unknown.status, unknown.body.trim()), (404, "<UnknownOperationException/>"));
    assert_eq!(unknown.header("content-type"), Some("text/xml"));
    for accept in ["*/*", "text/html, application/json"] {
        let asked = get("/?Action=GetQueueUrl&QueueName=q", accept).await;
        assert_eq!(asked.header("content-type"), Some("text/xml"), "{accept}");
    }
}

#[tokio::test]
async fn every_action_about_a_queue_says_that_it_is_not_there() {
    let sqs = Sqs::start().await;
    let message = "The specified queue does not exist.";
    for (action, mut members) in [
        (
            "AddPermission",
            json!({"Label": "l", "AWSAccountIds": ["1"], "Actions": ["SendMessage"]}),
        ),
        ("ChangeMessageVisibility", json!({"ReceiptHandle": "x", "VisibilityTimeout": 0})),
        (
            "ChangeMessageVisibilityBatch",
            json!({"Entries": [{"Id": "a", "ReceiptHandle": "x", "VisibilityTimeout": 0}]}),
        ),
        ("DeleteMessage", json!({"ReceiptHandle": "x"})),
        ("DeleteMessageBatch", json!({"Entries": [{"Id": "a", "ReceiptHandle": "x"}]})),
        ("DeleteQueue", json!({})),
        ("GetQueueAttributes", json!({"AttributeNames": ["Nonsense"]})),
        ("ListDeadLetterSourceQueues", json!({})),
        ("ListQueueTags", json!({})),
        ("PurgeQueue", json!({})),
        ("ReceiveMessage", json!({"MaxNumberOfMessages": 11})),
        ("RemovePermission", json!({"Label": "l"})),
        ("SendMessage", json!({"MessageBody": "\u{1}"})),
        ("SendMessageBatch", json!({"Entries": [{"Id": "a", "MessageBody": "\u{1}"}]})),
        ("SetQueueAttributes", json!({"Attributes": {"DelaySeconds": "-1"}})),
        ("TagQueue", json!({"Tags": {"k": "v"}})),
        ("UntagQueue", json!({"TagKeys": ["k"]})),
    ] {
        members["QueueUrl"] = json!(sqs.url("none"));
        sqs.refuses(action, members, NO_QUEUE, message).await;
    }
    sqs.refuses("GetQueueUrl", json!({"QueueName": "none"}), NO_QUEUE, message).await;
    // Also of what only a FIFO queue must be given.
    let members = json!({"QueueUrl": sqs.url("none.fifo"), "MessageBody": "x"});
    sqs.refuses("SendMessage", members, NO_QUEUE, message).await;
    let entries = json!([{"Id": "a", "MessageBody": "x"}]);
    let members = json!({"QueueUrl": sqs.url("none.fifo"), "Entries": entries});
    sqs.refuses("SendMessageBatch", members, NO_QUEUE, message).await;
}

#[tokio::test]
async fn what_is_required_is_named_when_it_is_missing() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    for (action, members, parameter) in [
        ("SendMessage", json!({"QueueUrl": url}), "MessageBody"),
        ("SendMessage", json!({"QueueUrl": url, "MessageBody": ""}), "MessageBody"),
        // So AWS calls it there.
        ("DeleteMessage", json!({"QueueUrl": url}), "MessageHandle"),
        ("DeleteMessage", json!({"QueueUrl": url, "ReceiptHandle": ""}), "ReceiptHandle"),
        ("ChangeMessageVisibility", json!({"QueueUrl": url}), "ReceiptHandle"),
        (
            "ChangeMessageVisibility",
            json!({"QueueUrl": url, "ReceiptHandle": "", "VisibilityTimeout": 0}),
            "ReceiptHandle",
        ),
        (
            "ChangeMessageVisibility",
            json!({"QueueUrl": url, "ReceiptHandle": "x"}),
            "VisibilityTimeout",
        ),
        // Here the name of the Query protocol is told in both.
        ("SetQueueAttributes", json!({"QueueUrl": url}), "Attribute.Name"),
        ("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": {}}), "Attribute.Name"),
        ("TagQueue", json!({"QueueUrl": url}), "Tags"),
        ("TagQueue", json!({"QueueUrl": url, "Tags": {}}), "Tags"),
        ("UntagQueue", json!({"QueueUrl": url}), "TagKeys"),
        ("AddPermission", json!({"QueueUrl": url}), "Label"),
        (
            "AddPermission",
            json!({"QueueUrl": url, "Label": "", "AWSAccountIds": ["1"], "Actions": ["*"]}),
            "Label",
        ),
        ("AddPermission", json!({"QueueUrl": url, "Label": "l"}), "AWSAccountIds"),
        (
            "AddPermission",
            json!({"QueueUrl": url, "Label": "l", "AWSAccountIds": ["1"]}),
            "Actions",
        ),
        ("RemovePermission", json!({"QueueUrl": url}), "Label"),
        ("RemovePermission", json!({"QueueUrl": url, "Label": ""}), "Label"),
        ("StartMessageMoveTask", json!({}), "SourceArn"),
        ("ListMessageMoveTasks", json!({}), "SourceArn"),
        ("CancelMessageMoveTask", json!({}), "TaskHandle"),
        (
            "SendMessageBatch",
            json!({"QueueUrl": url, "Entries": [{"MessageBody": "x"}]}),
            "SendMessageBatchRequestEntry.1.Id",
        ),
        (
            "SendMessageBatch",
            json!({"QueueUrl": url, "Entries": [{"Id": "a"}]}),
            "SendMessageBatchRequestEntry.1.MessageBody",
        ),
        (
            "DeleteMessageBatch",
            json!({"QueueUrl": url, "Entries": [{"Id": "a"}]}),
            "DeleteMessageBatchRequestEntry.1.ReceiptHandle",
        ),
    ] {
        let message = format!("The request must contain the parameter {parameter}.");
        sqs.refuses(action, members, MISSING, &message).await;
    }
    // A queue that is not named is none.
    for action in ACTIONS.iter().filter(|action| {
        !["CreateQueue", "GetQueueUrl", "ListQueues"].contains(action)
            && !action.contains("MoveTask")
    }) {
        for members in [json!({}), json!({"QueueUrl": ""})] {
            let message = "The specified queue does not exist.";
            sqs.refuses(action, members, NO_QUEUE, message).await;
        }
    }
    let address = "http://localhost:9324/";
    let message = format!("The address {address} is not valid for this endpoint.");
    sqs.refuses("PurgeQueue", json!({"QueueUrl": address}), BAD_ADDRESS, &message).await;
    let message = "Value for parameter QueueName is invalid. Reason: Must specify a queue name.";
    for action in ["CreateQueue", "GetQueueUrl"] {
        sqs.refuses(action, json!({}), INVALID, message).await;
    }
    let host = json!({"QueueUrl": "http://localhost:9324"});
    sqs.refuses("PurgeQueue", host, NO_QUEUE, "The specified queue does not exist.").await;
}

#[tokio::test]
async fn a_queue_is_found_by_its_path_its_url_at_aws_and_its_name() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.create("other", json!({})).await;
    for url in ["https://sqs.eu-west-1.amazonaws.com/123456789012/q", "q", &format!("{url}/")] {
        sqs.send_body(url, "x").await;
    }
    for path in ["/000000000000/q", "/000000000000/q/"] {
        let sent = sqs.json_at(path, "SendMessage", &json!({"MessageBody": "x"})).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        let sent = sqs.get(&format!("{path}?Action=SendMessage&MessageBody=x")).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    let attributes = sqs.attributes(&url).await;
    assert_eq!(attributes["ApproximateNumberOfMessages"], "7");
    // The URL in the request is stronger than the path.
    let other = sqs.url("other");
    let members = json!({"MessageBody": "x", "QueueUrl": other});
    sqs.json_at("/000000000000/q", "SendMessage", &members).await;
    let query = form_urlencoded::byte_serialize(other.as_bytes()).collect::<String>();
    sqs.get(&format!("/000000000000/q?Action=SendMessage&MessageBody=x&QueueUrl={query}")).await;
    assert_eq!(sqs.attributes(&other).await["ApproximateNumberOfMessages"], "2");
    let asked = sqs.get("/000000000000/q?Action=GetQueueUrl&QueueName=other").await;
    assert_eq!(asked.xml()["GetQueueUrlResponse"]["GetQueueUrlResult"]["QueueUrl"], *other);
}

#[tokio::test]
async fn what_is_no_action_is_refused() {
    let sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    for (path, action) in [
        ("/?Action=FooBar", "FooBar"),
        ("/000000000000/q?Action=FooBar", "FooBar"),
        ("/000000000000/q?Action=ListQueues", "ListQueues"),
        ("/000000000000/q?Action=CreateQueue&QueueName=r", "CreateQueue"),
    ] {
        let refused = sqs.get(path).await;
        let error = &refused.xml()["ErrorResponse"]["Error"];
        assert_eq!((refused.status, &error["Code"]), (400, &json!("InvalidAction")), "{path}");
        let message = format!("The action {action} is not valid for this endpoint.");
        assert_eq!(error["Message"], message);
    }
    for path in ["/", "/000000000000/q", "/anything"] {
        let refused = sqs.get(path).await;
        assert_eq!((refused.status, refused.body.trim()), (404, "<UnknownOperationException/>"));
    }
    for target in ["AmazonSQS.FooBar", "AmazonSQS.", "AmazonSNS.ListQueues", "ListQueues", ""] {
        for path in ["/", "/000000000000/q"] {
            let refused = sqs.json_for(path, target, &json!({})).await;
            let body = r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;
            assert_eq!((refused.status, &*refused.body), (400, body), "{target}");
            assert_eq!(refused.header("content-type"), Some("application/x-amz-json-1.0"));
            assert_eq!(refused.header("x-amzn-query-error"), Some("InvalidAction;Sender"));
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    for body in ["{", "[]", "\"x\"", "{\"QueueUrl\": 1}", "{\"MaxResults\": \"1\"}", "\u{1}"] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.ListDeadLetterSourceQueues\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let refused = sqs.send(request.as_bytes()).await;
        let name = "com.amazon.coral.service#SerializationException";
        assert_eq!((refused.status, &refused.json()["__type"]), (400, &json!(name)), "{body}");
    }
    let refused = sqs.get("/?Action=ListQueues&MaxResults=many").await;
    assert_eq!(refused.xml()["ErrorResponse"]["Error"]["Code"], "InvalidParameterValue");
}

#[tokio::test]
async fn a_member_of_another_kind_is_refused_in_the_words_of_aws() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let integer = |found: &str| format!("{found} can not be converted to an Integer");
    let string = |found: &str| format!("{found} can not be converted to a String");
    let structure = "Start of structure or map found where not expected.".to_owned();
    let list = "Start of list found where not expected".to_owned();
    let unexpected = "Unexpected field type".to_owned();
    for (action, members, message) in [
        ("ReceiveMessage", json!({"WaitTimeSeconds": "1"}), integer("STRING_VALUE")),
        ("ReceiveMessage", json!({"WaitTimeSeconds": 1.5}), integer("NUMBER_VALUE")),
        ("ReceiveMessage", json!({"WaitTimeSeconds": 1e30}), integer("NUMBER_VALUE")),
        ("ReceiveMessage", json!({"WaitTimeSeconds": u64::MAX}), integer("NUMBER_VALUE")),
        ("ReceiveMessage", json!({"WaitTimeSeconds": true}), integer("TRUE_VALUE")),
        ("ReceiveMessage", json!({"WaitTimeSeconds": {}}), structure.clone()),
        ("ReceiveMessage", json!({"WaitTimeSeconds": []}), list.clone()),
        ("ReceiveMessage", json!({"MessageAttributeNames": "All"}), unexpected.clone()),
        ("ReceiveMessage", json!({"MessageAttributeNames": {}}), structure.clone()),
        ("ReceiveMessage", json!({"MessageAttributeNames": [1]}), string("NUMBER_VALUE")),
        ("SendMessage", json!({"MessageBody": 1}), string("NUMBER_VALUE")),
        ("SendMessage", json!({"MessageBody": -1.5}), string("NUMBER_VALUE")),
        ("SendMessage", json!({"MessageBody": false}), string("FALSE_VALUE")),
        ("SendMessage", json!({"MessageBody": {}}), structure.clone()),
        ("SendMessage", json!({"MessageAttributes": []}), list.clone()),
        ("SendMessage", json!({"MessageAttributes": {"a": "x"}}), unexpected.clone()),
        ("SendMessage", json!({"MessageAttributes": {"a": ["String", "x"]}}), list.clone()),
        (
            "SendMessage",
            json!({"MessageAttributes": {"a": {"StringValue": 5}}}),
            string("NUMBER_VALUE"),
        ),
        ("SendMessageBatch", json!({"Entries": ["x"]}), unexpected.clone()),
        ("SendMessageBatch", json!({"Entries": [["a", "x"]]}), list),
        ("SendMessageBatch", json!({"Entries": {"Id": "a"}}), structure),
        ("SetQueueAttributes", json!({"Attributes": {"DelaySeconds": 5}}), string("NUMBER_VALUE")),
        ("TagQueue", json!({"Tags": "x"}), unexpected),
    ] {
        let mut members = members;
        members["QueueUrl"] = json!(url);
        let refused = sqs.json(action, &members).await;
        let name = "com.amazon.coral.service#SerializationException";
        assert_eq!((refused.status, &refused.json()["__type"]), (400, &json!(name)), "{members}");
        assert_eq!(refused.json()["message"], message, "{members}");
    }
    // What is null is as good as none.
    let members = json!({
        "QueueUrl": url, "MessageBody": "x", "DelaySeconds": null, "MessageAttributes": null,
        "MessageGroupId": null, "Unknown": {"deep": [1.5]},
    });
    sqs.ask("SendMessage", members).await;
    assert_eq!(sqs.bodies(&url, 0).await, ["x"]);
}

#[tokio::test]
async fn urls_and_arns_are_as_configured() {
    let config = forebay::sqs::Config::new(
        Some("https://queues.example".to_owned()),
        "eu-central-1",
        "123456789012",
        std::time::Duration::ZERO,
    );
    let sqs = Sqs::start_with(config, forebay::Limits::default()).await;
    let url = sqs.create("q", json!({})).await;
    assert_eq!(url, "https://queues.example/123456789012/q");
    let attributes = sqs.attributes(&url).await;
    assert_eq!(attributes["QueueArn"], "arn:aws:sqs:eu-central-1:123456789012:q");
    let found = json!({"QueueName": "q", "QueueOwnerAWSAccountId": "123456789012"});
    assert_eq!(sqs.ask("GetQueueUrl", found).await["QueueUrl"], url);
    let foreign = json!({"QueueName": "q", "QueueOwnerAWSAccountId": "000000000000"});
    let message = "The specified queue does not exist or you do not have access to it.";
    sqs.refuses("GetQueueUrl", foreign, NO_QUEUE, message).await;
    // Without a pause.
    for _ in 0..2 {
        sqs.ask("PurgeQueue", json!({"QueueUrl": url})).await;
        sqs.ask("DeleteQueue", json!({"QueueUrl": url})).await;
        sqs.create("q", json!({})).await;
    }
}
