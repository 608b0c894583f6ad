//! What a store holds, as it shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Formatter};

use bytes::Bytes;
use forebay_engine::attributes::Attributes;
use forebay_engine::command::{Command, MessageState, PeekFilter, Reply};
use forebay_engine::ids::Seq;
use forebay_engine::{DeadLetter, LogTime, Store};

use super::answers::{Answers, Slot, ask};
use super::check::{Check, holds};

/// One message as a store shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// Where it is in its life.
    pub state: MessageState,
    /// Until when a delayed message is.
    pub delayed_until: Option<LogTime>,
    /// How often it was received.
    pub receive_count: u32,
    /// Why it was given back.
    pub reason: Option<String>,
    /// What is told of a dead letter.
    pub letter: Option<DeadLetter>,
    /// Attributes and body.
    pub body: Bytes,
}

impl Debug for Shown {
    /// In a line: a body is long, and its last bytes are what it is made of.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { state, delayed_until, receive_count, reason, letter, body } = self;
        write!(f, "{state:?}, received {receive_count} times, {} bytes", body.len())?;
        body.last().map_or(Ok(()), |last| write!(f, " that end with {last}"))?;
        delayed_until.map_or(Ok(()), |until| write!(f, ", delayed until {until:?}"))?;
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ", given back: {reason:?}"))?;
        letter.as_ref().map_or(Ok(()), |letter| write!(f, ", {letter:?}"))
    }
}

/// What a queue holds as a store shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownQueue {
    /// Its number.
    pub id: u32,
    /// What it was set to be.
    pub attributes: Attributes,
    /// The number that its next message gets.
    pub next_seq: u64,
    /// Its messages, by their numbers.
    pub messages: BTreeMap<u64, Shown>,
}

/// Asks for so many messages of a queue, from that one on.
pub fn peek(queue: &str, from: Seq, max: u32) -> Command {
    let (queue, filter) = (queue.to_owned(), PeekFilter::default());
    Command::Peek { queue, from, max, bytes_max: u64::MAX, filter }
}

/// Everything that a store holds, bodies read and checked, and its counts compared with it.
pub fn show(store: &mut Store<Slot>, answers: &mut Answers) -> BTreeMap<String, ShownQueue> {
    let list = Command::ListQueues { prefix: String::new(), after: String::new(), max: 1000 };
    let Ok(Reply::Listed { queues, more: false }) = ask(store, answers, list) else {
        panic!("queues are listed");
    };
    let mut shown = BTreeMap::new();
    for info in queues {
        let mut messages = BTreeMap::new();
        let mut from = Some(Seq(1));
        while let Some(seq) = from {
            let page = ask(store, answers, peek(&info.name, seq, 7));
            let Ok(Reply::Peeked { messages: peeked, next, .. }) = page else {
                panic!("messages are peeked");
            };
            for message in peeked {
                let stored = store.read(&message.location).expect("a peeked message is read");
                let (state, receive_count) = (message.state, message.receive_count);
                let is_delayed = state == MessageState::Delayed;
                let delayed_until = stored.visible_from.filter(|_| is_delayed);
                let (body, reason) = (stored.payload, message.reason.map(|r| r.to_string()));
                let letter = stored.dead_letter;
                let shown = Shown { state, delayed_until, receive_count, reason, letter, body };
                messages.insert(message.seq.0, shown);
            }
            from = next;
        }
        let of = |wanted: fn(&MessageState) -> bool| {
            messages.values().filter(|message: &&Shown| wanted(&message.state)).count() as u64
        };
        let counted = (info.counts.waiting, info.counts.in_flight, info.counts.delayed);
        let found = (
            of(|state| matches!(state, MessageState::Waiting)),
            of(|state| matches!(state, MessageState::InFlight { .. })),
            of(|state| matches!(state, MessageState::Delayed)),
        );
        holds(Check::Conservation, counted == found, || {
            format!("{} counts {counted:?} waiting, in flight, delayed: found {found:?}", info.name)
        });
        let queue = ShownQueue {
            id: info.id.0,
            attributes: (*info.attributes).clone(),
            next_seq: info.next_seq.0,
            messages,
        };
        shown.insert(info.name, queue);
    }
    shown
}

/// In what a store's contents differ from what was expected of them.
pub fn differences(
    found: &BTreeMap<String, ShownQueue>,
    expected: &BTreeMap<String, ShownQueue>,
) -> Vec<String> {
    let mut differences = Vec::new();
    let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    for name in names {
        let (Some(found), Some(expected)) = (found.get(name), expected.get(name)) else {
            let is_found = found.contains_key(name);
            let there = if is_found { "is there and should not be" } else { "is missing" };
            differences.push(format!("{name} {there}"));
            continue;
        };
        let mut differ = |of: String, found: &dyn Debug, expected: &dyn Debug| {
            differences.push(format!("{name} {of}: {found:?}, expected {expected:?}"));
        };
        if found.id != expected.id {
            differ("number".to_owned(), &found.id, &expected.id);
        }
        if found.attributes != expected.attributes {
            differ("attributes".to_owned(), &found.attributes, &expected.attributes);
        }
        if found.next_seq != expected.next_seq {
            differ("next number".to_owned(), &found.next_seq, &expected.next_seq);
        }
        let seqs: BTreeSet<&u64> = found.messages.keys().chain(expected.messages.keys()).collect();
        for seq in seqs {
            let (found, expected) = (found.messages.get(seq), expected.messages.get(seq));
            if found != expected {
                differ(format!("message {seq}"), &found, &expected);
            }
        }
    }
    differences
}
