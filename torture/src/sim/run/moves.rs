//! What the store does beside its commands: upkeep, moves of dead letters, and redrives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use forebay_engine::command::{Command, RedriveState, Reply};
use forebay_engine::disk::Disk;
use forebay_engine::{DeadLetter, LogFailure, RequestError};

use super::answered::kind;
use super::recovery::End;
use super::{MovedBy, Moves, Redrive, Run};
use crate::sim::check::Check;
use crate::sim::files::DATA;
use crate::sim::model::{Model, NoTarget};
use crate::sim::op::is_fifo;
use crate::sim::shown::{ShownQueue, show};

impl Run {
    pub(super) fn keep(&mut self, steps: u32) -> Result<(), LogFailure> {
        if !self.marked.is_empty() {
            self.settle()?;
            let marked = std::mem::take(&mut self.marked);
            self.move_all(marked, MovedBy::Receives)?;
        }
        for _ in 0..steps {
            let is_busy = self.store().keep()?;
            // What the keeper asks for comes with the next entry.
            self.store().commit()?;
            self.collect();
            if !is_busy {
                break;
            }
        }
        self.read_late();
        Ok(())
    }

    /// Who was told of a message can read it, whatever became of it and of its segment.
    fn read_late(&mut self) {
        for (location, payload) in std::mem::take(&mut self.unread) {
            let read = self.store().read(&location);
            let is_it = read.as_ref().is_ok_and(|read| read.payload == payload);
            let is_excused = self.faulty && read.is_err();
            self.tally.holds(Check::NoPhantom, is_it || is_excused, || {
                format!("message {} is read late: {read:?}", location.seq)
            });
        }
    }

    /// Messages move, in this order: in the model at once, in the store when its keeper gets to it and
    /// there is room in the log. Where a fault strikes some may stay, or come later: the store is asked.
    fn move_all(&mut self, list: Vec<(u32, u64)>, by: MovedBy) -> Result<(), LogFailure> {
        let (before, now) = (self.present().clone(), self.store().now());
        let moves = Moves { before, list, by, now };
        for message in &moves.list {
            let mut model = self.present().clone();
            moves.move_one(&mut model, *message);
            self.push(model);
        }
        self.moves = Some(moves.clone());
        let is_done = |run: &mut Self| -> Result<bool, LogFailure> {
            let expected: Vec<_> = {
                let queues = run.present().queues.iter();
                queues.map(|(name, queue)| (name.clone(), queue.next_seq)).collect()
            };
            let list = Command::ListQueues { prefix: String::new(), after: String::new(), max: 99 };
            let Ok(Reply::Listed { queues, .. }) = run.tell(list)? else { panic!("they are") };
            let found: Vec<_> = queues.into_iter().map(|q| (q.name, q.next_seq.0)).collect();
            Ok(found == expected)
        };
        for _ in 0..60 {
            self.store().keep()?;
            self.store().commit()?;
            self.collect();
            if is_done(self)? {
                break;
            }
        }
        let is_done = is_done(self)?;
        self.tally.holds(Check::NoLoss, is_done || self.faulty, || {
            "messages that should move stay".into()
        });
        if self.disk.is_stopped() {
            // Nothing more can be read. Which of them moved shows when the store was opened again.
            let cause = self.disk.sync_dir(DATA.as_ref()).expect_err("it has stopped");
            return Err(LogFailure { cause: Arc::new(cause) });
        }
        if self.faulty {
            self.disk.pause_faults(true);
            let store = self.store.as_mut().expect("the store is open between steps");
            let model = moves.as_far_as(&show(store, &mut self.answers));
            self.disk.pause_faults(false);
            self.tally.holds(Check::GroupOrder, model.is_some(), || {
                "messages of one group passed each other on their way".into()
            });
            let mut model = model.expect("it was checked above");
            let marks = model.queues.values_mut().flat_map(|queue| queue.messages.values_mut());
            marks.for_each(|message| message.is_moving = false);
            self.changes += 1;
            self.states = vec![model];
        }
        self.settle()?;
        self.moves = None;
        Ok(())
    }

    /// Starts a redrive, and lets it come to its end, or cancels it at once.
    pub(super) fn redrive(
        &mut self,
        name: &str,
        to: Option<&str>,
        is_cancelled: bool,
    ) -> Result<(), LogFailure> {
        // What is about to move already is moved first.
        self.keep(1)?;
        self.settle()?;
        let now = self.store().now();
        self.states.last_mut().expect("there is a state").expire_in(name, now);
        let expected = self.present().check_redrive(name, to);
        let (queue, destination) = (name.to_owned(), to.unwrap_or_default().to_owned());
        let through = self.present().queues.get(name).map_or(0, |queue| queue.next_seq - 1);
        let start = Command::StartRedrive { queue: queue.clone(), destination, rate: 0 };
        // A crash may leave it running before it is answered.
        self.redrive = Some(Redrive { queue, to: to.map(str::to_owned), through });
        let id = match (self.tell(start)?, expected) {
            (Ok(Reply::RedriveStarted { redrive, .. }), Ok(())) => redrive,
            (Err(RequestError::StorageFull { .. }), _) if self.faulty => return Ok(()),
            (Err(found), Err(expected)) => {
                assert_eq!(kind(&found), kind(&expected));
                self.redrive = None;
                return Ok(());
            }
            (found, expected) => panic!("a redrive: {found:?} instead of {expected:?}"),
        };
        if is_cancelled {
            match self.tell(Command::CancelRedrive { redrive: id })? {
                Ok(Reply::RedriveCancelled { moved: 0 }) => {
                    self.redrive = None;
                    return Ok(());
                }
                Err(RequestError::StorageFull { .. }) if self.faulty => {}
                other => panic!("a redrive is cancelled: {other:?}"),
            }
        }
        self.drive()
    }

    /// How the queue's newest redrive stands; `None` if its queue, or it, is not there.
    fn redrive_state(&mut self, redrive: &Redrive) -> Result<Option<RedriveState>, LogFailure> {
        match self.tell(Command::ListRedrives { queue: redrive.queue.clone() })? {
            Ok(Reply::RedrivesListed { redrives }) => {
                Ok(redrives.first().map(|newest| newest.state))
            }
            Err(RequestError::UnknownQueue { .. }) => Ok(None),
            other => panic!("redrives are listed: {other:?}"),
        }
    }

    /// Lets the redrive that was started come to its end, if it runs.
    pub(super) fn drive(&mut self) -> Result<(), LogFailure> {
        let Some(redrive) = self.redrive.clone() else { return Ok(()) };
        self.settle()?;
        let mut state = self.redrive_state(&redrive)?;
        let mut rounds = 0;
        while state == Some(RedriveState::Running) {
            rounds += 1;
            if self.faulty && rounds > 3 {
                // It waits for a disk that is full no more.
                self.end = End::Killed;
                self.recover();
                return Ok(());
            }
            assert!(rounds < 10, "a redrive of {} does not come to its end", redrive.queue);
            let expected = self.drive_on(&redrive)?;
            for _ in 0..10 {
                self.store().keep()?;
                self.store().commit()?;
            }
            state = self.redrive_state(&redrive)?;
            if state == Some(RedriveState::Running) {
                // It waits for messages that a FIFO queue's delay holds back.
                self.clock.advance(10_000);
            } else if !self.faulty {
                self.tally.holds(Check::Answer, state == Some(expected), || {
                    format!("a redrive of {} is {state:?}, expected {expected:?}", redrive.queue)
                });
            }
        }
        self.redrive = None;
        Ok(())
    }

    /// Lets it move what it can move now; how it ends if there is no more.
    fn drive_on(&mut self, redrive: &Redrive) -> Result<RedriveState, LogFailure> {
        let now = self.store().now();
        let (queue, to) = (redrive.queue.as_str(), redrive.to.as_deref());
        let mut model = self.present().clone();
        model.expire_in(queue, now);
        let waiting = model.queues[queue].waiting(u64::MAX, now);
        let (mut moves, mut expected) = (Vec::new(), RedriveState::Completed);
        self.push(model.clone());
        for seq in waiting.into_iter().filter(|seq| *seq <= redrive.through) {
            match model.redrive_one(queue, to, seq, now) {
                Ok(true) => moves.push((model.queues[queue].id, seq)),
                Ok(false) => {}
                Err(NoTarget) => {
                    expected = RedriveState::Failed;
                    break;
                }
            }
        }
        let by = MovedBy::Redrive { queue: redrive.queue.clone(), to: redrive.to.clone() };
        self.move_all(moves, by)?;
        Ok(expected)
    }
}

impl Moves {
    /// Moves one of them in the model; whether it may move.
    fn move_one(&self, model: &mut Model, (from, seq): (u32, u64)) -> bool {
        match &self.by {
            MovedBy::Receives => model.move_dead_letter(from, seq, self.now),
            MovedBy::Redrive { queue, to } => {
                matches!(model.redrive_one(queue, to.as_deref(), seq, self.now), Ok(true))
            }
        }
    }

    /// The model in which those have moved that are not where they were, in the order in which they came; `None` if one
    /// of them has passed another one of its group.
    pub(super) fn as_far_as(&self, shown: &BTreeMap<String, ShownQueue>) -> Option<Model> {
        let (mut moved, mut stayed, mut last_of) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        for (from, seq) in self.list.iter().copied() {
            let Some(name) = self.before.name_of(from) else { continue };
            // It may have been acked since it was marked.
            let Some(message) = self.before.queues[name].messages.get(&seq) else { continue };
            let group = message.group.filter(|_| is_fifo(name)).map(|group| (from, group));
            if shown.get(name).is_some_and(|queue| queue.messages.contains_key(&seq)) {
                stayed.extend(group);
                continue;
            }
            let came = came_as(shown, (from, seq));
            let last = group.and_then(|group| last_of.insert(group, came)).flatten();
            if group.is_some_and(|group| stayed.contains(&group))
                || last.zip(came).is_some_and(|(last, came)| last > came)
            {
                return None;
            }
            // Of what does not show (it is no dead letter, or gone again) the model knows the place.
            let place = came.unwrap_or_else(|| moved.last().map_or(0, |(place, _)| *place));
            moved.push((place, (from, seq)));
        }
        moved.sort_by_key(|(place, _)| *place);
        let mut model = self.before.clone();
        for (_, message) in moved {
            self.move_one(&mut model, message);
        }
        Some(model)
    }
}

/// The number that a dead letter has where it is now.
fn came_as(shown: &BTreeMap<String, ShownQueue>, (from, seq): (u32, u64)) -> Option<u64> {
    let messages = shown.values().flat_map(|queue| &queue.messages);
    let mut letters =
        messages.filter_map(|(number, message)| Some((number, message.letter.as_ref()?)));
    let is_it = |letter: &DeadLetter| (letter.origin_queue.0, letter.origin_seq.0) == (from, seq);
    letters.find(|(_, letter)| is_it(letter)).map(|(number, _)| *number)
}
