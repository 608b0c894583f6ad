//! Without this a frame that TCP delivers in two pieces could be read as something else.

mod common;

use bytes::{BufMut, BytesMut};
use common::{any_reply, any_request, decoder, reply_frame, request_frame};
use forebay_protocol::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// All frames that `buffer` holds whole.
fn drain(decoder: &FrameDecoder, buffer: &mut BytesMut) -> Vec<Frame> {
    std::iter::from_fn(|| decoder.decode(buffer).expect("a length within the limit")).collect()
}

proptest! {
    #[test]
    fn cut_anywhere_the_frames_are_the_same(
        requests in vec(any_request(), 1..4),
        reply in any_reply(),
        pieces in vec(1..40usize, 0..60),
    ) {
        let mut stream = BytesMut::new();
        for (request, correlation) in requests.iter().zip(1..) {
            stream.put(request_frame(request.clone(), correlation));
        }
        stream.put(reply_frame(reply, 9));
        let coalesced = drain(&decoder(), &mut stream.clone());
        prop_assert_eq!(coalesced.len(), requests.len() + 1);

        // In pieces, then the rest byte by byte.
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for piece in pieces.into_iter().chain(std::iter::repeat(1)) {
            let piece = stream.split_to(piece.min(stream.len()));
            if piece.is_empty() {
                break;
            }
            buffer.put(piece);
            frames.extend(drain(&decoder(), &mut buffer));
        }
        prop_assert_eq!(frames, coalesced);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn split_at_every_offset_the_frame_comes_with_its_last_byte(request in any_request()) {
        let whole = request_frame(request.clone(), 1);
        for at in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..at]);
            prop_assert_eq!(decoder().decode(&mut buffer), Ok(None));
            buffer.put_slice(&whole[at..]);
            let frame = decoder().decode(&mut buffer).unwrap().unwrap();
            prop_assert_eq!(Request::decode(&frame).unwrap(), request.clone());
        }
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_frame_arrives() {
    let decoder = FrameDecoder::new();
    let mut buffer = BytesMut::from(&4097u32.to_le_bytes()[..]);
    let error = decoder.decode(&mut buffer).unwrap_err();
    assert_eq!(error, FrameError::TooLarge { length: 4097, frame_bytes_max: 4096 });
    assert_eq!(error.to_protocol_error().code, ErrorCode::FrameTooLarge);
}

#[test]
fn a_length_within_the_limit_reserves_nothing() {
    let decoder = FrameDecoder { frame_bytes_max: u32::MAX };
    let mut buffer = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
    let capacity = buffer.capacity();
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert_eq!(buffer.capacity(), capacity);
}

#[test]
fn a_length_too_short_for_a_header_is_refused() {
    for length in 0..8u32 {
        let mut buffer = BytesMut::from(&length.to_le_bytes()[..]);
        assert_eq!(decoder().decode(&mut buffer), Err(FrameError::TooShort { length }));
    }
}

#[test]
fn a_body_shares_the_buffer_it_was_read_into() {
    let mut buffer = request_frame(Send::new("q", vec![OutgoingMessage::new("body")]), 1);
    let range = buffer.as_ptr_range();
    let frame = decoder().decode(&mut buffer).unwrap().unwrap();
    let Ok(Request::Send(send)) = Request::decode(&frame) else { panic!("a send") };
    assert!(range.contains(&send.messages[0].block.body().as_ptr()));
}
