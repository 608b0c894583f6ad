//! The load over HTTP: every connection sends the same batch again when it is answered.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::measure::Measure;
use crate::pace::Pace;
use crate::workload::QUEUE;
use crate::workload::Workload;

/// A SendMessageBatch as bytes. Bodies are random, in base64: SQS has texts.
pub(super) fn request(workload: &Workload) -> Result<Vec<u8>, BenchError> {
    let mut entries = Vec::new();
    for index in 0..workload.batch {
        let mut random = vec![0; workload.bytes];
        getrandom::fill(&mut random).map_err(|error| BenchError::new(error.to_string()))?;
        let body = &BASE64.encode(&random)[..workload.bytes];
        entries.push(serde_json::json!({ "Id": index.to_string(), "MessageBody": body }));
    }
    let body = serde_json::json!({ "QueueUrl": QUEUE, "Entries": entries }).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.SendMessageBatch\r\n\
         Content-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.as_bytes(), body.as_bytes()].concat())
}

/// Sends it over so many connections for a time.
pub(super) async fn send(
    address: &str,
    request: &[u8],
    workload: &Workload,
    counted: Duration,
) -> Result<Measure, BenchError> {
    let mut connections = Vec::new();
    for _ in 0..workload.connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        connections.push(stream);
    }
    let pace = Pace::start(counted);
    let mut running = JoinSet::new();
    for stream in connections {
        running.spawn(run(stream, request.to_vec(), u64::from(workload.batch), pace));
    }
    let mut all = Measure::new();
    while let Some(ended) = running.join_next().await {
        all.add(&ended.map_err(|error| BenchError::new(error.to_string()))??);
    }
    Ok(all)
}

async fn run(
    mut stream: TcpStream,
    request: Vec<u8>,
    batch: u64,
    pace: Pace,
) -> Result<Measure, BenchError> {
    let mut found = Measure::new();
    found.took = pace.counted();
    let mut answer = Vec::new();
    loop {
        let sent = Instant::now();
        stream.write_all(&request).await?;
        answer.clear();
        let answered = loop {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(BenchError::new("the server closed a connection"));
            }
            if is_whole(&answer)? {
                break Instant::now();
            }
        };
        if pace.counts(answered) {
            found.note(batch, answered - sent);
        }
        if pace.is_over(answered) {
            return Ok(found);
        }
    }
}

/// Whether an answer is there to its last byte; it must be one of success, of every entry.
fn is_whole(answer: &[u8]) -> Result<bool, BenchError> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(BenchError::new(format!("the server answered: {head}")));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| BenchError::new("an answer has no content-length"))?;
    let body = &answer[end + 4..];
    if body.len() < length {
        return Ok(false);
    }
    match body.windows(8).any(|bytes| bytes == b"\"Failed\"") {
        true => Err(BenchError::new("an entry of a batch failed")),
        false => Ok(true),
    }
}
