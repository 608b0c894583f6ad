//! Explain tells why a receive gets nothing, or where a message is: facts, from one table.
//!
//! A fact is a kind and its numbers; whoever shows it finds the words. A kind from a newer server
//! decodes as [`Fact::Other`].

use bytes::BytesMut;

use crate::wire::{Input, TooLong, Unreadable, Wire, encode_fields};

layout! {
    /// Asks about a queue, or about a message of it. Errors: `UnknownQueue`.
    pub struct Explain {
        /// The queue's name.
        pub queue: String,
        /// The message's seq; 0 asks about the queue.
        pub seq: u64,
    }
}

layout! {
    /// The answer to [`Explain`].
    pub struct Explained {
        /// The queue's id: a message of another one is not this queue's.
        pub queue_id: u32,
        /// When all of it was so, in milliseconds since 1970 UTC.
        pub now_ms: u64,
        /// What is so.
        pub facts: Vec<Fact>,
    }
}

macro_rules! facts {
    ($($code:literal $name:ident { $($field:ident: $type:ty),* } $sentence:literal;)*) => {
        /// Something that is so at one moment.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the fields are those that the sentence speaks of")]
        pub enum Fact {
            $( #[doc = $sentence] $name { $($field: $type),* }, )*
            /// A kind that this version does not know.
            Other { kind: u8 },
        }

        impl Fact {
            /// The table's rows: number, name, fields with their types, and what it means.
            pub const TABLE: &'static [(u8, &'static str, &'static str, &'static str)] = &[$( (
                $code,
                stringify!($name),
                stringify!($($field: $type),*),
                $sentence,
            ), )*];
        }

        impl Wire for Fact {
            const BYTES_MIN: usize = 3;

            fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
                encode_fields(out, |out| match self {
                    $( Fact::$name { $($field),* } => {
                        let kind: u8 = $code;
                        kind.encode(out)?;
                        $( $field.encode(out)?; )*
                        Ok(())
                    } )*
                    Fact::Other { kind } => kind.encode(out),
                })
            }

            fn decode(input: &mut Input<'_>) -> Result<Self, Unreadable> {
                let mut fields = input.fields()?;
                Ok(match fields.field("kind")? {
                    $( $code => Fact::$name { $($field: fields.field(stringify!($field))?),* }, )*
                    kind => Fact::Other { kind },
                })
            }
        }
    };
}

facts! {
    1  Empty {} "The queue has no messages.";
    2  Waiting { messages: u64, next_seq: u64 } "So many messages wait; a receive would get that one first, or none of them if it is 0.";
    3  Delayed { messages: u64, first_due_ms: u64 } "So many messages are delayed, the first of them at least until then.";
    4  InFlight { messages: u64, first_ends_ms: u64 } "So many messages are leased, or given back with a delay, the first of them until then.";
    5  Damaged { messages: u64 } "So many messages are set aside, for their stored bytes failed their checksum.";
    6  InFlightLimit { max: u64 } "As many messages are in flight as the queue's in_flight_max allows.";
    7  GroupsLocked { groups: u64, locked: u64, blocker_seq: u64 } "So many of the known groups wait for a message in flight or being moved, that one for example.";
    8  GroupsNoisy { groups: u64 } "So many groups are noisy: their messages come after those of others.";
    9  QueueDelay { ms: u64 } "The queue delays each message for so long.";
    10 ReceivesWait { receives: u64 } "So many receives wait for a message, and come first.";
    11 IndexDamaged { seq: u64 } "The next message is not found before the index of its segment is made anew.";
    12 StorageFull { detail: String } "The disk is full and sends are refused.";
    13 Moving { messages: u64 } "So many messages are being moved to another queue: nobody gets them.";
    14 Expired { before_seq: u64, at_ms: u64 } "Retention removed something last at that time; of the messages before that one nothing is left.";
    32 MessageWaiting { before: u64 } "The message waits, and about so many that come before it wait too; 0: it is next.";
    33 MessageDelayed {} "The message's delay has not passed; Peek tells until when it lasts.";
    34 MessageInFlight { since_ms: u64, until_ms: u64, receive_count: u32 } "The message was received then, and is held back until then.";
    35 MessageBehind { blocker_seq: u64 } "The message waits for that one of its group, which is in flight.";
    36 MessageDamaged { file: String, offset: u64 } "The message is set aside: its stored bytes, there, failed their checksum.";
    37 MessageNotDurable {} "The message is on its way to the disk.";
    38 MessageAcked {} "The message is gone: it was acked, or moved to another queue; nothing remembers which.";
    39 MessagePurged { at_ms: u64 } "The message is gone: it was purged then, or acked before.";
    40 MessageUnknown { next_seq: u64 } "No message has this seq yet; the next one gets that.";
    41 MessageExpired { at_ms: u64 } "The message is gone: its retention had passed by then, or it was acked or moved before.";
    42 MessageMoving {} "The message is being moved to another queue.";
    43 MessageBehindMoving { moving_seq: u64 } "The message waits for that one of its group, which is being moved to another queue.";
}
