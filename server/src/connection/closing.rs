//! How a connection ends, and the last words on it.
//!
//! A socket that is closed while unread bytes wait in it is reset, and a reset may overtake the
//! error frame that was just sent. So the server stops writing, and reads on for a moment until
//! the peer has closed too.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use forebay_protocol::{CONNECTION, ProtocolError, Reply};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::outbound::Outbound;

/// How long last words may take, and how long the peer has to close.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// The most that is read and thrown away while the peer closes.
const DISCARD_BYTES_MAX: usize = 64 << 10;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Closing {
    /// The peer closed it.
    ByPeer,
    /// The socket failed.
    Lost(io::Error),
    /// The peer does not read what is written to it.
    NeverRead {
        /// What was not taken.
        unwritten_bytes: usize,
        /// For how long.
        waited: Duration,
    },
    /// The server ends it, and tells the peer why: in answer to a request, or of its own accord.
    Told {
        /// The request's, or [`CONNECTION`].
        correlation: u32,
        /// Why.
        error: ProtocolError,
    },
}

impl From<io::Error> for Closing {
    fn from(error: io::Error) -> Self {
        Closing::Lost(error)
    }
}

impl Closing {
    /// The server ends the connection of its own accord.
    pub(super) fn told(error: ProtocolError) -> Self {
        Closing::Told { correlation: CONNECTION, error }
    }

    /// Logs the reason, at the level that it deserves: what costs the server nothing is debug,
    /// so that no peer can fill its log.
    pub(super) fn log(&self, peer: SocketAddr) {
        match self {
            Closing::ByPeer => tracing::debug!(%peer, "disconnected"),
            Closing::Lost(error) => tracing::debug!(%peer, %error, "connection lost"),
            Closing::NeverRead { unwritten_bytes, waited } => {
                tracing::info!(%peer, unwritten_bytes, ?waited, "closed: the client does not read");
            }
            Closing::Told { error, .. } => tracing::debug!(%peer, %error, "closed"),
        }
    }
}

/// Tells a peer that was not let in why, and closes.
pub(crate) async fn refuse(stream: TcpStream, error: ProtocolError) {
    let mut outbound = Outbound::default();
    outbound.push(CONNECTION, &Reply::Error(error));
    say_farewell(&mut outbound, &stream).await;
}

/// Writes what is left, then closes as softly as can be.
pub(super) async fn say_farewell(outbound: &mut Outbound, stream: &TcpStream) {
    let farewell = async {
        while !outbound.is_empty() {
            stream.writable().await?;
            outbound.flush(stream)?;
        }
        SockRef::from(stream).shutdown(Shutdown::Write)?;
        let mut discarded = 0;
        let mut bytes = [0; 1024];
        while discarded < DISCARD_BYTES_MAX {
            stream.readable().await?;
            match stream.try_read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => discarded += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<(), io::Error>(())
    };
    // The reason for the close is logged already; a peer that is gone or stuck adds nothing to it.
    let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
}
