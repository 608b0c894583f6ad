//! Operations of which the model knows at once what becomes of them.

use forebay_engine::LogFailure;
use forebay_engine::command::{Command, ProducerBatch};
use forebay_engine::ids::ProducerId;

use super::commands::command;
use super::{Batch, Held, Run};
use crate::sim::model::queue::new_message;
use crate::sim::model::reason_of;
use crate::sim::op::{Op, QUEUES, is_fifo};

/// Indexes below this are written in scripts.
const SCRIPTED: usize = 1 << 10;

impl Run {
    /// Receipts that consumers hold: mostly of this queue, and mostly new ones. The small indexes of
    /// scripts count all, from the first.
    pub(super) fn pick(&self, queue: usize, indexes: &[usize]) -> Vec<Held> {
        let id = self.present().queues.get(QUEUES[queue % QUEUES.len()]).map(|queue| queue.id);
        let own: Vec<_> = self.held.iter().filter(|held| Some(held.queue) == id).collect();
        let new = &own[own.len().saturating_sub(6)..];
        let picked = indexes.iter().filter_map(|index| match index % 8 {
            _ if *index < SCRIPTED && !self.held.is_empty() => {
                Some(self.held[index % self.held.len()])
            }
            2.. if !new.is_empty() => Some(*new[index / 8 % new.len()]),
            1.. if !own.is_empty() => Some(*own[index / 8 % own.len()]),
            _ if self.held.is_empty() => None,
            _ => Some(self.held[index / 8 % self.held.len()]),
        });
        picked.collect()
    }

    pub(super) fn ack(
        &mut self,
        name: &str,
        queue: usize,
        held: &[Held],
    ) -> Result<(), LogFailure> {
        let receipts = held.iter().map(|held| held.receipt).collect();
        let command = Command::Ack { queue: name.to_owned(), receipts };
        let op = Op::Ack { queue, receipts: Vec::new() };
        self.begin(command, |model, now| model.apply(&op, held, now))
    }

    /// Whether an operation may change what does not show: the purge of an empty queue, after which no
    /// message is a copy, and a first receive that does not count, if no reason shows it.
    pub(super) fn is_hidden(&self, op: &Op) -> bool {
        match op {
            Op::Purge { queue } => is_fifo(QUEUES[queue % QUEUES.len()]),
            Op::Nack { queue, receipt, is_counted: false, reason, .. } => {
                self.pick(*queue, &[*receipt]).iter().any(|held| {
                    let mut queues = self.present().queues.values();
                    let queue = queues.find(|queue| queue.id == held.queue);
                    queue.and_then(|q| q.messages.get(&held.seq)).is_some_and(|m| {
                        m.receive_count < 2 && (*reason == 0 || m.reason == reason_of(*reason))
                    })
                })
            }
            _ => false,
        }
    }

    /// Does a command of which the model knows at once what becomes of it.
    pub(super) fn change(&mut self, op: &Op) -> Result<(), LogFailure> {
        let receipts = match op {
            Op::Transact { queue, receipts, .. } => self.pick(*queue, receipts),
            Op::ChangeVisibility { queue, receipt, .. }
            | Op::Nack { queue, receipt, .. }
            | Op::ReturnUndelivered { queue, receipt } => self.pick(*queue, &[*receipt]),
            _ => Vec::new(),
        };
        let Some(command) = command(op, &receipts) else { return Ok(()) };
        self.begin(command, |model, now| model.apply(op, &receipts, now))
    }

    pub(super) fn send_once(&mut self, batch: &Batch) -> Result<(), LogFailure> {
        let name = QUEUES[batch.queue % QUEUES.len()];
        let command = Command::Send {
            queue: name.to_owned(),
            messages: batch.bodies.iter().map(|body| new_message(name, *body, None)).collect(),
            batch: Some(ProducerBatch {
                producer: ProducerId(7),
                number: batch.number,
                oldest: batch.oldest,
            }),
        };
        self.begin(command, |model, now| model.send_once(name, batch, now))
    }
}
