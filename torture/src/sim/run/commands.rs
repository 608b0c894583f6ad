//! Operations as commands.

use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, TransactAcks, TransactSends};

use super::Held;
use crate::sim::model::queue::new_message;
use crate::sim::model::{changes_at_creation, changes_of, reason_of};
use crate::sim::op::{Op, QUEUES, is_fifo};

/// The command of an operation that the model does by [`apply`](crate::sim::model::Model::apply).
pub(super) fn command(op: &Op, receipts: &[Held]) -> Option<Command> {
    let name = |queue: &usize| QUEUES[queue % QUEUES.len()].to_owned();
    let sealed = || receipts.iter().map(|held| held.receipt).collect::<Vec<_>>();
    Some(match op {
        Op::Create { queue, visibility_s } => {
            let attributes = changes_at_creation(&name(queue), *visibility_s).into();
            Command::CreateQueue { name: name(queue), attributes }
        }
        Op::Alter { queue, visibility_s } => {
            let visibility_timeout_ms = Some(visibility_s * 1000);
            let attributes =
                AttributeChanges { visibility_timeout_ms, ..AttributeChanges::default() };
            Command::AlterQueue { name: name(queue), attributes: attributes.into() }
        }
        Op::Set { queue, setting } => {
            let attributes = changes_of(&name(queue), *setting).into();
            Command::AlterQueue { name: name(queue), attributes }
        }
        Op::Delete { queue } => Command::DeleteQueue { name: name(queue) },
        Op::Purge { queue } => Command::PurgeQueue { name: name(queue) },
        Op::Send { queue, bodies, delay_s } => {
            let queue = name(queue);
            let delay_s = delay_s.filter(|_| !is_fifo(&queue));
            let messages = bodies.iter().map(|body| new_message(&queue, *body, delay_s)).collect();
            Command::Send { queue, messages, batch: None }
        }
        Op::ChangeVisibility { queue, seconds, .. } => {
            let changes = vec![(*sealed().first()?, seconds * 1000)];
            Command::ChangeVisibility { queue: name(queue), changes }
        }
        Op::Nack { queue, seconds, is_counted, reason, .. } => Command::Nack {
            queue: name(queue),
            receipts: vec![*sealed().first()?],
            delay_ms: seconds * 1000,
            is_counted: *is_counted,
            reason: reason_of(*reason).unwrap_or_default(),
        },
        Op::Transact { queue, to, bodies, .. } => {
            let (from, to) = (name(queue), name(to));
            let messages = bodies.iter().map(|body| new_message(&to, *body, None)).collect();
            let acks = TransactAcks { queue: from, receipts: sealed() };
            let sends = TransactSends { queue: to, messages };
            let is_any = !acks.receipts.is_empty();
            is_any.then_some(Command::Transact { acks: vec![acks], sends: vec![sends] })?
        }
        Op::ReturnUndelivered { queue, .. } => {
            let receipts = vec![*sealed().first()?];
            Command::ReturnUndelivered { queue: name(queue), receipts, delay_ms: 0 }
        }
        _ => return None,
    })
}
