//! How a client connects, and what it does when the connection is lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::ClientError;

/// Options of a [`Client`](super::Client).
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The name that the server's logs show. Default: this crate and its version.
    pub name: String,
    /// Who the client is. Default: empty.
    pub credentials: Bytes,
    /// How long one attempt to connect may take, greeting included. Default: 5 s.
    pub connect_timeout: Duration,
    /// For how long the first connect is tried again, if another attempt may do better. Default: zero, it
    /// fails at once.
    pub connect_patience: Duration,
    /// Is told when the client waits for its server: at the first connect, and whenever the server is lost.
    /// Default: nobody is.
    pub on_wait: OnWait,
    /// How long the server may be away before the calls that wait for it fail. Default: `None`,
    /// they wait for ever.
    pub give_up_after: Option<Duration>,
    /// The pause before the second attempt to connect; it doubles with each. Default: 50 ms.
    pub backoff_min: Duration,
    /// The longest pause between attempts. Default: 2 s.
    pub backoff_max: Duration,
    /// Whether a send whose answer was lost is sent again. Default: true. It lands once: batches are
    /// numbered. A FIFO queue recognises copies instead, for its deduplication window of at least five
    /// minutes; so a send to one is sent again for four minutes. After that, or without this option, such
    /// a send ends in [`ClientError::Unknown`](super::ClientError).
    pub retry_sends: bool,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            name: concat!("forebay-protocol ", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: Bytes::new(),
            connect_timeout: Duration::from_secs(5),
            connect_patience: Duration::ZERO,
            on_wait: OnWait::default(),
            give_up_after: None,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            retry_sends: true,
        }
    }
}

/// What becomes of a client that waits for its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait<'a> {
    /// The first connect failed so, and is tried again.
    First(&'a ClientError),
    /// A connection was lost, and the first attempt to make another failed so. It is tried again until
    /// `give_up_after` is over.
    Lost(&'a ClientError),
    /// After [`Wait::Lost`]: there is a connection again.
    Back {
        /// The server's address.
        addr: &'a str,
        /// How long there was none.
        after: Duration,
    },
}

/// Is told that a client waits for its server: once for each wait, not for each attempt.
#[derive(Clone, Default)]
pub struct OnWait(Option<Arc<Tell>>);

type Tell = dyn Fn(Wait<'_>) + Send + Sync;

impl OnWait {
    /// Calls `tell` before a wait, and after one that a lost connection began.
    pub fn new(tell: impl Fn(Wait<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, wait: Wait<'_>) {
        if let Some(tell) = &self.0 {
            tell(wait);
        }
    }
}

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnWait(..)" } else { "OnWait(nobody)" })
    }
}
