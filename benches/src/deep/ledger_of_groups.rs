//! What was delivered and acked of each group: the judge of a FIFO queue.
//!
//! A message may be delivered only when each one before it in its group is acked, or comes before it
//! in the same answer; for the first time only in the order of sends; and never again once its ack
//! was answered. An ack counts from when it is sent: from then on it may have been obeyed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::BenchError;

/// What is known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was not delivered, or its ack was not sent since.
    Open,
    /// An ack was sent.
    Acking,
    /// The ack was answered.
    Acked,
}

/// All groups.
#[derive(Debug)]
pub(super) struct GroupLedger {
    messages: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By group, then by number.
    known: Vec<Known>,
    /// Of each group, the first message that was never delivered.
    next: Vec<u8>,
    again: u64,
}

impl GroupLedger {
    /// So many groups with so many messages each.
    pub(super) fn new(groups: u64, messages: u64) -> Self {
        let known = vec![Known::Open; (groups * messages) as usize];
        let state = State { known, next: vec![0; groups as usize], again: 0 };
        Self { messages, state: Mutex::new(state) }
    }

    /// Judges the messages of one answer, (group, number) each.
    pub(super) fn delivered(&self, these: &[(u64, u64)]) -> Result<(), BenchError> {
        let mut state = self.state();
        for (at, (group, number)) in these.iter().enumerate() {
            let wrong = |what: &str| {
                let what = format!("message {number} of group {group} {what}");
                Err(BenchError::new(what))
            };
            if *group as usize >= state.next.len() || *number >= self.messages {
                return wrong("was never sent");
            }
            let first = (*group * self.messages) as usize;
            for before in 0..*number {
                let is_here = these[..at].contains(&(*group, before));
                if state.known[first + before as usize] == Known::Open && !is_here {
                    return wrong(&format!("came while {before} is not acked"));
                }
            }
            match state.known[first + *number as usize] {
                Known::Acked => return wrong("came after its ack was answered"),
                known => {
                    let next = u64::from(state.next[*group as usize]);
                    if *number > next {
                        return wrong(&format!("came before {next}"));
                    }
                    if *number == next {
                        state.next[*group as usize] += 1;
                    } else {
                        state.again += 1;
                    }
                    // An ack that was sent and not answered came too late.
                    if known == Known::Acking {
                        state.known[first + *number as usize] = Known::Open;
                    }
                }
            }
        }
        Ok(())
    }

    /// Acks of these are sent.
    pub(super) fn acking(&self, these: &[(u64, u64)]) {
        let mut state = self.state();
        for (group, number) in these {
            let known = &mut state.known[(group * self.messages + number) as usize];
            if *known == Known::Open {
                *known = Known::Acking;
            }
        }
    }

    /// An ack was answered, and not refused.
    pub(super) fn acked(&self, (group, number): (u64, u64)) {
        self.state().known[(group * self.messages + number) as usize] = Known::Acked;
    }

    /// How often a message came that had come before.
    pub(super) fn again(&self) -> u64 {
        self.state().again
    }

    /// Fails if a message was never delivered, or may still be there.
    pub(super) fn assert_all_acked(&self) -> Result<(), BenchError> {
        let state = self.state();
        let messages = self.messages;
        if let Some(group) = state.next.iter().position(|next| u64::from(*next) < messages) {
            let text = format!("message {} of group {group} never came", state.next[group]);
            return Err(BenchError::new(text));
        }
        match state.known.iter().position(|known| *known == Known::Open) {
            None => Ok(()),
            Some(at) => {
                let (group, number) = (at as u64 / messages, at as u64 % messages);
                Err(BenchError::new(format!("message {number} of group {group} was not acked")))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger_with_the_first_delivered() -> GroupLedger {
        let ledger = GroupLedger::new(2, 3);
        ledger.delivered(&[(0, 0)]).unwrap();
        ledger
    }

    #[test]
    fn what_keeps_the_order_is_let_pass() {
        let ledger = ledger_with_the_first_delivered();
        ledger.delivered(&[(1, 0), (1, 1)]).unwrap();
        ledger.delivered(&[(0, 0)]).unwrap();
        ledger.acking(&[(0, 0)]);
        ledger.delivered(&[(0, 1), (0, 2)]).unwrap();
        assert_eq!(ledger.again(), 1);
        assert!(ledger.assert_all_acked().is_err());
    }

    #[test]
    fn what_breaks_it_is_found() {
        let ledger = ledger_with_the_first_delivered();
        assert!(ledger.delivered(&[(0, 1)]).is_err(), "the one before is not acked");
        assert!(ledger.delivered(&[(1, 1)]).is_err(), "the first one never came");
        assert!(ledger.delivered(&[(2, 0)]).is_err(), "there is no such group");
        ledger.acking(&[(0, 0)]);
        ledger.acked((0, 0));
        assert!(ledger.delivered(&[(0, 0)]).is_err(), "it is acked");
        ledger.delivered(&[(0, 1)]).unwrap();
    }
}
