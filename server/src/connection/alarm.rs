//! A timer that is set often and seldom rings.
//!
//! A connection's deadline moves with every frame. Moving a timer costs; so the alarm stays at the
//! earliest moment it was set to, rings there, and whoever hears it looks whether it is time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// Rings at or before the earliest deadline it was set to.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
}

impl Alarm {
    /// An alarm for `at`.
    pub(super) fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(at.into())), at }
    }

    /// Rings no later than `at`.
    pub(super) fn set(&mut self, at: Instant) {
        if at < self.at {
            self.move_to(at);
        }
    }

    /// After it rang: rings again at `at`.
    pub(super) fn move_to(&mut self, at: Instant) {
        self.at = at;
        self.sleep.as_mut().reset(at.into());
    }
}

impl Future for &mut Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(context)
    }
}
