//! The engine's answers to replies: bodies are fetched, what cannot be delivered is dealt with.

use forebay_engine::command::MessageState;
use forebay_protocol::{Peeked, PeekedMessage, Received, Reply};

use super::Connection;
use super::bodies::{Fetched, Wanted};
use crate::caller::{Answer, Answered, Kind};
use crate::replies::{self, Translated};
use crate::stored;

impl Connection {
    /// Turns what the engine answered into a reply, at once or when its bodies are read.
    pub(super) fn answer(&mut self, answered: Answered) {
        let Answered { ticket, answer } = answered;
        match ticket.kind {
            Kind::Push { wait, .. } => return self.answer_push(ticket, wait, answer),
            Kind::Subscribe { wait } => {
                self.in_flight.remove(&ticket);
                return self.answer_subscribe(ticket.correlation, wait, answer);
            }
            _ => self.in_flight.answered(&ticket),
        }
        let translated = match answer {
            Ok(Answer::Received(leases)) => Err(Wanted::Received(leases)),
            Ok(Answer::Other(reply)) => match replies::translate(reply, &ticket.kind) {
                Translated::Ready(reply) => Ok(reply),
                Translated::Peeked(mut messages, next) => {
                    // Set aside: there are no bytes to show.
                    messages.retain(|message| message.state != MessageState::Damaged);
                    Err(Wanted::Peeked(messages, next))
                }
            },
            Err(error) => {
                tracing::debug!(correlation = ticket.correlation, %error, "refused");
                Ok(Reply::Error(replies::error(&error)))
            }
        };
        match translated {
            Ok(reply) => {
                self.in_flight.remove(&ticket);
                self.outbound.push(ticket.correlation, &reply);
            }
            Err(wanted) => {
                let room = self.room_to_write();
                if let Some(fetched) = self.bodies.fetch(ticket, wanted, room) {
                    self.answer_fetched(fetched);
                }
            }
        }
    }

    /// Writes a reply whose bodies are read. A message whose bytes cannot be had is left out.
    pub(super) fn answer_fetched(&mut self, fetched: Fetched) {
        let Fetched { ticket, answer, bodies, charge } = fetched;
        match answer {
            Wanted::Received(mut leases) => {
                let read = bodies.len();
                let found = stored::deliverable(&self.shared.engine, &mut leases, bodies);
                let left_out = read - found.len();
                let found = leases.deliveries().iter().zip(found);
                let messages: Vec<_> =
                    found.map(|(delivery, body)| replies::received(delivery, body)).collect();
                self.outbound.make_room(&messages);
                leases.let_go_of_messages();
                if let Kind::Push { wait, .. } = ticket.kind {
                    let subscription = (ticket.correlation, wait);
                    return self.push(subscription, messages, left_out, leases, charge);
                }
                self.in_flight.remove(&ticket);
                let reply = Received { messages, queue_id: leases.queue_id.0 };
                self.outbound.push_bodies(ticket.correlation, &reply.into(), Some(leases), charge);
            }
            Wanted::Peeked(messages, next_seq) => {
                self.in_flight.remove(&ticket);
                // The engine tells groups apart by a checksum.
                let is_wanted = |message: &PeekedMessage| match &ticket.kind {
                    Kind::Peek { group } if !group.is_empty() => message
                        .attributes()
                        .is_ok_and(|attributes| attributes.group.as_ref() == Some(group)),
                    _ => true,
                };
                let mut shown = Vec::with_capacity(messages.len());
                for (message, body) in messages.iter().zip(bodies) {
                    match body {
                        Ok(body) => shown.extend(replies::peeked(message, body).filter(is_wanted)),
                        Err(error) => {
                            stored::report_unreadable(
                                &self.shared.engine,
                                &message.location,
                                &error,
                            );
                        }
                    }
                }
                let reply = Peeked { messages: shown, next_seq };
                self.outbound.push_bodies(ticket.correlation, &reply.into(), None, charge);
            }
        }
    }
}
