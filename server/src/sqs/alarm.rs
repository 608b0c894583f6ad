//! One timer for all that a connection waits for: the head of a request, the rest of its body, a client that
//! takes its answer.
//!
//! Nearly every wait is over long before its time, and a timer for each is set and taken back twice a request,
//! which also wakes the thread that looks for the next one. So the alarm stays where it was set: it is set to an
//! earlier time at once, and to a later one when it goes off. A task that it wakes too early asks again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A connection's alarm, for whatever its task waits for; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Alarm(Arc<Mutex<Option<Pin<Box<Sleep>>>>>);

impl Alarm {
    /// Ready when it is so late. Only the connection's task may ask.
    pub(super) fn poll(&self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sleep = set.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// Hyper's waits.
impl hyper::rt::Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Wait { alarm: self.clone(), deadline: deadline.into() })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

struct Wait {
    alarm: Alarm,
    deadline: Instant,
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll(context, self.deadline)
    }
}

impl hyper::rt::Sleep for Wait {}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn every_wait_ends_at_its_own_time_whatever_the_alarm_was_set_to() {
        let (alarm, began) = (Alarm::default(), Instant::now());
        let until = async |seconds| {
            poll_fn(|context| alarm.poll(context, began + seconds * SECOND)).await;
            began.elapsed().as_secs()
        };
        // Set to ten, and given up.
        let given_up = tokio::time::timeout(SECOND, until(10)).await;
        assert!(given_up.is_err());
        assert_eq!(until(5).await, 5, "earlier than it was set to");
        assert_eq!(until(7).await, 7, "later than it was set to");
        let given_up = tokio::time::timeout(SECOND, until(20)).await;
        assert!(given_up.is_err());
        assert_eq!(until(30).await, 30, "later than one that goes off while it is waited for");
        assert_eq!(until(3).await, 30, "long over");
    }
}
