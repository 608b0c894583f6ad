//! The workloads: what is done, by how many, in what portions. A name says all of it. Those of the
//! table are defined here and nowhere else.

use std::fmt;

/// The queue that workloads use; several queues, and those of other durability, have names that begin so.
pub(crate) const QUEUE: &str = "bench";

/// What one run does. Displayed, it is the name that reports and filters use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workload {
    /// What is done.
    pub(crate) kind: Kind,
    /// Messages in a request.
    pub(crate) batch: u32,
    /// Bytes of a message's body.
    pub(crate) bytes: usize,
    /// Connections; of [`Kind::Both`], so many that send and so many that consume.
    pub(crate) connections: usize,
    /// Requests that a connection has unanswered at most.
    pub(crate) window: usize,
    /// Queues, which are sent to in turn; a connection of [`Kind::Producer`] sends to one of them.
    pub(crate) queues: usize,
    /// What a reply to a send says.
    pub(crate) durability: Durability,
    /// Messages in a second that are due, in all; `None`: as many as are answered.
    pub(crate) rate: Option<u32>,
}

/// What a workload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sends messages, in requests that were encoded before.
    Send,
    /// Sends messages one by one through the client's producer, which makes the batches.
    Producer,
    /// Sends messages, has them pushed and acks them, all at once.
    Both,
    /// Receives the messages that wait in a queue, and acks them, until it is empty.
    Drain {
        /// How many wait.
        messages: u32,
    },
    /// Has the messages that wait in a queue pushed, and acks them, until it is empty.
    Subscribe {
        /// How many wait.
        messages: u32,
    },
}

/// When a send is answered: the queue's attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Durability {
    /// When it is synced: it survives a power cut
    Sync,
    /// When it is written: it survives the server's end, not a power cut
    Written,
}

impl Kind {
    /// How many messages wait in the queue at the beginning.
    pub(crate) fn waiting(self) -> u32 {
        match self {
            Kind::Send | Kind::Producer | Kind::Both => 0,
            Kind::Drain { messages } | Kind::Subscribe { messages } => messages,
        }
    }
}

impl Durability {
    /// Its number on the wire.
    pub(crate) fn number(self) -> u64 {
        match self {
            Durability::Sync => 0,
            Durability::Written => 1,
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Durability::Sync => "sync",
            Durability::Written => "written",
        })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Send => "send",
            Kind::Producer => "producer",
            Kind::Both => "both",
            Kind::Drain { .. } => "receive+ack",
            Kind::Subscribe { .. } => "subscribe+ack",
        };
        let Self { batch, bytes, connections, window, .. } = self;
        match self.kind {
            // Batches and window are the producer's own.
            Kind::Producer => write!(f, "{kind}/bytes={bytes} connections={connections}")?,
            _ => write!(
                f,
                "{kind}/batch={batch} bytes={bytes} connections={connections} window={window}"
            )?,
        }
        if self.queues > 1 {
            write!(f, " queues={}", self.queues)?;
        }
        if self.kind.waiting() > 0 {
            write!(f, " messages={}", self.kind.waiting())?;
        }
        if let Some(rate) = self.rate {
            write!(f, " rate={rate}")?;
        }
        write!(f, " durability={}", self.durability)
    }
}

impl Workload {
    /// On one queue, as fast as it is answered, synced.
    pub(crate) const fn plain(
        kind: Kind,
        batch: u32,
        bytes: usize,
        connections: usize,
        window: usize,
    ) -> Workload {
        let (queues, durability, rate) = (1, Durability::Sync, None);
        Workload { kind, batch, bytes, connections, window, queues, durability, rate }
    }

    /// What its queue with this number, from 0, is called.
    pub(crate) fn queue_name(&self, number: usize) -> String {
        let durability = match self.durability {
            Durability::Sync => "",
            Durability::Written => "-written",
        };
        match self.queues {
            1 => format!("{QUEUE}{durability}"),
            _ => format!("{QUEUE}{durability}-{number}"),
        }
    }

    /// What a workload of subscriptions is told beside: the same messages, asked for.
    pub(crate) fn asked_for(&self) -> Option<Workload> {
        let Kind::Subscribe { messages } = self.kind else { return None };
        Some(Workload { kind: Kind::Drain { messages }, window: 1, ..*self })
    }

    /// One sender that waits for each answer: its latency is told beside a sync and a ping.
    pub(crate) fn is_lone_sender(&self) -> bool {
        self.kind == Kind::Send && (self.batch, self.connections, self.window) == (1, 1, 1)
    }
}

/// Every workload of the table, in the order they run.
pub(crate) fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    for bytes in [1024, 100] {
        for (connections, window) in [(1, 1), (16, 1), (64, 1), (16, 16)] {
            for batch in [1, 10, 64] {
                all.push(Workload::plain(Kind::Send, batch, bytes, connections, window));
            }
        }
    }
    for (batch, messages) in [(10, 100_000), (64, 200_000)] {
        all.push(Workload::plain(Kind::Drain { messages }, batch, 1024, 16, 1));
        all.push(Workload::plain(Kind::Subscribe { messages }, batch, 1024, 16, 16));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_everything_and_no_two_are_the_same() {
        let names: Vec<String> = all().iter().map(Workload::to_string).collect();
        let expected = "send/batch=10 bytes=1024 connections=16 window=1 durability=sync";
        assert!(names.iter().any(|name| name == expected), "{names:?}");
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        let other = Workload {
            queues: 1000,
            rate: Some(500),
            durability: Durability::Written,
            ..Workload::plain(Kind::Both, 64, 1024, 16, 2)
        };
        assert_eq!(
            other.to_string(),
            "both/batch=64 bytes=1024 connections=16 window=2 queues=1000 rate=500 \
             durability=written"
        );
    }
}
