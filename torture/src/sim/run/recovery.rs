//! The end of the process, and what the next one finds.

use std::collections::BTreeSet;

use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply, TransactAcks, TransactSends};
use forebay_engine::disk::Fault;
use forebay_engine::log::Manifest;
use forebay_engine::verify::{Outcome, VerifyReport, verify};
use forebay_engine::{OpenError, RequestError, Store};

use super::{Held, Run};
use crate::sim::answers::{Answers, Slot, ask};
use crate::sim::check::Check;
use crate::sim::files::{DATA, open_with};
use crate::sim::message::message;
use crate::sim::model::Model;
use crate::sim::op::{Again, Kept};
use crate::sim::shown::{differences, show};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In order.
    Closed,
    /// What it wrote stays in the page cache.
    Killed,
    /// The power fails, and that much is kept of what was not synced.
    PowerCut(Kept),
}

impl From<Option<Kept>> for End {
    fn from(power: Option<Kept>) -> Self {
        power.map_or(End::Killed, End::PowerCut)
    }
}

/// When files are looked at from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A process has died.
    Dead,
    /// A store was opened, and nothing was done with it.
    Opened,
    /// A store was closed.
    Closed,
}

impl Run {
    pub(super) fn open_store(&self) -> Result<Store<Slot>, OpenError> {
        open_with(&self.disk, &self.clock, self.profile.options())
    }

    /// The process ends. Opens the store until it opens, with the faults that are planned, if any,
    /// striking on the way, and finds the state that it recovered.
    pub(super) fn recover(&mut self) {
        self.end_process();
        self.fall(0);
        let opened = self.open_store();
        self.recover_from(opened);
    }

    /// The process is gone. Whether the power is, is decided when it falls.
    pub(super) fn end_process(&mut self) {
        self.unread.clear();
        self.store = None;
        self.collect();
        self.unanswered.clear();
    }

    /// The process ends, with or without the power; the next one will crash too, if that is planned.
    pub(super) fn fall(&mut self, attempt: u64) {
        let struck = self.disk.take_struck();
        self.tally.struck(&struck);
        let has_struck = !struck.is_empty();
        if has_struck && let Some(fate) = self.planned.take() {
            self.end = fate.power.into();
            self.crashes_in_recovery = fate.again.into();
        } else if struck.contains(&Fault::Crash)
            && let Some(end) = self.end_of_recovery.take()
        {
            self.end = end;
        }
        if std::mem::take(&mut self.is_exploring) || has_struck {
            self.try_fates(attempt);
        }
        self.fall_once(attempt);
        self.check_files(Moment::Dead);
    }

    /// What becomes of the disk.
    pub(super) fn fall_once(&mut self, attempt: u64) {
        match self.end {
            End::PowerCut(kept) => {
                self.tally.power_cuts += 1;
                match kept {
                    // Another draw for each recovery that ends so.
                    Kept::Drawn(seed) => self.disk.crash(seed.wrapping_add(attempt)),
                    Kept::Counted { way } => self.disk.crash_way(way),
                }
            }
            End::Killed => {
                self.tally.kills += 1;
                self.disk.kill();
            }
            End::Closed => {
                self.tally.closings += 1;
                self.disk.kill();
                // If the opening ends too, it is not in order.
                self.end = End::Killed;
            }
        }
        if let Some(Again { after, kept }) = self.crashes_in_recovery.pop_front() {
            self.crash_in_recovery(after, kept);
        }
    }

    /// The recovery that follows crashes.
    pub(super) fn crash_in_recovery(&mut self, after: u64, kept: Option<Kept>) {
        self.plan(self.disk.operations() + after, Fault::Crash);
        self.end_of_recovery = Some(kept.into());
    }

    /// Looks at the files as `verify` does, on a copy, so that no operation is counted and no fault
    /// strikes.
    pub(super) fn check_files(&mut self, moment: Moment) {
        let copy = self.disk.fork();
        copy.clear_faults();
        let report = match verify(&copy, DATA.as_ref(), &mut |_| {}) {
            Ok(report) => report,
            Err(error) => {
                // Where no store was opened yet there may be none, or half a one.
                let is_new = !self.is_created && moment == Moment::Dead;
                self.tally.holds(Check::Undamaged, is_new, || error.to_string());
                return;
            }
        };
        let is_whole = match report.outcome {
            Outcome::Clean => true,
            Outcome::TornTail { .. } => moment == Moment::Dead,
            Outcome::Damaged(_) => false,
        };
        self.tally.holds(Check::Undamaged, is_whole, || format!("{moment:?}: {report}"));
        // What a crash leaves is removed by the next opening.
        if moment == Moment::Opened {
            self.check_salts();
            let leaked: Vec<_> = leaked(&report).collect();
            self.tally.holds(Check::NoLeakedFile, leaked.is_empty(), || {
                format!("{moment:?}: {leaked:?}")
            });
        }
    }

    /// No two segments have the same salt, or bytes of one could be taken for the other's.
    fn check_salts(&mut self) {
        let bytes = self.disk.image(DATA.to_owned() + "/MANIFEST").expect("a store has one");
        let manifest = Manifest::decode(&bytes).expect("verify has read it");
        let salts: BTreeSet<u64> = manifest.segments.iter().map(|listed| listed.salt.0).collect();
        let are_different = salts.len() == manifest.segments.len();
        self.tally.holds(Check::Undamaged, are_different, || {
            format!("{} segments have {} salts", manifest.segments.len(), salts.len())
        });
    }

    pub(super) fn recover_from(&mut self, first: Result<Store<Slot>, OpenError>) {
        let (mut result, mut attempt) = (first, 0);
        let mut store = loop {
            match result {
                Ok(store) => break store,
                Err(error) => {
                    let is_excused = self.faulty && matches!(error, OpenError::Disk(_));
                    self.tally.holds(Check::Opens, is_excused, || error.to_string());
                }
            }
            attempt += 1;
            assert!(attempt < 1000, "each fault strikes once");
            self.tally.recoveries_interrupted += 1;
            self.fall(attempt);
            result = self.open_store();
        };
        let struck = self.disk.take_struck();
        self.tally.struck(&struck);
        // What is planned ahead strikes later; here it would hide what the store holds.
        match self.is_planned_ahead {
            true => self.disk.pause_faults(true),
            false => self.disk.clear_faults(),
        }
        self.crashes_in_recovery.clear();
        self.end_of_recovery = None;
        let was_faulty = std::mem::take(&mut self.faulty);
        self.tally.recoveries += u64::from(self.is_created);
        self.is_created = true;
        self.tally.count(Check::Opens, 1);
        // An opening that could not remove a file goes on without.
        self.check_files(if struck.is_empty() { Moment::Opened } else { Moment::Dead });
        // An opening that found no space for a whole segment refuses sends: there is space again.
        store.commit().expect("no fault is planned");
        let now = store.now();
        let shown = show(&mut store, &mut self.answers);
        self.tally.count(Check::Conservation, shown.len() as u64);
        let last_queue = probe_last_queue(&mut store, &mut self.answers);
        // Of what was moving some may stay where a read failed: which, only the store can say.
        let partly = self.moves.take().and_then(|moves| moves.as_far_as(&shown));
        self.states.splice(..0, partly.filter(|_| was_faulty));
        let is_it = |state: &Model| state.show(now) == shown && state.last_queue == last_queue;
        let mut candidates: Vec<&Model> = self.states.iter().filter(|state| is_it(state)).collect();
        for held in &self.held {
            tell_apart(&mut store, &mut self.answers, held, &mut candidates);
        }
        let state = candidates.last().map(|state| (**state).clone());
        self.tally.holds(Check::Prefix, state.is_some(), || {
            // What was synced last comes first.
            let states = self.states.iter().enumerate().rev().map(|(number, state)| {
                let mut differences = differences(&shown, &state.show(now));
                if state.last_queue != last_queue {
                    let expected = state.last_queue;
                    differences.push(format!("last queue {last_queue}, expected {expected}"));
                }
                format!("\nnot state {number}: {}", differences.join("; "))
            });
            format!(
                "what was recovered is none of {}:{}",
                self.states.len(),
                states.collect::<String>()
            )
        });
        let mut state = state.expect("it was checked above");
        state.last_queue += 1;
        // What was about to move, and which receives may be asked again, is written nowhere.
        let messages = state.queues.values_mut().flat_map(|queue| queue.messages.values_mut());
        messages.for_each(|message| (message.is_moving, message.answers) = (false, 1));
        self.marked.clear();
        self.attempts.clear();
        self.changes += 1;
        self.states = vec![state];
        self.all_visible();
        self.store = Some(store);
        self.drive().expect("no fault is planned");
        self.disk.pause_faults(false);
        self.faulty = self.disk.has_faults();
    }
}

/// What is said of files that are nobody's. That an index is missing is none of that, and what is
/// prepared for the log is in use.
fn leaked(report: &VerifyReport) -> impl Iterator<Item = &String> {
    report.notes.iter().filter(|note| {
        !note.ends_with("it will be made anew") && !note.starts_with("log/next.tmp ")
    })
}

/// Which lease of a message is the newest does not show; it does when a receipt is used. Keeps those states in which
/// this one is as good as in the store, if they differ in that. The transaction that asks is refused in any case, and
/// changes nothing.
fn tell_apart(
    store: &mut Store<Slot>,
    answers: &mut Answers,
    held: &Held,
    candidates: &mut Vec<&Model>,
) {
    let is_stale = |state: &Model| {
        let queue = state.queues.values().find(|queue| queue.id == held.queue);
        queue.is_some_and(|queue| {
            matches!(queue.check(held), Err(RequestError::ReceiptStale { .. }))
        })
    };
    let stale = candidates.iter().filter(|state| is_stale(state)).count();
    if stale == 0 || stale == candidates.len() {
        return;
    }
    let (queue, _) = candidates[0]
        .queues
        .iter()
        .find(|(_, queue)| queue.id == held.queue)
        .expect("states that show the same have the same queues");
    let acks = vec![TransactAcks { queue: queue.clone(), receipts: vec![held.receipt] }];
    let nowhere = TransactSends { queue: "probe".to_owned(), messages: vec![message(b"", None)] };
    let answer = ask(store, answers, Command::Transact { acks, sends: vec![nowhere] });
    let Err(RequestError::TransactionRefused { cause, .. }) = answer else {
        panic!("a transaction with a queue that is not there is refused, not {answer:?}");
    };
    let is_found_stale = matches!(*cause, RequestError::ReceiptStale { .. });
    candidates.retain(|state| is_stale(state) == is_found_stale);
}

/// The newest number that was given to a queue, which shows only when another queue gets the next
/// one.
fn probe_last_queue(store: &mut Store<Slot>, answers: &mut Answers) -> u32 {
    let (name, attributes) = ("probe".to_owned(), AttributeChanges::default());
    let create = Command::CreateQueue { name: name.clone(), attributes: attributes.into() };
    let Ok(Reply::Created { queue, created: true }) = ask(store, answers, create) else {
        panic!("a queue is created");
    };
    assert_eq!(ask(store, answers, Command::DeleteQueue { name }), Ok(Reply::Deleted));
    queue.0 - 1
}
