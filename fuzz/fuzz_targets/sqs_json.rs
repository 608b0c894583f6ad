//! Requests of SQS in JSON: any bytes give a request or an error, for every action, and one that is understood
//! is understood as the same however it is written.

#![no_main]

use forebay::sqs::{action_names, understand_json};
use forebay_fuzz::Choices;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let mut names = action_names();
    let action = names.nth(choices.below(names.len())).expect("it is below their number");
    let body = choices.rest();
    let Ok(understood) = understand_json(action, body) else { return };
    if body.is_empty() {
        return;
    }
    // What is passed over need not be all that JSON must be.
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    let text = value.to_string();
    assert_eq!(understand_json(action, text.as_bytes()), Ok(understood));
});
