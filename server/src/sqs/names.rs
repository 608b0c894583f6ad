//! Members that the Query protocol spells in another way than JSON: lists and maps are flattened there,
//! each item under a name of its own.

/// What a member's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A whole number, which JSON writes without quotes.
    Number,
    /// `Name.1`, `Name.2`, ...
    List,
    /// `Name.1.<key>`, `Name.1.<value>`, ...
    Map {
        /// What the key is called.
        key: &'static str,
        /// What the value is called.
        value: &'static str,
    },
}

/// A row of the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// Its name in JSON.
    pub(super) json: &'static str,
    /// Its name in Query; of a list or a map that of an item.
    pub(super) query: &'static str,
    pub(super) shape: Shape,
}

const fn number(name: &'static str) -> Member {
    Member { json: name, query: name, shape: Shape::Number }
}

const fn list(json: &'static str, query: &'static str) -> Member {
    Member { json, query, shape: Shape::List }
}

const fn map(json: &'static str, query: &'static str) -> Member {
    Member { json, query, shape: Shape::Map { key: "Name", value: "Value" } }
}

const fn tags(json: &'static str, query: &'static str) -> Member {
    Member { json, query, shape: Shape::Map { key: "Key", value: "Value" } }
}

/// What is in requests and not a text of the same name.
const IN_REQUESTS: &[Member] = &[
    number("DelaySeconds"),
    number("MaxNumberOfMessages"),
    number("MaxNumberOfMessagesPerSecond"),
    number("MaxResults"),
    number("VisibilityTimeout"),
    number("WaitTimeSeconds"),
    list("AttributeNames", "AttributeName"),
    list("MessageAttributeNames", "MessageAttributeName"),
    list("MessageSystemAttributeNames", "MessageSystemAttributeName"),
    list("AWSAccountIds", "AWSAccountId"),
    list("Actions", "ActionName"),
    list("TagKeys", "TagKey"),
    list("StringListValues", "StringListValue"),
    list("BinaryListValues", "BinaryListValue"),
    list("Entries", "SendMessageBatchRequestEntry"),
    list("Entries", "DeleteMessageBatchRequestEntry"),
    list("Entries", "ChangeMessageVisibilityBatchRequestEntry"),
    map("Attributes", "Attribute"),
    map("MessageAttributes", "MessageAttribute"),
    // As JSON spells it: AWS takes both.
    map("MessageAttributes", "MessageAttributes"),
    map("MessageSystemAttributes", "MessageSystemAttribute"),
    tags("Tags", "Tag"),
    // As the AWS SDKs for Java spell it.
    tags("Tags", "Tags"),
];

/// What is in answers and neither a text nor a number; but for `Successful`, whose items each action
/// calls by a name of its own.
const IN_ANSWERS: &[Member] = &[
    map("Attributes", "Attribute"),
    map("MessageAttributes", "MessageAttribute"),
    tags("Tags", "Tag"),
    list("Messages", "Message"),
    list("QueueUrls", "QueueUrl"),
    list("queueUrls", "QueueUrl"),
    list("Failed", "BatchResultErrorEntry"),
    list("Results", "ListMessageMoveTasksResultEntry"),
];

/// The member that a request of the Query protocol calls so; `None`: a text.
pub(super) fn in_request(query_name: &str) -> Option<&'static Member> {
    IN_REQUESTS.iter().find(|member| member.query == query_name)
}

/// What a request in JSON has under this name, which the Query protocol calls otherwise.
pub(super) fn of_json(json_name: &str) -> Option<Shape> {
    IN_REQUESTS.iter().find(|member| member.json == json_name).map(|member| member.shape)
}

/// The member that an answer in JSON calls so; `None`: a text or a number.
pub(super) fn in_answer(json_name: &str) -> Option<&'static Member> {
    IN_ANSWERS.iter().find(|member| member.json == json_name)
}
