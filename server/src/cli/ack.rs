//! `forebay ack`: deletes received messages.

use super::connect::Connect;
use super::failure::Failure;
use super::receipt_text::ReceiptText;
use super::told::say_outcome;

/// Delete received messages
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay ack orders AQAAAAEAAAAAAAAAAQAAAAABAAD1o2PkFqkzVQ")]
pub(super) struct Ack {
    /// The queue's name
    queue: String,
    /// Receipts, as receive shows them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<ReceiptText>,
    #[command(flatten)]
    connect: Connect,
}

impl Ack {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.connect.open().await?;
        let receipts: Vec<_> = self.receipts.into_iter().map(|text| text.0).collect();
        let failures = client.ack(&self.queue, &receipts).await?;
        say_outcome(&failures, "acked", receipts.len())
    }
}
