//! ListRedrives tells what moves, and what has moved, the messages of a dead-letter queue.

use bytes::BytesMut;

use crate::wire::{Fault, Input, TooLong, Unreadable, Wire};

layout! {
    /// Asks for a queue's redrives. Errors: `UnknownQueue`.
    pub struct ListRedrives {
        /// The queue's name.
        pub queue: String,
    }
}

layout! {
    /// The answer to [`ListRedrives`]: the redrive that runs and the last ten that ended.
    pub struct RedrivesListed {
        /// The newest first.
        pub redrives: Vec<RedriveInfo>,
    }
}

layout! {
    /// What is known of a redrive.
    pub struct RedriveInfo {
        fields_bytes {
            /// Its number; see [`RedriveId`](crate::RedriveId).
            pub redrive: u64,
            /// Whether it runs, or how it ended.
            pub state: RedriveState,
            /// The dead-letter queue whose messages it moves.
            pub source: String,
            /// The queue that gets them; empty: each goes to the queue that it came from.
            pub destination: String,
            /// Messages a second; 0: no limit.
            pub rate: u32,
            /// How many it has moved.
            pub moved: u64,
            /// How many were in the queue when it started.
            pub to_move: u64,
            /// When it started, in milliseconds since 1970 UTC.
            pub started_ms: u64,
            /// When it ended, in milliseconds since 1970 UTC; 0 while it runs.
            pub ended_ms: u64,
            /// Why it failed; empty if it did not.
            pub reason: String,
        }
    }
}

/// Whether a redrive runs, or how it ended. On the wire a `u8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedriveState {
    /// 0: it moves messages.
    Running,
    /// 1: nothing that it could move was left.
    Completed,
    /// 2: somebody cancelled it.
    Cancelled,
    /// 3: it could not go on.
    Failed,
}

impl Wire for RedriveState {
    const BYTES_MIN: usize = 1;

    fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let state: u8 = match self {
            RedriveState::Running => 0,
            RedriveState::Completed => 1,
            RedriveState::Cancelled => 2,
            RedriveState::Failed => 3,
        };
        state.encode(out)
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        match u8::decode(input)? {
            0 => Ok(RedriveState::Running),
            1 => Ok(RedriveState::Completed),
            2 => Ok(RedriveState::Cancelled),
            3 => Ok(RedriveState::Failed),
            other => Err(Fault::Rule(format!("no redrive state has the number {other}")).into()),
        }
    }
}
