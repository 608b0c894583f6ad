//! Without this: a thread of the engine that panicked would be missed by nobody, and the process would
//! go on with half a decision, or answer nothing any more.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::Answer;
use forebay_engine::command::{Command, ReplyTo};
use forebay_engine::disk::SimDisk;
use forebay_engine::{Engine, Options, SystemClock};

/// Nobody waits so long unless the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn with_sigabrt() {
    let test = std::env::current_exe().expect("a test is a program");
    let mut process = Process::new(test);
    process.args(["--ignored", "--exact", "an_answer_that_panics"]);
    let status = process.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert_eq!(status.expect("it runs").signal(), Some(6));
}

/// Answers are given on a thread of the engine.
#[derive(Debug)]
struct Panics;

impl ReplyTo for Panics {
    fn reply(self, _: Answer) {
        panic!("as the test wants it");
    }
    fn is_gone(&self) -> bool {
        false
    }
}

#[test]
#[ignore = "it ends its process: the other test runs it"]
fn an_answer_that_panics() {
    let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SystemClock));
    let on_failure = Box::new(|failure| panic!("{failure}"));
    let opened = Engine::open(disk, clock, common::DATA.as_ref(), Options::default(), on_failure);
    let (engine, _) = opened.expect("the store opens");
    engine.handle().submit(Command::Stats, Panics);
    // The process ends here.
    let (_open, never) = channel::<()>();
    let _ = never.recv_timeout(PATIENCE);
}
