//! Many requests from many connections, as fast as they are answered, and the times of each
//! window of them.
//!
//! A closed loop, as in [`crate::send`]; here the number of requests is fixed and not the time.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::deep::store::Store;
use crate::frames::{correlation, push_frame};
use crate::wire::{Wire, reply_of};

/// The largest body: a request of 128 of them fits into a frame.
pub(super) const BODY_BYTES_MAX: i64 = 128 << 10;
/// The most memory for requests that are encoded beforehand.
const ENCODED_BYTES_MAX: u64 = 2 << 30;
/// What a message takes there besides its body, more or less.
const OVERHEAD_BYTES: u64 = 64;

/// Refuses messages whose requests take too much memory when they are encoded beforehand. A program that
/// gets no memory aborts, and would leave its server behind. `options` says what was asked for.
pub(super) fn check_encoded(
    options: impl Display,
    messages: u64,
    bytes: u32,
) -> Result<(), BenchError> {
    let each = u64::from(bytes) + OVERHEAD_BYTES;
    if messages <= ENCODED_BYTES_MAX / each {
        return Ok(());
    }
    let most = ENCODED_BYTES_MAX / each;
    Err(BenchError::usage(format!(
        "{options} of --bytes {bytes}, encoded beforehand, are {messages} messages of about {each} bytes, \
         expected at most {most} messages"
    )))
}

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Senders {
    /// Connections.
    pub(super) connections: usize,
    /// Requests that each has unanswered.
    pub(super) window: usize,
}

/// What is sent: the frames one after the other, and again, whichever connection is next.
#[derive(Debug)]
pub(super) struct Requests {
    /// Encoded requests; their correlations are replaced.
    pub(super) frames: Vec<BytesMut>,
    /// How many requests are sent in all.
    pub(super) count: u64,
    /// What a request counts: its messages, or 1.
    pub(super) worth: u64,
    /// Of how many counted each window is.
    pub(super) window: u64,
}

/// Requests under way.
#[derive(Debug)]
struct Sending {
    requests: Requests,
    taken: AtomicU64,
    answered: Arc<AtomicU64>,
    /// The beginning, and the end of each window.
    ends: Mutex<Vec<Instant>>,
}

/// Sends them all, and returns what was counted a second in each whole window, in order.
pub(super) async fn send_all(
    store: &mut Store,
    senders: Senders,
    requests: Requests,
) -> Result<Vec<f64>, BenchError> {
    let address = store.address();
    let answered = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&answered);
    let work = async move {
        let mut wires = Vec::new();
        for _ in 0..senders.connections {
            wires.push(Wire::connect(&address).await?);
        }
        let window = requests.window;
        let ends = Mutex::new(vec![Instant::now()]);
        let sending =
            Arc::new(Sending { requests, taken: AtomicU64::new(0), answered: counted, ends });
        let mut running = JoinSet::new();
        for wire in wires {
            running.spawn(send(wire, senders.window, Arc::clone(&sending)));
        }
        while let Some(ended) = running.join_next().await {
            ended.map_err(|error| BenchError::new(error.to_string()))??;
        }
        let ends = sending.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = |ends: &[Instant]| window as f64 / (ends[1] - ends[0]).as_secs_f64();
        Ok(ends.windows(2).map(rate).collect())
    };
    store.under(&answered, work).await
}

async fn send(mut wire: Wire, window: usize, sending: Arc<Sending>) -> Result<(), BenchError> {
    let mut out = Vec::new();
    let mut in_flight = 0;
    for slot in 0..window {
        in_flight += usize::from(sending.push_next(correlation(slot), &mut out));
    }
    while in_flight > 0 {
        wire.write(&out).await?;
        out.clear();
        let mut next = Some(wire.read().await?);
        // Whatever came together goes on together.
        while let Some(frame) = next {
            reply_of(&frame)?;
            sending.note();
            in_flight -= 1;
            in_flight += usize::from(sending.push_next(frame.correlation, &mut out));
            next = wire.next_arrived()?;
        }
    }
    Ok(())
}

impl Sending {
    /// Appends the next request, if there is one.
    fn push_next(&self, correlation: u32, out: &mut Vec<u8>) -> bool {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let frames = &self.requests.frames;
        let more = taken < self.requests.count;
        if more {
            push_frame(out, &frames[(taken % frames.len() as u64) as usize], correlation);
        }
        more
    }

    /// Counts a request that was answered.
    fn note(&self) {
        let Requests { worth, window, .. } = self.requests;
        let before = self.answered.fetch_add(worth, Ordering::Relaxed);
        if before / window != (before + worth) / window {
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
    }
}
