//! Frames: any bytes, in any pieces, give the same frames, and every frame a value or an error.
//!
//! A third of the inputs are a stream as it is, another third are frames with the fuzzer's opcodes
//! and bodies, so that every operation's decoder is reached at once; the rest are the attributes of a
//! message.

#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use forebay_fuzz::Choices;
use forebay_protocol::{
    FRAME_LENGTH_BYTES, Frame, FrameDecoder, FrameError, MessageAttributes, Opcode, Reply, Request,
};
use libfuzzer_sys::fuzz_target;

/// What a server accepts after Welcome, made small: an input is smaller still.
const FRAME_BYTES_MAX: u32 = 64 << 10;
const PIECES_MAX: usize = 8;
const BODY_BYTES_MAX: usize = 512;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let mut decoder = FrameDecoder::new();
    if choices.byte() % 2 == 1 {
        decoder.frame_bytes_max = FRAME_BYTES_MAX;
    }
    let pieces: Vec<usize> =
        (0..choices.below(PIECES_MAX)).map(|_| 1 + usize::from(choices.byte())).collect();
    let stream = match choices.byte() % 3 {
        0 => choices.rest().to_vec(),
        1 => well_framed(choices),
        // A section by itself: an input that gets through a whole frame to it is rare.
        _ => return check_attributes(Bytes::copy_from_slice(choices.rest())),
    };
    let at_once = decode(&decoder, &stream, &[]);
    assert_eq!(at_once, decode(&decoder, &stream, &pieces), "pieces of {pieces:?} bytes");
    at_once.0.iter().for_each(check);
});

fn well_framed(mut choices: Choices<'_>) -> Vec<u8> {
    let mut stream = BytesMut::new();
    while !choices.is_empty() {
        let opcode = match choices.below(2 * Opcode::ALL.len() + 1) {
            index if index < Opcode::ALL.len() => Opcode::ALL[index].code(),
            index if index < 2 * Opcode::ALL.len() => {
                0x80 | Opcode::ALL[index - Opcode::ALL.len()].code()
            }
            _ => 0xff,
        };
        let body = choices.bytes(BODY_BYTES_MAX);
        stream.put_u32_le(8 + body.len() as u32);
        stream.put_u8(opcode);
        stream.put_bytes(0, 3);
        stream.put_u32_le(1);
        stream.put_slice(body);
    }
    stream.to_vec()
}

/// The frames of a stream, and what ended it: the bytes left over, or an error.
type Decoded = (Vec<Frame>, Result<usize, FrameError>);

/// Decodes a stream that arrives in pieces of these sizes, over and over; without any, at once.
fn decode(decoder: &FrameDecoder, stream: &[u8], pieces: &[usize]) -> Decoded {
    let (mut buffer, mut frames, mut rest) = (BytesMut::new(), Vec::new(), stream);
    let mut pieces = pieces.iter().copied().cycle();
    loop {
        let piece = pieces.next().unwrap_or(rest.len()).min(rest.len());
        let (now, later) = rest.split_at(piece);
        decoder.make_room(&mut buffer);
        buffer.extend_from_slice(now);
        rest = later;
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    error.to_protocol_error();
                    return (frames, Err(error));
                }
            }
        }
        if rest.is_empty() {
            return (frames, Ok(buffer.len()));
        }
    }
}

/// A frame gives a request, a reply or an error, and a value that was read can be written and
/// read again.
fn check(frame: &Frame) {
    if let Ok(request) = Request::decode(frame) {
        if let Request::Send(send) = &request {
            let stored: usize = send.messages.iter().map(|m| m.block.encoded_bytes()).sum();
            assert!(stored <= frame.body.len(), "more was decoded than had arrived");
            for message in &send.messages {
                let _ = message.block.verify();
                check_attributes(message.block.attributes());
            }
        }
        let mut out = BytesMut::new();
        request.encode(frame.correlation, &mut out).expect("it came in a frame and fits one");
        let again = one_frame(out);
        assert_eq!(again.correlation, frame.correlation);
        assert_eq!(Request::decode(&again).as_ref(), Ok(&request));
    }
    if let Ok(reply) = Reply::decode(frame) {
        let mut out = BytesMut::new();
        reply.encode(frame.correlation, &mut out).expect("it came in a frame and fits one");
        assert_eq!(Reply::decode(&one_frame(out)), Ok(reply));
    }
}

/// What is accepted is read as it is, and written as it was.
fn check_attributes(section: Bytes) {
    let read = MessageAttributes::decode(section.clone());
    if let Ok(accepted) = MessageAttributes::accept(&section) {
        let read = read.expect("what is accepted is read");
        assert_eq!(accepted, read.ids());
        assert_eq!(read.encode(), section);
    }
}

fn one_frame(mut bytes: BytesMut) -> Frame {
    let frame_bytes_max = (bytes.len() - FRAME_LENGTH_BYTES) as u32;
    let frame = FrameDecoder { frame_bytes_max }.decode(&mut bytes);
    assert!(bytes.is_empty(), "a value is one frame");
    frame.expect("the length is right").expect("all of it is there")
}
