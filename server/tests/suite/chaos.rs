//! Without these, a program that was tested against a server's bad days would have met others than it was told, or a
//! store that was not meant for them would have had them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_protocol::client::{Client, ClientOptions, ReceiveOptions};
use forebay_protocol::{OutgoingMessage, ReceivedMessage};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, forebay, free_address, receive, send, within};

/// A server with a plan, and where it is told what to do by hand.
struct Chaotic {
    process: Process,
    control: SocketAddr,
    dir: TempDir,
}

impl Chaotic {
    fn serve(plan: &str) -> Self {
        Self::serve_with(plan, &["--sqs-listen", "off"])
    }

    fn serve_with(plan: &str, arguments: &[&str]) -> Self {
        let (dir, control) = (TempDir::new().unwrap(), free_address());
        let plan = written(dir.path(), &format!("{plan}\ncontrol = '{control}'\n"));
        let chaos = ["--chaos", plan.to_str().unwrap()];
        let arguments: Vec<&str> = chaos.iter().chain(arguments).copied().collect();
        let any = ([127, 0, 0, 1], 0).into();
        let process = Process::serve_with(&dir.path().join("data"), any, &arguments);
        Self { process, control, dir }
    }

    async fn connect(&self) -> Client {
        let connect_patience = Duration::from_secs(60);
        let options = ClientOptions { connect_patience, ..ClientOptions::default() };
        Client::connect(self.process.server(), options).await.unwrap()
    }

    /// Asks it something by hand, and says what it tells.
    fn ask(&self, request: &str) -> Value {
        let answer = http(self.control, request).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The life that it is in; nothing while there is none.
    fn life(&self) -> Option<u64> {
        let told: Value = serde_json::from_str(&http(self.control, "GET /").ok()?).ok()?;
        told["life"].as_u64()
    }
}

fn written(dir: &Path, plan: &str) -> PathBuf {
    let path = dir.join("plan.toml");
    fs::write(&path, plan).unwrap();
    path
}

/// The body of the answer to a request without one.
fn http(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "{request} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok(body.to_owned())
}

fn body(message: &ReceivedMessage) -> String {
    String::from_utf8(message.block.body().to_vec()).unwrap()
}

#[tokio::test]
async fn whoever_tries_again_loses_nothing_to_delays_cuts_duplicates_and_kills() {
    let server = Chaotic::serve(
        "seed = 7\ndelay = { share = 0.05, at-most = '5ms' }\ncut = { share = 0.03 }\n\
         duplicate = { share = 0.3 }",
    );
    let client = server.connect().await;
    while client.create_queue("orders", Default::default()).await.is_err() {}
    let mut sent = BTreeSet::new();
    for life in 1..=4 {
        for batch in 0..12 {
            let bodies: Vec<String> =
                (0..10).map(|number| format!("{life}.{batch}.{number}")).collect();
            let message = |body: &String| OutgoingMessage::new(body.clone().into_bytes());
            let messages = bodies.iter().map(message).collect();
            within("a send", client.send("orders", messages)).await.unwrap();
            sent.extend(bodies);
        }
        if life < 4 {
            server.ask("POST /kill");
            // A send waits for the server to be there again.
            while server.life() != Some(life + 1) {
                let last = format!("{life}.last");
                send(&client, "orders", &[last.as_bytes()]).await;
                sent.insert(last);
            }
        }
    }
    let mut received = BTreeSet::new();
    let drain = async {
        loop {
            let options = ReceiveOptions { max: 10, wait_ms: Some(0), ..ReceiveOptions::default() };
            // Calls whose answers were cut off are made again.
            let Ok(batch) = client.receive("orders", options).await else { continue };
            received.extend(batch.messages.iter().map(body));
            let receipts: Vec<_> = batch.messages.into_iter().map(|one| one.receipt).collect();
            if !receipts.is_empty() {
                let _ = client.ack("orders", &receipts).await;
            }
            if let Ok(info) = client.describe_queue("orders").await
                && info.waiting + info.in_flight + info.delayed == 0
            {
                break;
            }
        }
    };
    within("the queue being empty", drain).await;
    assert_eq!(received, sent);
    let log = server.process.log();
    assert!(log.contains("CHAOS: cut a connection"), "{log}");
    assert!(server.ask("GET /")["duplicates"].as_u64() > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_moved_ahead_has_passed_for_whoever_waits_and_stays_past() {
    let server = Chaotic::serve("");
    let client = server.connect().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    client.create_queue("others", Default::default()).await.unwrap();
    send(&client, "others", &[b"for long"]).await;
    let leased = receive(&client, "others", 1).await;
    let mut late = OutgoingMessage::new(b"late".to_vec());
    late.delay_ms = Some(3 * 86_400_000);
    client.send("orders", vec![late]).await.unwrap();
    // Whoever waits is answered at once, though not always with the message: the wait is over too.
    let wait = ReceiveOptions { wait_ms: Some(20_000), ..ReceiveOptions::default() };
    let waits = client.receive("orders", wait);
    let (waited, told) = tokio::join!(within("the end of a wait", waits), async {
        server.ask("POST /clock?ahead=80h")
    });
    assert_eq!(told["clock_ahead_ms"], 80 * 3_600_000);
    let waited = waited.unwrap().messages;
    let late = if waited.is_empty() { receive(&client, "orders", 1).await } else { waited };
    assert_eq!(body(&late[0]), "late");
    assert_eq!(receive(&client, "others", 1).await[0].receive_count, leased[0].receive_count + 1);
    server.ask("POST /kill");
    while server.life() != Some(2) {
        client.list_queues("", "", 1).await.unwrap();
    }
    assert_eq!(server.ask("GET /")["clock_ahead_ms"], 80 * 3_600_000);
    let refused = http(server.control, "POST /clock?ahead=soon").unwrap();
    assert!(
        refused.contains("\"soon\" is no duration, expected a number and its unit"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_lease_that_ends_early_brings_its_message_again() {
    let server = Chaotic::serve("duplicate = { share = 1 }");
    let client = server.connect().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    send(&client, "orders", &[b"twice"]).await;
    for count in 1..=3 {
        let received = receive(&client, "orders", 1).await;
        assert_eq!((body(&received[0]).as_str(), received[0].receive_count), ("twice", count));
    }
    // An attempt has no effect in a standard queue, so its lease ends early like any other.
    for count in 4..=6 {
        let options = ReceiveOptions { wait_ms: Some(20_000), ..ReceiveOptions::default() };
        let attempt = client.receive_attempt("orders", options, "attempt");
        let received = within("a receive", attempt).await.unwrap().messages;
        assert_eq!((body(&received[0]).as_str(), received[0].receive_count), ("twice", count));
    }
    assert!(server.ask("GET /")["duplicates"].as_u64() >= Some(6));
}

#[test]
fn a_connection_is_cut_and_others_are_not_concerned() {
    let server = Chaotic::serve("cut = { share = 1 }");
    for cuts in 1..=3 {
        let mut stream = TcpStream::connect(server.process.address).unwrap();
        stream.write_all(b"anything").unwrap();
        let mut answer = Vec::new();
        // Reset or closed: nothing comes.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
        let told = server.ask("GET /");
        assert!(told["cuts"].as_u64() >= Some(cuts), "{told}");
    }
}

#[test]
fn sqs_has_the_same_bad_days_and_its_address_over_a_kill() {
    let sqs = free_address();
    let server = Chaotic::serve_with("", &["--sqs-listen", &sqs.to_string()]);
    let list = "GET /?Action=ListQueues&Version=2012-11-05";
    assert!(http(sqs, list).unwrap().contains("ListQueuesResult"));
    assert_eq!(server.ask("GET /")["connections"], 1);
    server.ask("POST /kill");
    while server.life() != Some(2) {}
    assert!(http(sqs, list).unwrap().contains("ListQueuesResult"));
}

#[test]
fn a_server_that_kills_itself_all_the_time_ends_when_it_is_told_to() {
    let mut server = Chaotic::serve("kill = { every = '20ms' }");
    while server.life().is_none_or(|life| life < 5) {}
    while server.process.is_running() {
        server.process.terminate();
    }
}

#[test]
fn a_store_that_was_not_made_for_it_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    Process::serve(&data, ([127, 0, 0, 1], 0).into()).kill();
    let files = |data: &Path| -> BTreeSet<_> {
        fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = files(&data);
    let plan = written(dir.path(), "");
    let output = forebay(["serve", "--listen", "127.0.0.1:0", "--sqs-listen", "off", "--data"])
        .arg(&data)
        .arg("--chaos")
        .arg(&plan)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("it was not created for chaos"), "{told}");
    assert_eq!(files(&data), before);
}

#[test]
fn a_plan_that_is_none_is_refused_before_anything_is_made() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    for (plan, error) in [
        ("cut = { share = 2 }", "cut.share is 2, expected 0 to 1"),
        ("cuts = { share = 1 }", "unknown field `cuts`"),
        ("kill = { every = '0s' }", "kill.every is 0s"),
    ] {
        let plan = written(dir.path(), plan);
        let output = forebay(["serve", "--data"]).arg(&data).arg("--chaos").arg(&plan).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(error) && told.contains("plan.toml"), "{told}");
        assert!(!data.exists());
    }
}

#[test]
fn what_it_does_is_said_at_the_start() {
    let server = Chaotic::serve("seed = 99\nkill = { every = '1h' }");
    let log = server.process.log();
    assert!(log.contains("CHAOS: by its plan this server kills itself about every 1h"), "{log}");
    assert!(log.contains("seed=99"), "{log}");
    assert!(server.dir.path().join("data/chaos.toml").exists());
}
