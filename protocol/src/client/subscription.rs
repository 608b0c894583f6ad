//! A subscription: messages of a queue as they come, with a bounded number of them on the way.
//!
//! The server pushes up to a *window* of messages; as they are taken here it is told to push more.
//! What was pushed is leased: a message that waits here for longer than its visibility timeout goes
//! to others too. So the window should be what is worked off within that time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::calls::Call;
use super::feeds::{Feed, Note, Pushed, Share, Stage};
use super::{Client, ClientError, Delivery, Order};
use crate::limits::{CREDIT_BYTES_MAX, CREDITS_MAX};
use crate::operation::{ChangeVisibility, Subscribe, VisibilityChange};

/// Numbers the subscriptions of this process.
static SUBSCRIPTIONS: AtomicU64 = AtomicU64::new(0);

/// The server is told to push more when this part of the window was taken.
const REPLENISHED_AT: u32 = 4;

/// The most bytes of a window. As much again is left to what the last batch exceeds it by, so that
/// no credit that is given back is ever refused.
const WINDOW_BYTES_MAX: u32 = CREDIT_BYTES_MAX / 2;

/// What a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The most messages that may be pushed and not yet taken, from 1 to
    /// [`CREDITS_MAX`]. Default: 2048. Less shares a queue more evenly among slow consumers.
    pub window_messages: u32,
    /// The most bytes that may, but for what one [`Delivery`] exceeds them by. From 1 to 512 MiB.
    /// Default: 16 MiB.
    pub window_bytes: u32,
    /// The most messages of a [`Delivery`], from 1 to
    /// [`RECEIVE_MESSAGES_MAX`](crate::RECEIVE_MESSAGES_MAX). Default: 512.
    pub batch_max: u32,
    /// The most bytes of bodies of a [`Delivery`]; 0, the default, leaves it to the server.
    pub bytes_max: u32,
    /// How long the leases last; `None`, the default, for the queue's `visibility_timeout_ms`.
    pub visibility_ms: Option<u64>,
    /// Whether messages go back to others at once when the connection ends and they were neither
    /// acked nor changed over it. Default: false, they stay leased, and can be acked after a
    /// reconnect. With it, what was not taken when a connection is lost is dropped by
    /// [`Subscription::next`], which ends those leases, in case the server has crashed. What was taken
    /// then stays leased until its timeout ends.
    pub release_on_close: bool,
}

/// Messages of a queue as they come. After a lost connection it subscribes again; a message may
/// then come again, as after any receive.
///
/// Dropping it ends it; what was pushed and not taken then stays leased until its timeout ends.
pub struct Subscription {
    /// Keeps the connection open.
    client: Client,
    id: u64,
    queue: String,
    pushed: mpsc::UnboundedReceiver<Result<Pushed, ClientError>>,
    epoch: Arc<AtomicU64>,
    window: Share,
    /// Taken, and the session not yet told.
    taken: Share,
    taken_in: u64,
    ending: bool,
}

impl Client {
    /// Subscribes to a queue, and returns when the subscription stands.
    /// Refused with `UnknownQueue`, `OutOfRange`, `TooManySubscriptions`.
    pub async fn subscribe(
        &self,
        queue: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        let window = Share {
            messages: options.window_messages.clamp(1, CREDITS_MAX),
            bytes: options.window_bytes.clamp(1, WINDOW_BYTES_MAX),
        };
        let id = SUBSCRIPTIONS.fetch_add(1, Ordering::Relaxed);
        let epoch = Arc::new(AtomicU64::new(0));
        // Unbounded as a channel, bounded by the window.
        let (holder, pushed) = mpsc::unbounded_channel();
        let (standing, stands) = oneshot::channel();
        let feed = Feed {
            id,
            request: Subscribe {
                queue: queue.to_owned(),
                credits: window.messages,
                credit_bytes: window.bytes,
                batch_max: options.batch_max,
                bytes_max: options.bytes_max,
                visibility_ms: options.visibility_ms,
                release_on_close: options.release_on_close,
            },
            window,
            holder,
            epoch: Arc::clone(&epoch),
            standing: Some(standing),
            stage: Stage::Away,
            untaken: Share::default(),
        };
        // Before anything can fail: dropped, it takes the subscription back.
        let subscription = Subscription {
            client: self.clone(),
            id,
            queue: queue.to_owned(),
            pushed,
            epoch,
            window,
            taken: Share::default(),
            taken_in: 0,
            ending: false,
        };
        self.orders.send(Order::Subscribe(feed)).map_err(|_| ClientError::Closed)?;
        stands.await.map_err(|_| ClientError::Closed)??;
        Ok(subscription)
    }
}

impl Subscription {
    /// The next messages: those that came together. They count as taken from here on. `None` when
    /// the subscription has ended: unsubscribed, or after an error, which is told once: the queue
    /// was deleted (`UnknownQueue`), or no connection could be made. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Result<Delivery, ClientError>> {
        loop {
            let pushed = match self.pushed.recv().await? {
                Ok(pushed) => pushed,
                Err(error) => return Some(Err(error)),
            };
            if pushed.epoch == self.epoch.load(Ordering::Acquire) {
                self.take(pushed.share, pushed.epoch);
                return Some(Ok(pushed.delivery));
            }
            // Those of a connection whose end gave them back are others' by now.
            self.give_back(&pushed.delivery);
        }
    }

    /// Ends the leases of messages that are not handed over. The server has done so when the connection
    /// ended, unless it ended itself.
    fn give_back(&self, delivery: &Delivery) {
        let sound = delivery.messages.iter().map(|message| &message.receipt);
        let damaged = delivery.damaged.iter().filter_map(|message| message.receipt.as_ref());
        let changes = sound
            .chain(damaged)
            .map(|receipt| VisibilityChange { receipt: receipt.clone(), visibility_ms: 0 });
        let (queue, changes) = (self.queue.clone(), changes.collect());
        let call = Call::unattended(ChangeVisibility { queue, changes });
        // Without a session nothing can be told.
        let _ = self.client.orders.send(Order::Call(call));
    }

    /// Has the server push no more. [`Subscription::next`] gives what was pushed before, and then
    /// `None`: what is neither acked nor released of it stays leased until its timeout ends.
    pub fn unsubscribe(&mut self) {
        if !std::mem::replace(&mut self.ending, true) {
            // Without a session it has ended already.
            let _ = self.client.orders.send(Order::Note(Note::Unsubscribe { id: self.id }));
        }
    }

    fn take(&mut self, share: Share, epoch: u64) {
        if std::mem::replace(&mut self.taken_in, epoch) != epoch {
            self.taken = Share::default();
        }
        self.taken.messages += share.messages;
        self.taken.bytes = self.taken.bytes.saturating_add(share.bytes);
        if self.taken.messages >= self.window.messages.div_ceil(REPLENISHED_AT)
            || self.taken.bytes >= self.window.bytes.div_ceil(REPLENISHED_AT)
        {
            let share = std::mem::take(&mut self.taken);
            // Without a session nothing more comes.
            let _ = self.client.orders.send(Order::Note(Note::Taken { id: self.id, epoch, share }));
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl Default for SubscribeOptions {
    fn default() -> SubscribeOptions {
        SubscribeOptions {
            window_messages: 2048,
            window_bytes: 16 << 20,
            batch_max: 512,
            bytes_max: 0,
            visibility_ms: None,
            release_on_close: false,
        }
    }
}
