//! Without this a broken connection would fail calls that could go on, repeat what must not be
//! repeated, or call a send failed that may be stored.

mod scripted;

use std::time::Duration;

use forebay_protocol::client::{Client, ClientError, ClientOptions, OnWait, ReceiveOptions, Wait};
use forebay_protocol::*;
use scripted::{Peer, Script, options, reply_bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SENT: Sent = Sent { queue_id: 1, first_seq: 9, count: 1, seqs: Vec::new() };

/// Begins to send one message.
fn send(client: &Client) -> JoinHandle<Result<Sent, ClientError>> {
    let client = client.clone();
    tokio::spawn(async move { client.send("q", vec![OutgoingMessage::new("m")]).await })
}

/// The correlation of the next request, which must be a Send.
async fn next_send(peer: &mut Peer) -> u32 {
    let (correlation, request) = peer.request().await;
    assert!(matches!(request, Request::Send(_)), "{request:?}");
    correlation
}

fn without_retry() -> ClientOptions {
    ClientOptions { retry_sends: false, ..options() }
}

fn is_unknown<T>(answer: &Result<T, ClientError>) -> bool {
    matches!(answer, Err(ClientError::Unknown { .. }))
}

#[tokio::test]
async fn a_reply_cut_at_any_byte_is_asked_for_again() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    for at in 0..reply_bytes(1, SENT).len() {
        let answer = send(&client);
        let correlation = next_send(&mut peer).await;
        peer.write(&reply_bytes(correlation, SENT)[..at]).await;
        drop(peer);
        peer = script.accept().await;
        let correlation = next_send(&mut peer).await;
        peer.reply(correlation, SENT).await;
        assert_eq!(answer.await.unwrap(), Ok(SENT), "cut at {at}");
    }
}

#[tokio::test]
async fn all_that_is_unanswered_is_sent_again_in_order() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let mut answers = Vec::new();
    let mut requests = Vec::new();
    for number in 0..20 {
        let (client, name) = (client.clone(), number.to_string());
        answers.push(tokio::spawn(async move { client.untag_queue(&name, Vec::new()).await }));
        requests.push(peer.request().await);
    }
    let (correlation, _) = requests.remove(7);
    peer.reply(correlation, QueueUntagged {}).await;
    assert_eq!(answers.remove(7).await.unwrap(), Ok(()));
    drop(peer);
    let mut peer = script.accept().await;
    for (_, expected) in requests {
        let (correlation, request) = peer.request().await;
        assert_eq!(request, expected);
        peer.reply(correlation, QueueUntagged {}).await;
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn a_send_that_must_not_be_repeated_has_an_unknown_outcome() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(without_retry()).await;
    let answer = send(&client);
    next_send(&mut peer).await;
    drop(peer);
    let _peer = script.accept().await;
    let answer = answer.await.unwrap();
    assert!(is_unknown(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_repeated_send_that_is_refused_may_be_stored_all_the_same() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let answer = send(&client);
    next_send(&mut peer).await;
    drop(peer);
    let mut peer = script.accept().await;
    let correlation = next_send(&mut peer).await;
    peer.refuse(correlation, ErrorCode::StorageFull).await;
    let answer = answer.await.unwrap();
    assert!(is_unknown(&answer), "{answer:?}");
}

#[tokio::test]
async fn what_is_gone_at_the_second_attempt_the_first_has_deleted() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let acking = tokio::spawn(async move {
        client.ack("q", &[Receipt::new("one").unwrap(), Receipt::new("two").unwrap()]).await
    });
    peer.request().await;
    drop(peer);
    let mut peer = script.accept().await;
    let (correlation, _) = peer.request().await;
    let failure = |index, code| Failure { index, code, text: String::new() };
    let failures = vec![failure(0, ErrorCode::MessageGone), failure(1, ErrorCode::ReceiptInvalid)];
    peer.reply(correlation, Acked { failures }).await;
    assert_eq!(acking.await.unwrap(), Ok(vec![failure(1, ErrorCode::ReceiptInvalid)]));
}

/// Sent again, it could delete a later queue of that name, or messages that were sent since.
#[tokio::test]
async fn a_deletion_that_may_be_done_is_not_repeated() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let (deleter, purger) = (client.clone(), client.clone());
    let deleting = tokio::spawn(async move { deleter.delete_queue("q").await });
    peer.request().await;
    let purging = tokio::spawn(async move { purger.purge_queue("q").await });
    peer.request().await;
    drop(peer);
    let mut peer = script.accept().await;
    let (deleted, purged) = (deleting.await.unwrap(), purging.await.unwrap());
    assert!(is_unknown(&deleted) && is_unknown(&purged), "{deleted:?}, {purged:?}");
    assert!(peer.request_if_any().await.is_none());

    // One that was not written is no doubt.
    drop(peer);
    let (mut peer, hello) = script.accept_hello().await;
    let deleting = tokio::spawn(async move { client.delete_queue("q").await });
    script.welcome(&mut peer, hello).await;
    let (correlation, _) = peer.request().await;
    peer.reply(correlation, QueueDeleted {}).await;
    assert_eq!(deleting.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_lease_that_was_to_end_and_has_ended_at_the_second_attempt_is_no_failure() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let receipts = || ["one", "two", "three"].map(|text| Receipt::new(text).unwrap());
    let change = |(receipt, visibility_ms)| VisibilityChange { receipt, visibility_ms };
    let (nacker, changer) = (client.clone(), client);
    let nacking =
        tokio::spawn(async move { nacker.nack("q", &receipts(), Default::default()).await });
    peer.request().await;
    let changes = receipts().into_iter().zip([0, 0, 1000]).map(change).collect();
    let changing = tokio::spawn(async move { changer.change_visibility("q", changes).await });
    peer.request().await;
    drop(peer);
    let mut peer = script.accept().await;
    let failure = |index, code| Failure { index, code, text: String::new() };
    let failures = vec![
        failure(0, ErrorCode::ReceiptExpired),
        failure(1, ErrorCode::ReceiptInvalid),
        failure(2, ErrorCode::ReceiptStale),
    ];
    let (correlation, _) = peer.request().await;
    peer.reply(correlation, Nacked { failures: failures.clone() }).await;
    let (correlation, _) = peer.request().await;
    peer.reply(correlation, VisibilityChanged { failures: failures.clone() }).await;
    assert_eq!(nacking.await.unwrap(), Ok(failures[1..2].to_vec()));
    assert_eq!(changing.await.unwrap(), Ok(failures[1..].to_vec()), "the last was to go on");
}

#[tokio::test]
async fn a_send_and_an_ack_are_done_though_nobody_waits_for_them() {
    let script = Script::listen().await;
    let (client, peer) = script.client(options()).await;
    drop(peer);
    // They are with the session, which has no connection.
    let (peer, _) = script.accept_hello().await;
    drop(client.begin_send("q", vec![OutgoingMessage::new("m")]).await.unwrap());
    drop(client.begin_ack("q", vec![Receipt::new("one").unwrap()]).await.unwrap());
    drop(peer);
    for _ in 0..2 {
        // Whether or not a copy of them was written.
        let mut peer = script.accept().await;
        assert!(matches!(peer.request().await.1, Request::Send(_)));
        assert!(matches!(peer.request().await.1, Request::Ack(_)));
    }
}

/// Whoever holds its future would take it for one that was not sent.
#[tokio::test]
async fn a_call_that_outlives_its_client_is_unknown_if_it_was_sent() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let pending = client.begin_send("q", vec![OutgoingMessage::new("m")]).await.unwrap();
    next_send(&mut peer).await;
    drop(client);
    let answer = pending.answer().await;
    assert!(is_unknown(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_shuts_down_answers_what_it_began_and_the_rest_waits_for_the_next() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(without_retry()).await;
    let begun = send(&client);
    let begun_correlation = next_send(&mut peer).await;
    let refused = send(&client);
    let refused_correlation = next_send(&mut peer).await;
    let witness = send(&client);
    let witness_correlation = next_send(&mut peer).await;
    peer.refuse(refused_correlation, ErrorCode::ShuttingDown).await;
    // Once this is answered the refusal was read, and no new call may reach this server.
    peer.reply(witness_correlation, SENT).await;
    assert_eq!(witness.await.unwrap(), Ok(SENT));
    let later = tokio::spawn({
        let client = client.clone();
        async move { client.ping().await }
    });
    assert!(peer.request_if_any().await.is_none());
    peer.reply(begun_correlation, SENT).await;
    assert_eq!(begun.await.unwrap(), Ok(SENT));
    // The client leaves by itself when nothing is owed. The refused send did nothing: it is safe.
    let mut peer = script.accept().await;
    let correlation = next_send(&mut peer).await;
    peer.reply(correlation, SENT).await;
    assert_eq!(refused.await.unwrap(), Ok(SENT));
    let (correlation, _) = peer.request().await;
    peer.reply(correlation, Pong {}).await;
    assert_eq!(later.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_failed_write_is_retried_on_the_next_connection_or_told_as_unknown() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let answer = send(&client);
    let correlation = next_send(&mut peer).await;
    peer.refuse(correlation, ErrorCode::StorageFailed).await;
    let mut peer = script.accept().await;
    let correlation = next_send(&mut peer).await;
    peer.reply(correlation, SENT).await;
    assert_eq!(answer.await.unwrap(), Ok(SENT));

    let (client, mut peer) = script.client(without_retry()).await;
    let answer = send(&client);
    let correlation = next_send(&mut peer).await;
    peer.refuse(correlation, ErrorCode::StorageFailed).await;
    let answer = answer.await.unwrap();
    assert!(is_unknown(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_followed_is_left() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let stray = reply_bytes(4_000_000, Pong {});
    let garbage = [0xff; 64];
    for bytes in [&stray[..], &garbage[..]] {
        let answer = send(&client);
        next_send(&mut peer).await;
        peer.write(bytes).await;
        peer.closed().await;
        peer = script.accept().await;
        let correlation = next_send(&mut peer).await;
        peer.reply(correlation, SENT).await;
        assert_eq!(answer.await.unwrap(), Ok(SENT));
    }
}

#[tokio::test]
async fn giving_up_tells_what_was_sent_from_what_was_not() {
    let script = Script::listen().await;
    let give_up = ClientOptions { give_up_after: Some(Duration::from_millis(30)), ..options() };
    let (client, mut peer) = script.client(give_up).await;
    let exposed = send(&client);
    next_send(&mut peer).await;
    drop((peer, script));
    let exposed = exposed.await.unwrap();
    assert!(is_unknown(&exposed), "{exposed:?}");
    let unsent = send(&client).await.unwrap();
    assert!(matches!(unsent, Err(ClientError::GaveUp { .. })), "{unsent:?}");
}

#[tokio::test]
async fn a_first_connect_fails_at_once_unless_told_to_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let failed = Client::connect(&*addr, options()).await.err();
    assert!(
        matches!(&failed, Some(ClientError::Connect { addr: named, may_pass: true, .. }) if *named == addr),
        "{failed:?}"
    );

    // A full server refuses for now, and a client that waits comes back, and says so once.
    let script = Script::listen().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let patient = ClientOptions {
        connect_patience: Duration::from_secs(60),
        on_wait: OnWait::new(move |wait| match wait {
            Wait::First(failure) => tell.send(failure.clone()).unwrap(),
            other => panic!("{other:?}"),
        }),
        ..options()
    };
    let connecting = tokio::spawn(Client::connect(script.addr(), patient));
    let (mut peer, correlation) = script.accept_hello().await;
    peer.refuse(correlation, ErrorCode::TooManyConnections).await;
    let (mut peer, correlation) = script.accept_hello().await;
    peer.refuse(correlation, ErrorCode::TooManyConnections).await;
    let _peer = script.accept().await;
    assert!(connecting.await.unwrap().is_ok());
    let waits = told.recv().await;
    let is_full =
        |error: &ProtocolError| error.code == ErrorCode::TooManyConnections && error.text.len() > 1;
    assert!(matches!(&waits, Some(ClientError::Refused(error)) if is_full(error)), "{waits:?}");
    assert_eq!(told.recv().await, None);

    let impatient = ClientOptions { connect_patience: Duration::from_millis(1), ..options() };
    let failed = Client::connect(&*addr, impatient).await.err();
    assert!(matches!(failed, Some(ClientError::Connect { .. })), "{failed:?}");
}

/// A client that said nothing looked as if it hung.
#[tokio::test]
async fn a_lost_server_is_told_once_and_so_is_its_return() {
    let script = Script::listen().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let telling = ClientOptions {
        on_wait: OnWait::new(move |wait| match wait {
            Wait::Lost(ClientError::Connect { addr, .. }) => {
                tell.send(format!("lost {addr}")).unwrap()
            }
            Wait::Back { addr, .. } => tell.send(format!("back {addr}")).unwrap(),
            other => panic!("{other:?}"),
        }),
        ..options()
    };
    let (client, peer) = script.client(telling).await;
    // One that is there again at the first attempt was not missed.
    drop(peer);
    let mut peer = script.accept().await;
    let answer = send(&client);
    next_send(&mut peer).await;
    drop(peer);
    for _ in 0..3 {
        let (mut peer, correlation) = script.accept_hello().await;
        peer.refuse(correlation, ErrorCode::ShuttingDown).await;
    }
    let mut peer = script.accept().await;
    let correlation = next_send(&mut peer).await;
    peer.reply(correlation, SENT).await;
    assert_eq!(answer.await.unwrap(), Ok(SENT));
    let addr = script.addr();
    assert_eq!(told.recv().await, Some(format!("lost {addr}")));
    assert_eq!(told.recv().await, Some(format!("back {addr}")));
    assert!(told.try_recv().is_err());
}

/// Whoever waits for a server to come would wait in vain.
#[tokio::test]
async fn where_no_server_can_be_that_is_told_from_one_that_is_not_there_yet() {
    let no_name = format!("{}:7480", "x".repeat(64));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let of_another_protocol = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Until the client leaves: closed with something unread, the connection would be reset.
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    for addr in [no_name, of_another_protocol] {
        let failed = Client::connect(addr, options()).await.err();
        assert!(matches!(failed, Some(ClientError::Connect { may_pass: false, .. })), "{failed:?}");
    }
}

#[tokio::test]
async fn a_refused_greeting_is_final() {
    let script = Script::listen().await;
    let patient = ClientOptions { connect_patience: Duration::from_secs(60), ..options() };
    let connecting = tokio::spawn(Client::connect(script.addr(), patient));
    let (mut peer, correlation) = script.accept_hello().await;
    peer.refuse(correlation, ErrorCode::VersionUnsupported).await;
    let failed = connecting.await.unwrap().err();
    assert!(matches!(failed, Some(ClientError::Refused(_))), "{failed:?}");
}

#[tokio::test]
async fn an_idle_client_pings_and_a_silent_server_is_left() {
    let script = Script::listen().await.with_limits(|limits| limits.idle_timeout_ms = 300);
    let (client, mut peer) = script.client(options()).await;
    for _ in 0..3 {
        let (correlation, request) = peer.request().await;
        assert_eq!(request, Ping {}.into());
        peer.reply(correlation, Pong {}).await;
    }
    let answer = send(&client);
    // Nothing is answered any more: the client closes, and tries elsewhere.
    peer.closed().await;
    let mut peer = script.accept().await;
    let correlation = next_send(&mut peer).await;
    peer.reply(correlation, SENT).await;
    assert_eq!(answer.await.unwrap(), Ok(SENT));
}

/// What it brought would be leased to nobody.
#[tokio::test]
async fn a_receive_that_nobody_waits_for_any_more_is_not_sent_to_the_next_connection() {
    let script = Script::listen().await;
    let (client, peer) = script.client(options()).await;
    drop(peer);
    let receiver = client.clone();
    let receive =
        tokio::spawn(async move { receiver.receive("q", ReceiveOptions::default()).await });
    // It is with the session, which has no connection.
    let (mut peer, hello) = script.accept_hello().await;
    receive.abort();
    assert!(receive.await.unwrap_err().is_cancelled());
    script.welcome(&mut peer, hello).await;
    let serve = async {
        let (correlation, request) = peer.request().await;
        assert!(matches!(request, Request::Ping(_)), "{request:?}");
        peer.reply(correlation, Pong {}).await;
    };
    let (pong, ()) = tokio::join!(client.ping(), serve);
    pong.unwrap();
}
