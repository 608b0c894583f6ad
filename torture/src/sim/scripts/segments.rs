//! The log itself: rolls, openings, watermarks, indexes and snapshots.

use super::{Named, create, receive, send};
use crate::sim::op::{Kept, Op};

pub(super) fn scripts() -> Vec<Named> {
    vec![
        (
            "roll",
            vec![
                create(0),
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
                send(0, 600, 5),
                Op::Commit,
            ],
        ),
        (
            "roll twice and ack across segments",
            vec![
                create(0),
                send(0, 500, 10),
                Op::Commit,
                send(0, 500, 10),
                Op::Commit,
                receive(15),
                Op::Ack { queue: 0, receipts: (0..12).collect() },
                Op::Commit,
                send(0, 500, 10),
                send(0, 500, 10),
                Op::Commit,
            ],
        ),
        (
            "open again and again",
            vec![
                create(0),
                send(0, 5, 1),
                Op::Reopen,
                Op::Kill,
                Op::Crash { power: Some(Kept::Drawn(1)), again: Vec::new() },
                Op::Reopen,
                send(0, 5, 1),
                Op::Commit,
            ],
        ),
        (
            "seal, index and snapshot",
            vec![
                create(0),
                send(0, 1000, 5),
                send(0, 1000, 5),
                send(0, 1000, 5),
                Op::Commit,
                Op::Keep { steps: 20 },
                receive(3),
                Op::Commit,
                Op::Keep { steps: 20 },
                Op::Reopen,
            ],
        ),
        (
            "a watermark",
            vec![
                create(0),
                send(0, 5, 1),
                Op::Commit,
                Op::Advance { seconds: 1 },
                Op::Commit,
                send(0, 5, 1),
                Op::Commit,
            ],
        ),
        (
            "derived files lost one by one",
            vec![
                create(0),
                send(0, 1000, 5),
                send(0, 1000, 5),
                send(0, 1000, 5),
                send(0, 1000, 5),
                Op::Commit,
                Op::Keep { steps: 30 },
                receive(3),
                Op::Ack { queue: 0, receipts: vec![0] },
                Op::Commit,
                Op::LoseDerived { which: 1 },
                Op::Keep { steps: 30 },
                Op::LoseDerived { which: 2 },
                receive(3),
                Op::Commit,
                Op::Keep { steps: 30 },
                Op::LoseDerived { which: 4 },
            ],
        ),
    ]
}
