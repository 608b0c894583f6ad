//! Why a server ends, and how everybody hears of it.

use forebay_protocol::{ErrorCode, ProtocolError};
use tokio::sync::watch;

/// Why the server ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to.
    ShuttingDown,
    /// The log failed: what was not answered may or may not be durable.
    StorageFailed {
        /// The first failure.
        cause: String,
    },
}

/// Tells the server to end; the last `send` counts. It starts as `None`: serve.
pub type EndingSender = watch::Sender<Option<Ending>>;

/// Hears that the server is to end.
pub type EndingReceiver = watch::Receiver<Option<Ending>>;

/// A way to end a server, and the server's side of it.
pub fn ending() -> (EndingSender, EndingReceiver) {
    watch::channel(None)
}

impl Ending {
    /// What clients are told before their connections are closed.
    pub(crate) fn to_protocol_error(&self) -> ProtocolError {
        match self {
            Ending::ShuttingDown => {
                ProtocolError::new(ErrorCode::ShuttingDown, "the server is shutting down")
            }
            Ending::StorageFailed { cause } => ProtocolError::new(ErrorCode::StorageFailed, cause),
        }
    }
}

/// Waits until the server is to end. A sender that is gone cannot be asked: then, for ever.
pub(crate) async fn ended(receiver: &mut EndingReceiver) -> Ending {
    let told = receiver.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone());
    match told {
        Some(ending) => ending,
        None => std::future::pending().await,
    }
}
