//! A state as records: whoever replays them, and with them the messages that are in it, comes to the same
//! state.

use crate::attributes::AttributeChanges;
use crate::command::ProducerBatch;
use crate::entry::EntryBuilder;
use crate::ids::{LeaseId, QueueId};
use crate::record::{Lease, RecordWriter, RedriveEnded};
use crate::state::held::Held;
use crate::state::{Queue, State};
use crate::time::LogTime;

/// An entry takes no further records once it holds this much.
pub(super) const ENTRY_BYTES: usize = 1 << 20;

/// Entries that come one behind the other.
#[derive(Default)]
pub(super) struct Entries {
    full: Vec<EntryBuilder>,
    filling: EntryBuilder,
}

impl Entries {
    fn append(&mut self, write: impl FnOnce(&mut RecordWriter<'_>)) {
        if self.filling.body_bytes() >= ENTRY_BYTES {
            self.full.push(std::mem::take(&mut self.filling));
        }
        self.filling.append(write);
    }
}

impl IntoIterator for Entries {
    type Item = EntryBuilder;
    type IntoIter = std::vec::IntoIter<EntryBuilder>;

    fn into_iter(mut self) -> Self::IntoIter {
        self.full.push(self.filling);
        self.full.into_iter()
    }
}

/// What is to be said before the messages come.
pub(super) fn before_messages(state: &State) -> Entries {
    let mut entries = Entries::default();
    state.queues().for_each(|queue| write_queue(queue, &mut entries));
    entries
}

fn write_queue(queue: &Queue, entries: &mut Entries) {
    let Queue { id, created, modified, ref name, ref attributes, .. } = *queue;
    entries.append(|out| out.queue_created(id, created, &attributes.as_changes(), name));
    if modified != created {
        entries.append(|out| out.queue_changed(id, modified, &AttributeChanges::default()));
    }
    let past = queue.messages.past();
    if let Some(purge) = past.last_purge {
        entries.append(|out| out.queue_purged(id, purge.through, Some(purge.at)));
    }
    if let Some(expiry) = past.last_expiry {
        entries.append(|out| out.expired(id, expiry.below, expiry.at, expiry.late_before));
    }
    for redrive in queue.redrives.iter() {
        let (id, moved) = (redrive.id, redrive.moved);
        entries.append(|out| out.redrive_started(&redrive.as_started()));
        if let Some(end) = &redrive.end {
            let (time, outcome, reason) = (end.time, end.outcome, &*end.reason);
            entries.append(|out| {
                out.redrive_ended(&RedriveEnded { redrive: id, time, outcome, moved, reason });
            });
        }
    }
    // The newest first: whoever is a day behind one that comes would be forgotten.
    let mut producers: Vec<_> = queue.producers.iter().collect();
    producers.sort_by_key(|(_, producer)| std::cmp::Reverse(producer.time));
    for (producer, known) in producers {
        for batch in &known.batches {
            let (first, count) = (batch.first, batch.count);
            let batch = ProducerBatch { producer, number: batch.number, oldest: known.oldest };
            entries.append(|out| out.produced(id, batch, first, count, known.time));
        }
    }
}

/// What is to be said when all messages came. `is_known` says whether the last one of a queue, which
/// would tell its next number, did.
pub(super) fn behind_messages(state: &State, is_known: impl Fn(&Queue) -> bool) -> Entries {
    let mut entries = Entries::default();
    for queue in state.queues() {
        write_leases(queue, &mut entries);
        for (seq, known) in queue.messages.returns().iter() {
            let until = queue.messages.held(seq).map_or(LogTime(0), |held| held.until);
            let reason = known.reason.as_deref().unwrap_or_default();
            let is_counted = !known.is_uncounted;
            entries.append(|out| out.returned(queue.id, until, is_counted, reason, &[seq]));
        }
        if !is_known(queue) {
            let next = queue.messages.next_seq();
            entries.append(|out| out.compacted(queue.id, next));
        }
    }
    let newest = state.queues().last().map_or(QueueId(0), |queue| queue.id);
    if state.last_queue() > newest {
        entries.append(|out| out.queue_deleted(state.last_queue()));
    }
    entries
}

/// Leases that follow one another, of one receive.
struct Run {
    received: LogTime,
    until: LogTime,
    first: LeaseId,
    messages: Vec<Lease>,
}

fn write_leases(queue: &Queue, entries: &mut Entries) {
    let mut run: Option<Run> = None;
    for (seq, held) in queue.messages.all_held() {
        if !held.was_received() {
            continue;
        }
        let Held { received, until, lease, first_received, group, .. } = *held;
        // Taken off again when it is said that the message was given back.
        let is_uncounted =
            queue.messages.returns().get(seq).is_some_and(|known| known.is_uncounted);
        let receive_count = held.receive_count.saturating_add(u32::from(is_uncounted));
        let message = Lease { seq, receive_count, group };
        if first_received != received {
            entries.append(|out| out.leased(queue.id, first_received, until, lease, &[message]));
        }
        match &mut run {
            Some(run)
                if (run.received, run.until) == (received, until)
                    && run.first.0 + run.messages.len() as u64 == lease.0
                    && run.messages.len() < RUN_MAX =>
            {
                run.messages.push(message);
            }
            _ => {
                let next = Run { received, until, first: lease, messages: vec![message] };
                if let Some(before) = run.replace(next) {
                    write_run(queue.id, &before, entries);
                }
            }
        }
    }
    if let Some(run) = run {
        write_run(queue.id, &run, entries);
    }
}

/// Leases in one record.
const RUN_MAX: usize = 1024;

fn write_run(queue: QueueId, run: &Run, entries: &mut Entries) {
    let Run { received, until, first, ref messages } = *run;
    entries.append(|out| out.leased(queue, received, until, first, messages));
}
