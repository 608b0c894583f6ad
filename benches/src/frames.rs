//! The requests of the load generator, encoded before the clock starts.
//!
//! A slot is a request that a connection may have unanswered; its correlation is its number from
//! 1, so its frame never changes and is sent over and over. Bodies are random: neither a file
//! system nor a disk gains by compressing them.

use bytes::BytesMut;
use forebay_protocol::{OutgoingMessage, Request, Send};

use crate::BenchError;
use crate::workload::Workload;

/// The queue that workloads use.
pub(crate) const QUEUE: &str = "bench";

/// A frame for each slot of a connection.
pub(crate) fn send_frames(workload: &Workload) -> Result<Vec<BytesMut>, BenchError> {
    (0..workload.window)
        .map(|slot| {
            let messages = (0..workload.batch)
                .map(|_| Ok(OutgoingMessage::new(random_bytes(workload.bytes)?)))
                .collect::<Result<_, BenchError>>()?;
            let send = Send { queue: QUEUE.to_owned(), messages };
            encode(&send.into(), correlation(slot))
        })
        .collect()
}

/// The correlation of a slot's requests.
pub(crate) fn correlation(slot: usize) -> u32 {
    u32::try_from(slot + 1).expect("a window is far below 2^32")
}

/// A request's frame.
pub(crate) fn encode(request: &Request, correlation: u32) -> Result<BytesMut, BenchError> {
    let mut frame = BytesMut::new();
    request.encode(correlation, &mut frame)?;
    Ok(frame)
}

/// Bytes that cannot be compressed.
pub(crate) fn random_bytes(count: usize) -> Result<Vec<u8>, BenchError> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(|error| BenchError::new(error.to_string()))?;
    Ok(bytes)
}
