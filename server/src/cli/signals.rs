//! SIGTERM and SIGINT, which end a server or a campaign.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::ending::{Ending, EndingSender};

/// Both of them.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Forwards signals. A server that could not be told to end any more ends now.
    pub(super) async fn supervise(self, tell_ending: EndingSender) {
        let forwarding = tokio::spawn(self.forward(tell_ending.clone()));
        if let Err(error) = forwarding.await {
            shut_down(&tell_ending);
            tracing::error!(%error, "signals are not heard any more: the server ends");
        }
    }

    /// Ends the server at the first signal, the process at the second.
    async fn forward(mut self, tell_ending: EndingSender) {
        let signal = self.next().await;
        shut_down(&tell_ending);
        tracing::info!(signal, "shutting down; a second signal ends the process at once");
        let signal = self.next().await;
        tracing::warn!(signal, "ended at once");
        std::process::exit(1);
    }
}

/// Tells the server to end. A failure that came before stays the reason.
fn shut_down(tell_ending: &EndingSender) {
    tell_ending.send_if_modified(|ending| {
        let first = ending.is_none();
        ending.get_or_insert(Ending::ShuttingDown);
        first
    });
}
