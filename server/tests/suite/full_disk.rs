//! Without this, a full disk would stop receives and acks too, and so never become less full.

use std::path::Path;
use std::sync::Arc;

use forebay_engine::Options;
use forebay_engine::disk::{Fault, SimDisk};
use forebay_protocol::client::ClientError;
use forebay_protocol::{ErrorCode, OutgoingMessage, Reply, Retry};

use crate::support::{Server, receive, within};

#[tokio::test]
async fn a_full_disk_refuses_sends_while_receives_and_acks_go_on() {
    let disk = SimDisk::new(1);
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let data = Path::new("data").to_owned();
    let server =
        Server::start_with(Arc::new(disk.clone()), data, options, Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let batch = || vec![OutgoingMessage::new(vec![1; 8 << 10])];
    client.send("orders", batch()).await.unwrap();
    disk.set_capacity(Some(disk.used() + (128 << 10)));

    let mut stored = 1;
    let refused = loop {
        match client.send("orders", batch()).await {
            Ok(_) => stored += 1,
            Err(ClientError::Refused(error)) => break error,
            Err(other) => panic!("expected a refusal, found {other}"),
        }
    };
    assert_eq!((refused.code, refused.retry), (ErrorCode::StorageFull, Retry::Later));

    let mut acked = 0;
    while acked < stored {
        let receipts: Vec<_> = receive(&client, "orders", 10).await;
        let receipts: Vec<_> = receipts.into_iter().map(|message| message.receipt).collect();
        assert_eq!(client.ack("orders", &receipts).await.unwrap(), []);
        acked += receipts.len();
    }

    disk.set_capacity(None);
    let sends_again = async { while client.send("orders", batch()).await.is_err() {} };
    within("a send after there is room", sends_again).await;
    server.stop().await;
}

#[tokio::test]
async fn a_failed_sync_ends_the_server_and_no_answer_claims_success() {
    let disk = SimDisk::new(1);
    let server =
        Server::start_on(Arc::new(disk.clone()), Path::new("data"), Default::default()).await;
    let client = server.client().await;
    client.create_queue("orders", Default::default()).await.unwrap();
    let mut raw = server.greeted().await;
    let mut number = 2;
    let first = loop {
        // The next segment's preparation has a sync of its own, and may be what the fault strikes:
        // then sends are refused, if at all, until it is tried again.
        if !disk.has_faults() {
            disk.fail_at(disk.operations(), Fault::SyncDropsPages);
        }
        let messages = vec![OutgoingMessage::new("lost?")];
        raw.request(number, forebay_protocol::Send::new("orders".to_owned(), messages)).await;
        match raw.reply().await {
            Some((_, Reply::Error(error))) if error.code == ErrorCode::StorageFull => number += 1,
            Some((_, Reply::Sent(_))) => number += 1,
            Some((correlation, Reply::Error(error))) => break (correlation, error.code),
            other => panic!("expected an answer to a send, found {other:?}"),
        }
    };
    let second = match raw.reply().await {
        Some((correlation, Reply::Error(error))) => Some((correlation, error.code)),
        None => None,
        other => panic!("expected an error, found {other:?}"),
    };
    let (send, leaving) = match first {
        (0, _) => (second, Some(first)),
        _ => (Some(first), second),
    };
    assert_eq!(leaving, Some((0, ErrorCode::StorageFailed)), "why the server leaves");
    // A watermark may be what failed: before the send was looked at, or before it was read.
    let refused = [ErrorCode::StorageFailed, ErrorCode::ShuttingDown].map(|code| (number, code));
    assert!(send.is_none_or(|send| refused.contains(&send)), "{send:?}");
    raw.closed().await;
    let ending = server.stopped().await;
    assert!(matches!(ending, forebay::Ending::StorageFailed { .. }), "{ending:?}");
}
