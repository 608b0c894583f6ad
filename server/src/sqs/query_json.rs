//! Answers of the Query protocol in JSON, for programs that accept that before anything else: an API Gateway,
//! clients in browsers.
//!
//! It is not the JSON of the other protocol: names are those of the XML around the members, a map is a list of
//! entries, two lists have names of their own, and of what a message has and what is said of a sent one all is
//! there, null if it is nothing.

use serde_json::{Map, Value, json};

use super::error::SqsError;
use super::names::{self, Shape};

/// What is null if it is absent: of an action's answer, or of each of its messages.
const NULLABLE: &[(&str, &[&str])] = &[
    ("SendMessage", &["MD5OfMessageAttributes", "MD5OfMessageSystemAttributes", "SequenceNumber"]),
    ("ReceiveMessage", &["messages"]),
    ("messages", &["Attributes", "MD5OfMessageAttributes", "MessageAttributes"]),
];

/// The answer of an action.
pub(super) fn answer(action: &str, members: Value, request_id: &str) -> String {
    let mut response = json!({"ResponseMetadata": {"RequestId": request_id}});
    if let Value::Object(members) = members {
        response[format!("{action}Result")] = structure(action, members);
    }
    json!({ format!("{action}Response"): response }).to_string()
}

/// An error.
pub(super) fn error(error: &SqsError, request_id: &str) -> String {
    let SqsError { code, message } = error;
    let error = json!({"Code": code.query_name(), "Message": message, "Type": code.fault()});
    json!({"Error": error, "RequestId": request_id}).to_string()
}

fn structure(of: &str, members: Map<String, Value>) -> Value {
    let mut told = Map::new();
    for (name, value) in members {
        let name = match &*name {
            "Messages" => "messages".to_owned(),
            "QueueUrls" => "queueUrls".to_owned(),
            _ => name,
        };
        let value = match (value, names::in_answer(&name).map(|member| member.shape)) {
            (Value::Object(entries), Some(Shape::Map { key, value })) => {
                entries.into_iter().map(|(k, v)| json!({ key: k, value: v })).collect()
            }
            (Value::Array(items), _) => items
                .into_iter()
                .map(|item| match item {
                    Value::Object(members) => structure(&name, members),
                    other => other,
                })
                .collect(),
            (value, _) => value,
        };
        told.insert(name, value);
    }
    let nullable =
        NULLABLE.iter().find(|(what, _)| *what == of).map_or(&[][..], |(_, names)| names);
    for name in nullable {
        told.entry(*name).or_insert(Value::Null);
    }
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use super::super::error::Code;
    use super::*;

    fn of(action: &str, members: Value) -> Value {
        serde_json::from_str(&answer(action, members, "r")).unwrap()
    }

    #[test]
    fn an_answer_says_what_it_is_of_and_what_is_not_there_is_null() {
        let sent = of("SendMessage", json!({"MD5OfMessageBody": "m", "MessageId": "i"}));
        let expected = json!({"SendMessageResponse": {
            "ResponseMetadata": {"RequestId": "r"},
            "SendMessageResult": {
                "MD5OfMessageAttributes": null, "MD5OfMessageBody": "m",
                "MD5OfMessageSystemAttributes": null, "MessageId": "i", "SequenceNumber": null,
            },
        }});
        assert_eq!(sent, expected);
        let nothing = json!({"PurgeQueueResponse": {"ResponseMetadata": {"RequestId": "r"}}});
        assert_eq!(of("PurgeQueue", Value::Null), nothing);
        let none = of("ReceiveMessage", json!({}));
        let expected = json!({"messages": null});
        assert_eq!(none["ReceiveMessageResponse"]["ReceiveMessageResult"], expected);
    }

    #[test]
    fn a_map_is_a_list_of_entries() {
        let value = json!({"DataType": "String", "StringValue": "v"});
        let message = json!({"Body": "b", "MessageAttributes": {"n": value}});
        let received = of("ReceiveMessage", json!({"Messages": [message]}));
        let expected = json!({"messages": [{
            "Attributes": null, "Body": "b", "MD5OfMessageAttributes": null,
            "MessageAttributes": [{"Name": "n", "Value": value}],
        }]});
        assert_eq!(received["ReceiveMessageResponse"]["ReceiveMessageResult"], expected);
        let tags = of("ListQueueTags", json!({"Tags": {"k": "v"}}));
        let expected = json!({"Tags": [{"Key": "k", "Value": "v"}]});
        assert_eq!(tags["ListQueueTagsResponse"]["ListQueueTagsResult"], expected);
    }

    #[test]
    fn an_error_has_type_code_and_message() {
        let text = error(&SqsError::new(Code::QueueNameExists, "\"a\""), "r");
        let expected = json!({
            "Error": {"Code": "QueueAlreadyExists", "Message": "\"a\"", "Type": "Sender"},
            "RequestId": "r",
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}
