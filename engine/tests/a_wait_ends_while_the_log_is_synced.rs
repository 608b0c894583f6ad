//! Without this: a receive that waits would wait as long as the disk does, because the thread that
//! watches the clock is the one that syncs.

mod common;

use std::sync::Arc;

use common::engine::{deliveries, receive, send, start};
use common::gate::GatedDisk;
use forebay_engine::Options;
use forebay_engine::disk::SimDisk;

const WAIT_MS: u64 = 30;

#[test]
fn one_that_began_before_the_sync() {
    let disk = GatedDisk::new(SimDisk::new(1));
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("jobs");
    running.create("empty");
    // Either thread may be the one that waits, so several times.
    for body in 0..10u8 {
        let waiting = running.submit(receive("empty", 1, WAIT_MS));
        disk.close();
        let sent = running.submit(send("jobs", &[body]));
        disk.wait_for_a_sync();
        assert!(deliveries(waiting.recv().unwrap()).is_empty());
        assert!(sent.try_recv().is_err(), "it is not synced");
        disk.open(false);
        sent.recv().unwrap().expect("sent");
    }
    running.engine.shutdown().expect("nothing failed");
}

#[test]
fn one_that_began_during_the_sync() {
    let disk = GatedDisk::new(SimDisk::new(1));
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("jobs");
    running.create("empty");
    for body in 0..10u8 {
        disk.close();
        let sent = running.submit(send("jobs", &[body]));
        disk.wait_for_a_sync();
        let waiting = running.submit(receive("empty", 1, WAIT_MS));
        assert!(deliveries(waiting.recv().unwrap()).is_empty());
        disk.open(false);
        sent.recv().unwrap().expect("sent");
    }
    running.engine.shutdown().expect("nothing failed");
}
