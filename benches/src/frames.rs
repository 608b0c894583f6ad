//! The requests of the load generator, encoded before the clock starts.
//!
//! A slot is a request that a connection may have unanswered; its correlation is its number from
//! 1, so its frame never changes and is sent over and over. Bodies are random: neither a file
//! system nor a disk gains by compressing them.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use forebay_protocol::{FRAME_HEADER_BYTES, OutgoingMessage, Request, Send};

use crate::BenchError;
use crate::workload::Workload;

/// Where a frame's head has the correlation, behind which it ends: PROTOCOL.md, the picture of a frame.
const CORRELATION_AT: usize = 8;

/// So many frames are as good as any number: what is sent over and over is in no cache of a disk.
const FRAMES_MAX: usize = 64;

/// Frames for a workload's sends, which all its connections share: to each of its queues in turn.
pub(crate) fn send_frames(workload: &Workload) -> Result<Arc<[BytesMut]>, BenchError> {
    let Workload { queues, window, batch, bytes, .. } = *workload;
    let each = if queues == 1 { window.clamp(1, FRAMES_MAX) } else { 1 };
    let mut frames = Vec::new();
    for number in 0..queues {
        frames.append(&mut frames_to(&workload.queue_name(number), each, batch, bytes)?);
    }
    Ok(frames.into())
}

/// Frames of sends to a queue, each with a batch of bodies of so many bytes.
pub(crate) fn frames_to(
    queue: &str,
    frames: usize,
    batch: u32,
    bytes: usize,
) -> Result<Vec<BytesMut>, BenchError> {
    (0..frames)
        .map(|slot| {
            let messages = (0..batch)
                .map(|_| Ok(OutgoingMessage::new(random_bytes(bytes)?)))
                .collect::<Result<_, BenchError>>()?;
            let send = Send::new(queue.to_owned(), messages);
            encode(&send.into(), correlation(slot))
        })
        .collect()
}

/// A frame with another correlation: its head, and its body.
pub(crate) fn numbered(frame: &[u8], correlation: u32) -> ([u8; FRAME_HEADER_BYTES], &[u8]) {
    let (head, body) = frame.split_first_chunk().expect("a frame has a head");
    let mut head = *head;
    head[CORRELATION_AT..].copy_from_slice(&correlation.to_le_bytes());
    (head, body)
}

/// Appends a frame with another correlation.
pub(crate) fn push_frame(out: &mut impl BufMut, frame: &[u8], correlation: u32) {
    let (head, body) = numbered(frame, correlation);
    out.put_slice(&head);
    out.put_slice(body);
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

#[cfg(test)]
mod tests {
    use forebay_protocol::FrameDecoder;

    use super::*;
    use crate::workload::QUEUE;

    #[test]
    fn a_pushed_frame_has_the_correlation_it_was_given() {
        let frame = &frames_to(QUEUE, 1, 2, 10).unwrap()[0];
        let mut out = Vec::new();
        push_frame(&mut out, frame, 7);
        push_frame(&mut out, frame, 0x0102_0304);
        let mut arrived = BytesMut::from(&out[..]);
        for expected in [7, 0x0102_0304] {
            let found = FrameDecoder::new().decode(&mut arrived).unwrap().unwrap();
            assert_eq!(found.correlation, expected);
        }
    }
}
