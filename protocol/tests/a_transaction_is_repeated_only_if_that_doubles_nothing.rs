//! Without this a lost answer could double what a transaction sends, or leave it unknown for no
//! reason.

mod scripted;

use forebay_protocol::client::{Client, ClientError, ClientOptions};
use forebay_protocol::*;
use scripted::{Peer, Script, options};

fn receipt() -> Receipt {
    Receipt::new(vec![7; 28]).expect("not too long")
}

/// The next request, which must be a transaction.
async fn transact(peer: &mut Peer) -> (u32, Transact) {
    match peer.request().await {
        (correlation, Request::Transact(transact)) => (correlation, transact),
        other => panic!("{other:?}"),
    }
}

async fn forward(client: &Client) -> Result<Transacted, ClientError> {
    let messages = [OutgoingMessage::new("it")];
    client.transaction().ack("from", [receipt()]).send("to", messages).commit().await
}

fn sent() -> Transacted {
    Transacted {
        sent: vec![TransactSent { queue_id: 2, first_seq: 9, count: 1, seqs: Vec::new() }],
    }
}

#[tokio::test]
async fn what_was_put_together_is_one_request() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(options()).await;
    let serve = async {
        let (correlation, transact) = transact(&mut peer).await;
        peer.reply(correlation, sent()).await;
        transact
    };
    let (answer, asked) = tokio::join!(forward(&client), serve);
    assert_eq!(answer, Ok(sent()));
    let acks = vec![TransactAcks { queue: "from".into(), receipts: vec![receipt()] }];
    let messages = vec![OutgoingMessage::new("it")];
    let sends = vec![TransactSends { queue: "to".into(), messages }];
    assert_eq!(asked, Transact { acks, sends });
}

#[tokio::test]
async fn one_with_an_ack_is_sent_again_also_when_sends_are_not() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(ClientOptions { retry_sends: false, ..options() }).await;
    for (code, known) in [
        (None, true),
        (Some(ErrorCode::MessageGone), true),
        (Some(ErrorCode::ReceiptStale), true),
        // The first copy may be done, and the queue deleted since.
        (Some(ErrorCode::UnknownQueue), false),
    ] {
        let serve = async {
            let (_, first) = transact(&mut peer).await;
            drop(peer);
            let mut peer = script.accept().await;
            let (correlation, again) = transact(&mut peer).await;
            assert_eq!(first, again);
            match code {
                None => peer.reply(correlation, sent()).await,
                Some(code) => peer.refuse(correlation, code).await,
            }
            peer
        };
        let (answer, next) = tokio::join!(forward(&client), serve);
        peer = next;
        match (answer, code) {
            (Ok(found), None) => assert_eq!(found, sent()),
            (Err(ClientError::Refused(error)), Some(code)) => {
                assert_eq!((error.code, known), (code, true));
            }
            (Err(ClientError::Unknown { .. }), Some(_)) => assert!(!known),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn one_without_an_ack_is_a_send() {
    let script = Script::listen().await;
    let (client, mut peer) = script.client(ClientOptions { retry_sends: false, ..options() }).await;
    let serve = async {
        transact(&mut peer).await;
        drop(peer);
        script.accept().await
    };
    let sends = client.transaction().send("to", [OutgoingMessage::new("it")]).commit();
    let (answer, _peer) = tokio::join!(sends, serve);
    assert!(
        matches!(answer, Err(ClientError::Unknown { operation: "Transact", .. })),
        "{answer:?}"
    );
}
