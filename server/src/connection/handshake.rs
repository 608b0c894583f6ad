//! The first frame of a connection: `Hello`, and what it is answered with.

use forebay_engine::attributes::MESSAGE_BYTES_MAX;
use forebay_engine::ids::StoreId;
use forebay_protocol::{
    ErrorCode, Frame, Opcode, ProtocolError, RECEIVE_MESSAGES_MAX, Request, Welcome,
};

use crate::limits::Limits;

/// What the server calls itself.
const SERVER: &str = concat!("forebay ", env!("CARGO_PKG_VERSION"));

/// A client that said Hello, and what to answer it.
pub(super) struct Greeting {
    pub(super) client: String,
    pub(super) welcome: Welcome,
}

/// Reads the first frame. After an error the connection ends.
pub(super) fn greet(
    frame: &Frame,
    store_id: StoreId,
    limits: &Limits,
) -> Result<Greeting, ProtocolError> {
    let hello_expected = |found: &str| {
        let text = format!("the first request must be Hello, found {found}");
        ProtocolError::new(ErrorCode::HelloExpected, text)
    };
    match Opcode::from_code(frame.opcode) {
        Some(Opcode::Hello) => {}
        Some(other) => return Err(hello_expected(other.name())),
        None => return Err(hello_expected(&format!("the opcode {:#04x}", frame.opcode))),
    }
    let Request::Hello(hello) = Request::decode(frame)? else {
        return Err(hello_expected("another"));
    };
    let version = hello.choose_version()?;
    Ok(Greeting {
        client: hello.client,
        welcome: Welcome {
            version,
            store_id: store_id.0,
            server: SERVER.to_owned(),
            limits: announced(limits),
        },
    })
}

/// The limits as the protocol tells them.
fn announced(limits: &Limits) -> forebay_protocol::Limits {
    let at_most = |value: u128| u32::try_from(value).unwrap_or(u32::MAX);
    forebay_protocol::Limits {
        frame_bytes_max: limits.frame_bytes_max,
        message_bytes_max: at_most(MESSAGE_BYTES_MAX.into()),
        batch_messages_max: RECEIVE_MESSAGES_MAX,
        in_flight_requests_max: at_most(limits.connection_requests_max as u128),
        in_flight_bytes_max: at_most(limits.connection_bytes_max as u128),
        idle_timeout_ms: at_most(limits.idle_timeout.as_millis()),
    }
}
