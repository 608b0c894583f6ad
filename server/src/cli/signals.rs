//! SIGTERM, SIGINT and SIGHUP, which end a server or a campaign.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::ending::{Ending, EndingSender};

/// All of them.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None`: whoever started this has it ignore them, as `nohup` does.
    hang_up: Option<Signal>,
}

const HANG_UP: &str = "SIGHUP";

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: match is_ignored(SignalKind::hangup()) {
                true => None,
                false => Some(listen(SignalKind::hangup())?),
            },
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> &'static str {
        let hung_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hung_up => HANG_UP,
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
        let signal = loop {
            match self.next().await {
                // A terminal that closes may send it twice: its shell does so too.
                HANG_UP => {}
                signal => break signal,
            }
        };
        tracing::warn!(signal, "ended at once");
        std::process::exit(1);
    }
}

/// Whether the process was started with a signal ignored, as far as the system says.
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw_value() - 1) & 1 == 1
}

/// Tells the server to end. A failure that came before stays the reason.
fn shut_down(tell_ending: &EndingSender) {
    tell_ending.send_if_modified(|ending| {
        let first = ending.is_none();
        ending.get_or_insert(Ending::ShuttingDown);
        first
    });
}
