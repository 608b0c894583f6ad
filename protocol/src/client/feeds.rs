//! The session's side of subscriptions: what each has delivered and what has been taken of it, and
//! what a lost connection means for it.
//!
//! ```text
//!          written                 Delivered ... last, or an error
//!   away ----------> subscribed --------------------------------> (gone)
//!     ^                  |
//!     `------ lost ------'
//! ```
//!
//! Invariant: what the server may push and what nobody has taken yet never come to more than the
//! subscription's window, over reconnects too; so what is delivered need no other bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::calls::{Call, Verdict};
use super::error::ClientError;
use super::messages::Delivery;
use crate::error::{ErrorCode, ProtocolError};
use crate::operation::{Credit, Delivered, Reply, Request, Subscribe, Unsubscribe};
use crate::wire::TooLong;

/// What a subscription's holder gets from the session.
pub(super) struct Pushed {
    pub(super) delivery: Delivery,
    pub(super) share: Share,
    /// [`Feed::epoch`] when it came.
    pub(super) epoch: u64,
}

/// A part of a subscription's window.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) messages: u32,
    /// As the `length` of frames counts them.
    pub(super) bytes: u32,
}

/// What a subscription's holder tells the session.
pub(super) enum Note {
    /// So much of what was delivered was taken.
    Taken { id: u64, epoch: u64, share: Share },
    /// No more is wanted.
    Unsubscribe { id: u64 },
}

/// One subscription.
pub(super) struct Feed {
    /// Its number in this process.
    pub(super) id: u64,
    /// Its credits are set anew each time that it is written.
    pub(super) request: Subscribe,
    pub(super) window: Share,
    pub(super) holder: mpsc::UnboundedSender<Result<Pushed, ClientError>>,
    /// Counted up when a connection is lost whose end gave back what was delivered over it.
    pub(super) epoch: Arc<AtomicU64>,
    /// Who waits for the first answer.
    pub(super) standing: Option<oneshot::Sender<Result<(), ClientError>>>,
    pub(super) stage: Stage,
    /// Delivered, and not yet taken.
    pub(super) untaken: Share,
}

/// Where a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The current connection does not know it, if there is one.
    Away,
    /// It was asked for on the current connection.
    Subscribed,
    /// Its end was asked for.
    Ending,
}

/// All subscriptions, by their correlations, which they keep.
#[derive(Default)]
pub(super) struct Feeds(BTreeMap<u32, Feed>);

impl Feeds {
    pub(super) fn contains(&self, correlation: u32) -> bool {
        self.0.contains_key(&correlation)
    }

    /// Adds one that is away.
    pub(super) fn add(&mut self, correlation: u32, feed: Feed) {
        self.0.insert(correlation, feed);
    }

    /// The frames that subscribe those that are away. One that cannot be encoded ends.
    pub(super) fn subscribe(&mut self) -> Vec<(u32, Bytes)> {
        let mut frames = Vec::new();
        for correlation in self.0.keys().copied().collect::<Vec<_>>() {
            let Some(feed) = self.0.get_mut(&correlation) else { continue };
            if feed.stage != Stage::Away {
                continue;
            }
            match feed.frame(correlation) {
                Ok(frame) => {
                    feed.stage = Stage::Subscribed;
                    frames.push((correlation, frame));
                }
                Err(error) => self.end(correlation, error.into()),
            }
        }
        frames
    }

    /// What a holder's note needs to be told to the server.
    pub(super) fn note(&mut self, note: &Note) -> Option<Call> {
        let (Note::Taken { id, .. } | Note::Unsubscribe { id }) = note;
        let (&correlation, feed) = self.0.iter_mut().find(|(_, feed)| feed.id == *id)?;
        match *note {
            Note::Taken { epoch, share, .. } if epoch == feed.epoch.load(Ordering::Acquire) => {
                feed.untaken.messages = feed.untaken.messages.saturating_sub(share.messages);
                feed.untaken.bytes = feed.untaken.bytes.saturating_sub(share.bytes);
                let (credits, credit_bytes) = (share.messages, share.bytes);
                let credit = Credit { subscription: correlation, credits, credit_bytes };
                (feed.stage == Stage::Subscribed).then(|| Call::unattended(credit))
            }
            // The server has got all of it back.
            Note::Taken { .. } => None,
            Note::Unsubscribe { .. } if feed.stage == Stage::Subscribed => {
                feed.stage = Stage::Ending;
                Some(Call::unattended(Unsubscribe { subscription: correlation }))
            }
            Note::Unsubscribe { .. } => {
                if feed.stage == Stage::Away {
                    self.0.remove(&correlation);
                }
                None
            }
        }
    }

    /// A reply to one of them arrived, in a frame of this `length`.
    pub(super) fn answered(
        &mut self,
        correlation: u32,
        reply: Result<Reply, ProtocolError>,
        length: usize,
    ) -> Verdict {
        match reply {
            Ok(Reply::Delivered(delivered)) => {
                if delivered.last {
                    // Its holder is told by its end of the channel.
                    self.0.remove(&correlation);
                } else if let Some(feed) = self.0.get_mut(&correlation) {
                    feed.deliver(delivered, length);
                }
                Verdict::Stay
            }
            Ok(Reply::Error(error)) if is_about_the_server(&error) => {
                if let Some(feed) = self.0.get_mut(&correlation) {
                    match feed.stage {
                        Stage::Ending => drop(self.0.remove(&correlation)),
                        _ => feed.stage = Stage::Away,
                    }
                }
                Verdict::Leave(error.to_string())
            }
            Ok(Reply::Error(error)) => {
                self.end(correlation, ClientError::Refused(error));
                Verdict::Stay
            }
            Ok(other) => self.unreadable(correlation, format!("the reply is {}", other.name())),
            Err(error) => self.unreadable(correlation, error.to_string()),
        }
    }

    /// The connection was lost: those that are still wanted are asked for again on the next.
    pub(super) fn lost(&mut self) {
        self.0.retain(|_, feed| feed.stage != Stage::Ending && !feed.holder.is_closed());
        for feed in self.0.values_mut() {
            feed.stage = Stage::Away;
            if feed.request.release_on_close {
                // Others get what nobody has taken yet.
                feed.epoch.fetch_add(1, Ordering::AcqRel);
                feed.untaken = Share::default();
            }
        }
    }

    /// No other connection will be tried: all end.
    pub(super) fn fail(&mut self, error: &ClientError) {
        for correlation in self.0.keys().copied().collect::<Vec<_>>() {
            self.end(correlation, error.clone());
        }
    }

    fn end(&mut self, correlation: u32, error: ClientError) {
        let Some(feed) = self.0.remove(&correlation) else { return };
        // Whoever holds it may have gone.
        match feed.standing {
            Some(standing) => drop(standing.send(Err(error))),
            None => drop(feed.holder.send(Err(error))),
        }
    }

    fn unreadable(&mut self, correlation: u32, cause: String) -> Verdict {
        self.end(correlation, ClientError::Unknown { operation: "Subscribe", cause, code: None });
        Verdict::Stray
    }
}

impl Feed {
    /// Asks for as much as the window has room for.
    fn frame(&mut self, correlation: u32) -> Result<Bytes, TooLong> {
        self.request.credits = self.window.messages.saturating_sub(self.untaken.messages);
        self.request.credit_bytes = self.window.bytes.saturating_sub(self.untaken.bytes);
        let mut frame = BytesMut::new();
        Request::from(self.request.clone()).encode(correlation, &mut frame)?;
        Ok(frame.freeze())
    }

    fn deliver(&mut self, delivered: Delivered, length: usize) {
        if let Some(standing) = self.standing.take() {
            // Whoever subscribed may have gone.
            let _ = standing.send(Ok(()));
        }
        if delivered.messages.is_empty() {
            return;
        }
        let bytes = u32::try_from(length).unwrap_or(u32::MAX);
        let share = Share { messages: delivered.messages.len() as u32, bytes };
        self.untaken.messages += share.messages;
        self.untaken.bytes = self.untaken.bytes.saturating_add(share.bytes);
        let delivery = Delivery::verified(delivered.queue_id, delivered.messages);
        let epoch = self.epoch.load(Ordering::Acquire);
        // Whoever held it has gone: its end is on its way to the server.
        let _ = self.holder.send(Ok(Pushed { delivery, share, epoch }));
    }
}

/// Whether an error ends the connection rather than the subscription: the next one may have it.
fn is_about_the_server(error: &ProtocolError) -> bool {
    matches!(
        error.code,
        ErrorCode::ShuttingDown
            | ErrorCode::TooManyConnections
            | ErrorCode::IdleTimeout
            | ErrorCode::StorageFailed
    )
}
