//! Without this a subscriber could stop getting messages without being told, be pushed more than it
//! has room for, or work on what others have got meanwhile.

mod scripted;

use std::time::Duration;

use forebay_protocol::client::{
    Client, ClientError, ClientOptions, Delivery, SubscribeOptions, Subscription,
};
use forebay_protocol::*;
use scripted::{Peer, Script, options, reply_bytes};

fn message(seq: u64) -> ReceivedMessage {
    let receipt = Receipt::new(vec![seq as u8; 28]).expect("not too long");
    let block = Block::new(vec![7; 100]);
    let (source, origin_queue_id, origin_seq) = (String::new(), 1, seq);
    ReceivedMessage {
        seq,
        receipt,
        receive_count: 1,
        sent_ms: 2,
        first_received_ms: 3,
        source,
        origin_queue_id,
        origin_seq,
        reason: String::new(),
        block,
    }
}

fn delivered(seqs: std::ops::Range<u64>) -> Delivered {
    Delivered { messages: seqs.map(message).collect(), queue_id: 3, last: false }
}

/// What a frame takes of the bytes that may be pushed.
fn length(delivered: Delivered) -> u32 {
    reply_bytes(1, delivered).len() as u32 - FRAME_LENGTH_BYTES as u32
}

fn window(window_messages: u32) -> SubscribeOptions {
    SubscribeOptions { window_messages, ..SubscribeOptions::default() }
}

/// The correlation of the next request, which must subscribe with so many credits.
async fn next_subscribe(peer: &mut Peer, credits: u32) -> (u32, Subscribe) {
    match peer.request().await {
        (correlation, Request::Subscribe(subscribe)) => {
            assert_eq!(subscribe.credits, credits);
            (correlation, subscribe)
        }
        other => panic!("expected a subscription, found {other:?}"),
    }
}

/// Subscribes, and answers that it stands.
async fn subscribed(
    client: &Client,
    peer: &mut Peer,
    options: SubscribeOptions,
) -> (Subscription, u32) {
    let serve = async {
        let (correlation, subscribe) = next_subscribe(peer, options.window_messages).await;
        assert_eq!(subscribe.queue, "q");
        peer.reply(correlation, delivered(0..0)).await;
        correlation
    };
    let (subscription, correlation) = tokio::join!(client.subscribe("q", options), serve);
    (subscription.expect("it stands"), correlation)
}

async fn seqs(subscription: &mut Subscription) -> Vec<u64> {
    let delivery: Delivery = subscription.next().await.expect("more").expect("messages");
    delivery.messages.iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn what_is_taken_is_given_back_as_credit_in_portions() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let (mut subscription, correlation) = subscribed(&client, &mut peer, window(8)).await;
    for seqs in [0..1, 1..3, 3..8] {
        peer.reply(correlation, delivered(seqs)).await;
    }
    assert_eq!(seqs(&mut subscription).await, [0]);
    assert!(peer.request_if_any().await.is_none(), "a quarter of the window is two messages");
    assert_eq!(seqs(&mut subscription).await, [1, 2]);
    let credit_bytes = length(delivered(0..1)) + length(delivered(1..3));
    let expected = Credit { subscription: correlation, credits: 3, credit_bytes };
    let (answer_to, request) = peer.request().await;
    assert_eq!(request, expected.into());
    peer.reply(answer_to, Credited {}).await;
    assert_eq!(seqs(&mut subscription).await, [3, 4, 5, 6, 7]);
    let credit_bytes = length(delivered(3..8));
    let expected = Credit { subscription: correlation, credits: 5, credit_bytes };
    assert_eq!(peer.request().await.1, expected.into());
}

#[tokio::test]
async fn it_is_asked_for_again_with_what_the_window_has_room_for() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let (mut subscription, correlation) = subscribed(&client, &mut peer, window(8)).await;
    peer.reply(correlation, delivered(0..4)).await;
    peer.reply(correlation, delivered(4..6)).await;
    assert_eq!(seqs(&mut subscription).await, [0, 1, 2, 3]);
    assert!(matches!(peer.request().await.1, Request::Credit(_)));
    drop(peer);
    let mut peer = script.accept().await;
    // Two are here and not taken.
    let (correlation, _) = next_subscribe(&mut peer, 6).await;
    peer.reply(correlation, delivered(0..0)).await;
    assert_eq!(seqs(&mut subscription).await, [4, 5], "they are leased, and can be acked");
    let (_, Request::Credit(credit)) = peer.request().await else { panic!("credit") };
    assert_eq!((credit.subscription, credit.credits), (correlation, 2));
    peer.reply(correlation, delivered(6..7)).await;
    assert_eq!(seqs(&mut subscription).await, [6]);
}

#[tokio::test]
async fn what_went_back_with_the_connection_is_not_given_to_anybody_here() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let released = SubscribeOptions { release_on_close: true, ..window(8) };
    let (mut subscription, correlation) = subscribed(&client, &mut peer, released).await;
    peer.reply(correlation, delivered(0..1)).await;
    peer.reply(correlation, delivered(1..6)).await;
    assert_eq!(seqs(&mut subscription).await, [0]);
    drop(peer);
    let mut peer = script.accept().await;
    let (correlation, subscribe) = next_subscribe(&mut peer, 8).await;
    assert!(subscribe.release_on_close);
    peer.reply(correlation, delivered(0..0)).await;
    peer.reply(correlation, delivered(1..3)).await;
    assert_eq!(seqs(&mut subscription).await, [1, 2]);
    // A server that crashed has given nothing back: the leases of what was dropped end.
    let (answer_to, Request::ChangeVisibility(change)) = peer.request().await else {
        panic!("the end of leases")
    };
    let expected =
        (1..6).map(|seq| VisibilityChange { receipt: message(seq).receipt, visibility_ms: 0 });
    assert_eq!((&*change.queue, change.changes), ("q", expected.collect()));
    let failures =
        (0..5).map(|index| Failure { index, code: ErrorCode::ReceiptStale, text: String::new() });
    peer.reply(answer_to, VisibilityChanged { failures: failures.collect() }).await;
    // Nothing of the lost connection is given back as credit of this one.
    let (_, Request::Credit(credit)) = peer.request().await else { panic!("credit") };
    assert_eq!(credit.credits, 2);
}

#[tokio::test]
async fn a_server_that_leaves_is_followed_by_the_next() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let (mut subscription, correlation) = subscribed(&client, &mut peer, window(8)).await;
    peer.reply(correlation, delivered(0..1)).await;
    peer.refuse(correlation, ErrorCode::ShuttingDown).await;
    assert_eq!(seqs(&mut subscription).await, [0]);
    let mut peer = script.accept().await;
    // One is taken, which is too little to be told.
    let (correlation, _) = next_subscribe(&mut peer, 7).await;
    peer.reply(correlation, delivered(0..0)).await;
    peer.reply(correlation, delivered(5..6)).await;
    assert_eq!(seqs(&mut subscription).await, [5]);
}

#[tokio::test]
async fn a_refusal_is_told_at_once_and_an_end_later_and_once() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let serve = async {
        let (correlation, _) = next_subscribe(&mut peer, 8).await;
        peer.refuse(correlation, ErrorCode::UnknownQueue).await;
    };
    let (refused, ()) = tokio::join!(client.subscribe("q", window(8)), serve);
    let refused = refused.map(|_| ());
    assert!(
        matches!(&refused, Err(ClientError::Refused(error)) if error.code == ErrorCode::UnknownQueue)
    );

    let (mut subscription, correlation) = subscribed(&client, &mut peer, window(8)).await;
    peer.reply(correlation, delivered(0..1)).await;
    peer.refuse(correlation, ErrorCode::UnknownQueue).await;
    assert_eq!(seqs(&mut subscription).await, [0]);
    let ended = subscription.next().await;
    assert!(matches!(ended, Some(Err(ClientError::Refused(_)))), "{ended:?}");
    assert!(subscription.next().await.is_none());
    // A credit crossed the end, and is refused: nobody minds.
    drop(subscription);
    let serve = async {
        let (correlation, request) = peer.request().await;
        assert_eq!(request, Ping {}.into());
        peer.reply(correlation, Pong {}).await;
    };
    let (ping, ()) = tokio::join!(client.ping(), serve);
    assert_eq!(ping, Ok(()));
}

#[tokio::test]
async fn unsubscribing_gives_what_came_before_and_then_the_end() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let (mut subscription, correlation) = subscribed(&client, &mut peer, window(100)).await;
    subscription.unsubscribe();
    let (answer_to, request) = peer.request().await;
    assert_eq!(request, Unsubscribe { subscription: correlation }.into());
    peer.reply(correlation, delivered(0..2)).await;
    peer.reply(correlation, Delivered { last: true, ..delivered(0..0) }).await;
    peer.reply(answer_to, Unsubscribed {}).await;
    assert_eq!(seqs(&mut subscription).await, [0, 1]);
    assert!(subscription.next().await.is_none());

    // Dropped, it unsubscribes too.
    let (subscription, correlation) = subscribed(&client, &mut peer, window(100)).await;
    drop(subscription);
    assert_eq!(peer.request().await.1, Unsubscribe { subscription: correlation }.into());
    // The connection is lost before it is answered: nobody asks for it again.
    drop(peer);
    let mut peer = script.accept().await;
    assert!(peer.request_if_any().await.is_none());
}

/// It would be pushed a whole window for nobody.
#[tokio::test]
async fn one_that_ended_during_an_outage_is_not_asked_for_again() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let (dropped, _) = subscribed(&client, &mut peer, window(8)).await;
    let (mut ended, _) = subscribed(&client, &mut peer, window(8)).await;
    drop(peer);
    let (mut peer, hello) = script.accept_hello().await;
    drop(dropped);
    ended.unsubscribe();
    script.welcome(&mut peer, hello).await;
    let serve = async {
        let (correlation, request) = peer.request().await;
        assert!(matches!(request, Request::Ping(_)), "{request:?}");
        peer.reply(correlation, Pong {}).await;
    };
    let (pong, ()) = tokio::join!(client.ping(), serve);
    pong.unwrap();
    assert!(ended.next().await.is_none());
}

#[tokio::test]
async fn one_that_gives_up_says_so() {
    let script = Script::listen().await;
    let give_up = ClientOptions { give_up_after: Some(Duration::from_millis(30)), ..options() };
    let (client, mut peer) = script.client(give_up).await;
    let (mut subscription, _) = subscribed(&client, &mut peer, window(8)).await;
    drop((peer, script));
    let ended = subscription.next().await;
    assert!(matches!(ended, Some(Err(ClientError::GaveUp { .. }))), "{ended:?}");
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn many_subscriptions_and_calls_share_a_connection() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let mut subscriptions = Vec::new();
    for _ in 0..10 {
        subscriptions.push(subscribed(&client, &mut peer, window(8)).await);
    }
    let pinging = tokio::spawn({
        let client = client.clone();
        async move { client.ping().await }
    });
    let (ping, _) = peer.request().await;
    for (number, (_, correlation)) in (0..).zip(&subscriptions) {
        peer.reply(*correlation, delivered(number..number + 1)).await;
    }
    peer.reply(ping, Pong {}).await;
    for (number, (subscription, _)) in (0..).zip(&mut subscriptions) {
        assert_eq!(seqs(subscription).await, [number]);
    }
    assert_eq!(pinging.await.unwrap(), Ok(()));
}
