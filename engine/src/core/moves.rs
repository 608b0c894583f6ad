//! Moves of messages to other queues: what `dead_letters` and `redrives` ask for.
//!
//! A move writes the message again, and the core reads nothing. So it marks the message as moving,
//! has its bytes read elsewhere ([`Moving::read`]), and decides when they are there: everything is
//! looked at again, for meanwhile the message may have been acked, or a queue deleted. What is
//! marked is delivered to nobody, and its group waits behind it.
//!
//! Invariants. What is marked is on its way to be read, or was read and waits for room in the log.
//! Its bytes are bounded ([`LANE_BYTES_MAX`]), but for one message that is always let through. What no
//! segment holds is not moved: segments may have been larger when it was sent.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::{Core, Room};
use crate::attributes::QUEUE_NAME_BYTES_MAX;
use crate::command::ReplyTo;
use crate::error::ReadError;
use crate::ids::{Group, QueueId, RedriveId};
use crate::location::Location;
use crate::log::reader::{Reader, StoredMessage};
use crate::record::{MOVED_OVERHEAD_BYTES, MOVED_REASON_BYTES_MAX, Sent};
use crate::time::LogTime;

/// So many bytes of dead letters are on their way at once, and as many of redriven messages, ...
const LANE_BYTES_MAX: u64 = 8 << 20;

/// ... and so many messages.
const LANE_MESSAGES_MAX: u64 = 1024;

/// After a failed read nothing is moved for so long.
const REST_MS: u64 = 1_000;

/// Messages of one queue on their way to others, which are to be read.
#[derive(Debug)]
pub(crate) struct Moving {
    batch: Batch,
    messages: Vec<Chosen>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) group: Group,
    pub(super) location: Location,
    pub(super) sent: LogTime,
}

/// Whose messages they are.
#[derive(Debug, Clone, Copy)]
struct Batch {
    queue: QueueId,
    /// `None`: they are dead letters.
    redrive: Option<RedriveId>,
    messages: u64,
    bytes: u64,
}

/// The same with their bytes.
#[derive(Debug)]
pub(crate) struct MovingRead {
    batch: Batch,
    messages: VecDeque<(Chosen, Result<StoredMessage, ReadError>)>,
    is_unreadable: bool,
    is_full: bool,
    /// Groups of a FIFO queue of which one could not be read or had no space: none passes it. While a message is
    /// on its way no other batch has those behind it.
    held_up: BTreeSet<Group>,
}

/// What the core knows of moves under way.
#[derive(Debug, Default)]
pub(super) struct Moves {
    dead_letters: Lane,
    redriven: Lane,
    /// To be read.
    wanted: Vec<Moving>,
    /// Read, and waiting for room in the log.
    read: VecDeque<MovingRead>,
    /// How many batches of dead letters of each queue are under way.
    batches: HashMap<QueueId, u64>,
    /// Queues with dead letters that could not be marked yet.
    starved: BTreeSet<QueueId>,
    /// Nothing is marked before this, because something could not be read.
    pub(super) rests_until: Option<LogTime>,
    /// The store is being closed: nothing is moved any more.
    is_closed: bool,
}

/// What is under way of one kind.
#[derive(Debug, Default)]
struct Lane {
    messages: u64,
    bytes: u64,
}

impl Lane {
    fn has_room(&self, messages: u64, bytes: u64) -> bool {
        let (messages, bytes) = (self.messages + messages, self.bytes + bytes);
        messages == 0 || (messages < LANE_MESSAGES_MAX && bytes < LANE_BYTES_MAX)
    }
}

impl Moving {
    /// Reads the messages. May wait for the disk.
    pub(crate) fn read(self, reader: &Reader) -> MovingRead {
        let Moving { batch, messages } = self;
        let locations: Vec<_> = messages.iter().map(|chosen| chosen.location.clone()).collect();
        let bodies = reader.read_all(&locations);
        let messages: VecDeque<_> = messages.into_iter().zip(bodies).collect();
        for (Chosen { location, .. }, body) in &messages {
            if let Err(error) = body {
                let Location { queue, seq, .. } = location;
                tracing::error!(%queue, %seq, %error, "a message cannot be read to be moved");
            }
        }
        MovingRead {
            batch,
            messages,
            is_unreadable: false,
            is_full: false,
            held_up: BTreeSet::new(),
        }
    }
}

impl<R: ReplyTo> Core<R> {
    /// Marks messages and has them read.
    pub(super) fn begin_moving(
        &mut self,
        queue: QueueId,
        redrive: Option<RedriveId>,
        messages: Vec<Chosen>,
        now: LogTime,
    ) {
        if messages.is_empty() {
            return;
        }
        let bytes = messages.iter().map(|chosen| u64::from(chosen.location.bytes)).sum();
        let batch = Batch { queue, redrive, messages: messages.len() as u64, bytes };
        if redrive.is_none() {
            *self.moves.batches.entry(queue).or_default() += 1;
        }
        let lane = self.moves.lane(redrive);
        lane.messages += batch.messages;
        lane.bytes += batch.bytes;
        let marked = &mut self.state.by_id(queue).expect("the caller found the queue").messages;
        for Chosen { group, location, .. } in &messages {
            marked.set_moving(location.seq, *group, now);
        }
        self.moves.wanted.push(Moving { batch, messages });
    }

    /// The messages that are to be read, which [`Core::moving_read`] takes again.
    pub(crate) fn take_moving(&mut self) -> Vec<Moving> {
        std::mem::take(&mut self.moves.wanted)
    }

    /// Messages were read.
    pub(crate) fn moving_read(&mut self, read: MovingRead, now: LogTime) {
        if self.moves.is_closed {
            return;
        }
        self.moves.read.push_back(read);
        self.move_on(now);
    }

    /// Nothing is moved any more: the store is being closed. What is marked stays where it is.
    pub(crate) fn stop_moving(&mut self) {
        self.moves.is_closed = true;
        self.moves.wanted.clear();
        self.moves.read.clear();
    }

    /// Moves what was read, as long as there is room in the log.
    pub(super) fn move_on(&mut self, now: LogTime) {
        while let Some(mut read) = self.moves.read.pop_front() {
            while let Some((chosen, _)) = read.messages.front() {
                if self.room(moved_bytes(&chosen.location), self.tail.capacity / 4) == Room::Later {
                    self.moves.read.push_front(read);
                    return;
                }
                let (chosen, body) = read.messages.pop_front().expect("it has a front");
                // Nothing that expires in its course takes its room.
                self.command_bytes = moved_bytes(&chosen.location);
                self.decide_move(&mut read, &chosen, body, now);
                self.command_bytes = 0;
            }
            self.end_batch(&read, now);
        }
    }

    fn decide_move(
        &mut self,
        read: &mut MovingRead,
        chosen: &Chosen,
        body: Result<StoredMessage, ReadError>,
        now: LogTime,
    ) {
        let (id, seq) = (chosen.location.queue, chosen.location.seq);
        let is_full = self.check_sends_allowed().is_err();
        self.expire(id, now);
        let Some(queue) = self.state.by_id(id) else { return };
        // Its last consumer may have asked for time that has passed.
        queue.messages.settle(now);
        let expired = queue.attributes.expired_by(now);
        let has_expired = expired.is_some_and(|expired| chosen.sent <= expired);
        if !queue.messages.end_moving(seq, chosen.group)
            || has_expired
            || read.held_up.contains(&chosen.group)
        {
            return;
        }
        let stored = match body {
            Ok(stored) if !is_full => stored,
            Err(ReadError::Damaged(_)) => return queue.messages.damaged(seq),
            stays => {
                read.is_full |= stays.is_ok();
                read.is_unreadable |= stays.is_err();
                if queue.attributes.fifo {
                    read.held_up.insert(chosen.group);
                }
                return;
            }
        };
        match read.batch.redrive {
            None => self.move_dead_letter(chosen, &stored, now),
            Some(redrive) => self.redrive_one(redrive, &chosen.location, &stored, now),
        }
    }

    /// A message that was read, as the next one of another queue.
    pub(super) fn moved_message<'s>(
        &self,
        queue: QueueId,
        stored: &'s StoredMessage,
        visible_from: Option<LogTime>,
    ) -> Sent<'s> {
        let target = self.state.get(queue).expect("the caller found the queue");
        Sent {
            queue,
            seq: target.messages.next_seq(),
            position: self.tail.position,
            visible_from,
            deduplication: None,
            checksum: stored.checksum,
            attributes_bytes: stored.attributes_bytes,
            payload: &stored.payload,
        }
    }

    /// Whether the segments to come hold a message once it is moved: not always one that was sent when
    /// segments were larger.
    pub(super) fn can_be_moved(&self, location: &Location) -> bool {
        moved_bytes(location) <= self.options.segment_room()
    }

    /// A batch is done with: others may be marked.
    fn end_batch(&mut self, read: &MovingRead, now: LogTime) {
        let Batch { queue, redrive, messages, bytes } = read.batch;
        let lane = self.moves.lane(redrive);
        lane.messages -= messages;
        lane.bytes -= bytes;
        if read.is_unreadable {
            self.moves.rests_until = Some(now.plus_ms(REST_MS));
            self.moves.starved.insert(queue);
        }
        match redrive {
            Some(redrive) => self.redrives.arrived(redrive, messages, read.is_full, now),
            None => self.moves.end_batch_of(queue),
        }
        self.serve(queue, now);
        if self.moves.rests_until.is_none() {
            self.serve_starved(now);
        }
    }

    fn serve_starved(&mut self, now: LogTime) {
        for queue in std::mem::take(&mut self.moves.starved) {
            self.serve(queue, now);
        }
    }

    /// Does what time demands of moves.
    pub(super) fn tick_moves(&mut self, now: LogTime) {
        if self.moves.rests_until.is_some_and(|until| until <= now) {
            self.moves.rests_until = None;
            self.serve_starved(now);
        }
        if !self.moves.is_closed && self.moves.rests_until.is_none() {
            self.step_redrives(now);
        }
    }

    /// When [`Core::tick_moves`] has something to do.
    pub(super) fn next_move(&self) -> Option<LogTime> {
        let redrives = self.redrives.next().filter(|_| !self.moves.is_closed);
        match self.moves.rests_until {
            Some(until) => Some(until),
            None => redrives,
        }
    }
}

impl Moves {
    fn lane(&mut self, redrive: Option<RedriveId>) -> &mut Lane {
        if redrive.is_some() { &mut self.redriven } else { &mut self.dead_letters }
    }

    /// A batch of the queue's dead letters is done with.
    fn end_batch_of(&mut self, queue: QueueId) {
        let left = self.batches.get_mut(&queue).expect("the batch was counted");
        *left -= 1;
        if *left == 0 {
            self.batches.remove(&queue);
        }
    }

    /// Whether dead letters of the queue are on their way, or will be as soon as others have arrived.
    pub(super) fn are_awaited(&self, queue: QueueId) -> bool {
        let is_next = self.rests_until.is_none() && self.starved.contains(&queue);
        !self.is_closed && (is_next || self.batches.contains_key(&queue))
    }

    /// Whether messages may be marked at all now.
    pub(super) fn may_begin(&self) -> bool {
        !self.is_closed && self.rests_until.is_none()
    }

    /// The queue's dead letters are looked at again when there is room for them.
    pub(super) fn starve(&mut self, queue: QueueId) {
        self.starved.insert(queue);
    }

    /// Whether another dead letter may be marked, others of so many bytes being chosen.
    pub(super) fn dead_letters_have_room(&self, messages: usize, bytes: u64) -> bool {
        self.dead_letters.has_room(messages as u64, bytes)
    }

    /// Whether a redrive may mark another message, having chosen others of so many bytes.
    pub(super) fn redrive_has_room(&self, messages: usize, bytes: u64) -> bool {
        self.redriven.has_room(messages as u64, bytes)
    }
}

/// More than a moved message takes in the log.
pub(super) fn moved_bytes(location: &Location) -> u64 {
    let most = MOVED_OVERHEAD_BYTES + MOVED_REASON_BYTES_MAX + QUEUE_NAME_BYTES_MAX;
    u64::from(location.bytes) + most as u64
}
