//! An engine on threads, and callers that wait for its answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use forebay_engine::command::{Command, Reply, ReplyTo};
use forebay_engine::disk::{Disk, RealDisk};
use forebay_engine::{Engine, EngineHandle, LogFailure, Opening, Options, SystemClock};

use super::{Answer, DATA};

/// Who gets an answer.
#[derive(Debug)]
pub enum Caller {
    /// Sends it to whoever waits.
    Tells(Sender<Answer>),
    /// Says that it has come, and holds up the thread that gives it until it may go on.
    HoldsUp(Sender<()>, Receiver<()>),
}

impl Caller {
    pub fn new(answers: Sender<Answer>) -> Self {
        Self::Tells(answers)
    }
}

impl ReplyTo for Caller {
    fn reply(self, result: Answer) {
        match self {
            // A test that no longer listens does not mind.
            Self::Tells(answers) => drop(answers.send(result)),
            Self::HoldsUp(has_come, may_go_on) => {
                let _ = has_come.send(());
                let _ = may_go_on.recv();
            }
        }
    }
    fn is_gone(&self) -> bool {
        false
    }
}

/// An engine, and where its failure is told.
pub struct Running {
    pub engine: Engine<Caller>,
    pub handle: EngineHandle<Caller>,
    pub opening: Opening,
    pub failures: Receiver<LogFailure>,
}

pub fn start(disk: Arc<dyn Disk>, options: Options) -> Running {
    let (tell, failures) = channel();
    let on_failure = Box::new(move |failure| tell.send(failure).expect("the test listens"));
    let clock = Arc::new(SystemClock);
    let (engine, opening) =
        Engine::open(disk, clock, Path::new(DATA), options, on_failure).expect("the store opens");
    let handle = engine.handle();
    Running { engine, handle, opening, failures }
}

/// An engine on the operating system's disk, whose log must not fail.
pub fn start_at(data: &Path, options: Options) -> Engine<Caller> {
    let on_failure = Box::new(|failure| panic!("{failure}"));
    let (disk, clock) = (Arc::new(RealDisk), Arc::new(SystemClock));
    Engine::open(disk, clock, data, options, on_failure).expect("the store opens").0
}

/// Submits a command and waits for its answer.
pub fn ask(engine: &Engine<Caller>, command: Command) -> Answer {
    let (answer, answers) = channel();
    engine.handle().submit(command, Caller::new(answer));
    answers.recv().expect("every command is answered")
}

impl Running {
    /// Submits a command; its answer comes later.
    pub fn submit(&self, command: Command) -> Receiver<Answer> {
        let (answer, waiting) = channel();
        self.handle.submit(command, Caller::new(answer));
        waiting
    }

    /// Holds up the thread that has the core until the sender is used or dropped: what is submitted
    /// meanwhile is taken at once afterwards.
    pub fn hold_up(&self) -> Sender<()> {
        let ((tell, has_come), (go_on, may_go_on)) = (channel(), channel());
        self.handle.submit(Command::Stats, Caller::HoldsUp(tell, may_go_on));
        has_come.recv().expect("every command is answered");
        go_on
    }

    /// Submits a command and waits for its answer.
    pub fn ask(&self, command: Command) -> Answer {
        self.submit(command).recv().expect("every command is answered")
    }

    pub fn create(&self, name: &str) {
        let (name, attributes) = (name.to_owned(), Default::default());
        assert!(self.ask(Command::CreateQueue { name, attributes }).is_ok());
    }
}

pub fn send(queue: &str, body: &[u8]) -> Command {
    Command::Send {
        queue: queue.to_owned(),
        messages: vec![super::message(body, None)],
        batch: None,
    }
}

pub fn receive(queue: &str, max: u32, wait_ms: u64) -> Command {
    Command::Receive {
        queue: queue.to_owned(),
        max,
        wait_ms: Some(wait_ms),
        visibility_ms: None,
        bytes_max: u64::MAX,
        attempt: None,
    }
}

/// The deliveries of a receive.
pub fn deliveries(answer: Answer) -> Vec<forebay_engine::command::Delivery> {
    match answer {
        Ok(Reply::Received { deliveries, .. }) => deliveries,
        other => panic!("a receive was answered with {other:?}"),
    }
}
