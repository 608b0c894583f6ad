//! The core: the state machine that decides. No I/O, no clock, no threads.
//!
//! Commands and the time go in; records, answers and entries to be written come out. One thread
//! owns it. Every decision is *decide, append, apply*: a record is appended to the pending entry
//! and at once applied to the state, by the same function that recovery uses.
//!
//! Invariants. An answer that reports a change leaves when the entry with the change is durable,
//! never earlier. A message is seen by nobody before it is durable. One entry at a time is with
//! the writer; the next one fills meanwhile.

mod attempts;
mod dead_letters;
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
use crate::error::{LogFailure, RequestError};
use crate::ids::{Epoch, Group, Position, QueueId, Seq};
use crate::index::{Index, Indexed};
use crate::log::{ClosedEntry, NextSegment, Place, Tail};
use crate::options::Options;
use crate::receipt::ReceiptKey;
use crate::record::{Record, RecordWriter, SENT_OVERHEAD_BYTES, Sent};
use crate::state::State;
use crate::stats::{MemoryStats, Stats};
use crate::time::LogTime;
use crate::upkeep::Task;
use attempts::Attempts;
use expiry::Expiries;
pub(crate) use moves::{Moving, MovingRead};
use receives::Asked;
use slots::Stored;
pub(crate) use slots::{sent_at, sent_slots, slot_ms};
use waiters::{Demand, Until, Waiter, Waiters};

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

/// The entry that the writer has.
#[derive(Debug)]
struct Writing<R> {
    position: Position,
    answers: Vec<Answer<R>>,
    /// Those that leave as soon as it is written.
    written_answers: Vec<Answer<R>>,
    /// For each queue that was sent to, the end of its messages.
    sent: Vec<(QueueId, Seq)>,
    is_watermark: bool,
    /// What the keeper is to do when it is durable.
    tasks: Vec<Task>,
}

/// Whether a command can be handled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes; if the disk is full it may be refused.
    Now,
    /// When the writer has taken the pending entry, or the next segment is prepared.
    Later,
}

/// How a command was decided.
enum Decided {
    /// Answered at once: nothing changed that the answer tells of.
    Now(Reply),
    /// Answered when everything decided so far is durable.
    WhenDurable(Reply),
    /// Answered when everything decided so far is written: not lost when the process is killed.
    WhenWritten(Reply),
    /// Refused for what may still be on its way to the disk: told when that is durable.
    RefusedWhenDurable(RequestError),
    /// Waits for a message.
    Waits(QueueId, Demand, Option<Arc<str>>, Until),
}

/// Some purges and deletions of queues.
const LAST_BYTES: u64 = 1024;

type Decision = Result<Decided, RequestError>;

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
        counters.is_refusing.set(u64::from(is_refusing));
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

    /// Whether the command can be handled now. Asked before [`Core::handle`].
    pub(crate) fn room_for(&self, command: &Command) -> Room {
        // One that needs more is refused, or given less.
        let bytes = room::record_bytes(command).min(self.options.command_bytes_max());
        self.room(bytes, self.reserve(command))
    }

    /// What a command must leave of the active segment as long as no further one is prepared, so
    /// that a full disk can be drained: sends leave a quarter for receives and deletes, receives leave
    /// some for deletes, and those leave the last bytes for purges and deletions of queues.
    fn reserve(&self, command: &Command) -> u64 {
        match command {
            Command::Send { .. } | Command::CreateQueue { .. } | Command::StartRedrive { .. } => {
                self.tail.capacity / 4
            }
            Command::Transact { sends, .. } if !sends.is_empty() => self.tail.capacity / 4,
            Command::Receive { .. }
            | Command::ChangeVisibility { .. }
            | Command::ChangeVisibilityOfMessage { .. }
            | Command::ReturnUndelivered { .. }
            | Command::Nack { .. } => self.deletes_bytes(),
            Command::PurgeQueue { .. } | Command::DeleteQueue { .. } => 0,
            _ => LAST_BYTES,
        }
    }

    /// What leases leave for deletes on a full disk, which give space back: leases alone would use everything up.
    fn deletes_bytes(&self) -> u64 {
        match self.tail.next {
            NextSegment::Full { .. } => self.options.standby_bytes().min(self.tail.capacity) / 2,
            _ => LAST_BYTES,
        }
    }

    fn room(&self, bytes: u64, reserve: u64) -> Room {
        let pending = self.pending.body_bytes() as u64;
        if pending > 0 && pending + bytes > 2 * self.options.group_bytes_max() {
            return Room::Later;
        }
        let preparing = matches!(self.tail.next, NextSegment::Preparing);
        let fits = self.tail.has_room(pending + bytes + reserve);
        if preparing && !fits { Room::Later } else { Room::Now }
    }

    /// Whether records of so many bytes can be written now, and leave the reserve.
    fn has_room_now(&self, bytes: u64, reserve: u64) -> bool {
        self.room(bytes, reserve) == Room::Now && self.check_room(bytes, reserve).is_ok()
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

    fn decide(&mut self, command: Command, now: LogTime) -> Decision {
        match command {
            Command::CreateQueue { name, attributes } => self.create_queue(name, &attributes, now),
            Command::AlterQueue { name, attributes } => self.alter_queue(&name, &attributes, now),
            Command::DescribeQueue { name } => self.describe_queue(&name, now),
            Command::ListQueues { prefix, after, max } => {
                self.list_queues(&prefix, &after, max, now)
            }
            Command::TagQueue { name, tags } => self.tag_queue(&name, tags, now),
            Command::UntagQueue { name, keys } => self.untag_queue(&name, &keys, now),
            Command::ListDeadLetterSources { name, after, max } => {
                self.list_dead_letter_sources(&name, &after, max)
            }
            Command::PurgeQueue { name } => self.purge_queue(&name, now),
            Command::DeleteQueue { name } => self.delete_queue(&name),
            Command::Send { queue, messages, batch: None } => self.send(&queue, &messages, now),
            Command::Send { queue, messages, batch: Some(batch) } => {
                self.send_once(&queue, &messages, batch, now)
            }
            Command::Receive { queue, max, wait_ms, visibility_ms, bytes_max, attempt } => {
                let attempt = attempt.map(Arc::from);
                let asked = Asked { max, wait_ms, visibility_ms, bytes_max, attempt };
                self.receive(&queue, asked, now)
            }
            Command::Await { queue, wait, max, visibility_ms, bytes_max } => {
                let demand = Demand { messages_max: max, bytes_max, visibility_ms };
                self.await_messages(queue, wait, demand)
            }
            Command::EndWait { wait } => self.end_wait(wait),
            Command::Ack { queue, receipts } => self.ack(&queue, &receipts, now),
            Command::ChangeVisibility { queue, changes } => {
                self.change_visibility(&queue, &changes, now)
            }
            Command::ChangeVisibilityOfMessage { queue, mut changes } => {
                changes.iter_mut().for_each(|(receipt, _)| self.renew_receipt(receipt));
                self.change_visibility(&queue, &changes, now)
            }
            Command::Nack { queue, receipts, delay_ms, is_counted, reason } => {
                self.nack(&queue, &receipts, delay_ms, is_counted, &reason, now)
            }
            Command::ReturnUndelivered { queue, receipts } => {
                self.return_undelivered(&queue, &receipts, now)
            }
            Command::Transact { acks, sends } => self.transact(&acks, &sends, now),
            Command::SetAside { queue, seq } => self.set_aside(queue, seq, now),
            Command::Peek { queue, from, max, bytes_max, filter } => {
                self.peek(&queue, from, max, bytes_max, filter, now)
            }
            Command::Explain { queue, seq } => self.explain(&queue, seq, now),
            Command::StartRedrive { queue, destination, rate } => {
                self.start_redrive(&queue, &destination, rate, now)
            }
            Command::ListRedrives { queue } => self.list_redrives(&queue),
            Command::CancelRedrive { redrive } => self.cancel_redrive(redrive, now),
            Command::Stats => {
                self.expire_everywhere(now);
                Ok(Decided::Now(Reply::Stats(Box::new(self.stats()))))
            }
        }
    }

    /// Appends what `write` writes to the pending entry and applies it.
    fn record(&mut self, write: impl FnOnce(&mut RecordWriter<'_>)) {
        let range = self.pending.append(write);
        let start = range.start;
        for (record, at, bytes) in records(&self.pending.body()[range]) {
            self.state.apply(&record);
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

    /// Refuses a change for which there is no space left in the log beside `reserve`.
    fn check_room(&self, bytes: u64, reserve: u64) -> Result<(), RequestError> {
        let needed = self.pending.body_bytes() as u64 + bytes + reserve;
        match &self.tail.next {
            NextSegment::Full { detail, .. } if !self.tail.has_room(needed) => {
                Err(RequestError::StorageFull { detail: detail.clone() })
            }
            _ => Ok(()),
        }
    }

    /// A change is answered when it is durable; so is one that was found made already, because
    /// what made it may still be on its way to the disk.
    fn answer_when_durable(&mut self, reply_to: R, result: Result<Reply, RequestError>) {
        let answer = (reply_to, result);
        if !self.pending.is_empty() {
            self.pending_answers.push(answer);
        } else if let Some(writing) = &mut self.writing {
            writing.answers.push(answer);
        } else {
            self.answers.push(answer);
        }
    }

    fn answer_when_written(&mut self, reply_to: R, reply: Reply) {
        match self.pending.is_empty() {
            false => self.pending_written.push((reply_to, Ok(reply))),
            // Copies of messages that are on their way: as safe as they are.
            true => self.answer_when_durable(reply_to, Ok(reply)),
        }
    }

    /// Memory that was an entry's, for another one.
    pub(crate) fn reuse(&mut self, memory: Option<BytesMut>) {
        self.spare = memory.or(self.spare.take());
    }

    /// The writer has written the entry, which is not synced yet.
    pub(crate) fn written(&mut self) {
        if let Some(writing) = &mut self.writing {
            self.answers.append(&mut writing.written_answers);
        }
    }

    /// How many answers may leave now.
    pub(crate) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// The answers that may leave now.
    pub(crate) fn take_answers(&mut self) -> Vec<Answer<R>> {
        std::mem::take(&mut self.answers)
    }

    /// The next entry for the writer: what is pending, or a watermark that is due. `None` while
    /// the writer has one, or when there is nothing to write.
    pub(crate) fn close_entry(&mut self, now: LogTime) -> Option<ClosedEntry> {
        if self.writing.is_some() {
            return None;
        }
        let is_watermark = self.pending.is_empty();
        let due = self.watermark_due.is_some_and(|due| due <= now);
        if is_watermark && !(due && self.tail.has_room(0)) {
            return None;
        }
        self.watermark_due = None;
        let end = self.tail.offset;
        let place = self.tail.place(self.pending.body_bytes() as u64, now);
        let sealed = place.roll.is_some().then(|| self.seal_index(end)).flatten();
        let sent = self.index_sent(&place, now);
        // The next one begins here, unless it begins a segment.
        let next = EntryBuilder::after(&self.pending, self.spare.take(), self.tail.offset);
        let records = std::mem::replace(&mut self.pending, next);
        let answers = std::mem::take(&mut self.pending_answers);
        let written_answers = std::mem::take(&mut self.pending_written);
        let position = place.position;
        let tasks = sealed.into_iter().chain(self.freeze_at_end(position, now)).collect();
        let tells_written = !written_answers.is_empty();
        self.writing =
            Some(Writing { position, answers, written_answers, sent, is_watermark, tasks });
        self.serve_postponed(now);
        Some(ClosedEntry { place, log_time: now, records, tells_written })
    }

    /// Puts the messages of the pending entry into the index, and says for each queue where its
    /// messages end.
    fn index_sent(&mut self, place: &Place, now: LogTime) -> Vec<(QueueId, Seq)> {
        let mut ends: Vec<(QueueId, Seq)> = Vec::new();
        let mut control_bytes = self.pending.body_bytes();
        let times = (now, place.segment.created);
        let mut sent_bytes = 0;
        let place_of = |stored: &Stored| stored.indexed(place.offset, times);
        debug_assert!(
            sent_slots(place.offset, times, self.pending.body())
                .eq(self.stored.iter().map(place_of)),
            "what was noted is what the entry has"
        );
        for message in self.stored.drain(..).map(|stored| place_of(&stored)) {
            let Indexed { queue, seq, slot, .. } = message;
            // A queue created and deleted within the entry has no index.
            if !self.state.contains(queue) {
                continue;
            }
            control_bytes -= slot.bytes as usize;
            self.index.add(message);
            sent_bytes += u64::from(slot.bytes) - SENT_OVERHEAD_BYTES as u64;
            match ends.last_mut() {
                Some((last, end)) if *last == queue => *end = seq.next(),
                _ => ends.push((queue, seq.next())),
            }
        }
        self.counters.sent_bytes.add(sent_bytes);
        self.index.add_control(control_bytes as u64);
        ends
    }

    /// The writer has made the entry at `position` durable: its answers leave, its messages are
    /// visible.
    pub(crate) fn durable(&mut self, position: Position, now: LogTime) {
        #[cfg(feature = "broken")]
        for (queue, seq) in crate::broken::take_owed() {
            self.record(|out| out.acked(queue, &[seq]));
        }
        let mut writing = self.writing.take().expect("the writer had an entry");
        assert_eq!(writing.position, position, "the writer writes what it was given");
        self.hand_over(&mut writing, now);
        self.answers.extend(writing.written_answers);
        self.answers.extend(writing.answers);
        if !writing.is_watermark {
            self.watermark_due = Some(now.plus_ms(self.options.watermark_ms));
        }
        for (queue, end) in &writing.sent {
            if let Some(queue) = self.state.by_id(*queue) {
                queue.messages.set_durable_end(*end);
            }
        }
        for (queue, _) in writing.sent {
            self.serve(queue, now);
        }
        self.redrives.wake(now);
    }

    /// The segment after the active one is prepared, or could not be.
    pub(crate) fn set_next_segment(&mut self, mut next: NextSegment, now: LogTime) {
        if let NextSegment::Full { standby, .. } = &mut next {
            // The log may have rolled to it meanwhile.
            standby.take_if(|standby| standby.is(&self.tail.segment));
            // What is pending counts on the one that there was.
            if let NextSegment::Full { standby: before, .. } = &mut self.tail.next
                && standby.is_none()
            {
                *standby = before.take();
            }
        }
        let is_refusing = matches!(next, NextSegment::Full { .. });
        self.counters.is_refusing.set(u64::from(is_refusing));
        self.tail.next = next;
        self.serve_postponed(now);
    }

    fn serve_postponed(&mut self, now: LogTime) {
        self.move_on(now);
        self.redrives.wake(now);
        for queue in std::mem::take(&mut self.postponed) {
            self.serve(queue, now);
        }
    }

    /// What the tail says of the next segment.
    pub(crate) fn next_segment(&self) -> &NextSegment {
        &self.tail.next
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

    /// The log failed: nobody knows what of the unanswered took effect.
    pub(crate) fn fail(&mut self, failure: &LogFailure) {
        let mut unknown = std::mem::take(&mut self.pending_answers);
        unknown.append(&mut self.pending_written);
        if let Some(writing) = self.writing.take() {
            unknown.extend(writing.answers.into_iter().chain(writing.written_answers));
        }
        let cause = failure.cause.to_string();
        for (reply_to, _) in unknown {
            let error = RequestError::StorageFailed { cause: cause.clone() };
            self.answers.push((reply_to, Err(error)));
        }
        for (_, waiter) in self.waiters.take_all() {
            let error = RequestError::StorageFailed { cause: cause.clone() };
            self.answers.push((waiter.reply_to, Err(error)));
        }
    }

    /// Ends all waits: the store is being closed.
    pub(crate) fn end_waits(&mut self) {
        for (queue, waiter) in self.waiters.take_all() {
            let reply = Reply::Received { queue, deliveries: Vec::new() };
            self.answers.push((waiter.reply_to, Ok(reply)));
        }
    }

    /// Makes the watermark due now, if the newest entry still waits for one; true if so.
    pub(crate) fn hasten_watermark(&mut self, now: LogTime) -> bool {
        let wanted = self.watermark_due.is_some() && self.tail.has_room(0);
        if wanted {
            self.watermark_due = Some(now);
        }
        wanted
    }

    /// Whether everything that was decided is durable.
    pub(crate) fn is_committed(&self) -> bool {
        self.writing.is_none() && self.pending.is_empty()
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
