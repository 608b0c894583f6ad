//! The workloads: what is done, by how many, in what portions. Each is defined here and nowhere
//! else, and its name says all of it.

use std::fmt;

/// What one run does. Displayed, it is the name that reports and filters use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// What is done.
    pub kind: Kind,
    /// Messages in a request.
    pub batch: u32,
    /// Bytes of a message's body.
    pub bytes: usize,
    /// Connections.
    pub connections: usize,
    /// Requests that a connection has unanswered at most.
    pub window: usize,
}

/// What a workload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sends messages.
    Send,
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

impl Kind {
    /// How many messages wait in the queue at the beginning.
    pub fn waiting(self) -> u32 {
        match self {
            Kind::Send => 0,
            Kind::Drain { messages } | Kind::Subscribe { messages } => messages,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Send => "send",
            Kind::Drain { .. } => "receive+ack",
            Kind::Subscribe { .. } => "subscribe+ack",
        };
        let Self { batch, bytes, connections, window, .. } = self;
        write!(f, "{kind}/batch={batch} bytes={bytes} connections={connections} window={window}")?;
        if self.kind != Kind::Send {
            write!(f, " messages={}", self.kind.waiting())?;
        }
        f.write_str(" durability=sync")
    }
}

impl Workload {
    /// What a workload of subscriptions is told beside: the same messages, asked for.
    pub fn asked_for(&self) -> Option<Workload> {
        let Kind::Subscribe { messages } = self.kind else { return None };
        Some(Workload { kind: Kind::Drain { messages }, window: 1, ..*self })
    }

    /// One sender that waits for each answer: its latency is told beside a sync and a ping.
    pub fn is_lone_sender(&self) -> bool {
        self.kind == Kind::Send && (self.batch, self.connections, self.window) == (1, 1, 1)
    }
}

/// Every workload, in the order they run.
pub fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    for bytes in [1024, 100] {
        for (connections, window) in [(1, 1), (16, 1), (64, 1), (16, 16)] {
            for batch in [1, 10, 64] {
                all.push(Workload { kind: Kind::Send, batch, bytes, connections, window });
            }
        }
    }
    for (batch, messages) in [(10, 100_000), (64, 200_000)] {
        let kind = Kind::Drain { messages };
        all.push(Workload { kind, batch, bytes: 1024, connections: 16, window: 1 });
        let kind = Kind::Subscribe { messages };
        all.push(Workload { kind, batch, bytes: 1024, connections: 16, window: 16 });
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
    }
}
