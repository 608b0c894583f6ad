//! Without this, the pieces could each keep their promise and the whole not: real lines through
//! real processes, with the server killed in the middle.
//!
//! `FOREBAY_REAL_INPUT=FILE` takes the lines of a file instead of the small default.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;

use forebay_protocol::client::{Client, ClientOptions};
use tempfile::TempDir;

use crate::support::{Process, forebay, free_address, within};

const PROCESSES: usize = 4;
const KILLS: usize = 3;

/// 20,000 lines: texts, empty ones, repeated ones, and bytes that are no text.
fn small_input() -> Vec<u8> {
    let mut input = Vec::new();
    let mut random = 1_u64;
    for number in 0..20_000_u64 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match number % 10 {
            0 => {}
            1 => input.extend(b"the same line again"),
            2 => input
                .extend(random.to_be_bytes().map(|byte| if byte == b'\n' { 0xff } else { byte })),
            _ => write!(input, "{number} {random:x}").unwrap(),
        }
        input.push(b'\n');
    }
    input
}

/// A process that sends the lines it is fed.
struct Sender {
    child: Child,
    /// Lines for its stdin; its end, when dropped.
    feed: mpsc::Sender<Vec<u8>>,
    feeder: thread::JoinHandle<()>,
}

impl Sender {
    fn start(server: &str) -> Self {
        let mut child = forebay(["send", "real", "--lines", "--server", server])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (feed, chunks) = mpsc::channel::<Vec<u8>>();
        let feeder = thread::spawn(move || {
            for chunk in chunks {
                stdin.write_all(&chunk).unwrap();
            }
        });
        Self { child, feed, feeder }
    }

    fn finish(self) {
        drop(self.feed);
        self.feeder.join().unwrap();
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn count(lines: impl IntoIterator<Item = Vec<u8>>) -> HashMap<Vec<u8>, u64> {
    let mut counts = HashMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let ended = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        Vec::new()
    } else {
        ended.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_survives_three_kills_and_none_is_made_up() {
    let input = match std::env::var_os("FOREBAY_REAL_INPUT") {
        Some(path) => std::fs::read(&path).unwrap_or_else(|error| {
            let path = path.display();
            panic!("{path}: {error} (tests run in their package's folder: give a whole path)")
        }),
        None => small_input(),
    };
    let sent = lines(&input);
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let address = free_address();

    let mut server = Process::serve(&data, address);
    let client = Client::connect(address.to_string(), ClientOptions::default()).await.unwrap();
    client.create_queue("real", Default::default()).await.unwrap();
    let senders: Vec<Sender> =
        (0..PROCESSES).map(|_| Sender::start(&address.to_string())).collect();

    let stored_beyond = async |seq: u64| {
        while client.describe_queue("real").await.unwrap().next_seq <= seq {}
    };
    // A line each shows that all are connected: without a server they would not have begun.
    let (first, rest) = sent.split_at(PROCESSES);
    for (sender, line) in senders.iter().zip(first) {
        sender.feed.send([line, &b"\n"[..]].concat()).unwrap();
    }
    within("a line from each", stored_beyond(PROCESSES as u64)).await;

    // One part of the lines for each life of the server; all but the last are cut by a kill that
    // comes when some of the part is stored.
    for (life, part) in rest.chunks(rest.len().div_ceil(KILLS + 1)).enumerate() {
        let before = within("a count", client.describe_queue("real")).await.unwrap().next_seq;
        for (sender, share) in senders.iter().zip(part.chunks(part.len().div_ceil(PROCESSES))) {
            let mut chunk = share.join(&b'\n');
            chunk.push(b'\n');
            sender.feed.send(chunk).unwrap();
        }
        if life == KILLS {
            break;
        }
        within("progress", stored_beyond(before + 100)).await;
        server.kill();
        server = Process::serve(&data, address);
    }
    tokio::task::spawn_blocking(|| senders.into_iter().for_each(Sender::finish)).await.unwrap();

    let receivers: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            forebay(["receive", "real", "--ack", "--max", "0", "--server", &address.to_string()])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    // Each must be read while the others run, or its pipe fills.
    let readers: Vec<_> = receivers
        .into_iter()
        .map(|receiver| thread::spawn(move || receiver.wait_with_output().unwrap()))
        .collect();
    let mut received = Vec::new();
    for reader in readers {
        let output = reader.join().unwrap();
        assert!(output.status.success());
        received.extend(lines(&output.stdout));
    }
    let (sent, received) = (count(sent), count(received));
    for (line, times) in &sent {
        let found = received.get(line).copied().unwrap_or(0);
        assert!(
            found >= *times,
            "{:?} was sent {times} times, received {found}",
            line.escape_ascii().to_string()
        );
    }
    for line in received.keys() {
        assert!(sent.contains_key(line), "{:?} was never sent", line.escape_ascii().to_string());
    }

    server.kill();
    let _server = Process::serve(&data, address);
    let queue = within("a count", client.describe_queue("real")).await.unwrap();
    assert_eq!((queue.waiting, queue.in_flight, queue.delayed), (0, 0, 0), "the queue is empty");
}
