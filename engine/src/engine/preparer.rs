//! The preparer's thread: makes the segment behind the active one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::bell::Events;
use super::desk::Event;
use crate::counters::Counters;
use crate::disk::Disk;
use crate::log::{Filling, Listing, NextSegment, PIECE_BYTES, PreparedSegment};
use crate::store::RESERVE_FIRST;

/// How long the preparer waits after a failure before it tries again: doubled from the first to the
/// last, because each try fills what space there is.
const PREPARE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// How long it rests after each piece of a segment that it fills: 64 MiB a second.
const FILLING_REST: Duration = Duration::from_millis(4);

/// It does not rest, and writes larger pieces, while less was filled than so many bytes for each that
/// the log wrote meanwhile: it is to be far ahead when the log comes.
const FILLED_PER_LOGGED: u64 = 4;
const HURRIED_PIECE_BYTES: u64 = 4 * PIECE_BYTES;

/// How long and how often the preparer waits for the compactor's reserve.
const RESERVE_LOOK: Duration = Duration::from_millis(5);
const RESERVE_LOOKS: u32 = 400;

/// What it works on.
pub(super) struct Preparer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) data: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) listing: Listing,
    pub(super) counters: Arc<Counters>,
}

impl Preparer {
    /// Makes one at each request, until the engine is closed.
    pub(super) fn run(&self, requests: &Receiver<()>, events: &Events) {
        let (mut filling, mut logged_before) = (None::<Filling>, 0);
        loop {
            let logged = self.counters.log_bytes_written.get() - logged_before;
            let is_late = |filling: &Filling| filling.filled() < FILLED_PER_LOGGED * logged;
            let is_late = filling.as_ref().is_some_and(is_late);
            let request = match &filling {
                Some(_) if is_late => requests.recv_timeout(Duration::ZERO),
                Some(_) => requests.recv_timeout(FILLING_REST),
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(()) => match self.make(requests, events) {
                    Some(made) => {
                        filling = Some(made);
                        logged_before = self.counters.log_bytes_written.get();
                    }
                    None => return,
                },
                Err(RecvTimeoutError::Timeout) => {
                    let piece_bytes = if is_late { HURRIED_PIECE_BYTES } else { PIECE_BYTES };
                    filling = filling.filter(|filling| filling.step(piece_bytes));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Makes a segment, as soon as there is space for one; `None` when the engine is closed.
    fn make(&self, requests: &Receiver<()>, events: &Events) -> Option<Filling> {
        let (mut failing, mut retry) = (false, PREPARE_RETRY.0);
        loop {
            match self.prepare() {
                Ok(prepared) => {
                    let filling = prepared.filling();
                    events.send(Event::Next(NextSegment::Ready(prepared))).ok()?;
                    if failing {
                        tracing::info!("the next segment is prepared, sends are taken again");
                    }
                    return Some(filling);
                }
                Err(error) => {
                    let detail = format!("the next segment cannot be prepared: {error}");
                    if !failing {
                        tracing::error!("sends are refused, receives and deletes go on: {detail}");
                    }
                    failing = true;
                    events.send(Event::Next(NextSegment::Full(detail))).ok()?;
                }
            }
            // Space may come back: try again until it does or the engine is closed.
            let wait = retry;
            retry = (2 * retry).min(PREPARE_RETRY.1);
            match requests.recv_timeout(wait) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn prepare(&self) -> Result<PreparedSegment, String> {
        let manifest_bytes = self.listing.bytes_with_one_more();
        if !self.wait_for_reserve() {
            return Err(RESERVE_FIRST.to_owned());
        }
        PreparedSegment::prepare(&*self.disk, &self.data, self.segment_bytes, manifest_bytes)
            .map_err(|error| error.to_string())
    }

    /// Whether the compactor's reserve is there, which the keeper makes in a moment if there is
    /// space.
    fn wait_for_reserve(&self) -> bool {
        let mut looks = RESERVE_LOOKS;
        while self.counters.has_reserve.get() == 0 && looks > 0 {
            std::thread::sleep(RESERVE_LOOK);
            looks -= 1;
        }
        self.counters.has_reserve.get() > 0
    }
}
