//! Messages that are on their way: sent, or waiting, and not yet gone. Where they are bounded, who sends
//! waits for those who consume, so that a queue does not grow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Semaphore, watch};

/// Counts them for all connections of a run.
#[derive(Debug)]
pub(crate) struct Outstanding {
    count: AtomicU64,
    /// Whether no more are to come.
    is_closed: AtomicBool,
    ended: watch::Sender<bool>,
    /// In messages; `None` if they may be any number.
    room: Option<Semaphore>,
}

impl Outstanding {
    /// So many are there, and no more will come.
    pub(crate) fn waiting(count: u64) -> Self {
        let outstanding = Self {
            count: AtomicU64::new(count),
            is_closed: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            room: None,
        };
        outstanding.close();
        outstanding
    }

    /// None are there. At most `max` of those that will come are to be on their way at one time.
    pub(crate) fn coming(max: Option<u32>) -> Self {
        Self {
            count: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            room: max.map(|max| Semaphore::new(max as usize)),
        }
    }

    /// Takes the room of so many that are about to be sent, if there is any.
    pub(crate) fn try_begin(&self, messages: u32) -> bool {
        let has_room = match &self.room {
            Some(room) => room.try_acquire_many(messages).map(|taken| taken.forget()).is_ok(),
            None => true,
        };
        if has_room {
            self.count.fetch_add(messages.into(), Ordering::Relaxed);
        }
        has_room
    }

    /// Waits until there may be room for so many.
    pub(crate) async fn room(&self, messages: u32) {
        if let Some(room) = &self.room {
            // Never closed. What was acquired is let go again: it is taken by `try_begin`.
            let _ = room.acquire_many(messages).await;
        }
    }

    /// So many are gone.
    pub(crate) fn gone(&self, messages: u64) {
        if let Some(room) = &self.room {
            room.add_permits(usize::try_from(messages).expect("a batch is small"));
        }
        let before = self.count.fetch_sub(messages, Ordering::Relaxed);
        if before == messages && self.is_closed.load(Ordering::Relaxed) {
            self.ended.send_replace(true);
        }
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        if self.count() == 0 {
            self.ended.send_replace(true);
        }
    }

    /// How many are on their way.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Tells when all are gone and no more will come.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_waits_for_those_who_consume() {
        let outstanding = Outstanding::coming(Some(20));
        assert!(outstanding.try_begin(10) && outstanding.try_begin(10));
        assert!(!outstanding.try_begin(10));
        outstanding.gone(10);
        assert!(outstanding.try_begin(10));
        assert_eq!(outstanding.count(), 20);
    }

    #[test]
    fn the_end_is_when_all_are_gone_and_no_more_will_come() {
        let outstanding = Outstanding::coming(None);
        let ended = outstanding.ended();
        assert!(outstanding.try_begin(10));
        outstanding.gone(10);
        assert!(!*ended.borrow(), "more may come");
        assert!(outstanding.try_begin(10));
        outstanding.close();
        assert!(!*ended.borrow(), "ten are on their way");
        outstanding.gone(10);
        assert!(*ended.borrow());
        assert!(*Outstanding::waiting(0).ended().borrow());
    }
}
