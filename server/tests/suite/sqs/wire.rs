//! A server of SQS in this process, and requests as bytes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use forebay::sqs::Config;
use forebay::{Budget, EndingSender, Engine, Limits};
use forebay_engine::disk::SimDisk;
use forebay_engine::{Options, SimClock};
use forebay_protocol::Fact;
use forebay_protocol::client::{Client, ClientOptions};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::within;

/// When the server's clock begins: in milliseconds since 1970.
pub(super) const BEGIN_MS: u64 = 1_700_000_000_000;

/// A statement of a Policy that says no more than it must.
pub(super) const STATEMENT: &str =
    r#"{"Effect":"Allow","Principal":"*","Action":"SQS:SendMessage"}"#;

pub(super) struct Sqs {
    pub(super) address: SocketAddr,
    native: SocketAddr,
    pub(super) clock: SimClock,
    pub(super) ending: EndingSender,
    pub(super) running: JoinHandle<()>,
    _engine: Engine,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// An error by all its names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) json: &'static str,
    pub(super) query: &'static str,
    pub(super) status: u16,
}

const fn named(json: &'static str, query: &'static str, status: u16) -> Named {
    Named { json, query, status }
}

pub(super) const INVALID: Named =
    named("com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue", 400);
pub(super) const MISSING: Named =
    named("com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter", 400);
pub(super) const NO_QUEUE: Named =
    named("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400);
pub(super) const EXISTS: Named =
    named("com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists", 400);
pub(super) const DELETED_RECENTLY: Named = named(
    "com.amazonaws.sqs#QueueDeletedRecently",
    "AWS.SimpleQueueService.QueueDeletedRecently",
    400,
);
pub(super) const PURGING: Named = named(
    "com.amazonaws.sqs#PurgeQueueInProgress",
    "AWS.SimpleQueueService.PurgeQueueInProgress",
    403,
);
pub(super) const BAD_HANDLE: Named =
    named("com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404);
pub(super) const OVER_LIMIT: Named = named("com.amazonaws.sqs#OverLimit", "OverLimit", 403);
pub(super) const NOT_DISTINCT: Named = named(
    "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
    "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    400,
);
pub(super) const TOO_LONG: Named = named(
    "com.amazonaws.sqs#BatchRequestTooLong",
    "AWS.SimpleQueueService.BatchRequestTooLong",
    400,
);
pub(super) const EMPTY_BATCH: Named =
    named("com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400);
pub(super) const BAD_ENTRY_ID: Named = named(
    "com.amazonaws.sqs#InvalidBatchEntryId",
    "AWS.SimpleQueueService.InvalidBatchEntryId",
    400,
);
pub(super) const TOO_MANY: Named = named(
    "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
    "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    400,
);
pub(super) const BAD_ATTRIBUTE_NAME: Named =
    named("com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName", 400);
pub(super) const BAD_ATTRIBUTE_VALUE: Named =
    named("com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue", 400);
pub(super) const BAD_CONTENTS: Named =
    named("com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents", 400);
pub(super) const UNSUPPORTED: Named = named(
    "com.amazonaws.sqs#UnsupportedOperation",
    "AWS.SimpleQueueService.UnsupportedOperation",
    400,
);
pub(super) const NOT_FOUND: Named =
    named("com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException", 404);
pub(super) const BAD_ADDRESS: Named =
    named("com.amazonaws.sqs#InvalidAddress", "InvalidAddress", 404);

impl Sqs {
    pub(super) async fn start() -> Self {
        Self::start_with(Config::default(), Limits::default()).await
    }

    pub(super) async fn start_with(config: Config, limits: Limits) -> Self {
        Self::start_on(SimDisk::new(1), config, limits).await
    }

    /// With a clock that the configuration has too.
    pub(super) async fn start_at(clock: SimClock, config: Config, limits: Limits) -> Self {
        Self::start_whole(SimDisk::new(1), clock, config, limits).await
    }

    pub(super) async fn start_on(disk: SimDisk, config: Config, limits: Limits) -> Self {
        Self::start_whole(disk, SimClock::new(BEGIN_MS), config, limits).await
    }

    async fn start_whole(disk: SimDisk, clock: SimClock, config: Config, limits: Limits) -> Self {
        let options = Options { segment_bytes: 16 << 20, ..Options::default() };
        let (ending, hears_ending) = forebay::ending();
        let (engine, _) = Engine::open(
            Arc::new(disk),
            Arc::new(clock.clone()),
            Path::new("data"),
            options,
            Box::new(|failure| panic!("{failure}")),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let native_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let native = native_listener.local_addr().unwrap();
        let budget = Budget::new(&limits);
        tokio::spawn(forebay::run_within(
            native_listener,
            engine.handle(),
            Limits::default(),
            budget.clone(),
            hears_ending.clone(),
        ));
        let handle = engine.handle();
        let server = forebay::sqs::run(listener, handle, limits, budget, config, hears_ending);
        let running = tokio::spawn(server);
        Self { address, native, clock, ending, running, _engine: engine }
    }

    /// A client of the native protocol, of the same queues.
    pub(super) async fn client(&self) -> Client {
        let client = Client::connect(self.native.to_string(), ClientOptions::default());
        within("a connect", client).await.unwrap()
    }

    /// Waits until so many receives wait for the queue.
    pub(super) async fn until_receives_wait(&self, queue: &str, receives: u64) {
        let client = self.client().await;
        within("a wait", async {
            loop {
                let facts = client.explain(queue, None).await.unwrap().facts;
                if facts.contains(&Fact::ReceivesWait { receives }) {
                    return;
                }
            }
        })
        .await;
    }

    /// A queue's URL as this server gives it.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/000000000000/{name}", self.address)
    }

    /// A request as it is.
    pub(super) async fn send(&self, request: &[u8]) -> Outcome {
        let mut stream = within("a connect", TcpStream::connect(self.address)).await.unwrap();
        within("a write", stream.write_all(request)).await.unwrap();
        let mut answer = Vec::new();
        within("an answer", stream.read_to_end(&mut answer)).await.unwrap();
        Outcome::parse(&answer)
    }

    /// A request of the JSON protocol.
    pub(super) async fn json(&self, action: &str, members: &Value) -> Outcome {
        self.json_at("/", action, members).await
    }

    pub(super) async fn json_at(&self, path: &str, action: &str, members: &Value) -> Outcome {
        self.json_for(path, &format!("AmazonSQS.{action}"), members).await
    }

    /// With any target.
    pub(super) async fn json_for(&self, path: &str, target: &str, members: &Value) -> Outcome {
        let body = members.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nX-Amz-Target: {target}\r\n\
             Content-Type: application/x-amz-json-1.0\r\nx-amzn-query-mode: true\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.send(head.as_bytes()).await
    }

    /// The same request in the Query protocol.
    pub(super) async fn query(&self, action: &str, members: &Value) -> Outcome {
        let mut parameters = vec![
            ("Action".to_owned(), action.to_owned()),
            ("Version".to_owned(), "2012-11-05".to_owned()),
        ];
        flatten(action, "", members, &mut parameters);
        self.form("/", &parameters).await
    }

    pub(super) async fn form(&self, path: &str, parameters: &[(String, String)]) -> Outcome {
        let body =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.send(head.as_bytes()).await
    }

    pub(super) async fn get(&self, path: &str) -> Outcome {
        let address = self.address;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        self.send(head.as_bytes()).await
    }

    /// What an action that succeeds answers in the JSON protocol.
    #[track_caller]
    pub(super) fn ask<'a>(
        &'a self,
        action: &'a str,
        members: Value,
    ) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let outcome = self.json(action, &members).await;
            assert_eq!(outcome.status, 200, "{caller}: {action} {members}: {outcome:?}");
            outcome.json()
        }
    }

    /// What an action that succeeds answers in the Query protocol: the elements in its result.
    #[track_caller]
    pub(super) fn ask_xml<'a>(
        &'a self,
        action: &'a str,
        members: Value,
    ) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let outcome = self.query(action, &members).await;
            assert_eq!(outcome.status, 200, "{caller}: {action} {members}: {outcome:?}");
            let answer = outcome.xml();
            let response = &answer[format!("{action}Response")];
            assert!(response["ResponseMetadata"]["RequestId"].is_string(), "{caller}: {answer}");
            response[format!("{action}Result")].clone()
        }
    }

    /// Both protocols refuse the request, with the names that each has for it.
    #[track_caller]
    pub(super) fn refuses<'a>(
        &'a self,
        action: &'a str,
        members: Value,
        error: Named,
        message: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let json = self.json(action, &members).await;
            let query_error = format!("{};Sender", error.query);
            let context = format!("{caller}: {action} {members}: {json:?}");
            assert_eq!(json.status, error.status, "{context}");
            assert_eq!(json.json()["__type"], error.json, "{context}");
            assert_eq!(json.json()["message"], message, "{context}");
            assert_eq!(json.header("x-amzn-query-error"), Some(&*query_error), "{context}");
            let query = self.query(action, &members).await;
            let context = format!("{caller}: {action} {members}: {query:?}");
            let told = &query.xml()["ErrorResponse"];
            assert_eq!(query.status, error.status, "{context}");
            assert_eq!(told["Error"]["Code"], error.query, "{context}");
            assert_eq!(told["Error"]["Type"], "Sender", "{context}");
            assert!(told["RequestId"].is_string(), "{context}");
            let wsdl = "The specified queue does not exist for this wsdl version.";
            let is_unknown = message == "The specified queue does not exist.";
            let message = if is_unknown { wsdl } else { message };
            assert_eq!(told["Error"]["Message"], message, "{context}");
        }
    }

    /// Creates a queue and gives its URL.
    pub(super) async fn create(&self, name: &str, attributes: Value) -> String {
        let members = json!({"QueueName": name, "Attributes": attributes});
        let created = self.ask("CreateQueue", members).await;
        created["QueueUrl"].as_str().unwrap().to_owned()
    }

    /// The attributes of a queue.
    pub(super) async fn attributes(&self, url: &str) -> Value {
        let members = json!({"QueueUrl": url, "AttributeNames": ["All"]});
        self.ask("GetQueueAttributes", members).await["Attributes"].clone()
    }

    /// Sends a message and gives the answer.
    pub(super) async fn send_body(&self, url: &str, body: &str) -> Value {
        self.ask("SendMessage", json!({"QueueUrl": url, "MessageBody": body})).await
    }

    /// Up to ten messages, with all that there is of them.
    pub(super) async fn receive(&self, url: &str, visibility: u64) -> Vec<Value> {
        let members = json!({
            "QueueUrl": url,
            "MaxNumberOfMessages": 10,
            "VisibilityTimeout": visibility,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let received = self.ask("ReceiveMessage", members).await;
        received.get("Messages").map_or(Vec::new(), |m| m.as_array().unwrap().clone())
    }

    /// The bodies of up to ten messages.
    pub(super) async fn bodies(&self, url: &str, visibility: u64) -> Vec<String> {
        let received = self.receive(url, visibility).await;
        received.iter().map(|message| message["Body"].as_str().unwrap().to_owned()).collect()
    }

    /// The one message that there is.
    pub(super) async fn receive_one(&self, url: &str, visibility: u64) -> Value {
        let mut received = self.receive(url, visibility).await;
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }
}

impl Outcome {
    fn parse(answer: &[u8]) -> Self {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("0");
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers = lines.map(header).collect();
        Self { status: status.parse().unwrap(), headers, body: body.to_owned() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The body of the JSON protocol; null if it is empty.
    pub(super) fn json(&self) -> Value {
        match self.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&self.body).unwrap(),
        }
    }

    /// The body of the Query protocol: texts by the names of their elements, lists of those that come
    /// more than once.
    pub(super) fn xml(&self) -> Value {
        let mut reader = Reader::from_str(&self.body);
        let mut open: Vec<(String, Map<String, Value>, String)> = Vec::new();
        let mut root = Map::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    let name = start.name().as_ref().to_owned();
                    open.push((name, Map::new(), String::new()));
                }
                Event::Empty(start) => {
                    let name = start.name().as_ref().to_owned();
                    let inside = open.last_mut().map_or(&mut root, |(_, inside, _)| inside);
                    inside.insert(name, Value::String(String::new()));
                }
                Event::Text(text) => {
                    if let Some((_, _, inside)) = open.last_mut() {
                        inside.push_str(&text.into_inner());
                    }
                }
                Event::GeneralRef(reference) => {
                    let name = reference.into_inner();
                    let text =
                        quick_xml::escape::unescape(&format!("&{name};")).unwrap().into_owned();
                    open.last_mut().unwrap().2.push_str(&text);
                }
                Event::End(_) => {
                    let (name, inside, text) = open.pop().unwrap();
                    let value = match inside.is_empty() {
                        true => Value::String(text),
                        false => Value::Object(inside),
                    };
                    let inside = open.last_mut().map_or(&mut root, |(_, inside, _)| inside);
                    match inside.get_mut(&name) {
                        Some(Value::Array(several)) => several.push(value),
                        Some(one) => *one = json!([one.take(), value]),
                        None => drop(inside.insert(name, value)),
                    }
                }
                Event::Eof => return Value::Object(root),
                _ => {}
            }
        }
    }
}

/// JSON members as parameters of the Query protocol.
fn flatten(action: &str, prefix: &str, members: &Value, out: &mut Vec<(String, String)>) {
    let of_batch = format!("{action}RequestEntry");
    for (name, value) in members.as_object().unwrap() {
        let (item, key) = match &**name {
            "AttributeNames" => ("AttributeName", "Name"),
            "MessageAttributeNames" => ("MessageAttributeName", "Name"),
            "MessageSystemAttributeNames" => ("MessageSystemAttributeName", "Name"),
            "AWSAccountIds" => ("AWSAccountId", "Name"),
            "Actions" => ("ActionName", "Name"),
            "TagKeys" => ("TagKey", "Name"),
            "StringListValues" => ("StringListValue", "Name"),
            "BinaryListValues" => ("BinaryListValue", "Name"),
            "Entries" => (&*of_batch, "Name"),
            "Attributes" => ("Attribute", "Name"),
            "MessageAttributes" => ("MessageAttribute", "Name"),
            "MessageSystemAttributes" => ("MessageSystemAttribute", "Name"),
            "Tags" | "tags" => ("Tag", "Key"),
            name => (name, "Name"),
        };
        match value {
            Value::String(text) => out.push((format!("{prefix}{item}"), text.clone())),
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    let place = format!("{prefix}{item}.{}", index + 1);
                    match value {
                        Value::String(text) => out.push((place, text.clone())),
                        members => flatten(action, &format!("{place}."), members, out),
                    }
                }
            }
            Value::Object(entries) => {
                for (index, (name, value)) in entries.iter().enumerate() {
                    let place = format!("{prefix}{item}.{}", index + 1);
                    out.push((format!("{place}.{key}"), name.clone()));
                    match value {
                        Value::String(text) => out.push((format!("{place}.Value"), text.clone())),
                        members => flatten(action, &format!("{place}.Value."), members, out),
                    }
                }
            }
            other => out.push((format!("{prefix}{item}"), other.to_string())),
        }
    }
}
