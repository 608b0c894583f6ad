//! The bell that wakes a thread of the core, and what other threads tell with it.
//!
//! Invariant: whoever waits looks for work after saying that it listens, and whoever brings work looks
//! whether somebody listens after putting it down. So one of the two sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendError, Sender, bounded};

use super::desk::Event;

/// Rung, it wakes one of those who wait, or the next one who would. Ringing twice is ringing once.
#[derive(Debug)]
pub(super) struct Bell {
    ring: Sender<()>,
    rung: Receiver<()>,
    /// Whether a command rings: nobody need be woken who will look for commands anyway.
    listens: AtomicBool,
}

impl Bell {
    pub(super) fn new() -> Arc<Self> {
        let (ring, rung) = bounded(1);
        Arc::new(Self { ring, rung, listens: AtomicBool::new(false) })
    }

    /// Wakes one.
    pub(super) fn ring(&self) {
        // Full: it has rung, and nobody has heard it yet.
        let _ = self.ring.try_send(());
    }

    /// A command was put down.
    pub(super) fn command(&self) {
        fence(Ordering::SeqCst);
        if self.listens.load(Ordering::Relaxed) && self.listens.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    /// From here on commands ring, or do not. To be followed by a look for work.
    pub(super) fn listen(&self, listens: bool) {
        self.listens.store(listens, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Waits until it rings, or as long.
    pub(super) fn wait(&self, at_most: Option<Duration>) {
        // It cannot be disconnected; whether it rang is for the caller to find out.
        let _ = match at_most {
            Some(at_most) => self.rung.recv_timeout(at_most).ok(),
            None => self.rung.recv().ok(),
        };
    }
}

/// Where the other threads tell the core what happened.
#[derive(Debug, Clone)]
pub(super) struct Events {
    events: Sender<Event>,
    bell: Arc<Bell>,
}

impl Events {
    pub(super) fn new(events: Sender<Event>, bell: Arc<Bell>) -> Self {
        Self { events, bell }
    }

    /// Tells it; fails when the core is gone.
    pub(super) fn send(&self, event: Event) -> Result<(), SendError<Event>> {
        self.put(event)?;
        self.bell.ring();
        Ok(())
    }

    /// Tells it, for a caller who will see to it that somebody looks.
    pub(super) fn put(&self, event: Event) -> Result<(), SendError<Event>> {
        self.events.send(event)
    }
}
