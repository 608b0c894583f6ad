//! Without these, one client of the endpoint could cost the others messages, memory or time, and a message
//! could be lost on its way to a client that has gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

use forebay::sqs::Config;
use forebay::{Ending, Limits};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::Sqs;
use crate::support::{forebay, within};

fn request(action: &str, body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.{action}\r\nContent-Length: {}\r\n\r\n\
         {body}",
        body.len()
    )
}

async fn connect(sqs: &Sqs) -> TcpStream {
    within("a connect", TcpStream::connect(sqs.address)).await.unwrap()
}

/// Reads an answer whose body ends with `}`, and leaves the connection open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = within("an answer", stream.read_buf(&mut answer)).await.unwrap();
        assert!(read > 0, "the connection ended");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let mut stream = connect(&sqs).await;
    for index in 0..3 {
        let body = json!({"QueueUrl": url, "MessageBody": index.to_string()}).to_string();
        stream.write_all(request("SendMessage", &body).as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    }
    assert_eq!(sqs.bodies(&url, 0).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_receives_nothing() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let mut gone = connect(&sqs).await;
    let body =
        json!({"QueueUrl": url, "WaitTimeSeconds": 20, "VisibilityTimeout": 3600}).to_string();
    gone.write_all(request("ReceiveMessage", &body).as_bytes()).await.unwrap();
    sqs.until_receives_wait("q", 1).await;
    drop(gone);
    sqs.send_body(&url, "for somebody else").await;
    // A lease that was on its way to it comes back.
    let received = within("the message", async {
        loop {
            let bodies = sqs.bodies(&url, 3600).await;
            if !bodies.is_empty() {
                return bodies;
            }
        }
    });
    assert_eq!(received.await, ["for somebody else"]);
}

#[tokio::test]
async fn what_was_written_to_a_client_stays_leased_when_it_goes() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.send_body(&url, "x").await;
    let mut stream = connect(&sqs).await;
    let body = json!({"QueueUrl": url, "VisibilityTimeout": 3600}).to_string();
    stream.write_all(request("ReceiveMessage", &body).as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.contains("\"Body\":\"x\""));
    drop(stream);
    // Whatever the server does about the end of that connection comes before this is answered, or
    // never: it has no reason to do anything.
    for _ in 0..50 {
        assert_eq!(sqs.attributes(&url).await["ApproximateNumberOfMessagesNotVisible"], "1");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_messages_gives_them_back() {
    let limits = Limits { write_timeout: Duration::from_millis(100), ..Limits::default() };
    let sqs = Sqs::start_with(Config::default(), limits).await;
    let url = sqs.create("q", json!({})).await;
    for _ in 0..8 {
        sqs.send_body(&url, &"x".repeat(1 << 20)).await;
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = within("a connect", socket.connect(sqs.address)).await.unwrap();
    let body = json!({"QueueUrl": url, "MaxNumberOfMessages": 8, "VisibilityTimeout": 3600});
    deaf.write_all(request("ReceiveMessage", &body.to_string()).as_bytes()).await.unwrap();
    let count = |name: &'static str| {
        let (sqs, url) = (&sqs, url.clone());
        async move { sqs.attributes(&url).await[name].clone() }
    };
    within("the receive", async {
        while count("ApproximateNumberOfMessagesNotVisible").await == "0" {}
    })
    .await;
    within("the messages' return", async {
        while count("ApproximateNumberOfMessages").await != "8" {}
    })
    .await;
    drop(deaf);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = Limits { frame_timeout: Duration::from_millis(50), ..Limits::default() };
    let sqs = Sqs::start_with(Config::default(), limits).await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n\
                Content-Length: 10\r\n\r\n{";
    let refused = sqs.send(head.as_bytes()).await;
    assert_eq!((refused.status, refused.header("connection")), (408, Some("close")));
    sqs.ask("ListQueues", json!({})).await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let sqs = Sqs::start_with(Config::default(), limits).await;
    for begun in ["", "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-"] {
        let mut stream = connect(&sqs).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within("the end", stream.read_to_end(&mut answer)).await.unwrap();
    }
    sqs.ask("ListQueues", json!({})).await;
}

#[tokio::test]
async fn what_is_not_http_ends_its_own_connection() {
    let sqs = Sqs::start().await;
    let refused = sqs.send(b"\x00\x01\x02 nonsense\r\n\r\n").await;
    assert_eq!(refused.status, 400);
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = connect(&sqs).await;
    // It may close before it has read all.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    sqs.ask("ListQueues", json!({})).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let sqs = Sqs::start_with(Config::default(), limits).await;
    let mut first = connect(&sqs).await;
    first.write_all(request("ListQueues", "{}").as_bytes()).await.unwrap();
    answer(&mut first).await;
    let mut second = connect(&sqs).await;
    let mut nothing = Vec::new();
    let _ = within("the end", second.read_to_end(&mut nothing)).await;
    assert!(nothing.is_empty());
    first.write_all(request("ListQueues", "{}").as_bytes()).await.unwrap();
    answer(&mut first).await;
}

#[tokio::test]
async fn a_server_that_ends_answers_who_waits_and_takes_nothing_more() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let mut waiting = connect(&sqs).await;
    let body = json!({"QueueUrl": url, "WaitTimeSeconds": 20}).to_string();
    waiting.write_all(request("ReceiveMessage", &body).as_bytes()).await.unwrap();
    sqs.until_receives_wait("q", 1).await;
    sqs.ending.send_replace(Some(Ending::ShuttingDown));
    let mut answer = String::new();
    within("an answer", waiting.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n{}"), "{answer}");
    within("the end of the server", sqs.running).await.unwrap();
    assert!(TcpStream::connect(sqs.address).await.is_err());
}

#[tokio::test]
async fn a_full_disk_is_told_as_a_service_that_is_not_available() {
    let disk = forebay_engine::disk::SimDisk::new(1);
    let sqs = Sqs::start_on(disk.clone(), Config::default(), Limits::default()).await;
    let url = sqs.create("q", json!({})).await;
    sqs.ask("SendMessage", json!({"QueueUrl": url, "MessageBody": "before"})).await;
    disk.set_capacity(Some(disk.used()));
    let body = "x".repeat(1 << 20);
    let members = json!({"QueueUrl": url, "MessageBody": body});
    let refused = within("a refusal", async {
        loop {
            let sent = sqs.json("SendMessage", &members).await;
            if sent.status != 200 {
                return sent;
            }
        }
    })
    .await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("x-amzn-query-error"), Some("ServiceUnavailable;Receiver"));
    // Receives and deletes go on.
    let message = sqs.receive(&url, 60).await.remove(0);
    let members = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
    sqs.ask("DeleteMessage", members).await;
}

/// What the binary says and answers: the address of its SQS endpoint, how open it is, and a request
/// that nobody signed.
fn served(arguments: &[&str]) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    std::fs::write(&keys, "[[key]]\nid = 'AKID'\nsecret = 'secret'\n").unwrap();
    let mut command = forebay(["serve", "--listen", "127.0.0.1:0", "--sqs-listen", "127.0.0.1:0"]);
    command.args(["--segment-bytes", "1MiB", "--log-level", "off", "--data"]);
    command.arg(dir.path().join("data")).args(arguments);
    if arguments.contains(&"--sqs-credentials") {
        command.arg(&keys);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| Some(line.ok()?.strip_prefix("SQS on http://")?.to_owned()));
    let (address, how) = line.as_deref().unwrap().split_once(", ").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = "GET /?Action=ListQueues HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    (how.to_owned(), answer)
}

#[test]
fn the_binary_serves_sqs_and_says_how_open_it_is() {
    let (how, answer) = served(&[]);
    assert_eq!(how, "open: whoever reaches it may do everything");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let (how, answer) = served(&["--sqs-credentials"]);
    assert_eq!(how, "with access keys");
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden"), "{answer}");
    assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
}
