//! `forebay release`: gives received messages back to the queue.

use forebay_protocol::VisibilityChange;

use super::ack::report;
use super::connect::Connect;
use super::failure::Failure;
use super::receipt_text::ReceiptText;

/// Give received messages back, at once or after a delay
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: forebay release orders AQAAAAEAAAAAAAAAAQAAAAABAAD1o2PkFqkzVQ --delay 1m"
)]
pub(super) struct Release {
    /// The queue's name
    queue: String,
    /// Receipts, as receive shows them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<ReceiptText>,
    /// How long the messages stay invisible from now on, up to 12h
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    delay: humantime::Duration,
    #[command(flatten)]
    connect: Connect,
}

impl Release {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.connect.open().await?;
        let visibility_ms = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        let changes: Vec<_> = self
            .receipts
            .into_iter()
            .map(|text| VisibilityChange { receipt: text.0, visibility_ms })
            .collect();
        let count = changes.len();
        let failures = client.change_visibility(&self.queue, changes).await?;
        report(&failures, "released", count)
    }
}
