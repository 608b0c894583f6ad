//! Without this: a graceful shutdown would drop sends that were accepted, or hang on a long poll.

mod common;

use std::sync::Arc;

use common::engine::{deliveries, receive, send, start};
use common::gate::GatedDisk;
use forebay_engine::Options;
use forebay_engine::disk::SimDisk;

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
