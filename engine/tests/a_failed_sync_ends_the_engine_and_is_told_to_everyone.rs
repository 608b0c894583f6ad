//! Without this: one waiter of a failed group would hear of the failure and the others would wait
//! for ever, or a retried sync would answer for data that the kernel has dropped.

mod common;

use std::sync::Arc;

use common::engine::{deliveries, receive, send, start};
use common::gate::GatedDisk;
use forebay_engine::disk::SimDisk;
use forebay_engine::{Options, RequestError};

#[test]
fn everything_unanswered_is_unknown_and_everything_later_refused() {
    let sim = SimDisk::new(1);
    let disk = GatedDisk::new(sim.clone());
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("jobs");
    running.ask(send("jobs", b"answered")).expect("sent");
    assert_eq!(deliveries(running.ask(receive("jobs", 1, 0))).len(), 1);
    let waiting = running.submit(receive("jobs", 1, 20_000));
    disk.close();
    let written = running.submit(send("jobs", b"being written"));
    disk.wait_for_a_sync();
    let pending: Vec<_> = (0..5).map(|_| running.submit(send("jobs", b"pending"))).collect();
    disk.open(true);
    for answer in [written, waiting].into_iter().chain(pending) {
        let error = answer.recv().unwrap().expect_err("nothing is answered as done");
        let unknown =
            matches!(&error, RequestError::StorageFailed { cause } if cause.contains("sync"));
        // One that the core had not looked at yet was surely not done.
        assert!(unknown || error == RequestError::ShuttingDown, "{error}");
    }
    let failure = running.failures.recv().expect("the failure is told");
    assert!(failure.to_string().contains("os error 5"), "{failure}");
    let later = running.ask(send("jobs", b"later"));
    assert_eq!(later, Err(RequestError::ShuttingDown));
    running.engine.shutdown().expect_err("the engine failed");

    // What the disk really holds is found by opening it again.
    sim.kill();
    let running = start(Arc::new(sim), Options::default());
    assert!(running.opening.messages >= 1, "what was answered is there");
    running.engine.shutdown().expect("nothing failed");
}
