//! What a history says against the server: the promises that a client can see broken.
//!
//! | rule | what |
//! | --- | --- |
//! | loss | what was answered is there until it is deleted or purged; a batch, a transaction is there whole or not |
//! | phantom | what comes was sent, to that queue, byte for byte, under the number that the queue gave it |
//! | doubled | a message is stored once, however often its send was repeated |
//! | returned | what was deleted or purged never comes to a receive that is made afterwards |
//! | lease | while a lease runs, nobody else gets the message; a crash may end it early, a stop in order may not |
//! | receives | each delivery counts one more, over restarts too, as far as leases are durable; a queue with dead letters delivers a message as often as it is to, and then moves it |
//! | order | seqs follow the order of sends; in a FIFO group nothing comes before what was sent before it is gone |
//! | receipt | the server knows its own receipts, also those from before it was killed |
//! | timing | nothing comes before its delay has passed |
//! | refusal | nothing is refused with what only a broken server or store would say |
//! | count | drained queues say that they are empty |
//!
//! Each rule is sound: times are those of the client, a call took place at some moment between its two, and a
//! call whose answer was lost took place or not, whichever excuses the server. (A call whose answer was
//! lost may not take place after its server is dead, nor long after its connection is lost.)

mod facts;
mod leases;
mod order;
mod presence;
mod receives;

use std::fmt;

use self::facts::Facts;
use super::history::{History, Number};

/// The clocks of client and server tick in other places, and the server's in milliseconds.
const SLACK: u64 = 2_000;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// The message, if it is about one; else 0.
    pub number: Number,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// Judges a history.
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let facts = Facts::gather(history, &mut violations);
    presence::check(&facts, history, &mut violations);
    leases::check(&facts, &mut violations);
    receives::check(&facts, &mut violations);
    order::check(&facts, &mut violations);
    violations
}

#[cfg(test)]
mod tests;
