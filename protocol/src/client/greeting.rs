//! The greeting: Hello, and a Welcome that fits it, within the time an attempt may take.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::end::CLOSED;
use super::{options::ClientOptions, socket};
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

/// Why nobody was greeted.
#[derive(Debug)]
pub(super) enum NotGreeted {
    /// Another attempt may do better.
    Now(String),
    /// The server refuses this client for now, and another attempt may do better.
    NotNow(ProtocolError),
    /// The address cannot be resolved, or what answers there speaks another protocol: another attempt finds the
    /// same, as a rule.
    Wrong(String),
    /// The server refuses this client, and would refuse it again.
    Refused(ProtocolError),
}

impl From<io::Error> for NotGreeted {
    fn from(error: io::Error) -> NotGreeted {
        NotGreeted::Now(error.to_string())
    }
}

/// Connects and greets.
pub(super) async fn greet(addr: &str, options: &ClientOptions) -> Result<Greeted, NotGreeted> {
    match timeout(options.connect_timeout, exchange(addr, options)).await {
        Ok(result) => result,
        Err(_) => Err(NotGreeted::Now(format!("no Welcome within {:?}", options.connect_timeout))),
    }
}

async fn exchange(addr: &str, options: &ClientOptions) -> Result<Greeted, NotGreeted> {
    let addresses: Vec<SocketAddr> = match lookup_host(addr).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(NotGreeted::Wrong(error.to_string())),
    };
    let mut stream = TcpStream::connect(&addresses[..]).await?;
    socket::prepare(&stream)?;
    let credentials = options.credentials.clone();
    let hello = Hello { credentials, ..Hello::new(options.name.clone()) };
    let mut frame = BytesMut::new();
    let encoded = Request::from(hello).encode(HELLO_CORRELATION, &mut frame);
    encoded.map_err(|error| NotGreeted::Wrong(error.to_string()))?;
    stream.write_all(&frame).await?;

    let mut decoder = FrameDecoder::new();
    let mut buffer = BytesMut::new();
    let frame = loop {
        if let Some(frame) = decoder.decode(&mut buffer).map_err(|error| no_server(&error))? {
            break frame;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(NotGreeted::Now(CLOSED.to_owned()));
        }
    };
    let welcome = welcome(&frame)?;
    decoder.frame_bytes_max = welcome.limits.frame_bytes_max;
    Ok(Greeted { stream, decoder, buffer, welcome })
}

/// The answer to Hello: a version that was offered, or the end.
fn welcome(frame: &Frame) -> Result<Welcome, NotGreeted> {
    match Reply::decode(frame) {
        Ok(Reply::Welcome(welcome)) if (VERSION_MIN..=VERSION_MAX).contains(&welcome.version) => {
            Ok(welcome)
        }
        Ok(Reply::Welcome(welcome)) => {
            let text =
                format!("the server chose version {}, which was not offered", welcome.version);
            Err(NotGreeted::Refused(ProtocolError::new(ErrorCode::VersionUnsupported, text)))
        }
        Ok(Reply::Error(error)) if error.retry == Retry::Never => Err(NotGreeted::Refused(error)),
        Ok(Reply::Error(error)) => Err(NotGreeted::NotNow(error)),
        Ok(other) => Err(no_server(&format_args!("Hello was answered with {}", other.name()))),
        Err(error) => Err(no_server(&error)),
    }
}

fn no_server(found: &dyn std::fmt::Display) -> NotGreeted {
    NotGreeted::Wrong(format!("what answers there is no Forebay server: {found}"))
}
