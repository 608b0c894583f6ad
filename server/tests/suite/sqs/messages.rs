//! Without these, a message could arrive as another than was sent, or a client refuse it for its digests.

use forebay_protocol::{MessageAttribute, MessageId, QueueAttributes};
use serde_json::{Value, json};

use super::wire::{
    BAD_ATTRIBUTE_NAME, BAD_CONTENTS, BEGIN_MS, INVALID, OVER_LIMIT, Sqs, UNSUPPORTED,
};

fn string(value: &str) -> Value {
    json!({"DataType": "String", "StringValue": value})
}

#[tokio::test]
async fn a_message_has_the_digests_that_aws_gives_it() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let three = json!({
        "Help.Me": string("Me"), "Hello": string("There"), "General": string("Kenobi"),
    });
    let number = json!({"timestamp": {"DataType": "Number", "StringValue": "1493147359900"}});
    let trace = "dHJhY2VwYXJlbnQeMDAtNzc0MDYyZDZjMzcwODFhNWEwYjliNWI4OGUzMDYyN2MtMmQyNDgyMjExZjY0\
                 ODlkYS0wMQ==";
    let binary = json!({"attr1": {"DataType": "Binary", "BinaryValue": trace}});
    for (attributes, md5) in [
        (json!({"MyAttribute": string("foobar")}), "adb59cd4678ea5a855436b949cd07ab6"),
        (three.clone(), "4c360f3fdafd970e05fae2f149d997f5"),
        (number, "235c5c510d26fb653d073faed50ae77c"),
        (binary, "8cbe4db156db8a94db8b801b7addb984"),
    ] {
        let members =
            json!({"QueueUrl": url, "MessageBody": "hello", "MessageAttributes": attributes});
        let sent = sqs.ask("SendMessage", members.clone()).await;
        assert_eq!(sent["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(sent["MD5OfMessageAttributes"], md5);
        assert_eq!(sqs.ask_xml("SendMessage", members).await["MD5OfMessageAttributes"], md5);
        for message in sqs.receive(&url, 3600).await {
            assert_eq!(message["MD5OfMessageAttributes"], md5);
            assert_eq!(message["MessageAttributes"], attributes);
        }
    }
    let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageAttributes": three});
    sqs.ask("SendMessage", members).await;
    for (names, md5) in [
        (json!(["Hello"]), "a311262e065454b75da111d535b8dacd"),
        (json!(["Hello", "General"]), "fca026605781cb4126a1e9044df24232"),
        (json!(["Hello", "Help.*"]), "83fee93c1bcd8b9a5a923ffacdc636c7"),
        (json!(["Hel.*"]), "83fee93c1bcd8b9a5a923ffacdc636c7"),
        (json!(["All"]), "4c360f3fdafd970e05fae2f149d997f5"),
        (json!([".*"]), "4c360f3fdafd970e05fae2f149d997f5"),
    ] {
        let members =
            json!({"QueueUrl": url, "MessageAttributeNames": names, "VisibilityTimeout": 0});
        let received = sqs.ask("ReceiveMessage", members.clone()).await;
        assert_eq!(received["Messages"][0]["MD5OfMessageAttributes"], md5);
        let xml = sqs.ask_xml("ReceiveMessage", members).await;
        assert_eq!(xml["Message"]["MD5OfMessageAttributes"], md5);
    }
    for names in [json!([]), json!(["Nothing"])] {
        let members =
            json!({"QueueUrl": url, "MessageAttributeNames": names, "VisibilityTimeout": 0});
        let received = sqs.ask("ReceiveMessage", members).await;
        let message = received["Messages"][0].as_object().unwrap();
        let keys: Vec<_> = message.keys().map(String::as_str).collect();
        assert_eq!(keys, ["Body", "MD5OfBody", "MessageId", "ReceiptHandle"]);
    }
}

#[tokio::test]
async fn what_sqs_says_of_a_message_is_told_as_texts() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let sent = sqs
        .ask(
            "SendMessage",
            json!({
                "QueueUrl": url, "MessageBody": "x", "MessageGroupId": "tenant",
                "MessageSystemAttributes": {"AWSTraceHeader": string(header)},
            }),
        )
        .await;
    assert_eq!(sent["MD5OfMessageSystemAttributes"], "5ae4d5d7636402d80f4eb6d213245a88");
    assert_eq!(sent.get("MD5OfMessageAttributes"), None);
    assert_eq!(sent.get("SequenceNumber"), None);
    sqs.clock.advance(5_000);
    let message = sqs.receive_one(&url, 0).await;
    let expected = json!({
        "AWSTraceHeader": header,
        "ApproximateFirstReceiveTimestamp": (BEGIN_MS + 5_000).to_string(),
        "ApproximateReceiveCount": "1",
        "MessageGroupId": "tenant",
        "SenderId": "000000000000",
        "SentTimestamp": BEGIN_MS.to_string(),
    });
    assert_eq!(message["Attributes"], expected);
    assert_eq!(message["MessageId"], sent["MessageId"]);
    for member in ["AttributeNames", "MessageSystemAttributeNames"] {
        let members = json!({
            "QueueUrl": url, "VisibilityTimeout": 0,
            member: ["SentTimestamp", "DeadLetterQueueSourceArn"],
        });
        let received = sqs.ask("ReceiveMessage", members.clone()).await;
        let expected = json!({"SentTimestamp": BEGIN_MS.to_string()});
        assert_eq!(received["Messages"][0]["Attributes"], expected);
        let xml = sqs.ask_xml("ReceiveMessage", members).await;
        let expected = json!({"Name": "SentTimestamp", "Value": BEGIN_MS.to_string()});
        assert_eq!(xml["Message"]["Attribute"], expected);
        let members = json!({"QueueUrl": url, member: ["Nonsense"]});
        let message = "Unknown Attribute Nonsense.";
        sqs.refuses("ReceiveMessage", members, BAD_ATTRIBUTE_NAME, message).await;
    }
    // The header of a request stands for the attribute, and has no digest.
    let request = "POST /000000000000/r HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n\
                   X-Amzn-Trace-Id: Root=1-2-3\r\nContent-Length: 19\r\nConnection: close\r\n\r\n\
                   {\"MessageBody\":\"x\"}";
    let url = sqs.create("r", json!({})).await;
    let sent = sqs.send(request.as_bytes()).await;
    assert_eq!(sent.json().get("MD5OfMessageSystemAttributes"), None, "{sent:?}");
    let message = sqs.receive_one(&url, 0).await;
    assert_eq!(message["Attributes"]["AWSTraceHeader"], "Root=1-2-3");
}

#[tokio::test]
async fn texts_arrive_to_the_byte_in_both_protocols() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let body = "\t\r\n <&>'\"]]> \u{e9}\u{4e2d}\u{fffd}\u{1f600} +%&=";
    sqs.send_body(&url, body).await;
    let members = json!({"QueueUrl": url, "MessageBody": body});
    sqs.ask_xml("SendMessage", members).await;
    let members = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0});
    let xml = sqs.ask_xml("ReceiveMessage", members).await;
    let messages = xml["Message"].as_array().unwrap();
    assert_eq!(
        (messages.len(), &messages[0]["Body"], &messages[1]["Body"]),
        (2, &json!(body), &json!(body))
    );
    assert_eq!(sqs.bodies(&url, 0).await, [body, body]);
}

#[tokio::test]
async fn characters_that_sqs_does_not_take_are_refused() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let message = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to \
                   #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF";
    for (bad, first) in [
        ("\u{1}", "1"),
        ("a\u{8}b", "8"),
        ("\t\u{1f}\u{0}", "1F"),
        ("\u{e9}\u{fffe}\u{1}", "FFFE"),
        ("\u{ffff}", "FFFF"),
        ("\u{0}", "0"),
    ] {
        let of_body = format!(
            "Invalid binary character '#x{first}' was found in the message body, the set of allowed \
             characters is #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]."
        );
        let members = json!({"QueueUrl": url, "MessageBody": bad});
        sqs.refuses("SendMessage", members, BAD_CONTENTS, &of_body).await;
        let batch = json!({"QueueUrl": url, "Entries": [{"Id": "a", "MessageBody": bad}]});
        let failed = sqs.ask("SendMessageBatch", batch).await["Failed"][0].clone();
        let expected = json!({
            "Id": "a", "SenderFault": true, "Code": BAD_CONTENTS.query, "Message": of_body,
        });
        assert_eq!(failed, expected);
        let attributes = json!({"a": string(bad)});
        let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageAttributes": attributes});
        // In an attribute it is another error.
        sqs.refuses("SendMessage", members, INVALID, message).await;
    }
    assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessages"], "0");
}

#[tokio::test]
async fn a_letter_of_any_script_may_be_in_the_name_of_an_attribute() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let attributes = json!({"attr.1\u{f8}\u{df}\u{e4}\u{5b57}": string("x")});
    let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageAttributes": attributes});
    sqs.ask("SendMessage", members).await;
    let asked = json!({"QueueUrl": url, "MessageAttributeNames": ["All"]});
    let received = sqs.ask("ReceiveMessage", asked).await;
    assert_eq!(received["Messages"][0]["MessageAttributes"], attributes);
}

#[tokio::test]
async fn attributes_of_messages_have_either_name_in_query() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let attribute = |name: &str, number: u32, value: &str| {
        let place = format!("{name}.{number}");
        format!(
            "&{place}.Name={value}&{place}.Value.DataType=String&{place}.Value.StringValue={value}"
        )
    };
    let one = |name: &str| attribute(name, 1, "a");
    let entry = "SendMessageBatchRequestEntry.1";
    let in_entry = one(&format!("{entry}.MessageAttributes"));
    let both = one("MessageAttribute") + &attribute("MessageAttributes", 1, "b");
    let (a, b) = (("a", string("a")), ("b", string("b")));
    for (parameters, expected) in [
        (format!("SendMessage&MessageBody=x{}", one("MessageAttributes")), vec![&a]),
        (format!("SendMessageBatch&{entry}.Id=i&{entry}.MessageBody=x{in_entry}"), vec![&a]),
        (format!("SendMessage&MessageBody=x{both}"), vec![&a, &b]),
    ] {
        let sent = sqs.get(&format!("/000000000000/q?Action={parameters}")).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        let message = sqs.receive_one(&url, 3600).await;
        let expected: serde_json::Map<_, _> =
            expected.into_iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(message["MessageAttributes"], Value::Object(expected), "{parameters}");
    }
}

#[tokio::test]
async fn a_list_value_fails_its_entry_alone_in_both_protocols() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let lists = json!({"a": {"DataType": "String", "StringListValues": ["x", "y"]}});
    let batch = json!({"QueueUrl": url, "Entries": [
        {"Id": "list", "MessageBody": "x", "MessageAttributes": lists},
        {"Id": "plain", "MessageBody": "y"},
    ]});
    let json = sqs.ask("SendMessageBatch", batch.clone()).await;
    let xml = sqs.ask_xml("SendMessageBatch", batch).await;
    for (failed, sent) in [
        (&json["Failed"][0], &json["Successful"][0]),
        (&xml["BatchResultErrorEntry"], &xml["SendMessageBatchResultEntry"]),
    ] {
        assert_eq!((&failed["Id"], &sent["Id"]), (&json!("list"), &json!("plain")), "{json} {xml}");
        assert_eq!(failed["Code"], UNSUPPORTED.query);
        let message = "Message attribute list values in SendMessage operation are not supported.";
        assert_eq!(failed["Message"], message);
    }
    assert_eq!(sqs.bodies(&url, 0).await, ["y", "y"]);
}

#[tokio::test]
async fn attributes_that_break_a_rule_are_refused() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let empty = |kind: &str| {
        format!("Message (user) attribute 'a' must contain a non-empty value of type '{kind}'.")
    };
    let reserved = "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These \
                    strings are reserved for internal use. Additionally, they cannot start or end \
                    with '.'.";
    let long = "a".repeat(257);
    let characters = "Message (user) attributes name can only contain upper and lower score characters, \
                      digits, periods, hyphens and underscores. ";
    let field = |kind: &str, field: &str| {
        format!("Message (user) attribute 'a' with type '{kind}' must use field '{field}'.")
    };
    let number = "Can't cast the value of message (user) attribute 'a' to a number.";
    let many: serde_json::Map<_, _> =
        (0..11).map(|index| (format!("a{index}"), string("x"))).collect();
    for (attributes, message) in [
        (
            Value::Object(many),
            "Number of message attributes [11] exceeds the allowed maximum [10].",
        ),
        (json!({"a": string("")}), &*empty("String")),
        (json!({"a": {"DataType": "String"}}), &empty("String")),
        (json!({"a": {"DataType": "Number", "StringValue": ""}}), &empty("Number")),
        (json!({"a": {"DataType": "Binary", "BinaryValue": ""}}), &empty("Binary")),
        (json!({"a": {"DataType": "Number", "StringValue": "1x"}}), number),
        (json!({"a": {"DataType": "Number", "StringValue": "1e127"}}), number),
        (json!({"a": {"DataType": "Number", "StringValue": "1.1e126"}}), number),
        (json!({"a": {"DataType": "Number", "StringValue": "-1e129"}}), number),
        (json!({"aws.x": string("x")}), reserved),
        (json!({"Amazon.x": string("x")}), reserved),
        (json!({".x": string("x")}), reserved),
        (json!({"x.": string("x")}), reserved),
        (
            json!({"": string("x")}),
            "The request must contain non-empty message (user) attribute names.",
        ),
        (
            json!({&*long: string("x")}),
            "Message (user) attribute names must be shorter than 256 Bytes",
        ),
        (json!({"a b": string("x")}), characters),
        (json!({"\u{20ac}": string("x")}), characters),
        (
            json!({"a": {}}),
            "The message (user) attribute 'a' must contain a non-empty message attribute value.",
        ),
        (
            json!({"a": {"StringValue": "x"}}),
            "The message (user) attribute 'a' must contain a non-empty message attribute type.",
        ),
        (
            json!({"a": {"DataType": format!("String.{}", &long[..250]), "StringValue": "x"}}),
            "Message (user) attribute types must be shorter than 256 Bytes",
        ),
        (json!({"a": {"DataType": "String", "BinaryValue": "AA=="}}), &field("String", "String")),
        (json!({"a": {"DataType": "Number", "BinaryValue": "AA=="}}), &field("Number", "String")),
        (json!({"a": {"DataType": "Binary", "StringValue": "x"}}), &field("Binary", "Binary")),
        (
            json!({"a": {"DataType": "String", "StringValue": "x", "BinaryValue": "AA=="}}),
            "Message (user) attribute 'a' must have a single value.",
        ),
        (
            json!({"a": {"DataType": "Text", "StringValue": "x"}}),
            "The type of message (user) attribute 'a' is invalid. You must use only the following \
             supported type prefixes: Binary, Number, String.",
        ),
    ] {
        let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageAttributes": attributes});
        sqs.refuses("SendMessage", members, INVALID, message).await;
    }
    let message = "Message attribute list values in SendMessage operation are not supported.";
    for (kind, values) in [("String", "StringListValues"), ("Binary", "BinaryListValues")] {
        let list = json!({"a": {"DataType": kind, values: ["AA=="]}});
        let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageAttributes": list});
        sqs.refuses("SendMessage", members, UNSUPPORTED, message).await;
    }
    for (name, value, message) in [
        ("Other", string("x"), "Message system attribute name 'Other' is invalid."),
        (
            "AWSTraceHeader",
            json!({"DataType": "Number", "StringValue": "1"}),
            "The message system attribute 'AWSTraceHeader' is reserved for AWS X-Ray trace header. The \
             type must be 'String'.",
        ),
        (
            "AWSTraceHeader",
            string(""),
            "Message system attribute 'AWSTraceHeader' must contain a non-empty value of type 'String'.",
        ),
    ] {
        let system = json!({name: value});
        let members =
            json!({"QueueUrl": url, "MessageBody": "x", "MessageSystemAttributes": system});
        sqs.refuses("SendMessage", members, INVALID, message).await;
    }
    let good = json!({
        "a_b-c.D": {"DataType": "Number.float", "StringValue": "-1.5e-3"},
        "two..dots": {"DataType": "String", "StringValue": "x"},
        "least": {"DataType": "Number", "StringValue": "-1e128"},
        "most": {"DataType": "Number", "StringValue": "1e126"},
        "b": {"DataType": "String.json", "StringValue": "{}"},
        "c": {"DataType": "Binary.png", "BinaryValue": "AAEC"},
    });
    let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageAttributes": good});
    sqs.ask_xml("SendMessage", members).await;
    assert_eq!(sqs.receive_one(&url, 0).await["MessageAttributes"], good);
}

#[tokio::test]
async fn a_delay_is_the_messages_own_or_the_queues() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({"DelaySeconds": "10"})).await;
    sqs.send_body(&url, "queue").await;
    for (body, delay) in [("none", 0), ("own", 20)] {
        let members = json!({"QueueUrl": url, "MessageBody": body, "DelaySeconds": delay});
        sqs.ask("SendMessage", members).await;
    }
    assert_eq!(sqs.bodies(&url, 3600).await, ["none"]);
    assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessagesDelayed"], "2");
    sqs.clock.advance(10_000);
    assert_eq!(sqs.bodies(&url, 3600).await, ["queue"]);
    sqs.clock.advance(10_000);
    assert_eq!(sqs.bodies(&url, 3600).await, ["own"]);
    for delay in [-1, 901] {
        let members = json!({"QueueUrl": url, "MessageBody": "x", "DelaySeconds": delay});
        let message = format!(
            "Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 \
             and <= 900."
        );
        sqs.refuses("SendMessage", members, INVALID, &message).await;
    }
    let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageDeduplicationId": "d"});
    let message = "Value d for parameter MessageDeduplicationId is invalid. Reason: The request \
                   include parameter that is not valid for this queue type.";
    sqs.refuses("SendMessage", members, INVALID, message).await;
}

#[tokio::test]
async fn a_batch_says_of_an_entry_what_its_queue_has_no_use_for() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let line = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    let useless = "The request include parameter that is not valid for this queue type";
    let range = "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 \
                 and <= 900.";
    for (url, entries) in [
        (
            &url,
            json!([
                {"Id": "useless", "MessageBody": "x", "MessageDeduplicationId": "d"},
                {"Id": "range", "MessageBody": "x", "DelaySeconds": 901},
            ]),
        ),
        (
            &line,
            json!([
                {
                    "Id": "useless", "MessageBody": "x", "MessageGroupId": "g",
                    "MessageDeduplicationId": "d", "DelaySeconds": 2,
                },
                {
                    "Id": "range", "MessageBody": "x", "MessageGroupId": "g",
                    "MessageDeduplicationId": "d", "DelaySeconds": 901,
                },
            ]),
        ),
    ] {
        let members = json!({"QueueUrl": url, "Entries": entries});
        let failed = |id: &str, message: &str| {
            json!({
                "Id": id, "SenderFault": true, "Code": "InvalidParameterValue", "Message": message,
            })
        };
        let batch = sqs.ask("SendMessageBatch", members.clone()).await;
        assert_eq!(batch, json!({"Failed": [failed("useless", useless), failed("range", range)]}));
        let xml = sqs.ask_xml("SendMessageBatch", members).await;
        assert_eq!(xml["BatchResultErrorEntry"][0]["Message"], useless);
        assert_eq!(xml["BatchResultErrorEntry"][1]["Message"], range);
    }
}

#[tokio::test]
async fn a_receive_outside_its_limits_is_refused() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let between = "Must be between 1 and 10, if provided.";
    for (parameter, value, reason) in [
        ("MaxNumberOfMessages", 0, between),
        ("MaxNumberOfMessages", 11, between),
        ("WaitTimeSeconds", 21, "Must be >= 0 and <= 20, if provided."),
        ("WaitTimeSeconds", -1, "Must be >= 0 and <= 20, if provided."),
        ("VisibilityTimeout", 43_201, "Must be >= 0 and <= 43200, if provided."),
    ] {
        let message =
            format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}");
        let members = json!({"QueueUrl": url, parameter: value});
        sqs.refuses("ReceiveMessage", members, INVALID, &message).await;
    }
    let members = json!({"QueueUrl": url, "ReceiveRequestAttemptId": "a b"});
    let message = "Value a b for parameter ReceiveRequestAttemptId is invalid. Reason: \
                   ReceiveRequestAttemptId can only include alphanumeric and punctuation \
                   characters. 1 to 128 in length.";
    sqs.refuses("ReceiveMessage", members, INVALID, message).await;
    // Of a queue that is not FIFO it is let be.
    sqs.send_body(&url, "x").await;
    let members = json!({"QueueUrl": url, "ReceiveRequestAttemptId": "a"});
    assert_eq!(sqs.ask("ReceiveMessage", members.clone()).await["Messages"][0]["Body"], "x");
    assert_eq!(sqs.ask("ReceiveMessage", members).await, json!({}));
}

#[tokio::test]
async fn one_message_is_given_unless_more_are_asked_for() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    for body in ["1", "2", "3"] {
        sqs.send_body(&url, body).await;
    }
    let one = sqs.ask("ReceiveMessage", json!({"QueueUrl": url})).await;
    assert_eq!(one["Messages"].as_array().unwrap().len(), 1);
    let two = json!({"QueueUrl": url, "MaxNumberOfMessages": 2});
    let two = sqs.ask("ReceiveMessage", two).await;
    assert_eq!(two["Messages"].as_array().unwrap().len(), 2);
    assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessagesNotVisible"], "3");
}

#[tokio::test]
async fn a_poll_that_waits_is_answered_as_soon_as_there_is_a_message() {
    let sqs = Sqs::start().await;
    // The wait that is asked for is stronger than the queue's.
    let waits = json!({"ReceiveMessageWaitTimeSeconds": "20"});
    let url = sqs.create("q", waits).await;
    let poll = |url: &str| {
        json!({
            "QueueUrl": url, "WaitTimeSeconds": 20, "VisibilityTimeout": 5,
            "MaxNumberOfMessages": 10,
        })
    };
    let short = json!({"QueueUrl": url, "WaitTimeSeconds": 0});
    assert_eq!(sqs.ask("ReceiveMessage", short).await, json!({}));
    // A new message.
    let comes = async {
        sqs.until_receives_wait("q", 1).await;
        sqs.send_body(&url, "x").await
    };
    let (received, _) = tokio::join!(sqs.ask("ReceiveMessage", poll(&url)), comes);
    assert_eq!(received["Messages"].as_array().unwrap().len(), 1);
    // The end of a visibility timeout, for one that has no wait of its own.
    let ends = async {
        sqs.until_receives_wait("q", 1).await;
        sqs.clock.advance(5_000);
    };
    let members = json!({"QueueUrl": url, "VisibilityTimeout": 3600});
    let received = tokio::join!(sqs.ask("ReceiveMessage", members), ends).0;
    // A visibility timeout that is made none.
    let message = &received["Messages"][0];
    let is_made_visible = async {
        sqs.until_receives_wait("q", 1).await;
        let members = json!({
            "QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0,
        });
        sqs.ask("ChangeMessageVisibility", members).await
    };
    let again = tokio::join!(sqs.ask("ReceiveMessage", poll(&url)), is_made_visible).0;
    assert_eq!(again["Messages"][0]["MessageId"], message["MessageId"]);
    sqs.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    // The end of a delay.
    let members = json!({"QueueUrl": url, "MessageBody": "y", "DelaySeconds": 7});
    sqs.ask("SendMessage", members).await;
    let is_due = async {
        sqs.until_receives_wait("q", 1).await;
        sqs.clock.advance(7_000);
    };
    let received = tokio::join!(sqs.ask_xml("ReceiveMessage", poll(&url)), is_due).0;
    assert_eq!(received["Message"]["Body"], "y");
    // A group of a FIFO queue that a delete unlocks.
    let url = sqs.create("q.fifo", json!({"FifoQueue": "true"})).await;
    for body in ["1", "2"] {
        let members = json!({
            "QueueUrl": url, "MessageBody": body, "MessageGroupId": "g",
            "MessageDeduplicationId": body,
        });
        sqs.ask("SendMessage", members).await;
    }
    let members = json!({"QueueUrl": url, "VisibilityTimeout": 3600});
    let first = sqs.ask("ReceiveMessage", members).await["Messages"][0].clone();
    let is_unlocked = async {
        sqs.until_receives_wait("q.fifo", 1).await;
        let members = json!({"QueueUrl": url, "ReceiptHandle": first["ReceiptHandle"]});
        sqs.ask("DeleteMessage", members).await
    };
    let received = tokio::join!(sqs.ask("ReceiveMessage", poll(&url)), is_unlocked).0;
    assert_eq!(received["Messages"][0]["Body"], "2");
}

#[tokio::test]
async fn more_in_flight_than_the_queue_allows_is_over_the_limit() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let one = QueueAttributes { in_flight_max: Some(1), ..QueueAttributes::default() };
    sqs.client().await.alter_queue("q", one).await.unwrap();
    sqs.send_body(&url, "1").await;
    sqs.send_body(&url, "2").await;
    sqs.receive_one(&url, 3600).await;
    let message = "Too many messages have been received without being deleted. Please delete your \
                   received messages or let them timeout before receiving more.";
    sqs.refuses("ReceiveMessage", json!({"QueueUrl": url}), OVER_LIMIT, message).await;
    // One that may wait is told nothing of it, and gets nothing.
    let long = sqs.ask("ReceiveMessage", json!({"QueueUrl": url, "WaitTimeSeconds": 20}));
    let passes = async {
        sqs.until_receives_wait("q", 1).await;
        sqs.clock.advance(20_000);
    };
    assert_eq!(tokio::join!(long, passes).0, json!({}));
}

#[tokio::test]
async fn a_message_is_the_same_through_both_doors() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let client = sqs.client().await;
    let attributes = json!({"n": {"DataType": "Number", "StringValue": "5"}});
    let members =
        json!({"QueueUrl": url, "MessageBody": "over SQS", "MessageAttributes": attributes});
    let sent = sqs.ask("SendMessage", members).await;
    let received = crate::support::receive(&client, "q", 1).await.remove(0);
    received.block.verify().unwrap();
    assert_eq!(received.block.body().as_ref(), b"over SQS");
    let travels = received.attributes().unwrap();
    assert_eq!(travels.attributes, [MessageAttribute::number("n", 5)]);
    let id = MessageId::new(client.store_id(), received.origin_queue_id, received.origin_seq);
    assert_eq!(sent["MessageId"], id.to_string());
    crate::support::send(&client, "q", &[b"over TCP", b"\xff\x01"]).await;
    let messages = sqs.receive(&url, 60).await;
    assert_eq!(messages[0]["Body"], "over TCP");
    // What is no text is told as one, with the digest of that.
    assert_eq!(messages[1]["Body"], "\u{fffd}\u{fffd}");
    let told = forebay_protocol::md5_of_body("\u{fffd}\u{fffd}".as_bytes());
    assert_eq!(messages[1]["MD5OfBody"], told);
    // A receipt of one door is one of the other.
    let receipt = data_encoding::BASE64.encode(received.receipt.as_bytes());
    sqs.ask("DeleteMessage", json!({"QueueUrl": url, "ReceiptHandle": receipt})).await;
    assert_eq!(client.describe_queue("q").await.unwrap().in_flight, 2);
}

#[tokio::test]
async fn a_message_that_was_received_three_times_goes_to_the_back() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    for body in ["a", "b", "c"] {
        sqs.ask("SendMessage", json!({"QueueUrl": url, "MessageBody": body})).await;
    }
    let mut bodies = String::new();
    for _ in 0..12 {
        sqs.clock.advance(1);
        let received =
            sqs.ask("ReceiveMessage", json!({"QueueUrl": url, "VisibilityTimeout": 0})).await;
        bodies += received["Messages"][0]["Body"].as_str().unwrap();
    }
    assert_eq!(bodies, "aaabbbcccabc");
}
