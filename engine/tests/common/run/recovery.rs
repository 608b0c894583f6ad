//! The end of the process, and what the next one finds.

use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::Fault;
use forebay_engine::{OpenError, Store};

use super::Run;
use crate::common::{Answers, Slot, ask, open, show};

impl Run {
    /// The process ends. Opens the store until it opens, with the fault that is planned, if any,
    /// striking on the way, and finds the state that it recovered.
    pub(super) fn recover(&mut self) {
        self.store = None;
        self.collect();
        self.unanswered.clear();
        self.fall(0);
        if let Some(after) = self.crash_in_recovery.take() {
            self.plan(self.disk.operations() + after, Fault::Crash);
        }
        self.recover_from(open(&self.disk, &self.clock));
    }

    /// The process ends, with or without the power.
    fn fall(&mut self, attempt: u64) {
        match self.power {
            Some(seed) => self.disk.crash(seed.wrapping_add(attempt)),
            None => self.disk.kill(),
        }
    }

    pub(super) fn recover_from(&mut self, first: Result<Store<Slot>, OpenError>) {
        let (mut result, mut attempt) = (first, 0);
        let mut store = loop {
            match result {
                Ok(store) => break store,
                Err(error) => {
                    assert!(self.faulty, "a store does not open: {error}");
                    assert!(matches!(error, OpenError::Disk(_)), "a store is refused: {error}");
                }
            }
            attempt += 1;
            assert!(attempt < 10, "each fault strikes once");
            self.fall(attempt);
            result = open(&self.disk, &self.clock);
        };
        self.disk.clear_faults();
        self.faulty = false;
        self.recoveries += 1;
        let now = store.now();
        let shown = show(&mut store, &mut self.answers);
        let last_queue = probe_last_queue(&mut store, &mut self.answers);
        let candidate = self
            .states
            .iter()
            .rposition(|state| state.show(now) == shown && state.last_queue == last_queue);
        let Some(candidate) = candidate else {
            let states: Vec<_> = self.states.iter().map(|state| state.show(now)).collect();
            panic!("recovered {shown:#?}\nwhich is none of {states:#?}");
        };
        let mut state = self.states.swap_remove(candidate);
        state.last_queue += 1;
        // What was about to move, and which receives may be asked again, is written nowhere.
        let messages = state.queues.values_mut().flat_map(|queue| queue.messages.values_mut());
        messages.for_each(|message| message.is_moving = false);
        self.marked.clear();
        self.attempts.clear();
        self.states = vec![state];
        self.all_visible();
        self.store = Some(store);
        self.drive().expect("no fault is planned");
    }
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
