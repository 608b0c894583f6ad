//! The subscriptions of a connection: what each may still push, and whether the engine has been asked.
//!
//! A subscription asks the engine for messages and waits, without an end and without a timer; when
//! it is answered and has credits left, it asks again, and so goes to the end of the queue's line.
//!
//! Invariants:
//! - The engine has at most one wait of a subscription, for no more than its credits.
//! - A wait does not outlive its subscription, nor a subscription its connection.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use forebay_engine::attributes::{VISIBILITY_MS_MAX, check_range, check_range_ms};
use forebay_engine::command::Command;
use forebay_engine::error::RequestError;
use forebay_engine::ids::{QueueId, WaitId};
use forebay_protocol::{
    CREDIT_BYTES_MAX, CREDITS_MAX, Credit, ErrorCode, ProtocolError, RECEIVE_MESSAGES_MAX,
    Subscribe,
};

use super::unsettled::Unsettled;
use crate::caller::{Caller, EngineHandle, Kind, Leases};
use crate::replies;

/// The most subscriptions of a connection.
const SUBSCRIPTIONS_MAX: usize = 1024;

/// The most that their `batch_max` come to together: it bounds the memory of leases on their way.
const BATCHES_MAX: u32 = 65_536;

/// The bodies in one push, where the client does not say. Less than in an answer to a receive:
/// what is on its way to a client that has stopped reading is leased for nothing.
const PUSH_BYTES: u64 = 1 << 20;

/// Batches of a subscription whose bodies are being read: while one is, the next is leased.
const FETCHING_MAX: usize = 2;

/// Numbers the subscriptions of all connections.
static SUBSCRIPTIONS: AtomicU64 = AtomicU64::new(0);

/// The subscriptions of one connection, by their correlations.
pub(super) struct Subscriptions {
    standing: HashMap<u32, Subscription>,
    /// Those that something has happened to since they last asked.
    stirred: VecDeque<u32>,
    /// What they pushed and the client has not settled.
    pub(super) unsettled: Unsettled,
    engine: EngineHandle,
}

/// One subscription.
pub(super) struct Subscription {
    /// Its own number, and that of its wait. Correlations may be used again.
    pub(super) wait: WaitId,
    pub(super) release_on_close: bool,
    queue: String,
    /// Known once it stands.
    queue_id: Option<QueueId>,
    credits: u32,
    /// Below zero: so many bytes were pushed too many.
    credit_bytes: i64,
    batch_max: u32,
    bytes_max: u64,
    visibility_ms: Option<u64>,
    /// Whether the engine has a wait of it.
    asked: bool,
    /// Whether it is among those that something has happened to.
    stirred: bool,
    fetching: usize,
}

impl Subscriptions {
    pub(super) fn new(engine: EngineHandle) -> Self {
        let unsettled = Unsettled::new(engine.clone());
        Self { standing: HashMap::new(), stirred: VecDeque::new(), unsettled, engine }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    pub(super) fn contains(&self, correlation: u32) -> bool {
        self.standing.contains_key(&correlation)
    }

    /// Adds one that stands when its queue is found. `bodies_bytes_max` bounds the bodies in a frame.
    pub(super) fn add(
        &mut self,
        correlation: u32,
        subscribe: &Subscribe,
        bodies_bytes_max: u32,
    ) -> Result<WaitId, ProtocolError> {
        check_ranges(subscribe).map_err(|error| replies::error(&error))?;
        let others = self.standing.values().map(|other| other.batch_max).sum::<u32>();
        if self.standing.len() == SUBSCRIPTIONS_MAX || others + subscribe.batch_max > BATCHES_MAX {
            let text = format!(
                "a connection has at most {SUBSCRIPTIONS_MAX} subscriptions, for batches of at most \
                 {BATCHES_MAX} messages together; this one has {} for {others}",
                self.standing.len(),
            );
            return Err(ProtocolError::new(ErrorCode::TooManySubscriptions, text));
        }
        let wait = WaitId(SUBSCRIPTIONS.fetch_add(1, Ordering::Relaxed));
        let bytes_max = match subscribe.bytes_max {
            0 => PUSH_BYTES,
            asked => asked.into(),
        };
        let subscription = Subscription {
            wait,
            release_on_close: subscribe.release_on_close,
            queue: subscribe.queue.clone(),
            queue_id: None,
            credits: subscribe.credits,
            credit_bytes: subscribe.credit_bytes.into(),
            batch_max: subscribe.batch_max,
            bytes_max: bytes_max.min(bodies_bytes_max.into()),
            visibility_ms: subscribe.visibility_ms,
            asked: false,
            stirred: false,
            fetching: 0,
        };
        self.standing.insert(correlation, subscription);
        Ok(wait)
    }

    /// The subscription of this correlation and number, if it has not ended.
    pub(super) fn get(&mut self, correlation: u32, wait: WaitId) -> Option<&mut Subscription> {
        self.standing.get_mut(&correlation).filter(|subscription| subscription.wait == wait)
    }

    /// Lets one push more.
    pub(super) fn credit(&mut self, credit: &Credit) -> Result<(), ProtocolError> {
        let correlation = credit.subscription;
        let subscription =
            self.standing.get_mut(&correlation).ok_or_else(|| unknown(correlation))?;
        let credits = u64::from(subscription.credits) + u64::from(credit.credits);
        let credit_bytes = subscription.credit_bytes + i64::from(credit.credit_bytes);
        let bytes = u64::try_from(credit_bytes).unwrap_or(0);
        check_range("credits", credits, 0, CREDITS_MAX.into())
            .and_then(|()| check_range("credit-bytes", bytes, 0, CREDIT_BYTES_MAX.into()))
            .map_err(|error| replies::error(&error))?;
        subscription.credits += credit.credits;
        subscription.credit_bytes = credit_bytes;
        self.stir(correlation);
        Ok(())
    }

    /// Ends one.
    pub(super) fn remove(&mut self, correlation: u32) -> Result<Subscription, ProtocolError> {
        let ended = self.standing.remove(&correlation).ok_or_else(|| unknown(correlation))?;
        self.end_wait(&ended);
        Ok(ended)
    }

    /// Ends all; tells their correlations.
    pub(super) fn remove_all(&mut self) -> Vec<u32> {
        let ended = std::mem::take(&mut self.standing);
        ended.values().for_each(|subscription| self.end_wait(subscription));
        ended.into_keys().collect()
    }

    fn end_wait(&self, ended: &Subscription) {
        if ended.asked {
            self.engine.submit(Command::EndWait { wait: ended.wait }, Caller::nobody());
        }
    }

    /// Says that one may have reason to ask.
    pub(super) fn stir(&mut self, correlation: u32) {
        let subscription = self.standing.get_mut(&correlation);
        if subscription
            .is_some_and(|subscription| !std::mem::replace(&mut subscription.stirred, true))
        {
            self.stirred.push_back(correlation);
        }
    }

    /// What is next to be asked of the engine, and for which correlation.
    pub(super) fn next_to_ask(&mut self) -> Option<(u32, Command, Kind)> {
        while let Some(correlation) = self.stirred.pop_front() {
            let subscription = self.standing.get_mut(&correlation);
            if let Some((command, kind)) = subscription.and_then(Subscription::ask) {
                return Some((correlation, command, kind));
            }
        }
        None
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.remove_all();
    }
}

impl Subscription {
    /// Its queue was found.
    pub(super) fn stand(&mut self, queue: QueueId) {
        self.queue_id = Some(queue);
    }

    pub(super) fn queue_id(&self) -> QueueId {
        self.queue_id.unwrap_or_default()
    }

    fn ask(&mut self) -> Option<(Command, Kind)> {
        self.stirred = false;
        let queue = self.queue_id?;
        let may_ask = !self.asked && self.fetching < FETCHING_MAX && self.credits > 0;
        let bytes = u64::try_from(self.credit_bytes).ok().filter(|bytes| may_ask && *bytes > 0)?;
        self.asked = true;
        let command = Command::Await {
            queue,
            wait: self.wait,
            max: self.credits.min(self.batch_max),
            visibility_ms: self.visibility_ms,
            bytes_max: self.bytes_max.min(bytes),
        };
        Some((command, Kind::Push { queue: self.queue.clone(), wait: self.wait }))
    }

    /// The engine has answered.
    pub(super) fn answered(&mut self) {
        self.asked = false;
    }

    /// Takes the credit of a batch. How long its frame will be is guessed until it is encoded.
    pub(super) fn take_credit(&mut self, leases: &Leases) {
        self.credits -= leases.deliveries().len() as u32;
        self.credit_bytes -= leases.stored_bytes as i64;
        self.fetching += 1;
    }

    /// Some of a batch were not pushed, and the others took a frame of this length.
    pub(super) fn pushed(&mut self, leases_bytes: usize, left_out: usize, length: usize) {
        self.fetching -= 1;
        self.credits += left_out as u32;
        self.credit_bytes += leases_bytes as i64 - length as i64;
    }

    /// An error of the engine, which may not know the queue's name.
    pub(super) fn error(&self, error: RequestError) -> ProtocolError {
        replies::error(&match error {
            RequestError::UnknownQueue { .. } => {
                RequestError::UnknownQueue { name: self.queue.clone() }
            }
            other => other,
        })
    }
}

fn check_ranges(subscribe: &Subscribe) -> Result<(), RequestError> {
    check_range("credits", subscribe.credits.into(), 0, CREDITS_MAX.into())?;
    check_range("credit-bytes", subscribe.credit_bytes.into(), 0, CREDIT_BYTES_MAX.into())?;
    check_range("batch-max", subscribe.batch_max.into(), 1, RECEIVE_MESSAGES_MAX.into())?;
    check_range_ms("visibility", subscribe.visibility_ms.unwrap_or(0), 0, VISIBILITY_MS_MAX)
}

fn unknown(correlation: u32) -> ProtocolError {
    let text = format!("the connection has no subscription {correlation}");
    ProtocolError::new(ErrorCode::UnknownSubscription, text)
}
