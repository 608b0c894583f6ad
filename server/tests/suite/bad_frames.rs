//! Without these, bytes that are no protocol could stop the server, take its memory, or cost
//! another client its connection.

use bytes::{BufMut, BytesMut};
use forebay_protocol::{ErrorCode, Hello, Ping, Reply};
use proptest::prelude::*;

use crate::support::{Server, assert_served, frame};

/// A frame of any opcode and body.
fn any_frame(opcode: u8, correlation: u32, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u32_le(8 + body.len() as u32);
    bytes.put_u8(opcode);
    bytes.put_u8(0);
    bytes.put_u16_le(0);
    bytes.put_u32_le(correlation);
    bytes.put_slice(body);
    bytes
}

#[tokio::test]
async fn a_wrong_magic_is_named_and_the_connection_closed() {
    let server = Server::start(Default::default()).await;
    let healthy = server.client().await;
    let mut raw = server.raw().await;
    let mut hello = frame(1, Hello::new("x"));
    hello[12..16].copy_from_slice(b"SMTP");
    raw.send(&hello).await;
    let (correlation, code, text) = raw.error().await;
    assert_eq!((correlation, code), (1, ErrorCode::BadMagic));
    assert_eq!(text, "Hello: magic \"SMTP\", expected \"FBAY\"");
    raw.closed().await;
    assert_served(&healthy).await;
}

#[tokio::test]
async fn a_client_of_another_version_hears_which_the_server_speaks() {
    let server = Server::start(Default::default()).await;
    let healthy = server.client().await;
    let mut raw = server.raw().await;
    raw.request(1, Hello { version_min: 7, version_max: 9, ..Hello::new("x") }).await;
    let (correlation, code, text) = raw.error().await;
    assert_eq!((correlation, code), (1, ErrorCode::VersionUnsupported));
    assert!(text.contains("7 to 9") && text.contains("1 to 1"), "{text}");
    raw.closed().await;
    assert_served(&healthy).await;
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let server = Server::start(Default::default()).await;
    let mut early = server.raw().await;
    early.request(9, Ping {}).await;
    let (correlation, code, text) = early.error().await;
    assert_eq!((correlation, code), (9, ErrorCode::HelloExpected));
    assert!(text.contains("found Ping"), "{text}");
    early.closed().await;

    let mut twice = server.greeted().await;
    twice.request(2, Hello::new("x")).await;
    assert_eq!(twice.error().await.1, ErrorCode::HelloExpected);
    twice.request(3, Ping {}).await;
    assert!(matches!(twice.reply().await, Some((3, Reply::Pong(_)))), "the connection goes on");
}

#[tokio::test]
async fn a_length_of_4_gib_is_refused_before_it_costs_anything() {
    let server = Server::start(Default::default()).await;
    let healthy = server.client().await;
    for (mut raw, limit) in [(server.raw().await, "4096"), (server.greeted().await, "18874368")] {
        raw.send(&u32::MAX.to_le_bytes()).await;
        let (correlation, code, text) = raw.error().await;
        assert_eq!((correlation, code), (0, ErrorCode::FrameTooLarge));
        assert!(text.contains("4294967295") && text.contains(limit), "{text}");
        raw.closed().await;
    }
    assert_served(&healthy).await;
}

#[tokio::test]
async fn a_frame_before_hello_may_not_be_large() {
    let server = Server::start(Default::default()).await;
    let mut raw = server.raw().await;
    raw.send(&4097_u32.to_le_bytes()).await;
    assert_eq!(raw.error().await.1, ErrorCode::FrameTooLarge);
    raw.closed().await;
}

#[tokio::test]
async fn a_frame_that_is_cut_short_is_dropped_with_its_connection() {
    let server = Server::start(Default::default()).await;
    let healthy = server.client().await;
    let whole = frame(2, Ping {});
    for cut in 1..whole.len() {
        let mut raw = server.greeted().await;
        raw.send(&whole[..cut]).await;
        drop(raw);
    }
    assert_served(&healthy).await;
}

#[tokio::test]
async fn a_frame_may_arrive_byte_by_byte() {
    let server = Server::start(Default::default()).await;
    let mut raw = server.greeted().await;
    for byte in frame(2, Ping {}) {
        raw.send(&[byte]).await;
    }
    assert!(matches!(raw.reply().await, Some((2, Reply::Pong(_)))));
}

#[tokio::test]
async fn a_frame_that_can_be_followed_is_refused_without_closing() {
    let server = Server::start(Default::default()).await;
    let mut raw = server.greeted().await;
    raw.send(&any_frame(0x7b, 2, b"")).await;
    let (correlation, code, text) = raw.error().await;
    assert_eq!((correlation, code), (2, ErrorCode::UnknownOperation));
    assert!(text.contains("0x7b"), "{text}");
    // A Send whose body says nothing.
    raw.send(&any_frame(0x20, 3, b"")).await;
    assert_eq!(raw.error().await.1, ErrorCode::Malformed);
    // A Send that announces a list of 4 billion messages.
    let fields = [&b"\x23\x00\x01\x00q"[..], &[0; 32]].concat();
    raw.send(&any_frame(0x20, 4, &[&fields[..], &[0xff; 4]].concat())).await;
    assert_eq!(raw.error().await.1, ErrorCode::BatchTooLarge);
    raw.request(5, Ping {}).await;
    assert!(matches!(raw.reply().await, Some((5, Reply::Pong(_)))));
}

#[tokio::test]
async fn a_request_with_the_connections_correlation_ends_the_connection() {
    let server = Server::start(Default::default()).await;
    for opcode in [0x02, 0x7b] {
        let mut raw = server.greeted().await;
        raw.send(&any_frame(opcode, 0, b"")).await;
        let (correlation, code, text) = raw.error().await;
        assert_eq!((correlation, code), (0, ErrorCode::Malformed));
        assert!(text.contains("correlation 0"), "{text}");
        raw.closed().await;
    }
}

#[tokio::test]
async fn what_another_protocol_says_first_is_answered_with_an_error() {
    let server = Server::start(Default::default()).await;
    let healthy = server.client().await;
    for words in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"] {
        let mut raw = server.raw().await;
        raw.send(words.as_bytes()).await;
        assert_eq!(raw.error().await.1, ErrorCode::FrameTooLarge);
        raw.closed().await;
    }
    assert_served(&healthy).await;
}

#[test]
fn garbage_costs_nobody_else_anything() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(Default::default()));
    let healthy = runtime.block_on(server.client());
    let garbage = proptest::collection::vec(any::<u8>(), 0..200);
    let frames = proptest::collection::vec(
        (any::<u8>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..50)),
        0..10,
    );
    proptest!(ProptestConfig::with_cases(200), |(garbage in garbage, frames in frames, greet: bool)| {
        runtime.block_on(async {
            let mut raw = if greet { server.greeted().await } else { server.raw().await };
            for (opcode, correlation, body) in &frames {
                // The server may close at any of them.
                raw.try_send(&any_frame(*opcode, *correlation, body)).await;
            }
            raw.try_send(&garbage).await;
        });
    });
    runtime.block_on(assert_served(&healthy));
}
