//! Scripts for the exhaustive campaign: between them they touch every operation and every record kind, the
//! roll, the opening, indexes, snapshots and compactions.

mod compactions;
mod copies;
mod lives;
mod moves;
mod segments;

use super::op::{Op, Setting};

/// A script's name, and its operations.
type Named = (&'static str, Vec<Op>);

/// Name and operations of each.
pub fn scripts() -> Vec<Named> {
    let parts = [
        lives::scripts(),
        segments::scripts(),
        compactions::scripts(),
        copies::scripts(),
        moves::scripts(),
    ];
    parts.into_iter().flatten().collect()
}

const DEAD: usize = 3;
const FAIR: usize = 4;
const LINE: usize = 5;
const DEAD_LINE: usize = 6;

fn create(queue: usize) -> Op {
    Op::Create { queue, visibility_s: None }
}

fn send(queue: usize, bytes: u16, count: u8) -> Op {
    let bodies = (0..count).map(|index| (index, bytes)).collect();
    Op::Send { queue, bodies, delay_s: None }
}

fn send_once(queue: usize, bytes: u16) -> Op {
    Op::SendOnce { queue, bodies: (0..3).map(|index| (index, bytes)).collect() }
}

fn receive(max: u32) -> Op {
    receive_from(0, max)
}

fn receive_from(queue: usize, max: u32) -> Op {
    Op::Receive { queue, max, visibility_s: Some(30) }
}

/// What this gives may be received again at once.
fn receive_again(queue: usize, max: u32) -> Op {
    Op::Receive { queue, max, visibility_s: Some(0) }
}

fn receive_once(attempt: u8) -> Op {
    Op::ReceiveOnce { queue: LINE, max: 2, visibility_s: Some(60), attempt }
}

fn give_back(queue: usize, receipt: usize, seconds: u64, is_counted: bool, reason: u8) -> Op {
    Op::Nack { queue, receipt, seconds, is_counted, reason }
}

fn dead_letters_after(queue: usize, count: u64) -> Op {
    Op::Set { queue, setting: Setting::ReceiveCountMax(count) }
}

fn transact(receipts: Vec<usize>, to: usize) -> Op {
    let bodies = receipts.iter().map(|index| (*index as u8, 700)).collect();
    Op::Transact { queue: 0, receipts, to, bodies }
}

fn retain(seconds: u64) -> Op {
    Op::Set { queue: 0, setting: Setting::RetentionS(seconds) }
}
