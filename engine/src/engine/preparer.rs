//! The preparer's thread: makes the segment behind the active one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::bell::Events;
use super::desk::Event;
use crate::counters::Counters;
use crate::log::{Filling, NextSegment, PIECE_BYTES, SegmentMaker};

/// How long the preparer waits after a failure before it tries again: doubled from the first to the
/// last, because each try fills what space there is.
const PREPARE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// How often it looks meanwhile whether the compactor has given space back.
const FREED_LOOK: Duration = Duration::from_millis(200);

/// How long it rests after each piece of a segment that it fills: 64 MiB a second.
const FILLING_REST: Duration = Duration::from_millis(4);

/// The pieces that it writes without a rest while it is late: the log's writes wait behind each.
const HURRIED_PIECE_BYTES: u64 = 2 * PIECE_BYTES;

/// How long and how often the preparer waits for the compactor's reserve.
const RESERVE_LOOK: Duration = Duration::from_millis(5);
const RESERVE_LOOKS: u32 = 400;

/// Whether less was filled than one and a half times of what the log wrote meanwhile: it is to be ahead when the
/// log comes.
fn is_late(filled: u64, logged: u64) -> bool {
    2 * filled < 3 * logged
}

/// What it works with.
pub(super) struct Preparer {
    pub(super) maker: SegmentMaker,
    pub(super) counters: Arc<Counters>,
}

impl Preparer {
    /// Makes one at each request, until the engine is closed.
    pub(super) fn run(&mut self, requests: &Receiver<()>, events: &Events) {
        // The next segment, then the standby segment.
        let (mut fillings, mut logged_before) = (VecDeque::<Filling>::new(), 0);
        loop {
            let logged = self.counters.log_bytes_written.get() - logged_before;
            let is_late = fillings.front().is_some_and(|filling| is_late(filling.filled(), logged));
            let request = match fillings.front() {
                Some(_) if is_late => requests.recv_timeout(Duration::ZERO),
                Some(_) => requests.recv_timeout(FILLING_REST),
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(()) => match self.make(requests, events) {
                    Some(made) => {
                        fillings = [made].into_iter().chain(self.maker.standby_filling()).collect();
                        logged_before = self.counters.log_bytes_written.get();
                    }
                    None => return,
                },
                Err(RecvTimeoutError::Timeout) => {
                    let piece_bytes = if is_late { HURRIED_PIECE_BYTES } else { PIECE_BYTES };
                    if fillings.front().is_some_and(|filling| !filling.step(piece_bytes)) {
                        fillings.pop_front();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Makes a segment, as soon as there is space for one; `None` when the engine is closed.
    fn make(&mut self, requests: &Receiver<()>, events: &Events) -> Option<Filling> {
        let (mut failing, mut retry) = (false, PREPARE_RETRY.0);
        loop {
            self.wait_for_reserve();
            let next = self.maker.make();
            match &next {
                NextSegment::Ready(prepared) => {
                    let filling = prepared.filling();
                    events.send(Event::Next(next)).ok()?;
                    if failing {
                        tracing::info!("the next segment is prepared, sends are taken again");
                    }
                    return Some(filling);
                }
                NextSegment::Full { detail, .. } if !failing => {
                    tracing::error!("sends are refused, receives and deletes go on: {detail}");
                    failing = true;
                }
                NextSegment::Full { .. } | NextSegment::Preparing => {}
            }
            events.send(Event::Next(next)).ok()?;
            // Space may come back: try again until it does or the engine is closed.
            retry = match self.wait(retry, requests)? {
                true => PREPARE_RETRY.0,
                false => (2 * retry).min(PREPARE_RETRY.1),
            };
        }
    }

    /// Waits for so long, or until the compactor has given space back, of which more is on its way then;
    /// whether it has. `None` when the engine is closed.
    fn wait(&self, at_most: Duration, requests: &Receiver<()>) -> Option<bool> {
        let (began, freed) = (Instant::now(), self.counters.compacted_bytes_freed.get());
        loop {
            match requests.recv_timeout(FREED_LOOK) {
                Ok(()) => return Some(false),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            let has_freed = self.counters.compacted_bytes_freed.get() > freed;
            if has_freed || began.elapsed() >= at_most {
                return Some(has_freed);
            }
        }
    }

    /// Waits for the compactor's reserve, which the keeper makes in a moment if there is space.
    fn wait_for_reserve(&self) {
        let mut looks = RESERVE_LOOKS;
        while !self.counters.signals.has_reserve.get() && looks > 0 {
            std::thread::sleep(RESERVE_LOOK);
            looks -= 1;
        }
    }
}
