//! Without this a fast caller and a slow server would fill the client's memory.

mod scripted;

use forebay_protocol::client::{ClientError, Producer, ProducerOptions};
use forebay_protocol::*;
use scripted::{Peer, Script, options};
use tokio::task::JoinSet;

/// The bodies of the next request, which must be a Send, and its correlation.
async fn next_batch(peer: &mut Peer) -> (u32, Vec<OutgoingMessage>) {
    match peer.request().await {
        (correlation, Request::Send(send)) => (correlation, send.messages),
        (_, other) => panic!("a send, not {other:?}"),
    }
}

fn sent(count: usize) -> Sent {
    Sent { queue_id: 1, first_seq: 1, count: count as u32, seqs: Vec::new() }
}

#[tokio::test]
async fn no_more_requests_than_the_server_allows() {
    let script = Script::listen().await.with_limits(|limits| limits.in_flight_requests_max = 3);
    let (client, mut peer) = script.client(options()).await;
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        callers.spawn(async move { client.ping().await });
    }
    let mut unanswered = Vec::new();
    for answered in 0..10 {
        while let Some((correlation, _)) = peer.request_if_any().await {
            unanswered.push(correlation);
        }
        assert_eq!(unanswered.len(), 3.min(10 - answered));
        peer.reply(unanswered.remove(0), Pong {}).await;
    }
    while let Some(answer) = callers.join_next().await {
        assert_eq!(answer.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn no_more_bytes_than_the_server_allows_but_one_large_request_may_pass_alone() {
    let script = Script::listen().await.with_limits(|limits| limits.in_flight_bytes_max = 1000);
    let (client, mut peer) = script.client(options()).await;
    let mut callers = JoinSet::new();
    for bytes in [400, 400, 400, 5000] {
        let client = client.clone();
        callers.spawn(
            async move { client.send("q", vec![OutgoingMessage::new(vec![0; bytes])]).await },
        );
    }
    for expected in [2, 1, 1] {
        let mut unanswered = Vec::new();
        while let Some((correlation, _)) = peer.request_if_any().await {
            unanswered.push(correlation);
        }
        assert_eq!(unanswered.len(), expected);
        for correlation in unanswered {
            peer.reply(correlation, sent(1)).await;
        }
    }
    while let Some(answer) = callers.join_next().await {
        assert_eq!(answer.unwrap(), Ok(sent(1)));
    }
}

#[tokio::test]
async fn a_producer_sends_a_lone_push_at_once_and_all_pushes_in_order() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let options =
        ProducerOptions { batch_messages: 10, window_batches: 2, ..ProducerOptions::default() };
    let mut producer = Producer::new(client, "q", options);
    let message = |number: u64| OutgoingMessage::new(number.to_string());

    producer.push(message(0)).await.unwrap();
    let (lone, batch) = next_batch(&mut peer).await;
    assert_eq!(batch, vec![message(0)]);

    let mut expected = 1;
    for number in 1..100 {
        producer.push(message(number)).await.unwrap();
    }
    peer.reply(lone, sent(1)).await;
    let serve = async {
        while expected < 100 {
            let (correlation, batch) = next_batch(&mut peer).await;
            assert!(batch.len() <= 10);
            for found in &batch {
                assert_eq!(*found, message(expected));
                expected += 1;
            }
            peer.reply(correlation, sent(batch.len())).await;
        }
    };
    let (flushed, ()) = tokio::join!(producer.flush(), serve);
    assert_eq!(flushed, Ok(100));
    assert_eq!(producer.answered(), 100);
}

#[tokio::test]
async fn a_producer_waits_when_its_window_is_full() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    // Each message counts 100 bytes of body, 12 of block and 64 besides: a batch is one message.
    let options =
        ProducerOptions { batch_bytes: 200, window_batches: 4, ..ProducerOptions::default() };
    let mut producer = Producer::new(client, "q", options);
    let pushing = tokio::spawn(async move {
        for _ in 0..20 {
            producer.push(OutgoingMessage::new(vec![0; 100])).await?;
        }
        producer.flush().await
    });
    let mut unanswered = Vec::new();
    for _ in 0..20 {
        while let Some((correlation, request)) = peer.request_if_any().await {
            let Request::Send(send) = request else { panic!("a send") };
            assert_eq!(send.messages.len(), 1);
            unanswered.push(correlation);
            assert!(unanswered.len() <= 4);
        }
        peer.reply(unanswered.remove(0), sent(1)).await;
    }
    assert_eq!(pushing.await.unwrap(), Ok(20));
}

#[tokio::test]
async fn a_producer_keeps_the_first_failure_and_sends_nothing_after_it() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let options =
        ProducerOptions { batch_messages: 1, window_batches: 1, ..ProducerOptions::default() };
    let mut producer = Producer::new(client.clone(), "q", options);
    for _ in 0..3 {
        producer.push(OutgoingMessage::new("m")).await.unwrap();
    }
    let (correlation, _) = next_batch(&mut peer).await;
    peer.refuse(correlation, ErrorCode::UnknownQueue).await;
    let failure = producer.flush().await.unwrap_err();
    assert!(
        matches!(&failure, ClientError::Refused(error) if error.code == ErrorCode::UnknownQueue),
        "{failure:?}"
    );
    assert_eq!(producer.push(OutgoingMessage::new("m")).await, Err(failure.clone()));
    assert_eq!(producer.flush().await, Err(failure));
    assert_eq!(producer.answered(), 0);
    assert!(peer.request_if_any().await.is_none());
}

#[tokio::test]
async fn a_dropped_producer_sends_what_was_pushed() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let options = ProducerOptions { batch_messages: 1, ..ProducerOptions::default() };
    let mut producer = Producer::new(client, "q", options);
    for _ in 0..40 {
        producer.push(OutgoingMessage::new("m")).await.unwrap();
    }
    drop(producer);
    for _ in 0..40 {
        let (correlation, _) = next_batch(&mut peer).await;
        peer.reply(correlation, sent(1)).await;
    }
    peer.closed().await;
}
