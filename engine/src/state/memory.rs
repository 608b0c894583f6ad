//! What the state takes of memory.

use roaring::RoaringTreemap;

use super::order::Order;
use super::{Queue, State};
use crate::attributes::Attributes;
use crate::ids::{QueueId, Seq};
use crate::time::LogTime;

/// Bytes of memory by what they are for: estimates from the sizes of what is kept, without what
/// the allocator and the trees leave unused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StateMemory {
    /// What is known of held messages.
    pub(crate) held_bytes: u64,
    /// Which messages are not in the backlog.
    pub(crate) apart_bytes: u64,
    /// When held messages become visible, and which are.
    pub(crate) timer_bytes: u64,
    /// The queues themselves, with their names and attributes.
    pub(crate) queue_bytes: u64,
    /// How many messages are held.
    pub(crate) held_messages: u64,
}

impl State {
    /// What all queues take. Looks at each queue, and at none of its messages.
    pub(crate) fn memory(&self) -> StateMemory {
        let mut sum = StateMemory::default();
        for queue in self.queues.values() {
            let messages = &queue.messages;
            sum.held_bytes += messages.held.heap_bytes();
            sum.held_bytes += messages.returns.heap_bytes();
            sum.apart_bytes += messages.apart.serialized_size() as u64;
            sum.timer_bytes += bytes_of::<(LogTime, Seq)>(messages.timers.len());
            sum.timer_bytes += messages.delays.heap_bytes();
            sum.timer_bytes += set_bytes(&messages.returned);
            sum.timer_bytes += messages.worn.by_seq().map_or(0, set_bytes);
            sum.timer_bytes += bytes_of::<(LogTime, Seq)>(messages.worn.len() as usize);
            sum.timer_bytes += set_bytes(&messages.due);
            sum.queue_bytes += queue.deduplication.heap_bytes() + queue.producers.heap_bytes();
            sum.timer_bytes += set_bytes(&messages.moving) + messages.late.heap_bytes();
            sum.timer_bytes += messages.order().map_or(0, Order::heap_bytes);
            sum.queue_bytes += bytes_of::<(QueueId, Queue)>(1) + bytes_of::<(String, QueueId)>(1);
            let attributes = size_of::<Attributes>() + queue.attributes.texts_bytes();
            sum.queue_bytes += attributes as u64 + queue.redrives.heap_bytes();
            // Once in the queue, once in the map of names.
            sum.queue_bytes += 2 * queue.name.len() as u64;
            sum.held_messages += messages.held.len() + messages.delays.len() + messages.due.len();
        }
        sum
    }
}

fn bytes_of<T>(count: usize) -> u64 {
    (count * size_of::<T>()) as u64
}

/// What a set takes, about; an empty one nothing.
fn set_bytes(set: &RoaringTreemap) -> u64 {
    if set.is_empty() { 0 } else { set.serialized_size() as u64 }
}
