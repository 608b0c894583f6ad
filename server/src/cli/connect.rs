//! How a command reaches its server.

use std::time::Duration;

use forebay_protocol::client::{Client, ClientOptions};

use super::failure::Failure;

/// The server that a command talks to.
#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// The server's address
    #[arg(long, value_name = "ADDR", env = "FOREBAY_SERVER", default_value = "127.0.0.1:7480")]
    server: String,
}

/// How long a command waits for a server that went away in the middle.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

impl Connect {
    /// Connects; fails at once when there is no server.
    pub(super) async fn open(&self) -> Result<Client, Failure> {
        self.open_for(GIVE_UP_AFTER).await
    }

    /// As [`Connect::open`], with the patience for a server that goes away later.
    pub(super) async fn open_for(&self, give_up_after: Duration) -> Result<Client, Failure> {
        let options = ClientOptions {
            name: concat!("forebay ", env!("CARGO_PKG_VERSION")).to_owned(),
            give_up_after: Some(give_up_after),
            ..ClientOptions::default()
        };
        Ok(Client::connect(self.server.as_str(), options).await?)
    }
}
