//! The greeting: Hello, and a Welcome that fits it, within the time an attempt may take.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::end::{End, check_read};
use super::options::ClientOptions;
use crate::error::{ErrorCode, ProtocolError, Retry};
use crate::frame::{Frame, FrameDecoder};
use crate::operation::{Hello, Reply, Request, VERSION_MAX, VERSION_MIN, Welcome};

/// The correlation of the Hello: nothing else is in flight then.
const HELLO_CORRELATION: u32 = 1;

/// A connection on which both sides may now speak.
pub(super) struct Greeted {
    pub(super) stream: TcpStream,
    /// Accepts frames as large as the Welcome says.
    pub(super) decoder: FrameDecoder,
    /// What came behind the Welcome.
    pub(super) buffer: BytesMut,
    pub(super) welcome: Welcome,
}

/// Connects and greets.
pub(super) async fn greet(addr: &str, options: &ClientOptions) -> Result<Greeted, End> {
    match timeout(options.connect_timeout, exchange(addr, options)).await {
        Ok(result) => result,
        Err(_) => Err(End::Lost(format!("no Welcome within {:?}", options.connect_timeout))),
    }
}

async fn exchange(addr: &str, options: &ClientOptions) -> Result<Greeted, End> {
    let mut stream = TcpStream::connect(addr).await?;
    // Frames are already coalesced: waiting for more would only delay a lone request.
    stream.set_nodelay(true)?;
    let credentials = options.credentials.clone();
    let hello = Hello { credentials, ..Hello::new(options.name.clone()) };
    let mut frame = BytesMut::new();
    let encoded = Request::from(hello).encode(HELLO_CORRELATION, &mut frame);
    encoded.map_err(|error| End::Lost(error.to_string()))?;
    stream.write_all(&frame).await?;

    let mut decoder = FrameDecoder::new();
    let mut buffer = BytesMut::new();
    let frame = loop {
        if let Some(frame) = decoder.decode(&mut buffer)? {
            break frame;
        }
        check_read(stream.read_buf(&mut buffer).await)?;
    };
    let welcome = welcome(&frame)?;
    decoder.frame_bytes_max = welcome.limits.frame_bytes_max;
    Ok(Greeted { stream, decoder, buffer, welcome })
}

/// The answer to Hello: a version that was offered, or the end.
fn welcome(frame: &Frame) -> Result<Welcome, End> {
    match Reply::decode(frame) {
        Ok(Reply::Welcome(welcome)) if (VERSION_MIN..=VERSION_MAX).contains(&welcome.version) => {
            Ok(welcome)
        }
        Ok(Reply::Welcome(welcome)) => {
            let text =
                format!("the server chose version {}, which was not offered", welcome.version);
            Err(End::Refused(ProtocolError::new(ErrorCode::VersionUnsupported, text)))
        }
        Ok(Reply::Error(error)) if error.retry == Retry::Never => Err(End::Refused(error)),
        Ok(Reply::Error(error)) => Err(End::Lost(error.to_string())),
        Ok(other) => Err(End::Lost(format!("Hello was answered with {}", other.name()))),
        Err(error) => Err(End::Lost(error.to_string())),
    }
}
