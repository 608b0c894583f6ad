//! Without this: group commit could quietly become one sync a message, and sixty-four producers
//! would wait sixty-four syncs.

mod common;

use std::sync::Arc;

use common::engine::{deliveries, receive, send, start};
use common::gate::GatedDisk;
use forebay_engine::Options;
use forebay_engine::disk::SimDisk;

#[test]
fn sixty_three_sends_that_arrive_during_a_sync_need_one_more() {
    let disk = GatedDisk::new(SimDisk::new(1));
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("jobs");
    disk.close();
    let first = running.submit(send("jobs", b"0"));
    disk.wait_for_a_sync();
    let others: Vec<_> = (1..64u8).map(|body| running.submit(send("jobs", &[body]))).collect();
    // The core has decided all of them once it answers this.
    assert!(deliveries(running.ask(receive("jobs", 10, 0))).is_empty(), "none is durable yet");
    assert!(first.try_recv().is_err(), "nothing is answered before its sync");
    let syncs = disk.syncs();
    disk.open(false);
    first.recv().unwrap().expect("sent");
    for other in others {
        other.recv().unwrap().expect("sent");
    }
    assert_eq!(disk.syncs() - syncs, 1, "one more sync for all the rest");
    assert_eq!(deliveries(running.ask(receive("jobs", 100, 0))).len(), 64);
    running.engine.shutdown().expect("nothing failed");
}
