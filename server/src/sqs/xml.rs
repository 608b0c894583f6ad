//! Answers of the Query protocol: the JSON of an answer as XML.

use quick_xml::escape::escape;
use serde_json::Value;

use super::characters::replace_refused;
use super::error::SqsError;
use super::names::{self, Shape};

const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";

/// The answer of an action; `successful` is what it calls the items of `Successful`.
pub(super) fn answer(
    action: &str,
    successful: &'static str,
    members: &Value,
    request_id: &str,
) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>");
    out.push_str(&format!("<{action}Response xmlns=\"{NAMESPACE}\">"));
    if let Value::Object(members) = members {
        let mut result = String::new();
        for (name, value) in members {
            put_member(&mut result, name, value, successful);
        }
        // As AWS writes it.
        match result.is_empty() {
            true => out.push_str(&format!("<{action}Result/>")),
            false => element(&mut out, &format!("{action}Result"), |out| out.push_str(&result)),
        }
    }
    element(&mut out, "ResponseMetadata", |out| put_text(out, "RequestId", request_id));
    out.push_str(&format!("</{action}Response>"));
    out
}

/// An error.
pub(super) fn error(error: &SqsError, request_id: &str) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>");
    out.push_str(&format!("<ErrorResponse xmlns=\"{NAMESPACE}\">"));
    element(&mut out, "Error", |out| {
        put_text(out, "Type", error.code.fault());
        put_text(out, "Code", error.code.query_name());
        put_text(out, "Message", &error.message);
        out.push_str("<Detail/>");
    });
    put_text(&mut out, "RequestId", request_id);
    out.push_str("</ErrorResponse>");
    out
}

fn put_member(out: &mut String, name: &str, value: &Value, successful: &'static str) {
    let member = names::in_answer(name);
    match (value, member.map(|member| (member.query, member.shape))) {
        (Value::Array(items), member) => {
            let name = member.map_or(successful, |(query, _)| query);
            for item in items {
                put_value(out, name, item, successful);
            }
        }
        (Value::Object(entries), Some((query, Shape::Map { key, value: value_name }))) => {
            for (entry, value) in entries {
                element(out, query, |out| {
                    put_text(out, key, entry);
                    put_value(out, value_name, value, successful);
                });
            }
        }
        (value, _) => put_value(out, name, value, successful),
    }
}

fn put_value(out: &mut String, name: &str, value: &Value, successful: &'static str) {
    match value {
        Value::Object(members) => element(out, name, |out| {
            for (name, value) in members {
                put_member(out, name, value, successful);
            }
        }),
        Value::String(text) => put_text(out, name, text),
        other => put_text(out, name, &other.to_string()),
    }
}

fn element(out: &mut String, name: &str, inside: impl FnOnce(&mut String)) {
    out.push_str(&format!("<{name}>"));
    inside(out);
    out.push_str(&format!("</{name}>"));
}

fn put_text(out: &mut String, name: &str, text: &str) {
    // An error may quote what a client sent, and a name may be from the native protocol.
    let text = replace_refused(text);
    element(out, name, |out| {
        // As AWS writes it; what stood so in the text has its ampersand escaped.
        out.push_str(&escape(&*text).replace("&#13;", "&#xD;"));
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::error::Code;
    use super::*;

    #[test]
    fn lists_and_maps_are_flattened_and_texts_escaped() {
        let members = json!({
            "Messages": [{"Body": "a<&>\r\n", "Attributes": {"SentTimestamp": "1"}}],
            "Successful": [{"Id": "x"}],
            "Tags": {"k": "v"},
            "Count": 3,
        });
        let expected = "<?xml version=\"1.0\"?>\
            <DoResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><DoResult>\
            <Count>3</Count>\
            <Message><Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute>\
            <Body>a&lt;&amp;&gt;&#xD;\n</Body></Message>\
            <Done><Id>x</Id></Done>\
            <Tag><Key>k</Key><Value>v</Value></Tag>\
            </DoResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DoResponse>";
        assert_eq!(answer("Do", "Done", &members, "r"), expected);
    }

    #[test]
    fn an_answer_without_members_has_no_result() {
        let expected = "<?xml version=\"1.0\"?>\
            <DoResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
            <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DoResponse>";
        assert_eq!(answer("Do", "", &Value::Null, "r"), expected);
    }

    #[test]
    fn an_empty_result_is_one_element() {
        let expected = "<?xml version=\"1.0\"?>\
            <DoResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><DoResult/>\
            <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DoResponse>";
        assert_eq!(answer("Do", "", &json!({}), "r"), expected);
        assert_eq!(answer("Do", "", &json!({"Messages": []}), "r"), expected);
    }

    #[test]
    fn an_error_has_type_code_message_and_an_empty_detail() {
        let expected = "<?xml version=\"1.0\"?>\
            <ErrorResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error>\
            <Type>Sender</Type><Code>QueueAlreadyExists</Code><Message>&quot;a&quot;</Message>\
            <Detail/></Error><RequestId>r</RequestId></ErrorResponse>";
        assert_eq!(error(&SqsError::new(Code::QueueNameExists, "\"a\""), "r"), expected);
    }
}
