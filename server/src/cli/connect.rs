//! How a command reaches its server.

use std::time::Duration;

use forebay_protocol::client::{Client, ClientError, ClientOptions, OnWait, Wait};

use super::failure::{Failure, plain};
use super::quantity::{duration_ms, wrong_port};
use super::say::say;

/// The server that a command talks to.
#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// The server's address
    #[arg(long, value_name = "ADDR", env = "FOREBAY_SERVER", default_value = "127.0.0.1:7480")]
    #[arg(value_parser = server_address)]
    server: String,
    /// How long to wait for a server that is not there [default: for one that went away 1m; before that not at
    /// all, but 5s where a command may go on for long: send --lines, receive --follow or --max 0, forward]
    #[arg(long, value_name = "DURATION", env = "FOREBAY_GIVE_UP_AFTER", value_parser = duration_ms)]
    give_up_after: Option<u64>,
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

/// How long a command waits for a server that went away in the middle, ...
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// ... and one that may go on for long, for a server that has not been there.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

impl Connect {
    /// Connects; fails at once when there is no server, unless it is to be waited for.
    pub(super) async fn open(&self) -> Result<Client, Failure> {
        self.open_within(Duration::ZERO).await
    }

    /// The same for a command that may go on for long, and goes on when its server is started again: that one may
    /// be about to come.
    pub(super) async fn open_patiently(&self) -> Result<Client, Failure> {
        self.open_within(FIRST_PATIENCE).await
    }

    async fn open_within(&self, patience: Duration) -> Result<Client, Failure> {
        let given = self.give_up_after.map(Duration::from_millis);
        let patience = given.unwrap_or(patience);
        let give_up_after = given.unwrap_or(GIVE_UP_AFTER);
        let options = ClientOptions {
            name: concat!("forebay ", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_patience: patience,
            on_wait: OnWait::new(move |wait| say_wait(&wait, patience, give_up_after)),
            give_up_after: Some(give_up_after),
            ..ClientOptions::default()
        };
        Ok(Client::connect(self.server.as_str(), options).await?)
    }
}

/// Nobody is to take a command that waits for one that hangs.
fn say_wait(wait: &Wait<'_>, patience: Duration, give_up_after: Duration) {
    let shown = humantime::format_duration;
    match wait {
        Wait::First(failure) => {
            let failure = plain(&failure.to_string());
            say(format_args!("forebay: {failure}; waiting for it for up to {}", shown(patience)));
        }
        Wait::Lost(ClientError::Connect { addr, cause, .. }) => say(format_args!(
            "forebay: lost {addr}: {}; waiting for it for up to {}",
            plain(cause),
            shown(give_up_after)
        )),
        Wait::Lost(failure) => say(format_args!("forebay: {}", plain(&failure.to_string()))),
        Wait::Back { addr, after } => {
            say(format_args!("forebay: {addr} is back after {:.1} s", after.as_secs_f64()));
        }
    }
}
