//! How a command reaches its server.

use std::time::Duration;

use forebay_protocol::client::{Client, ClientOptions};

use super::failure::Failure;
use super::quantity::wrong_port;

/// The server that a command talks to.
#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// The server's address
    #[arg(long, value_name = "ADDR", env = "FOREBAY_SERVER", default_value = "127.0.0.1:7480")]
    #[arg(value_parser = server_address)]
    server: String,
}

/// A host and a port. Whether the host is there shows when it is connected to.
fn server_address(text: &str) -> Result<String, String> {
    if let Some(wrong) = wrong_port(text) {
        return Err(wrong);
    }
    // The colons of an IPv6 address are its own, outside of brackets.
    let port = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    match port {
        None => Err("the port is missing, expected a host and a port: 127.0.0.1:7480".to_owned()),
        Some((host, port)) if host.is_empty() || port.parse::<u16>().is_err() => {
            Err("expected a host and a port: 127.0.0.1:7480".to_owned())
        }
        Some(_) => Ok(text.to_owned()),
    }
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
