//! Without this a caller could be handed another's reply, or wait for ever, or get damaged bytes.

mod scripted;

use bytes::Bytes;
use forebay_protocol::client::{ClientError, ProducerBatch, ReceiveOptions};
use forebay_protocol::*;
use scripted::{Script, options, reply_bytes};
use tokio::task::JoinSet;

fn sent(first_seq: u64) -> Sent {
    Sent { queue_id: 1, first_seq, count: 1, seqs: Vec::new() }
}

fn received(seq: u64, block: Block) -> ReceivedMessage {
    let receipt = Receipt::new(vec![seq as u8; 28]).expect("not too long");
    ReceivedMessage {
        seq,
        receipt,
        receive_count: 1,
        sent_ms: 2,
        first_received_ms: 3,
        source: String::new(),
        origin_queue_id: 1,
        origin_seq: seq,
        reason: String::new(),
        block,
    }
}

#[tokio::test]
async fn replies_in_any_order_reach_their_callers() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let mut callers = JoinSet::new();
    for number in 0..100u64 {
        let client = client.clone();
        callers.spawn(async move { (number, client.purge_queue(&number.to_string()).await) });
    }
    let mut requests = Vec::new();
    for _ in 0..100 {
        let (correlation, Request::PurgeQueue(purge)) = peer.request().await else {
            panic!("a purge")
        };
        requests.push((correlation, purge.name));
    }
    // Neither the order they came in nor its reverse.
    requests.sort_by_key(|(_, name)| name.chars().rev().collect::<String>());
    for (correlation, name) in requests {
        peer.reply(correlation, QueuePurged { purged: name.parse().unwrap() }).await;
    }
    while let Some(answer) = callers.join_next().await {
        let (number, purged) = answer.unwrap();
        assert_eq!(purged, Ok(number));
    }
}

#[tokio::test]
async fn a_reply_may_arrive_in_two_pieces_cut_anywhere() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let reply_length = reply_bytes(1, QueueCreated { queue_id: 7, created: true }).len();
    for at in 0..=reply_length {
        let serve = async {
            let (correlation, _) = peer.request().await;
            let reply = reply_bytes(correlation, QueueCreated { queue_id: 7, created: true });
            peer.write(&reply[..at]).await;
            tokio::task::yield_now().await;
            peer.write(&reply[at..]).await;
        };
        let (created, ()) =
            tokio::join!(client.create_queue("q", QueueAttributes::default()), serve);
        assert_eq!(created, Ok(QueueCreated { queue_id: 7, created: true }));
    }
}

#[tokio::test]
async fn a_damaged_message_is_reported_and_not_delivered() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let serve = async {
        let (correlation, _) = peer.request().await;
        let damaged =
            Block::from_parts(Block::new("body").crc(), Bytes::new(), Bytes::from("bodz"));
        let messages = vec![received(5, Block::new("sound")), received(6, damaged)];
        peer.reply(correlation, Received { messages, queue_id: 3 }).await;
    };
    let (delivery, ()) = tokio::join!(client.receive("q", ReceiveOptions::default()), serve);
    let delivery = delivery.unwrap();
    assert_eq!(delivery.messages, vec![received(5, Block::new("sound"))]);
    let [damage] = &delivery.damaged[..] else { panic!("one is damaged") };
    assert_eq!((damage.seq, damage.expected), (6, Block::new("body").crc()));
    assert_eq!(damage.found, Block::new("bodz").crc());
    assert!(matches!(damage.to_error("q"), ClientError::Damaged { seq: 6, .. }));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_the_connection_goes_on() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    for code in [ErrorCode::UnknownQueue, ErrorCode::StorageFull, ErrorCode::MessageTooLarge] {
        let serve = async {
            let (correlation, _) = peer.request().await;
            peer.refuse(correlation, code).await;
        };
        let (answer, ()) = tokio::join!(client.send("q", vec![OutgoingMessage::new("m")]), serve);
        assert_eq!(
            answer,
            Err(ClientError::Refused(ProtocolError::new(code, "as the script says")))
        );
    }
}

/// Who took it for a refusal would send the batch under another number, and double it.
#[tokio::test]
async fn a_batch_that_the_server_has_forgotten_has_an_unknown_outcome() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let serve = async {
        let (correlation, _) = peer.request().await;
        peer.refuse(correlation, ErrorCode::BatchForgotten).await;
    };
    let batch = ProducerBatch { producer: uuid::Uuid::from_u128(7), number: 1, oldest: 1 };
    let send = client.send_once("q", batch, vec![OutgoingMessage::new("m")]);
    let (answer, ()) = tokio::join!(send, serve);
    let code = Some(ErrorCode::BatchForgotten);
    assert!(
        matches!(&answer, Err(ClientError::Unknown { code: told, .. }) if *told == code),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_unreadable_reply_is_an_unknown_outcome_of_that_call_only() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let messages = || vec![OutgoingMessage::new("m")];
    let serve = async {
        // The reply of another operation; a reply cut short; then a sound one.
        let (correlation, _) = peer.request().await;
        peer.reply(correlation, Pong {}).await;
        let (correlation, _) = peer.request().await;
        let mut short = reply_bytes(correlation, sent(1));
        short.truncate(short.len() - 1);
        short[0] -= 1;
        peer.write(&short).await;
        let (correlation, _) = peer.request().await;
        peer.reply(correlation, sent(3)).await;
    };
    let calls = async {
        for _ in 0..2 {
            let answer = client.send("q", messages()).await;
            assert!(
                matches!(answer, Err(ClientError::Unknown { operation: "Send", .. })),
                "{answer:?}"
            );
        }
        assert_eq!(client.send("q", messages()).await, Ok(sent(3)));
    };
    tokio::join!(calls, serve);
}

/// More bytes than a socket takes at once, and more frames than one write takes.
#[tokio::test]
async fn large_and_many_requests_arrive_whole() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let mut callers = JoinSet::new();
    for number in 0..200u32 {
        let client = client.clone();
        let body: Bytes =
            number.to_le_bytes().repeat(if number % 100 == 50 { 1 << 20 } else { 10 }).into();
        callers.spawn(async move { client.send("q", vec![OutgoingMessage::new(body)]).await });
    }
    for _ in 0..200 {
        let (correlation, Request::Send(send)) = peer.request().await else { panic!("a send") };
        let block = &send.messages[0].block;
        assert_eq!(block.verify(), Ok(()));
        let number = u32::from_le_bytes(*block.body().first_chunk().unwrap());
        peer.reply(correlation, sent(number.into())).await;
    }
    let mut seqs = Vec::new();
    while let Some(answer) = callers.join_next().await {
        seqs.push(answer.unwrap().unwrap().first_seq);
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_call_that_is_dropped_disturbs_no_other() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let dropped = tokio::spawn({
        let client = client.clone();
        async move { client.receive("q", ReceiveOptions::default()).await }
    });
    let (late, _) = peer.request().await;
    dropped.abort();
    let serve = async {
        let (correlation, _) = peer.request().await;
        peer.reply(late, Received { messages: vec![], queue_id: 1 }).await;
        peer.reply(correlation, Pong {}).await;
    };
    let (ping, ()) = tokio::join!(client.ping(), serve);
    assert_eq!(ping, Ok(()));
}

#[tokio::test]
async fn what_is_too_large_for_the_server_is_not_sent() {
    let script = Script::listen().await.with_limits(|limits| limits.frame_bytes_max = 1000);
    let (client, _peer) = script.client(options()).await;
    let answer = client.send("q", vec![OutgoingMessage::new(vec![0; 1000])]).await;
    assert!(
        matches!(answer, Err(ClientError::FrameTooLarge { bytes_max: 1000, .. })),
        "{answer:?}"
    );
    let answer = client.delete_queue(&"n".repeat(70_000)).await;
    assert!(matches!(answer, Err(ClientError::TooLong(_))), "{answer:?}");
}

#[tokio::test]
async fn the_connection_closes_with_the_last_client() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let clone = client.clone();
    drop(client);
    let serve = async {
        let (correlation, _) = peer.request().await;
        peer.reply(correlation, Pong {}).await;
    };
    let (ping, ()) = tokio::join!(clone.ping(), serve);
    assert_eq!(ping, Ok(()));
    drop(clone);
    peer.closed().await;
}

/// A caller that stops waiting, by a timeout say, would keep its messages from everybody for as long as they
/// are leased.
#[tokio::test]
async fn what_a_receive_brings_that_nobody_waits_for_goes_back_uncounted() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let brought = || vec![received(5, Block::new("a")), received(6, Block::new("b"))];
    let given_back = |request| {
        let Request::Nack(Nack { queue, receipts, delay_ms: 0, uncounted: true, reason }) = request
        else {
            panic!("a nack: {request:?}")
        };
        assert_eq!((&*queue, &*reason), ("q", ""));
        assert_eq!(receipts, brought().into_iter().map(|each| each.receipt).collect::<Vec<_>>());
    };
    // Before the answer comes.
    let receiver = client.clone();
    let receive =
        tokio::spawn(async move { receiver.receive("q", ReceiveOptions::default()).await });
    let (correlation, _) = peer.request().await;
    receive.abort();
    assert!(receive.await.unwrap_err().is_cancelled());
    peer.reply(correlation, Received { messages: brought(), queue_id: 3 }).await;
    let (correlation, request) = peer.request().await;
    given_back(request);
    peer.reply(correlation, Nacked { failures: Vec::new() }).await;
    // Behind it: the answer to the ping tells that it has come.
    let mut receive = Box::pin(client.receive("q", ReceiveOptions::default()));
    let (correlation, pinged) = {
        let request = async {
            let (correlation, _) = peer.request().await;
            correlation
        };
        tokio::select! {
            biased;
            _ = &mut receive => panic!("nothing has come"),
            correlation = request => (correlation, client.ping()),
        }
    };
    let serve = async {
        peer.reply(correlation, Received { messages: brought(), queue_id: 3 }).await;
        let (correlation, _) = peer.request().await;
        peer.reply(correlation, Pong {}).await;
    };
    let (pong, ()) = tokio::join!(pinged, serve);
    pong.unwrap();
    drop(receive);
    given_back(peer.request().await.1);
}

/// Whoever asks again by the attempt's name is to get them.
#[tokio::test]
async fn what_a_named_attempt_brings_stays_for_whoever_asks_again() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let receiver = client.clone();
    let receive = tokio::spawn(async move {
        receiver.receive_attempt("q.fifo", ReceiveOptions::default(), "attempt").await
    });
    let (correlation, _) = peer.request().await;
    receive.abort();
    assert!(receive.await.unwrap_err().is_cancelled());
    let messages = vec![received(5, Block::new("a"))];
    peer.reply(correlation, Received { messages, queue_id: 3 }).await;
    let serve = async {
        let (correlation, request) = peer.request().await;
        assert!(matches!(request, Request::Ping(_)), "{request:?}");
        peer.reply(correlation, Pong {}).await;
    };
    let (pong, ()) = tokio::join!(client.ping(), serve);
    pong.unwrap();
}
