//! Subscriptions in the connection's task: from the request to the last frame.

use std::sync::Arc;

use forebay_engine::command::{self, Command};
use forebay_engine::error::RequestError;
use forebay_engine::ids::WaitId;
use forebay_protocol::{
    CONNECTION, Credit, Credited, Delivered, ErrorCode, FRAME_LENGTH_BYTES, ProtocolError,
    ReceivedMessage, Reply, Subscribe, Unsubscribe, Unsubscribed,
};

use super::bodies::Wanted;
use super::closing::Closing;
use super::{Connection, bodies_bytes_max};
use crate::caller::{Answer, Kind, Leases, Ticket};
use crate::memory::Charge;
use crate::replies::wrong_kind;

impl Connection {
    /// Begins a subscription: the engine is asked for its queue.
    pub(super) fn subscribe(
        &mut self,
        correlation: u32,
        subscribe: Subscribe,
        charge: Charge,
    ) -> Result<(), Closing> {
        if self.subscriptions.contains(correlation) {
            // Refused under its own correlation, it would seem that the other one has ended.
            let text =
                format!("the correlation {correlation} is that of a subscription that stands");
            let error = ProtocolError::new(ErrorCode::Malformed, text);
            return Err(Closing::Told { correlation: CONNECTION, error });
        }
        let bodies_bytes_max = bodies_bytes_max(&self.shared.limits);
        match self.subscriptions.add(correlation, &subscribe, bodies_bytes_max) {
            Ok(wait) => {
                let kind = Kind::Subscribe { wait };
                let command = Command::DescribeQueue { name: subscribe.queue };
                self.ask(command, correlation, kind, 0, charge);
            }
            Err(error) => self.refuse(correlation, error),
        }
        Ok(())
    }

    /// Ends a subscription: its last frame comes before the answer.
    pub(super) fn unsubscribe(&mut self, correlation: u32, unsubscribe: &Unsubscribe) {
        let subscription = unsubscribe.subscription;
        match self.subscriptions.remove(subscription) {
            Ok(ended) => {
                let queue_id = ended.queue_id().0;
                let last = Delivered { messages: Vec::new(), queue_id, last: true };
                self.outbound.push(subscription, &last.into());
                self.outbound.push(correlation, &Unsubscribed {}.into());
            }
            Err(error) => self.refuse(correlation, error),
        }
    }

    /// Lets a subscription push more.
    pub(super) fn credit(&mut self, correlation: u32, credit: &Credit) {
        match self.subscriptions.credit(credit) {
            Ok(()) => {
                self.outbound.push(correlation, &Credited {}.into());
            }
            Err(error) => self.refuse(correlation, error),
        }
    }

    /// A subscription's queue was found, or not.
    pub(super) fn answer_subscribe(
        &mut self,
        correlation: u32,
        wait: WaitId,
        answer: Result<Answer, RequestError>,
    ) {
        let Some(subscription) = self.subscriptions.get(correlation, wait) else { return };
        match answer {
            Ok(Answer::Other(command::Reply::Described(queue))) => {
                subscription.stand(queue.id);
                let first = Delivered { messages: Vec::new(), queue_id: queue.id.0, last: false };
                self.outbound.push(correlation, &first.into());
                self.subscriptions.stir(correlation);
            }
            Ok(_) => self.end_subscription(correlation, wrong_kind()),
            Err(error) => self.end_subscription(correlation, crate::replies::error(&error)),
        }
    }

    /// Messages were leased for a subscription. If it has ended meanwhile, they go back.
    pub(super) fn answer_push(
        &mut self,
        ticket: Ticket,
        wait: WaitId,
        answer: Result<Answer, RequestError>,
    ) {
        let correlation = ticket.correlation;
        let Some(subscription) = self.subscriptions.get(correlation, wait) else { return };
        subscription.answered();
        match answer {
            Ok(Answer::Received(leases)) => {
                self.subscriptions.stir(correlation);
                if leases.deliveries().is_empty() {
                    return;
                }
                if let Some(subscription) = self.subscriptions.get(correlation, wait) {
                    subscription.take_credit(&leases);
                }
                // First, so that the engine works while this batch is encoded.
                self.ask_for_subscriptions();
                let room = self.room_to_write();
                let wanted = Wanted::Received(leases);
                if let Some(fetched) = self.bodies.fetch(ticket, wanted, room) {
                    self.answer_fetched(fetched);
                }
            }
            Ok(Answer::Other(_)) => self.end_subscription(correlation, wrong_kind()),
            Err(error) => {
                let error = subscription.error(error);
                self.end_subscription(correlation, error);
            }
        }
    }

    /// Pushes messages whose bodies are read; `left_out` have none. If the subscription has ended
    /// meanwhile, they go back.
    pub(super) fn push(
        &mut self,
        (correlation, wait): (u32, WaitId),
        messages: Vec<ReceivedMessage>,
        left_out: usize,
        leases: Leases,
        charge: Arc<Charge>,
    ) {
        let Some(subscription) = self.subscriptions.get(correlation, wait) else { return };
        let (queue_id, stored_bytes) = (leases.queue_id.0, leases.stored_bytes);
        if messages.is_empty() {
            subscription.pushed(stored_bytes, left_out, 0);
            return self.subscriptions.stir(correlation);
        }
        let remember = subscription.release_on_close;
        let delivered = Delivered { messages, queue_id, last: false }.into();
        let frame_bytes =
            self.outbound.push_delivered(correlation, &delivered, leases, charge, remember);
        subscription.pushed(stored_bytes, left_out, frame_bytes - FRAME_LENGTH_BYTES);
        self.subscriptions.stir(correlation);
    }

    /// Asks the engine for what subscriptions may push, as far as it could be written. Of a client
    /// that does not read nothing more is leased.
    pub(super) fn ask_for_subscriptions(&mut self) {
        while self.draining.is_none()
            && self.has_room_to_write()
            && let Some((correlation, command, kind)) = self.subscriptions.next_to_ask()
        {
            let ticket = Ticket { correlation, cost_bytes: 0, charge: Charge::default(), kind };
            self.submit(command, ticket);
        }
    }

    /// Ends all subscriptions with the same error.
    pub(super) fn end_subscriptions(&mut self, error: &ProtocolError) {
        for correlation in self.subscriptions.remove_all() {
            self.outbound.push(correlation, &Reply::Error(error.clone()));
        }
    }

    fn end_subscription(&mut self, correlation: u32, error: ProtocolError) {
        // It was found just now.
        let _ = self.subscriptions.remove(correlation);
        self.refuse(correlation, error);
    }
}
