//! Receives that wait for a message: in the order of their arrival, each with its deadline, or
//! with none and a number by which the wait is ended. Some wait only until it is certain that there
//! is nothing. Those that ask again for what another one got come first.
//!
//! A waiting receive costs nothing while nothing happens: a queue with waiters has one alarm, at
//! the earliest of its waiters' deadlines and of the moments at which a message becomes visible.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::ids::{QueueId, WaitId};
use crate::time::LogTime;

/// A receive that waits.
#[derive(Debug)]
pub(crate) struct Waiter<R> {
    pub(crate) reply_to: R,
    pub(crate) demand: Demand,
    /// What the receive is called, if it may be asked again.
    pub(crate) attempt: Option<Arc<str>>,
    pub(crate) until: Until,
}

/// When a wait ends without a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// At this moment.
    Deadline(LogTime),
    /// When it is certain that there is nothing, or at this moment.
    Certain(LogTime),
    /// When it is told to.
    Ended(WaitId),
}

/// What a receive asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    pub(crate) messages_max: u32,
    pub(crate) bytes_max: u64,
    /// `None`: the queue's attribute, as it is when messages are leased.
    pub(crate) visibility_ms: Option<u64>,
}

/// All waiting receives.
#[derive(Debug)]
pub(crate) struct Waiters<R> {
    queues: HashMap<QueueId, Line<R>>,
    /// Where those without a deadline stand.
    endless: HashMap<WaitId, (QueueId, u64)>,
    alarms: BTreeSet<(LogTime, QueueId)>,
    /// The number of the next one that comes before all others, ...
    before_all: u64,
    /// ... or behind them.
    behind_all: u64,
}

/// Numbers begin here.
const ARRIVALS_BEGIN: u64 = 1 << 63;

/// Those of one queue.
#[derive(Debug)]
struct Line<R> {
    by_arrival: BTreeMap<u64, Waiter<R>>,
    by_deadline: BTreeSet<(LogTime, u64)>,
    /// Those that may be asked again.
    by_attempt: BTreeSet<(Arc<str>, u64)>,
    /// Those that wait until it is certain that there is nothing.
    uncertain: BTreeSet<u64>,
    alarm: Option<LogTime>,
}

impl<R> Default for Waiters<R> {
    fn default() -> Self {
        let (queues, endless, alarms) = Default::default();
        let (before_all, behind_all) = (ARRIVALS_BEGIN - 1, ARRIVALS_BEGIN);
        Self { queues, endless, alarms, before_all, behind_all }
    }
}

impl<R> Waiters<R> {
    /// Adds a waiter at the end of the queue's line.
    pub(crate) fn add(&mut self, queue: QueueId, waiter: Waiter<R>) {
        self.insert(queue, self.behind_all, waiter);
        self.behind_all += 1;
    }

    /// Those that make this attempt come before all others of the queue, in the order in which they stood; whether
    /// there are any. The queue's alarm must be set then.
    pub(crate) fn bring_forward(&mut self, queue: QueueId, attempt: &Arc<str>) -> bool {
        let Some(line) = self.queues.get(&queue) else { return false };
        let of_attempt = line.by_attempt.range((Arc::clone(attempt), 0)..);
        let of_attempt = of_attempt.take_while(|(other, _)| other == attempt);
        let arrivals: Vec<u64> = of_attempt.map(|(_, arrival)| *arrival).collect();
        for arrival in arrivals.iter().rev() {
            let waiter = self.take(queue, *arrival).expect("it stands in line");
            self.insert(queue, self.before_all, waiter);
            self.before_all -= 1;
        }
        !arrivals.is_empty()
    }

    fn insert(&mut self, queue: QueueId, arrival: u64, waiter: Waiter<R>) {
        let line = self.queues.entry(queue).or_insert_with(|| Line {
            by_arrival: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            by_attempt: BTreeSet::new(),
            uncertain: BTreeSet::new(),
            alarm: None,
        });
        match waiter.until {
            Until::Deadline(deadline) => {
                line.by_deadline.insert((deadline, arrival));
            }
            Until::Certain(deadline) => {
                line.by_deadline.insert((deadline, arrival));
                line.uncertain.insert(arrival);
            }
            Until::Ended(wait) => {
                let before = self.endless.insert(wait, (queue, arrival));
                assert!(before.is_none(), "{wait:?} waits already");
            }
        }
        line.by_attempt.extend(waiter.attempt.clone().map(|attempt| (attempt, arrival)));
        line.by_arrival.insert(arrival, waiter);
    }

    /// The first in line.
    pub(crate) fn first(&self, queue: QueueId) -> Option<&Waiter<R>> {
        Some(self.queues.get(&queue)?.by_arrival.first_key_value()?.1)
    }

    /// How many there are in the queue's line.
    pub(crate) fn count(&self, queue: QueueId) -> u64 {
        self.queues.get(&queue).map_or(0, |line| line.by_arrival.len() as u64)
    }

    /// Takes the first in line.
    pub(crate) fn take_first(&mut self, queue: QueueId) -> Option<Waiter<R>> {
        let arrival = *self.queues.get(&queue)?.by_arrival.first_key_value()?.0;
        self.take(queue, arrival)
    }

    /// Takes one that has no deadline, with its queue; `None`: it was taken before.
    pub(crate) fn take_endless(&mut self, wait: WaitId) -> Option<(QueueId, Waiter<R>)> {
        let (queue, arrival) = self.endless.get(&wait).copied()?;
        Some((queue, self.take(queue, arrival)?))
    }

    /// Takes one whose deadline has come.
    pub(crate) fn take_expired(&mut self, queue: QueueId, now: LogTime) -> Option<Waiter<R>> {
        let (deadline, arrival) = self.queues.get(&queue)?.by_deadline.first().copied()?;
        if deadline > now { None } else { self.take(queue, arrival) }
    }

    /// Takes the first that waits until it is certain that there is nothing.
    pub(crate) fn take_uncertain(&mut self, queue: QueueId) -> Option<Waiter<R>> {
        let arrival = *self.queues.get(&queue)?.uncertain.first()?;
        self.take(queue, arrival)
    }

    fn take(&mut self, queue: QueueId, arrival: u64) -> Option<Waiter<R>> {
        let line = self.queues.get_mut(&queue)?;
        let waiter = line.by_arrival.remove(&arrival)?;
        match waiter.until {
            Until::Deadline(deadline) => {
                line.by_deadline.remove(&(deadline, arrival));
            }
            Until::Certain(deadline) => {
                line.by_deadline.remove(&(deadline, arrival));
                line.uncertain.remove(&arrival);
            }
            Until::Ended(wait) => {
                self.endless.remove(&wait);
            }
        }
        if let Some(attempt) = &waiter.attempt {
            line.by_attempt.remove(&(Arc::clone(attempt), arrival));
        }
        self.forget_if_empty(queue);
        Some(waiter)
    }

    /// Takes everyone.
    pub(crate) fn take_all(&mut self) -> Vec<(QueueId, Waiter<R>)> {
        self.alarms.clear();
        self.endless.clear();
        let lines = self.queues.drain();
        lines
            .flat_map(|(queue, line)| line.by_arrival.into_values().map(move |w| (queue, w)))
            .collect()
    }

    /// Sets the queue's alarm: at its waiters' first deadline, or at `event` if that is earlier.
    pub(crate) fn set_alarm(&mut self, queue: QueueId, event: Option<LogTime>) {
        let Some(line) = self.queues.get_mut(&queue) else { return };
        let deadline = line.by_deadline.first().map(|(deadline, _)| *deadline);
        let alarm = deadline.into_iter().chain(event).min();
        if alarm == line.alarm {
            return;
        }
        if let Some(before) = line.alarm {
            self.alarms.remove(&(before, queue));
        }
        if let Some(alarm) = alarm {
            self.alarms.insert((alarm, queue));
        }
        line.alarm = alarm;
    }

    /// When the first alarm goes off.
    pub(crate) fn next_alarm(&self) -> Option<LogTime> {
        self.alarms.first().map(|(alarm, _)| *alarm)
    }

    /// A queue whose alarm has gone off; its alarm is cleared.
    pub(crate) fn take_due(&mut self, now: LogTime) -> Option<QueueId> {
        let (alarm, queue) = self.alarms.first().copied()?;
        if alarm > now {
            return None;
        }
        self.alarms.pop_first();
        self.queues.get_mut(&queue).expect("an alarm belongs to a line").alarm = None;
        Some(queue)
    }

    fn forget_if_empty(&mut self, queue: QueueId) {
        let Some(line) = self.queues.get(&queue) else { return };
        if line.by_arrival.is_empty() {
            if let Some(alarm) = line.alarm {
                self.alarms.remove(&(alarm, queue));
            }
            self.queues.remove(&queue);
        }
    }
}
