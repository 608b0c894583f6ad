//! Without this: when many answers are due at the moment in which an entry is written, those who wait
//! for them would wait for the disk, whether the disk has to do with them or not.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::engine::{deliveries, receive, start};
use common::gate::GatedDisk;
use forebay_engine::Options;
use forebay_engine::command::Command;
use forebay_engine::disk::SimDisk;

/// More than the thread that writes gives itself before it writes.
const RECEIVES: usize = 6;

/// Nobody waits so long unless the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn receives_that_find_nothing_beside_a_change() {
    let disk = GatedDisk::new(SimDisk::new(1));
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("empty");
    // Another event may happen to wake the thread that is to give the answers, so several times.
    for number in 0..10 {
        let hold = running.hold_up();
        disk.close();
        // No message: the core then has no alarm for which the other thread would wake anyway.
        let (name, attributes) = (format!("queue-{number}"), Default::default());
        let created = running.submit(Command::CreateQueue { name, attributes });
        let receives: Vec<_> =
            (0..RECEIVES).map(|_| running.submit(receive("empty", 1, 0))).collect();
        drop(hold);
        for receive in receives {
            let answer = receive.recv_timeout(PATIENCE).expect("it does not wait for the sync");
            assert!(deliveries(answer).is_empty());
        }
        disk.wait_for_a_sync();
        assert!(created.try_recv().is_err(), "it is not synced");
        disk.open(false);
        created.recv().expect("every command is answered").expect("it is created");
    }
    running.engine.shutdown().expect("nothing failed");
}
