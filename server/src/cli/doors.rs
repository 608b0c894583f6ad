//! Where a server is reached: the native protocol, SQS, and what tells chaos by hand what to do.
//!
//! Addresses are bound before the store is opened, so that a taken one changes nothing; they are listened on
//! after, so that nobody connects to a server that cannot answer yet.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};

use super::failure::Failure;
use super::settings::{Settings, SqsListen};
use crate::chaos::{Chaos, Door};

/// Where a server is by default.
pub(super) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7480);
pub(super) const SQS_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9324);

/// Where addresses are given.
const NATIVE: &str = "--listen";
const SQS: &str = "--sqs-listen";
const CONTROL: &str = "control of the chaos plan";

/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 1024;

/// How long an address may be in use before that is an error, ...
const ADDRESS_PATIENCE: Duration = Duration::from_secs(1);
/// ... and how often it is looked at.
const ADDRESS_LOOK: Duration = Duration::from_millis(10);

/// Addresses that are the server's, and that it does not listen on yet.
pub(super) struct Bound {
    native: BoundAddress,
    sqs: Option<BoundAddress>,
    control: Option<BoundAddress>,
}

/// What the server listens on.
pub(super) struct Doors {
    pub(super) native: Listening,
    pub(super) sqs: Option<Listening>,
    pub(super) control: Option<Listening>,
}

/// A listener, and where it is: port 0 was any.
pub(super) struct Listening {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
}

struct BoundAddress {
    socket: TcpSocket,
    address: SocketAddr,
    /// Where it was given.
    setting: &'static str,
    /// Nobody asked for it: that it is taken is no reason not to start.
    is_default: bool,
}

impl Bound {
    /// Binds what the settings say, and the plan of chaos, which keeps the ports of the life before.
    pub(super) fn bind(settings: &Settings, chaos: Option<&Chaos>) -> Result<Self, Failure> {
        let placed = |door, address| chaos.map_or(address, |chaos| chaos.place(door, address));
        let native = placed(Door::Native, settings.listen.unwrap_or(LISTEN));
        let given = match settings.sqs_listen {
            Some(SqsListen::At(address)) => Some(placed(Door::Sqs, address)),
            Some(SqsListen::Off) | None => None,
        };
        let control = chaos.and_then(Chaos::control);
        let all = [(NATIVE, Some(native)), (SQS, given), (CONTROL, control)];
        check_distinct(&all.map(|(setting, address)| address.map(|address| (setting, address))))?;
        let native = BoundAddress::bind(native, NATIVE)?;
        let sqs = match (given, settings.sqs_listen) {
            (Some(address), _) => Some(BoundAddress::bind(address, SQS)?),
            (None, Some(_)) => None,
            (None, None) => unless_taken(BoundAddress::bind(SQS_LISTEN, SQS))
                .map(|bound| BoundAddress { is_default: true, ..bound }),
        };
        let control = control.map(|address| BoundAddress::bind(address, CONTROL)).transpose()?;
        Ok(Self { native, sqs, control })
    }

    /// Listens: from here on clients connect.
    pub(super) fn listen(self) -> Result<Doors, Failure> {
        let Self { native, sqs, control } = self;
        let control = control.map(BoundAddress::listen).transpose()?;
        let native = native.listen()?;
        let sqs = match sqs {
            Some(bound) if bound.is_default => unless_taken(bound.listen()),
            bound => bound.map(BoundAddress::listen).transpose()?,
        };
        Ok(Doors { native, sqs, control })
    }
}

impl Doors {
    /// Where clients find the server.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let sqs = self.sqs.as_ref().map(|sqs| sqs.address);
        [Some(self.native.address), sqs].into_iter().flatten().collect()
    }

    /// The same, where what comes gets to the server through chaos.
    pub(super) async fn behind(self, chaos: &Arc<Chaos>) -> Result<Self, Failure> {
        let native = self.native.behind(chaos, Door::Native).await?;
        let sqs = match self.sqs {
            Some(sqs) => Some(sqs.behind(chaos, Door::Sqs).await?),
            None => None,
        };
        Ok(Self { native, sqs, control: self.control })
    }
}

impl Listening {
    async fn behind(self, chaos: &Arc<Chaos>, door: Door) -> Result<Self, Failure> {
        let Self { listener, address } = self;
        let inside = Arc::clone(chaos).stand_before(door, listener).await;
        let setting = match door {
            Door::Native => NATIVE,
            Door::Sqs => SQS,
        };
        let listener = inside.map_err(|error| cannot_listen(setting, address, &error))?;
        Ok(Self { listener, address })
    }
}

impl BoundAddress {
    fn bind(address: SocketAddr, setting: &'static str) -> Result<Self, Failure> {
        let began = Instant::now();
        let is_patient = || {
            std::thread::sleep(ADDRESS_LOOK);
            began.elapsed() < ADDRESS_PATIENCE
        };
        match bind_when_free(address, is_patient) {
            Ok(socket) => Ok(Self { socket, address, setting, is_default: false }),
            Err(error) => Err(cannot_listen(setting, address, &error)),
        }
    }

    fn listen(self) -> Result<Listening, Failure> {
        let cannot = |error| cannot_listen(self.setting, self.address, &error);
        let listener = self.socket.listen(BACKLOG).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Listening { listener, address })
    }
}

/// A server that was just killed gives its store back first, and its address a moment later.
fn bind_when_free(
    address: SocketAddr,
    mut is_patient: impl FnMut() -> bool,
) -> std::io::Result<TcpSocket> {
    loop {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A restart must not wait for the connections of the server before it to be forgotten.
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_patient() => {}
            bound => return bound.map(|()| socket),
        }
    }
}

/// What is there of the default address of SQS.
fn unless_taken<T>(got: Result<T, Failure>) -> Option<T> {
    if got.is_err() {
        tracing::warn!(
            address = %SQS_LISTEN,
            "SQS is not served: its address is taken; give another with --sqs-listen, or off"
        );
    }
    got.ok()
}

fn cannot_listen(setting: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::io(&format!("{setting}: cannot listen on {address}"), error)
}

/// Two sockets of one process may be bound to one address; only one can listen, and that would show when the
/// store was opened.
fn check_distinct(given: &[Option<(&str, SocketAddr)>]) -> Result<(), Failure> {
    let given: Vec<_> = given.iter().flatten().collect();
    for (at, (setting, address)) in given.iter().enumerate() {
        for (other_setting, other) in &given[at + 1..] {
            if is_one_place(*address, *other) {
                return Err(Failure::Usage(format!(
                    "{setting} is {address} and {other_setting} is {other}, expected two addresses"
                )));
            }
        }
    }
    Ok(())
}

fn is_one_place(one: SocketAddr, other: SocketAddr) -> bool {
    // The unspecified address stands for all of its family.
    let covers = |all: SocketAddr, it: SocketAddr| {
        all.ip() == it.ip() || all.ip().is_unspecified() && all.is_ipv4() == it.is_ipv4()
    };
    // Port 0 is any that is free.
    one.port() == other.port() && one.port() != 0 && (covers(one, other) || covers(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it a server that is started at once after a kill, as the README does, ended.
    #[tokio::test]
    async fn an_address_that_becomes_free_is_waited_for() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut taken = Some(taken);
        assert!(bind_when_free(address, || taken.take().is_some()).is_ok());
    }

    #[tokio::test]
    async fn an_address_that_stays_taken_is_an_error() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = bind_when_free(taken.local_addr().unwrap(), || false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
