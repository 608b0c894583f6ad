//! Requests of SQS in the Query protocol: any parameters give a request or an error, for every action, and
//! one that is understood is what the JSON protocol understands by the JSON that it was made.

#![no_main]

use forebay::sqs::{action_names, understand_json, understand_query};
use forebay_fuzz::Choices;
use libfuzzer_sys::fuzz_target;

/// What parameters are made of, so that a name is more than luck.
const WORDS: [&str; 24] = [
    "QueueUrl",
    "MessageBody",
    "Attribute",
    "MessageAttribute",
    "MessageSystemAttribute",
    "Tag",
    "TagKey",
    "SendMessageBatchRequestEntry",
    "DeleteMessageBatchRequestEntry",
    "AttributeName",
    "DelaySeconds",
    "VisibilityTimeout",
    "Name",
    "Key",
    "Value",
    "StringValue",
    "BinaryValue",
    "DataType",
    "Id",
    "1",
    "2",
    "4294967296",
    "=",
    "&",
];

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let mut names = action_names();
    let action = names.nth(choices.below(names.len())).expect("it is below their number");
    let parameters = match choices.byte() % 2 {
        0 => choices.rest().to_vec(),
        _ => {
            let mut text = String::new();
            while !choices.is_empty() {
                let word = WORDS[choices.below(WORDS.len())];
                if !text.is_empty() && !text.ends_with(['=', '&']) && !["=", "&"].contains(&word) {
                    text.push('.');
                }
                text.push_str(word);
            }
            text.into_bytes()
        }
    };
    let Ok((understood, json)) = understand_query(action, &parameters) else { return };
    // Each parameter may stand in JSON with its names written out once more.
    assert!(
        json.len() <= 64 + 8 * parameters.len(),
        "{} bytes became {}",
        parameters.len(),
        json.len()
    );
    assert_eq!(understand_json(action, json.as_bytes()), Ok(understood));
});
