//! The bell that wakes a thread of the core, and what other threads tell with it.
//!
//! Invariant: whoever waits looks for work after saying that it listens, and whoever brings work looks
//! whether somebody listens after putting it down. So one of the two sees the other.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{SendError, Sender};

use super::desk::Event;

/// Rung, it wakes one of those who wait, or the next one who would. Ringing twice is ringing once.
#[derive(Debug)]
pub(super) struct Bell {
    sleep: Mutex<Sleep>,
    rung: Condvar,
    /// Whether a command rings: nobody need be woken who will look for commands anyway.
    listens: AtomicBool,
}

#[derive(Debug, Default)]
struct Sleep {
    /// It has rung, and nobody has heard it yet.
    has_rung: bool,
    /// How many wait.
    waiting: usize,
}

impl Bell {
    pub(super) fn new() -> Arc<Self> {
        let (sleep, rung) = Default::default();
        Arc::new(Self { sleep, rung, listens: AtomicBool::new(false) })
    }

    /// Wakes one.
    pub(super) fn ring(&self) {
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        let is_heard = !sleep.has_rung && sleep.waiting > 0;
        sleep.has_rung = true;
        drop(sleep);
        // It is a system call, also where nobody waits.
        if is_heard {
            self.rung.notify_one();
        }
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
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        sleep.waiting += 1;
        let is_silent = |sleep: &mut Sleep| !sleep.has_rung;
        let poisoned = PoisonError::into_inner;
        let mut sleep = match at_most {
            Some(at_most) => {
                let waited = self.rung.wait_timeout_while(sleep, at_most, is_silent);
                waited.unwrap_or_else(|error| error.into_inner()).0
            }
            None => self.rung.wait_while(sleep, is_silent).unwrap_or_else(poisoned),
        };
        sleep.waiting -= 1;
        // Whether there is anything to do is for the caller to find out.
        sleep.has_rung = false;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_heard_and_two_are_one() {
        let bell = Bell::new();
        bell.ring();
        bell.ring();
        bell.wait(None);
        assert!(!bell.sleep.lock().unwrap().has_rung);
    }

    #[test]
    fn a_ring_wakes_one_of_those_who_wait() {
        let bell = Bell::new();
        let waiting = |count| while bell.sleep.lock().unwrap().waiting != count {};
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| bell.wait(None));
            }
            waiting(2);
            bell.ring();
            waiting(1);
            bell.ring();
        });
    }

    #[test]
    fn a_command_rings_once_and_only_where_somebody_listens() {
        let bell = Bell::new();
        let has_rung = || std::mem::take(&mut bell.sleep.lock().unwrap().has_rung);
        bell.command();
        assert!(!has_rung());
        bell.listen(true);
        bell.command();
        assert!(has_rung());
        bell.command();
        assert!(!has_rung(), "whoever was woken says again that it listens");
    }
}
