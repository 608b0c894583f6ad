//! Without these, a script that repeats a send or a receive, because it was killed or heard no answer,
//! would double its messages or lose track of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, forebay, output};

fn server(dir: &TempDir) -> Process {
    Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into())
}

fn numbered(count: usize) -> String {
    let mut lines = String::new();
    (0..count).for_each(|number| writeln!(lines, "{number}").unwrap());
    lines
}

fn send_lines(server: &Process, arguments: &[&str], lines: &str) -> Output {
    let mut child = forebay(["send", "orders", "--lines"])
        .args(arguments)
        .args(["--server", &server.server()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that failed early may not read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

fn bodies(server: &Process) -> String {
    let peeked = output(server, &["peek", "orders", "--max", "0"]);
    String::from_utf8(peeked.stdout).unwrap()
}

#[test]
fn lines_that_are_sent_again_under_their_producers_id_are_stored_once() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "orders"]);
    let june = ["--producer", "june"];
    let send = |lines: &str| {
        let sent = send_lines(&server, &june, lines);
        let stderr = String::from_utf8(sent.stderr).unwrap();
        (sent.status.code(), stderr)
    };
    let all = numbered(5000);
    // Cut short wherever it was, whole, and once more; then it has grown.
    for (count, lines) in
        [(1, "0\n"), (1000, &*numbered(1000)), (3333, &numbered(3333)), (5000, &all)]
    {
        for _ in 0..2 {
            let noun = if count == 1 { "message" } else { "messages" };
            assert_eq!(send(lines), (Some(0), format!("{count} {noun} sent\n")));
        }
    }
    let mut stored: Vec<_> = bodies(&server).lines().map(str::to_owned).collect();
    stored.sort_by_key(|line| line.parse::<u64>().unwrap());
    assert!(stored.iter().eq(all.lines()), "{} are stored", stored.len());
    // Less than was sent is another input, and so is one that begins otherwise.
    let (status, stderr) = send(&numbered(4990));
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("is it the same input?"), "{stderr}");
    assert_eq!(send("other\n"), (Some(0), "1 message sent\n".to_owned()));
    assert_eq!(bodies(&server).lines().count(), 5001);
}

#[test]
fn a_sender_that_was_killed_is_started_again_and_nothing_is_doubled() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "orders"]);
    // More batches than are remembered.
    let all = numbered(300_000);
    let mut child = forebay(["send", "orders", "--lines", "--producer", "june"])
        .args(["--server", &server.server()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It is killed with most of the input read, at whatever it is doing then.
    child.stdin.as_mut().unwrap().write_all(&all.as_bytes()[..all.len() * 95 / 100]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let sent = send_lines(&server, &["--producer", "june"], &all);
    assert_eq!(String::from_utf8(sent.stderr).unwrap(), "300000 messages sent\n");
    let mut stored: Vec<u64> = bodies(&server).lines().map(|line| line.parse().unwrap()).collect();
    stored.sort_unstable();
    assert!(stored.iter().copied().eq(0..300_000), "{} are stored", stored.len());
    // All that it would send first is forgotten, and known to have landed for that.
    let again = send_lines(&server, &["--producer", "june"], &all);
    assert_eq!(String::from_utf8(again.stderr).unwrap(), "300000 messages sent\n");
    assert_eq!(bodies(&server).lines().count(), 300_000);
}

/// What is told to be the oldest batch without an answer vouches for all before it.
#[test]
fn a_batch_that_was_refused_lands_when_the_sender_is_started_again() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "orders"]);
    let mut child = forebay(["send", "orders", "--lines", "--producer", "june"])
        .args(["--server", &server.server()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A whole batch, which is sent when the next one begins: so the queue's limit is known to it.
    let first = numbered(257);
    stdin.write_all(first.as_bytes()).unwrap();
    while !bodies(&server).ends_with("255\n") {}
    output(&server, &["queue", "set", "orders", "--message-bytes-max", "1KiB"]);
    let large = format!("{}\n", "x".repeat(2000)).repeat(200);
    let rest = [large, numbered(5000)].concat();
    // It may end before it has read everything.
    let _ = stdin.write_all(rest.as_bytes());
    drop(stdin);
    let refused = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("MessageTooLarge"), "{stderr}");
    output(&server, &["queue", "set", "orders", "--message-bytes-max", "1MiB"]);
    let all = [first, rest].concat();
    let sent = send_lines(&server, &["--producer", "june"], &all);
    assert_eq!(String::from_utf8(sent.stderr).unwrap(), "5457 messages sent\n");
    let (mut stored, mut expected) = (bodies(&server), all);
    for lines in [&mut stored, &mut expected] {
        let mut sorted: Vec<_> = lines.lines().collect();
        sorted.sort_unstable();
        *lines = sorted.join("\n");
    }
    assert!(stored == expected, "{} lines are stored", stored.lines().count());
}

#[test]
fn a_single_message_that_is_sent_again_has_its_first_id() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "orders"]);
    let send = |body: &str, id: &str| {
        let sent = output(&server, &["send", "orders", body, "--producer", id]);
        assert_eq!(sent.status.code(), Some(0), "{}", String::from_utf8_lossy(&sent.stderr));
        String::from_utf8(sent.stdout).unwrap()
    };
    let first = send("pay 5", "order-17");
    assert_eq!(send("pay 5", "order-17"), first);
    assert_ne!(send("pay 6", "order-17"), first, "another message is no copy");
    assert_ne!(send("pay 5", "order-18"), first);
    assert_eq!(bodies(&server), "pay 5\npay 6\npay 5\n");
}

#[test]
fn an_attempt_that_is_made_again_gets_the_same_messages_and_receipts() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let create = ["queue", "create", "steps.fifo", "--fifo", "--content-based-deduplication"];
    assert!(output(&server, &create).status.success());
    for body in ["one", "two", "three"] {
        output(&server, &["send", "steps.fifo", body, "--group", "a"]);
    }
    let receive = |attempt: &str| {
        let arguments = ["receive", "steps.fifo", "--max", "2", "--json", "--attempt", attempt];
        let received = output(&server, &arguments);
        assert_eq!(received.status.code(), Some(0));
        String::from_utf8(received.stdout).unwrap()
    };
    let first = receive("job-7");
    assert_eq!(receive("job-7"), first);
    assert_eq!(receive("job-8"), "", "its group waits");
    let messages: Vec<Value> =
        first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&messages[0]["body"], &messages[1]["body"]], ["one", "two"]);
    // However many are asked for: these are what it got.
    let fewer = output(&server, &["receive", "steps.fifo", "--json", "--attempt", "job-7"]);
    assert_eq!((fewer.status.code(), String::from_utf8(fewer.stdout).unwrap()), (Some(0), first));
    // Once one of them is acked it is over.
    let acked = output(&server, &["ack", "steps.fifo", messages[0]["receipt"].as_str().unwrap()]);
    assert_eq!(acked.status.code(), Some(0));
    let refused = output(&server, &["receive", "steps.fifo", "--json", "--attempt", "job-7"]);
    assert_eq!((refused.status.code(), refused.stdout), (Some(1), Vec::new()));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("AttemptSpent: attempt \"job-7\" cannot be made again"), "{told}");
}
