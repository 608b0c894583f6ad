//! A random run from a seed, swarm style: each run leaves whole kinds of operations out, and does the
//! others by weights of its own, so that what hides what varies too (Groce and others, "Swarm testing",
//! 2012).

use forebay_engine::attributes::RETENTION_MS_MAX;
use forebay_engine::disk::{Fault, Random};

use super::op::{Again, Kept, Op, QUEUES, Setting};
use super::profile::Profile;
use super::script::Script;

/// The longest run.
const OPS_MAX: usize = 240;

/// Every other run leaves nothing out.
const ALL_SWITCHES: u32 = 0;

/// The run of a seed.
pub fn script(seed: u64) -> Script {
    let mut dice = Dice(Random::new(seed));
    let profile = match dice.below(4) {
        0 => Profile { snapshot_bytes: 24 << 10, ..Profile::BUSY },
        1 => Profile { garbage_percent: 30, garbage_segment_percent: 25, ..Profile::BUSY },
        _ => Profile::BUSY,
    };
    let switched_off = match dice.percent(50) {
        true => ALL_SWITCHES,
        // Each kind with a chance of a quarter.
        false => (dice.0.draw() & dice.0.draw()) as u32,
    };
    let mut ops: Vec<Op> = (0..QUEUES.len())
        .map(|queue| Op::Create { queue, visibility_s: None })
        .chain([0, 5].map(|queue| Op::Set { queue, setting: Setting::ReceiveCountMax(2) }))
        .collect();
    let count = 1 + dice.below(OPS_MAX as u64) as usize;
    while ops.len() < count {
        let op = dice.op();
        if op.switch().is_none_or(|bit| switched_off & (1 << bit) == 0) {
            ops.push(op);
        }
    }
    Script { seed, profile, ops }
}

/// A short run of a seed, without crashes and faults: those come besides.
pub(super) fn short_script(seed: u64) -> Vec<Op> {
    let mut dice = Dice(Random::new(!seed));
    let queues = [0, [1, 3, 4, 5][dice.below(4) as usize]];
    let mut ops = vec![Op::Create { queue: 3, visibility_s: None }];
    ops.extend(queues.map(|queue| Op::Create { queue, visibility_s: None }));
    if dice.percent(30) {
        ops.push(Op::Set { queue: 0, setting: Setting::ReceiveCountMax(1) });
    }
    let count = ops.len() + dice.from(4, 24) as usize;
    while ops.len() < count {
        let op = dice.op();
        let is_end = matches!(op, Op::Fail { .. } | Op::Crash { .. } | Op::Rot { .. });
        if !is_end {
            ops.push(op);
        }
    }
    ops
}

struct Dice(Random);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0.below(end as usize) as u64
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn from(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end - start)
    }

    fn queue(&mut self) -> usize {
        // In few queues much happens.
        match self.below(8) {
            0..4 => 0,
            4..7 => 5,
            _ => self.below(QUEUES.len() as u64) as usize,
        }
    }

    /// The window of deduplication, and the longest lease, are among them.
    fn seconds(&mut self) -> u64 {
        match self.below(14) {
            0..4 => 0,
            4..6 => 1,
            6..10 => self.from(2, 60),
            10 => 300,
            11 => 301,
            _ => 12 * 3600,
        }
    }

    fn some_seconds(&mut self, percent: u64) -> Option<u64> {
        self.percent(percent).then(|| self.seconds())
    }

    fn visibility(&mut self) -> Option<u64> {
        if self.percent(50) { Some(0) } else { self.some_seconds(50) }
    }

    fn body(&mut self) -> (u8, u16) {
        match self.below(4) {
            // In a FIFO queue some of these are copies of others.
            0 => (self.below(3) as u8, self.below(24) as u16),
            1 => (self.below(256) as u8, self.below(1100) as u16),
            _ => (self.below(256) as u8, self.below(600) as u16),
        }
    }

    fn bodies(&mut self, end: u64) -> Vec<(u8, u16)> {
        (0..self.from(1, end)).map(|_| self.body()).collect()
    }

    fn index(&mut self) -> usize {
        // Not one of the small indexes, which scripts count their receipts by.
        self.0.draw() as usize | 1 << 20
    }

    fn indexes(&mut self, end: u64) -> Vec<usize> {
        (0..self.from(1, end)).map(|_| self.index()).collect()
    }

    fn setting(&mut self) -> Setting {
        match self.below(11) {
            0..2 => Setting::DelayS(self.below(60)),
            2..4 => Setting::InFlightMax(if self.percent(50) { self.from(1, 6) } else { 120_000 }),
            4..8 => Setting::ReceiveCountMax(self.below(4)),
            8 => Setting::RetentionS(self.from(60, 200_000)),
            9 => Setting::RetentionS(if self.percent(50) { 60 } else { RETENTION_MS_MAX / 1000 }),
            _ => Setting::ScopeIsGroup(self.percent(50)),
        }
    }

    fn fault(&mut self) -> Fault {
        match self.below(10) {
            0..4 => Fault::Crash,
            4 => Fault::Io,
            5 => Fault::ReadIo,
            6..8 => Fault::Full,
            _ => Fault::SyncDropsPages,
        }
    }

    /// Some crash again in the recovery, and some of those in the recovery from that.
    fn again(&mut self) -> Vec<Again> {
        let depth = [0, 0, 1, 2][self.below(4) as usize];
        let mut one = || Again { after: self.below(80), kept: self.power() };
        (0..depth).map(|_| one()).collect()
    }

    /// Whether the power fails with the process, and what is kept then.
    fn power(&mut self) -> Option<Kept> {
        self.percent(70).then(|| self.kept())
    }

    fn kept(&mut self) -> Kept {
        Kept::Drawn(self.0.draw())
    }

    /// Days that the wall clock is set by: a year and more, or seconds' worth of one, both ways.
    fn days(&mut self) -> i64 {
        self.below(1600) as i64 - 800
    }

    fn op(&mut self) -> Op {
        let queue = self.queue();
        match self.below(120) {
            0..6 => Op::Create { queue, visibility_s: self.some_seconds(20) },
            6 => Op::Alter { queue, visibility_s: self.seconds() },
            7..10 => Op::Set { queue, setting: self.setting() },
            10 => Op::Delete { queue: self.below(QUEUES.len() as u64) as usize },
            11 => Op::Purge { queue },
            12..24 => {
                let delay_s = self.percent(30).then(|| self.below(100));
                Op::Send { queue, bodies: self.bodies(6), delay_s }
            }
            24..34 => {
                let (max, visibility_s) = (self.from(1, 8) as u32, self.visibility());
                Op::Receive { queue, max, visibility_s }
            }
            34..36 => Op::SendOnce { queue, bodies: self.bodies(6) },
            36..38 => Op::SendAgain { batch: self.index() },
            38..41 => Op::ReceiveOnce {
                queue: if self.percent(80) { 5 } else { queue },
                max: self.from(1, 8) as u32,
                visibility_s: self.some_seconds(50),
                attempt: self.below(2) as u8,
            },
            41..44 => Op::Redrive {
                // Where dead letters are.
                queue: [3, 3, 3, 6, 6, queue][self.below(6) as usize],
                to: self.percent(50).then(|| self.queue()),
                is_cancelled: self.percent(20),
            },
            44 => Op::Look,
            45..51 => Op::Consume { queue, max: self.from(1, 30) as u32 },
            51..57 => Op::Ack { queue, receipts: self.indexes(6) },
            57..60 => {
                let (receipt, seconds) = (self.index(), self.seconds());
                Op::ChangeVisibility { queue, receipt, seconds }
            }
            60 => Op::ReturnUndelivered { queue, receipt: self.index() },
            61..64 => Op::Nack {
                queue,
                receipt: self.index(),
                seconds: self.seconds(),
                is_counted: self.percent(50),
                reason: self.below(4) as u8,
            },
            64..69 => {
                let (receipts, to) = (self.indexes(3), self.queue());
                Op::Transact { queue, receipts, to, bodies: self.bodies(4) }
            }
            69..80 => Op::Commit,
            80..84 => {
                let seconds = if self.percent(17) { 2 * 24 * 3600 } else { self.seconds() };
                Op::Advance { seconds }
            }
            84 => Op::SetWall { days: self.days() },
            85 => Op::Kill,
            86..90 => Op::Crash { power: Some(self.kept()), again: self.again() },
            90..96 => Op::Fail {
                after: self.below(60),
                fault: self.fault(),
                power: self.power(),
                again: self.again(),
            },
            96 => Op::Reopen,
            97..99 => {
                let which = if self.percent(50) { u64::MAX } else { self.0.draw() };
                Op::LoseDerived { which }
            }
            99 => Op::Rot { seed: self.0.draw() },
            _ => {
                let steps = if self.percent(50) { self.from(1, 4) } else { self.from(4, 60) };
                Op::Keep { steps: steps as u32 }
            }
        }
    }
}
