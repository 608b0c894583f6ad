//! Commands, and what they are answered with: what the model says, and not before it is durable.

use forebay_engine::command::{Command, Reply};
use forebay_engine::{LogFailure, LogTime, RequestError};

use super::{Run, Unanswered};
use crate::sim::answers::Answer;
use crate::sim::check::Check;
use crate::sim::model::Model;
use crate::sim::shown::{differences, show};

impl Run {
    /// Does a command; its answer, which may come later, must be what the model says.
    pub(super) fn begin(
        &mut self,
        command: Command,
        apply: impl FnOnce(&mut Model, LogTime) -> Answer,
    ) -> Result<(), LogFailure> {
        let (number, slot) = self.answers.slot();
        let mut model = self.present().clone();
        let now = self.store().now();
        let handled = self.store().handle(command, slot);
        let expected = apply(&mut model, now);
        if let Some(Err(RequestError::StorageFull { .. })) = self.answers.peek(number) {
            // Refused: nothing happened.
            self.answers.take(number);
            let faulty = self.faulty;
            self.tally.holds(Check::Answer, faulty, || "the disk is full without a fault".into());
            return handled;
        }
        self.push(model);
        let state = self.states.len() - 1;
        self.unanswered.push(Unanswered { number, state, expected });
        handled
    }

    /// Does a command, and commits if that is what its answer waits for.
    pub(super) fn tell(&mut self, command: Command) -> Result<Answer, LogFailure> {
        let (number, slot) = self.answers.slot();
        let handled = self.store().handle(command, slot);
        let answer = self.answers.take(number);
        handled?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let committed = self.store().commit();
        let answer = self.answers.take(number);
        committed?;
        Ok(answer.expect("a committed command is answered"))
    }

    /// Commits everything: from here on the present state is what a crash leaves.
    pub(super) fn settle(&mut self) -> Result<(), LogFailure> {
        self.store().commit()?;
        self.collect();
        assert!(self.unanswered.is_empty(), "a commit leaves a command without an answer");
        self.changes += u64::from(self.states.len() > 1);
        self.states.drain(..self.states.len() - 1);
        self.all_visible();
        Ok(())
    }

    /// Compares everything.
    pub(super) fn look(&mut self) -> Result<(), LogFailure> {
        self.settle()?;
        if !self.faulty {
            let store = self.store.as_mut().expect("the store is open between steps");
            let (now, shown) = (store.now(), show(store, &mut self.answers));
            let expected = self.present().show(now);
            self.tally.count(Check::Conservation, shown.len() as u64);
            self.tally.holds(Check::NoLoss, shown == expected, || {
                format!("the store holds {}", differences(&shown, &expected).join("; "))
            });
        }
        Ok(())
    }

    /// Takes the answers that came: each must be the one expected, and whatever is answered is
    /// durable with everything before it.
    pub(super) fn collect(&mut self) {
        for (number, answer) in self.answers.take_all() {
            let at = self.unanswered.iter().position(|u| u.number == number);
            let at = at.expect("an answer belongs to a command");
            let unanswered = self.unanswered.remove(at);
            if matches!(answer, Err(RequestError::StorageFailed { .. })) {
                continue;
            }
            let (found, expected) = (without_text(&answer), without_text(&unanswered.expected));
            let check = match (&answer, &unanswered.expected) {
                // A copy has the number of the message that it is a copy of.
                (Ok(Reply::Sent(_)), Ok(_)) => Check::Deduplication,
                _ => Check::Answer,
            };
            self.tally.holds(check, found == expected, || {
                format!("answered {answer:?}, expected {:?}", unanswered.expected)
            });
            if answer.is_ok() {
                for queue in self.states[unanswered.state].queues.values() {
                    let visible = self.visible.entry(queue.id).or_insert(1);
                    *visible = queue.next_seq.max(*visible);
                }
                // States before this one can no longer be what a crash leaves.
                let gone = unanswered.state;
                self.changes += u64::from(gone > 0);
                self.states.drain(..gone);
                for other in &mut self.unanswered {
                    other.state = other.state.saturating_sub(gone);
                }
            }
        }
    }

    /// Everything that was sent is durable.
    pub(super) fn all_visible(&mut self) {
        let queues = self.present().queues.values();
        self.visible = queues.map(|queue| (queue.id, queue.next_seq)).collect();
    }
}

pub(super) fn kind(error: &RequestError) -> std::mem::Discriminant<RequestError> {
    std::mem::discriminant(error)
}

/// Errors are compared by kind: their texts are tested elsewhere.
fn without_text(answer: &Answer) -> Result<Reply, std::mem::Discriminant<RequestError>> {
    answer.clone().map_err(|error| kind(&error))
}
