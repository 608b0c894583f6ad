//! The core: the state machine that decides. No I/O, no clock, no threads.
//!
//! Commands and the time go in; records, answers and entries to be written come out. One thread
//! owns it. Every decision is *decide, append, apply*: a record is appended to the pending entry
//! and at once applied to the state, by the same function that recovery uses.
//!
//! Invariants. An answer that reports a change leaves when the entry with the change is durable,
//! never earlier. A message is seen by nobody before it is durable. One entry at a time is with
//! the writer; the next one fills meanwhile.

mod answers;
mod attempts;
mod closing;
mod dead_letters;
mod decide;
mod expiry;
mod explain;
mod found;
mod leases;
mod moves;
mod nack;
mod peek;
mod queue_delay;
mod queues;
mod receives;
mod redrives;
mod room;
mod runs;
mod sends;
mod slots;
mod transact;
mod upkeep;
mod waiters;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::BytesMut;

use crate::broken::{Mistake, makes};
use crate::command::{Command, Reply, ReplyTo};
use crate::counters::Counters;
use crate::entry::{EntryBuilder, records};
use crate::error::RequestError;
use crate::ids::{Epoch, Group, QueueId};
use crate::index::Index;
use crate::log::{NextSegment, Tail};
use crate::options::Options;
use crate::receipt::ReceiptKey;
use crate::record::{Record, RecordWriter, Sent};
use crate::state::State;
use crate::stats::{MemoryStats, Stats};
use crate::time::LogTime;
use crate::upkeep::Task;
use attempts::Attempts;
use closing::Writing;
use decide::{Decided, Decision};
use expiry::Expiries;
pub(crate) use moves::{Moving, MovingRead};
use room::LAST_BYTES;
pub(crate) use room::Room;
use slots::Stored;
pub(crate) use slots::{sent_at, sent_slots, slot_ms};
use waiters::{Waiter, Waiters};

/// An answer and where it goes.
pub(crate) type Answer<R> = (R, Result<Reply, RequestError>);

/// What the log holds, as replay found it.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) state: State,
    pub(crate) index: Index,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Core<R> {
    state: State,
    index: Index,
    tail: Tail,
    receipts: ReceiptKey,
    options: Options,
    epoch: Epoch,
    /// Leases given in this epoch.
    leases: u64,
    pending: EntryBuilder,
    /// The messages in it.
    stored: Vec<Stored>,
    /// Memory for the next one.
    spare: Option<BytesMut>,
    pending_answers: Vec<Answer<R>>,
    /// Those that leave as soon as the entry is written.
    pending_written: Vec<Answer<R>>,
    writing: Option<Writing<R>>,
    waiters: Waiters<R>,
    attempts: Attempts,
    answers: Vec<Answer<R>>,
    /// Queues whose waiters could not be served for want of room in the log.
    postponed: BTreeSet<QueueId>,
    /// When a watermark is due, unless another entry comes first.
    watermark_due: Option<LogTime>,
    /// The keeper wants the queues behind this one.
    freeze_request: Option<QueueId>,
    /// What the keeper is to do.
    tasks: Vec<Task>,
    counters: Arc<Counters>,
    /// When messages expire.
    expiry: Expiries,
    /// What the command that is handled takes in the log at the most, unless it sends.
    command_bytes: u64,
    /// Messages on their way to other queues.
    moves: moves::Moves,
    redrives: runs::Runs,
}

impl<R: ReplyTo> Core<R> {
    pub(crate) fn new(
        recovered: Recovered,
        tail: Tail,
        receipts: ReceiptKey,
        epoch: Epoch,
        options: Options,
        counters: Arc<Counters>,
    ) -> Self {
        let Recovered { mut state, mut index } = recovered;
        state.all_durable();
        let before = index.begin_segment(tail.segment.clone());
        assert!(before.is_none(), "a recovered segment is sealed");
        let expiry = Expiries::of(&state);
        let is_refusing = matches!(tail.next, NextSegment::Full { .. });
        counters.signals.is_refusing.set(is_refusing);
        let mut core = Self {
            state,
            index,
            tail,
            receipts,
            options,
            epoch,
            leases: 0,
            pending: EntryBuilder::new(),
            stored: Vec::new(),
            spare: None,
            pending_answers: Vec::new(),
            pending_written: Vec::new(),
            writing: None,
            waiters: Waiters::default(),
            attempts: Attempts::default(),
            answers: Vec::new(),
            postponed: BTreeSet::new(),
            watermark_due: None,
            freeze_request: None,
            tasks: Vec::new(),
            counters,
            expiry,
            command_bytes: 0,
            moves: moves::Moves::default(),
            redrives: runs::Runs::default(),
        };
        for redrive in core.state.running_redrives() {
            core.redrives.add(redrive, LogTime::default());
        }
        core.record(|out| out.opened(epoch));
        core
    }

    /// Decides a command. Its answer is among [`Core::take_answers`] now or later.
    pub(crate) fn handle(&mut self, command: Command, reply_to: R, now: LogTime) {
        // What a send needs is there; nothing expires in its course.
        self.command_bytes = match command {
            Command::Send { .. } => 0,
            _ => room::record_bytes(&command),
        };
        let decision = self.decide(command, now);
        self.command_bytes = 0;
        self.pending.seal_ahead(self.tail.segment.salt, self.tail.position);
        match decision {
            Ok(Decided::Now(reply)) => self.answers.push((reply_to, Ok(reply))),
            Ok(Decided::WhenDurable(reply)) if makes(Mistake::AnsweredBeforeWritten) => {
                self.answers.push((reply_to, Ok(reply)));
            }
            Ok(Decided::WhenDurable(reply)) => self.answer_when_durable(reply_to, Ok(reply)),
            Ok(Decided::WhenWritten(reply)) => self.answer_when_written(reply_to, reply),
            Ok(Decided::RefusedWhenDurable(error)) => {
                self.answer_when_durable(reply_to, Err(error));
            }
            // Who is gone does not stand in line.
            Ok(Decided::Waits(..)) if reply_to.is_gone() => {}
            Ok(Decided::Waits(queue, demand, attempt, until)) => {
                self.wait(queue, Waiter { reply_to, demand, attempt, until }, now);
            }
            Err(error) => self.answers.push((reply_to, Err(error))),
        }
    }

    /// Appends what `write` writes to the pending entry and applies it.
    fn record(&mut self, write: impl FnOnce(&mut RecordWriter<'_>)) {
        let range = self.pending.append(write);
        let start = range.start;
        for (record, at, bytes) in records(&self.pending.body()[range]) {
            let group_of = |queue, seq| {
                let found = self.index.group(queue, seq).ok().flatten();
                found.map(|(group, _)| group)
            };
            self.state.apply_with_groups(&record, group_of);
            self.stored.extend(Stored::of(&record, start + at, bytes));
        }
    }

    /// Appends a message of this group and applies it. It is not read again for that: right behind its write this
    /// would wait for the bytes, and cost more than all the rest.
    fn record_sent(&mut self, sent: &Sent<'_>, group: Group) {
        let (record, range) = (Record::Sent(*sent), self.pending.append(|out| out.sent(sent)));
        let (at, bytes) = (range.start, range.len());
        debug_assert!(
            records(&self.pending.body()[range]).map(|(read, ..)| read).eq([record]),
            "what is applied is what was written"
        );
        self.state.apply(&record);
        self.stored.push(Stored::sent(sent, group, at, bytes));
    }

    /// Does what time demands: serves waiters whose messages became visible, ends waits.
    pub(crate) fn tick(&mut self, now: LogTime) {
        while let Some(queue) = self.waiters.take_due(now) {
            self.serve(queue, now);
            while let Some(waiter) = self.waiters.take_expired(queue, now) {
                let reply = Reply::Received { queue, deliveries: Vec::new() };
                self.answers.push((waiter.reply_to, Ok(reply)));
            }
            self.set_alarm(queue, now);
        }
        self.tick_expiry(now);
        self.tick_moves(now);
    }

    /// When [`Core::tick`] or [`Core::close_entry`] has something to do, if nothing else happens.
    pub(crate) fn next_alarm(&self) -> Option<LogTime> {
        // One that has no room waits for the next segment, not for the clock.
        let may_write = self.writing.is_none() && self.tail.has_room(0);
        let watermark = self.watermark_due.filter(|_| may_write);
        let (waiter, expiry) = (self.waiters.next_alarm(), self.expiry.next_alarm());
        let alarms = [waiter, watermark, expiry, self.next_move()];
        alarms.into_iter().flatten().min()
    }

    fn stats(&self) -> Stats {
        let (queues, messages) = self.state.totals();
        let (state, index) = (self.state.memory(), self.index.memory());
        Stats {
            queues: queues as u64,
            messages,
            held_messages: state.held_messages,
            expired_messages: self.counters.expired_messages.get(),
            memory: MemoryStats {
                held_bytes: state.held_bytes,
                timers_bytes: state.timer_bytes,
                apart_bytes: state.apart_bytes,
                queues_bytes: state.queue_bytes,
                index_heap_bytes: index.heap_bytes,
                index_runs_bytes: index.runs_bytes,
                index_mapped_bytes: index.mapped_bytes,
                tail_cache_bytes: self.counters.tail_cache_bytes.get(),
            },
            disk: self.counters.disk(self.tail.last()),
        }
    }

    /// How many queues and messages there are.
    pub(crate) fn totals(&self) -> (usize, u64) {
        self.state.totals()
    }
}
