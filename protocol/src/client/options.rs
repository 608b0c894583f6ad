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
    /// Is told that the first connect failed and is tried again. Default: nobody is.
    pub on_wait: OnWait,
    /// How long the server may be away before the calls that wait for it fail. Default: `None`,
    /// they wait for ever.
    pub give_up_after: Option<Duration>,
    /// The pause before the second attempt to connect; it doubles with each. Default: 50 ms.
    pub backoff_min: Duration,
    /// The longest pause between attempts. Default: 2 s.
    pub backoff_max: Duration,
    /// Whether a send whose answer was lost is sent again. Default: true. It lands once: batches are
    /// numbered. Without it, such a send ends in [`ClientError::Unknown`](super::ClientError).
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

/// Is told once, with the first failure, that a client waits for its server.
#[derive(Clone, Default)]
pub struct OnWait(Option<Arc<Tell>>);

type Tell = dyn Fn(&ClientError) + Send + Sync;

impl OnWait {
    /// Calls `tell` before the first wait.
    pub fn new(tell: impl Fn(&ClientError) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, failure: &ClientError) {
        if let Some(tell) = &self.0 {
            tell(failure);
        }
    }
}

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnWait(..)" } else { "OnWait(nobody)" })
    }
}
