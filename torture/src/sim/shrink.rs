//! The fewest operations that still fail, by delta debugging (Zeller and Hildebrandt, "Simplifying and
//! isolating failure-inducing input", 2002).

use std::time::{Duration, Instant};

use super::check::Check;
use super::op::Op;
use super::script::Script;
use super::violation::{Violation, attempt};

/// Makes a failing script shorter, as long as the same check fails and there is time. Also returned: how
/// the shorter one fails.
pub fn shrink(script: &Script, violation: &Violation, limit: Duration) -> (Script, Violation) {
    let (script, violation) = (script.clone(), violation.clone());
    let mut shrinking = Shrinking { script, violation, until: Instant::now() + limit };
    shrinking.leave_out();
    shrinking.simplify();
    shrinking.leave_out();
    (shrinking.script, shrinking.violation)
}

struct Shrinking {
    script: Script,
    violation: Violation,
    until: Instant,
}

impl Shrinking {
    fn check(&self) -> Check {
        self.violation.check
    }

    /// Takes these operations if they fail as the others do.
    fn take(&mut self, ops: Vec<Op>) -> bool {
        if Instant::now() > self.until {
            return false;
        }
        let script = Script { ops, ..self.script.clone() };
        match attempt(|| script.run()) {
            Err(violation) if violation.check == self.check() => {
                (self.script, self.violation) = (script, *violation);
                true
            }
            _ => false,
        }
    }

    /// Leaves out pieces, large ones first, until none can be left out.
    fn leave_out(&mut self) {
        let mut piece = self.script.ops.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < self.script.ops.len() {
                let end = (at + piece).min(self.script.ops.len());
                let mut ops = self.script.ops.clone();
                ops.drain(at..end);
                if !self.take(ops) {
                    at = end;
                }
            }
            if piece == 1 {
                return;
            }
            piece = piece.div_ceil(2);
        }
    }

    /// Makes single operations smaller.
    fn simplify(&mut self) {
        for at in 0..self.script.ops.len() {
            let mut is_done = false;
            while !is_done {
                is_done = true;
                for simpler in simpler(&self.script.ops[at]) {
                    let mut ops = self.script.ops.clone();
                    ops[at] = simpler;
                    if self.take(ops) {
                        is_done = false;
                        break;
                    }
                }
            }
        }
    }
}

/// Some operations that do less than this one.
fn simpler(op: &Op) -> Vec<Op> {
    let fewer = |list: &[usize]| match list.len() {
        0 | 1 => None,
        len => Some(list[..len / 2].to_vec()),
    };
    let mut simpler = Vec::new();
    match op {
        Op::Send { queue, bodies, delay_s } => {
            let queue = *queue;
            if bodies.len() > 1 {
                let bodies = bodies[..bodies.len() / 2].to_vec();
                simpler.push(Op::Send { queue, bodies, delay_s: *delay_s });
            }
            if delay_s.is_some() {
                simpler.push(Op::Send { queue, bodies: bodies.clone(), delay_s: None });
            }
        }
        Op::Ack { queue, receipts } => {
            let fewer = fewer(receipts);
            simpler.extend(fewer.map(|receipts| Op::Ack { queue: *queue, receipts }));
        }
        Op::Receive { queue, max, visibility_s } if *max > 1 => {
            simpler.push(Op::Receive { queue: *queue, max: max / 2, visibility_s: *visibility_s });
        }
        Op::Consume { queue, max } if *max > 1 => {
            simpler.push(Op::Consume { queue: *queue, max: max / 2 });
        }
        Op::Keep { steps } if *steps > 1 => simpler.push(Op::Keep { steps: steps / 2 }),
        Op::Crash { power, again } if !again.is_empty() => {
            simpler.push(Op::Crash { power: *power, again: again[1..].to_vec() });
        }
        Op::Crash { .. } => simpler.push(Op::Kill),
        Op::Reopen => simpler.push(Op::Kill),
        Op::Fail { after, fault, power, again } if !again.is_empty() => {
            let again = again[1..].to_vec();
            simpler.push(Op::Fail { after: *after, fault: *fault, power: *power, again });
        }
        Op::Fail { after, fault, power: Some(_), .. } => {
            let (after, fault) = (*after, *fault);
            simpler.push(Op::Fail { after, fault, power: None, again: Vec::new() });
        }
        _ => {}
    }
    simpler
}
