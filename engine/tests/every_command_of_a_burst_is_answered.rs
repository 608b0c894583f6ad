//! Without this: a command that lies in the channel when the core turns to the writer could be
//! taken out and forgotten, and its caller would wait for ever. (It was, once: the 257th of a
//! burst.)

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use common::{Answer, DATA};
use forebay_engine::command::{Command, ReplyTo};
use forebay_engine::disk::SimDisk;
use forebay_engine::{Engine, Options, SystemClock};

/// A caller who holds up the core's thread until he is let go.
struct Caller {
    answer: Sender<Answer>,
    hold: Option<Receiver<()>>,
}

impl ReplyTo for Caller {
    fn reply(self, result: Answer) {
        self.answer.send(result).unwrap();
        if let Some(hold) = self.hold {
            hold.recv().unwrap();
        }
    }

    fn is_gone(&self) -> bool {
        false
    }
}

#[test]
fn a_thousand_commands_that_wait_together_are_all_answered() {
    let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SystemClock));
    let on_failure = Box::new(|failure| panic!("{failure}"));
    let (engine, _) =
        Engine::open(disk, clock, Path::new(DATA), Options::default(), on_failure).unwrap();
    let list = || Command::ListQueues { prefix: String::new(), after: String::new(), max: 1 };
    let (answer, answers) = channel();
    let (let_go, hold) = channel();
    engine.handle().submit(list(), Caller { answer: answer.clone(), hold: Some(hold) });
    answers.recv().unwrap().unwrap();
    for _ in 0..1000 {
        engine.handle().submit(list(), Caller { answer: answer.clone(), hold: None });
    }
    drop(answer);
    let_go.send(()).unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1000);
    engine.shutdown().unwrap();
}
