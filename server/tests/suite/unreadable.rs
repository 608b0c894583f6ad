//! Without these, damaged bytes could be delivered, or one damaged message could hold up the rest
//! of its queue.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay_engine::disk::{Fault, SimDisk};
use forebay_engine::{Clock, Options};
use forebay_protocol::client::{Client, ReceiveOptions};
use forebay_protocol::{OutgoingMessage, QueueAttributes};

use crate::support::{Server, receive, send, within};

/// Stands still until it is moved.
#[derive(Debug, Default)]
struct StoppedClock(AtomicU64);

impl Clock for StoppedClock {
    fn wall_ms(&self) -> u64 {
        self.boot_ms()
    }

    fn boot_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A server whose messages are read from the disk, not from memory.
async fn cold_server(disk: &SimDisk) -> (Server, Arc<StoppedClock>) {
    let options = Options { tail_cache_bytes: 0, ..Options::default() };
    let data = Path::new("data").to_owned();
    let (clock, disk) = (Arc::new(StoppedClock::default()), Arc::new(disk.clone()));
    let started = Server::start_by(clock.clone(), disk, data, options, Default::default());
    (started.await, clock)
}

/// The numbers of the messages that come at once, which the tests write into their first byte.
async fn receive_now(client: &Client, queue: &str) -> Vec<u8> {
    let delivery = client.receive(queue, ReceiveOptions { max: 10, ..Default::default() });
    let delivery = within("an answer", delivery).await.unwrap();
    delivery.messages.iter().map(|message| message.block.body()[0]).collect()
}

/// Flips a bit in the first place where a file of the log holds these bytes.
fn damage(disk: &SimDisk, bytes: &[u8]) {
    for path in disk.files() {
        let image = disk.image(&path).unwrap();
        if let Some(at) = image.windows(bytes.len()).position(|window| window == bytes) {
            disk.flip_bit(&path, at as u64, 0).unwrap();
            return;
        }
    }
    panic!("no file holds {bytes:?}");
}

#[tokio::test]
async fn a_damaged_message_is_set_aside_and_the_rest_is_delivered() {
    let disk = SimDisk::new(1);
    let (server, _) = cold_server(&disk).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    // The log's last page is written again with what comes next, which would mend it.
    let third = [&b"third-body"[..], &[0; 8192]].concat();
    for body in [&b"first-body"[..], b"second-body", &third] {
        send(&client, "orders", &[body]).await;
    }
    damage(&disk, b"second-body");
    let received = receive(&client, "orders", 10).await;
    let bodies: Vec<_> = received.iter().map(|message| message.block.body().as_ref()).collect();
    assert_eq!(bodies, [&b"first-body"[..], &third]);
    let set_aside = async { while client.describe_queue("orders").await.unwrap().damaged == 0 {} };
    within("the count of damaged messages", set_aside).await;
    let page = client.peek("orders", Default::default()).await.unwrap();
    assert_eq!(page.messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [1, 3]);
}

/// Without this a subscription and a broken disk would keep each other busy.
#[tokio::test]
async fn a_message_that_the_disk_did_not_give_comes_a_second_later() {
    let disk = SimDisk::new(1);
    let (server, clock) = cold_server(&disk).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    send(&client, "orders", &[&[1]]).await;
    disk.fail_at(disk.operations(), Fault::ReadIo);
    assert_eq!(receive_now(&client, "orders").await, [0; 0], "the disk did not give it");
    assert_eq!(receive_now(&client, "orders").await, [0; 0], "it rests");
    clock.0.fetch_add(999, Ordering::Relaxed);
    assert_eq!(receive_now(&client, "orders").await, [0; 0], "it still rests");
    clock.0.fetch_add(1, Ordering::Relaxed);
    // Its lease would last 30 seconds: it was given back.
    assert_eq!(receive_now(&client, "orders").await, [1]);
}

/// Without this messages that nobody ever got would become dead letters.
#[tokio::test]
async fn a_receive_for_which_the_disk_gave_nothing_does_not_count() {
    let disk = SimDisk::new(1);
    let (server, clock) = cold_server(&disk).await;
    let client = server.client().await;
    client.create_queue("dead", Default::default()).await.unwrap();
    let attributes = QueueAttributes {
        receive_count_max: Some(1),
        dead_letter_queue: Some("dead".to_owned()),
        ..QueueAttributes::default()
    };
    client.create_queue("orders", attributes).await.unwrap();
    send(&client, "orders", &[&[1]]).await;
    for _ in 0..2 {
        disk.fail_at(disk.operations(), Fault::ReadIo);
        assert_eq!(receive_now(&client, "orders").await, [0; 0], "the disk did not give it");
        assert_eq!(receive_now(&client, "orders").await, [0; 0], "it was given back, and rests");
        clock.0.fetch_add(1_000, Ordering::Relaxed);
    }
    let received = receive(&client, "orders", 1).await;
    assert_eq!((received[0].seq, received[0].receive_count), (1, 1));
}

/// Found by `torture kill --strace`.
#[tokio::test]
async fn a_fifo_message_that_the_disk_did_not_give_is_not_overtaken_by_its_group() {
    let disk = SimDisk::new(1);
    let (server, clock) = cold_server(&disk).await;
    let client = server.client().await;
    let attributes = QueueAttributes { fifo: Some(1), ..QueueAttributes::default() };
    client.create_queue("orders.fifo", attributes).await.unwrap();
    for (group, number) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
        // Two of these are more than is read at once: what fails is not read again one by one.
        let body = [vec![number; 1], vec![0; 600_000]].concat();
        let message = OutgoingMessage::new(body).group(group).deduplication(number.to_string());
        client.send("orders.fifo", vec![message]).await.unwrap();
    }
    disk.fail_at(disk.operations(), Fault::ReadIo);
    let at_first = receive_now(&client, "orders.fifo").await;
    assert!(at_first.iter().all(|number| *number == 3), "none of group a: {at_first:?}");
    let meanwhile = receive_now(&client, "orders.fifo").await;
    assert!(meanwhile.iter().all(|number| *number == 3), "none of group a: {meanwhile:?}");
    clock.0.fetch_add(1_000, Ordering::Relaxed);
    let mut later = receive_now(&client, "orders.fifo").await;
    later.retain(|number| *number != 3);
    assert_eq!(later, [1, 2, 4]);
}
