//! Callers of a store, and what they were answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_engine::command::{Command, Reply, ReplyTo};
use forebay_engine::ids::QueueId;
use forebay_engine::{RequestError, Store};

/// What a command is answered with.
pub type Answer = Result<Reply, RequestError>;

/// Answers that came, by the numbers of their slots.
type Came = Arc<Mutex<BTreeMap<usize, Answer>>>;

/// Collects the answers to numbered commands.
#[derive(Debug, Clone)]
pub struct Slot {
    number: usize,
    answers: Came,
    gone: bool,
}

impl ReplyTo for Slot {
    fn reply(self, result: Answer) {
        let before = lock(&self.answers).insert(self.number, result);
        assert!(before.is_none(), "command {} was answered twice", self.number);
    }

    fn is_gone(&self) -> bool {
        self.gone
    }
}

/// Hands out slots and gives back what came into them.
#[derive(Debug, Default)]
pub struct Answers {
    next: usize,
    answers: Came,
}

impl Answers {
    /// The next slot, and its number.
    pub fn slot(&mut self) -> (usize, Slot) {
        let number = self.next;
        self.next += 1;
        (number, Slot { number, answers: self.answers.clone(), gone: false })
    }

    /// A slot of a caller who is gone.
    pub fn slot_of_the_gone(&mut self) -> (usize, Slot) {
        let (number, slot) = self.slot();
        (number, Slot { gone: true, ..slot })
    }

    /// The answer, if it came.
    pub fn take(&self, number: usize) -> Option<Answer> {
        lock(&self.answers).remove(&number)
    }

    /// The answer, if it came, which is left there.
    pub fn peek(&self, number: usize) -> Option<Answer> {
        lock(&self.answers).get(&number).cloned()
    }

    /// All that came.
    pub fn take_all(&self) -> BTreeMap<usize, Answer> {
        std::mem::take(&mut lock(&self.answers))
    }
}

fn lock(answers: &Came) -> MutexGuard<'_, BTreeMap<usize, Answer>> {
    // A run that panicked is looked at no more.
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does one command on an idle store and returns its answer. A receive does not wait, also not for dead
/// letters that move: it has got nothing then.
pub fn ask(store: &mut Store<Slot>, answers: &mut Answers, command: Command) -> Answer {
    let is_receive = matches!(command, Command::Receive { .. });
    let (number, slot) = if is_receive { answers.slot_of_the_gone() } else { answers.slot() };
    store.handle(command, slot).expect("no fault is planned");
    if let Some(answer) = answers.take(number) {
        return answer;
    }
    store.commit().expect("no fault is planned");
    match answers.take(number) {
        Some(answer) => answer,
        None if is_receive => Ok(nothing()),
        None => panic!("a committed command is answered"),
    }
}

/// What a receive has got that was not waited for, of whatever queue.
pub(super) fn nothing() -> Reply {
    Reply::Received { queue: QueueId(0), deliveries: Vec::new() }
}
