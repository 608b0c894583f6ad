//! Without this: a graceful shutdown would drop sends that were accepted, or hang on a long poll.

mod common;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::engine::{deliveries, receive, send, start};
use common::gate::GatedDisk;
use forebay_engine::disk::SimDisk;
use forebay_engine::{Options, RequestError};

#[test]
fn what_was_submitted_before_is_committed_and_waits_end_empty() {
    let sim = SimDisk::new(1);
    let disk = GatedDisk::new(sim.clone());
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("jobs");
    running.create("empty");
    let waiting = running.submit(receive("empty", 1, 20_000));
    disk.close();
    let sends: Vec<_> = (0..100u8).map(|body| running.submit(send("jobs", &[body]))).collect();
    disk.wait_for_a_sync();
    let handle = running.handle.clone();
    let closing = std::thread::spawn(move || running.engine.shutdown());
    disk.open(false);
    for answer in sends {
        answer.recv().unwrap().expect("sent");
    }
    assert!(deliveries(waiting.recv().unwrap()).is_empty());
    closing.join().unwrap().expect("nothing failed");
    drop(handle);

    sim.crash(7);
    let running = start(Arc::new(sim), Options::default());
    assert_eq!(deliveries(running.ask(receive("jobs", 1000, 0))).len(), 100);
    running.engine.shutdown().expect("nothing failed");
}

/// A log that failed while the engine was being closed was waited for, for ever: `torture kill --strace` let a sync
/// fail in the moment behind SIGTERM.
#[test]
fn a_log_that_fails_meanwhile_holds_up_nobody() {
    // Whether the engine has heard that it is to close before its log fails is left to chance.
    for round in 0..10 {
        let disk = GatedDisk::new(SimDisk::new(round));
        let options = Options { segment_bytes: 1 << 20, ..Options::default() };
        let running = start(Arc::new(disk.clone()), options);
        running.create("jobs");
        disk.close();
        let written = running.submit(send("jobs", b"being written"));
        disk.wait_for_a_sync();
        let (handle, failures, engine) = (running.handle, running.failures, running.engine);
        let (tell, closed) = channel();
        std::thread::spawn(move || tell.send(engine.shutdown()).expect("the test listens"));
        (0..1000).for_each(|_| std::thread::yield_now());
        disk.open(true);
        let error = written.recv().unwrap().expect_err("nothing is answered as done");
        assert!(matches!(error, RequestError::StorageFailed { .. }), "{error}");
        failures.recv().expect("the failure is told");
        let closed = closed.recv_timeout(Duration::from_secs(60)).expect("it is closed");
        closed.expect_err("the log failed");
        drop(handle);
    }
}
