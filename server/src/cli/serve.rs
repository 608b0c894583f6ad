//! `forebay serve`: opens the store, runs the server, ends on a signal.
//!
//! The order of the end: the server drains its connections ([`crate::run`]), the engine commits
//! what is pending and closes the store, the process leaves: with status 0 when it was asked to,
//! 1 when the log failed.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_engine::disk::RealDisk;
use forebay_engine::progress::OnProgress;
use forebay_engine::{Clock, Opening, SystemClock};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use super::open_files;
use super::progress;
use super::settings::{Settings, SqsListen};
use crate::caller::Engine;
use crate::chaos::{self, Chaos, Door, address_before};
use crate::ending::{Ending, EndingSender, ending};
use crate::server::{self, Budget};
use crate::sqs;

/// Start a server
///
/// Each setting is a flag, an environment variable and a key of the file given with --config, in
/// this order of strength. SIGTERM and SIGINT end the server after what it has begun; a second
/// signal ends it at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay serve --data ./forebay-data --listen 127.0.0.1:7480")]
pub(super) struct Serve {
    /// A TOML file with settings: segment-bytes = "1GiB"
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    config: Option<PathBuf>,
    /// Have bad days, by the plan in this TOML file, on a store of their own: for testing clients
    #[arg(long, value_name = "PLAN", long_help = CHAOS)]
    chaos: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

const CHAOS: &str = "\
Have bad days, by the plan in this TOML file, to test clients: requests and answers come late,
connections break, messages come twice, the server is killed and starts again, its clock jumps
ahead. The store must have been created for this: an empty or missing directory, the first time.
This is a flag alone, no variable and no key of --config. All of the plan may be left out:

  seed = 7                                     # otherwise drawn, once for the store
  delay = { share = 0.05, at-most = \"2s\" }     # pieces of requests and answers
  cut = { share = 0.01 }                       # connections, at a piece
  duplicate = { share = 0.1 }                  # leases end early; not of FIFO queues
  kill = { every = \"30s\" }                   # on average
  clock = { every = \"10s\", ahead = \"1h\" }    # on average, by up to
  control = \"127.0.0.1:7482\"                 # GET /, POST /clock?ahead=1h, POST /kill";

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7480);
const SQS_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9324);
const DATA: &str = "./forebay-data";
/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 1024;

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.settings.check().map_err(|wrong| Failure::Usage(format!("--{wrong}")))?;
        let settings = match &self.config {
            Some(path) => self.settings.or(Settings::read(path)?),
            None => self.settings,
        };
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            // It would be told on stderr, where the log could not be written, with a panic.
            .log_internal_errors(false)
            .with_max_level(settings.log_level.unwrap_or(LevelFilter::INFO))
            .init();
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::io("cannot start", &error))?
            .block_on(serve(&settings, self.chaos.as_deref()))
    }
}

async fn serve(settings: &Settings, plan: Option<&Path>) -> Result<(), Failure> {
    let mut limits = settings.limits();
    limits.connections_max = open_files::allow(limits.connections_max);
    let sqs_config = settings.sqs()?;
    check_open(settings)?;
    let data = settings.data.as_deref().unwrap_or(Path::new(DATA));
    let chaos = prepare_chaos(plan, data)?;
    let before = |door| chaos.as_ref().and_then(|_| address_before(door));
    let address = fixed(settings.listen.unwrap_or(LISTEN), before(Door::Native));
    // Bound before the store is opened, so that a taken address changes nothing; listening after,
    // so that nobody connects to a server that cannot answer yet.
    let socket = bind(address)?;
    let sqs_listen = match settings.sqs_listen {
        Some(SqsListen::At(address)) => Some(SqsListen::At(fixed(address, before(Door::Sqs)))),
        other => other,
    };
    let sqs_socket = bind_sqs(sqs_listen)?;
    let control = match chaos.as_ref().and_then(|chaos| chaos.control()) {
        Some(address) => Some((bind(address)?, address)),
        None => None,
    };
    let (tell_ending, ending) = ending();
    // Before the store is opened, which may take long: the second signal ends that too.
    tokio::spawn(Signals::listen()?.supervise(tell_ending.clone()));
    let clock: Arc<dyn Clock> = match &chaos {
        Some(chaos) => Arc::new(chaos.clock()),
        None => Arc::new(SystemClock),
    };
    let (engine, opening) = open_engine(settings, data, clock, tell_ending).await?;
    let control = match control {
        Some((socket, address)) => {
            Some(socket.listen(BACKLOG).map_err(|error| cannot_listen(address, &error))?)
        }
        None => None,
    };
    if let Some(chaos) = &chaos {
        chaos.mark(opening.created).map_err(|error| Failure::because(error.to_string()))?;
        chaos.announce(control.as_ref().and_then(|control| control.local_addr().ok()));
    }
    let listener = socket.listen(BACKLOG).map_err(|error| cannot_listen(address, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(address, &error))?;
    let sqs_listener = match sqs_socket {
        Some((socket, address)) => listen_for_sqs(socket, address, settings.sqs_listen.is_none())?,
        None => None,
    };
    let is_open = settings.sqs_credentials.is_none();
    let sqs_address = sqs_listener.as_ref().map(|(_, address)| (*address, is_open));
    announce(&opening, data, address, sqs_address);
    let mut budget = Budget::new(&limits);
    let mut sqs_listener = sqs_listener.map(|(listener, _)| listener);
    let mut listener = listener;
    if let Some(chaos) = &chaos {
        budget = budget.with_duplicates(chaos.duplicates());
        let addresses = [Some(address), sqs_address.map(|(address, _)| address)];
        listener = behind(chaos, Door::Native, listener).await?;
        if let Some(outside) = sqs_listener.take() {
            sqs_listener = Some(behind(chaos, Door::Sqs, outside).await?);
        }
        let addresses = addresses.into_iter().flatten().collect();
        tokio::spawn(Arc::clone(chaos).run(engine.handle(), control, addresses, ending.clone()));
    }
    let sqs = async {
        if let Some(listener) = sqs_listener {
            let (limits, budget) = (limits.clone(), budget.clone());
            sqs::run(listener, engine.handle(), limits, budget, sqs_config, ending.clone()).await;
        }
    };
    let native = server::run_within(
        listener,
        engine.handle(),
        limits.clone(),
        budget.clone(),
        ending.clone(),
    );
    let (reason, ()) = tokio::join!(native, sqs);
    let closed = tokio::task::spawn_blocking(|| engine.shutdown()).await;
    let closed = closed.map_err(|error| Failure::because(format!("closing the store: {error}")))?;
    match (reason, closed) {
        (Ending::ShuttingDown, Ok(())) => {
            tracing::info!("shut down");
            Ok(())
        }
        (Ending::StorageFailed { cause }, _) => Err(Failure::because(cause)),
        (Ending::ShuttingDown, Err(failure)) => Err(Failure::because(failure.to_string())),
    }
}

/// The plan, on the store that it is for. Without one, a store that was made for another is served as any.
fn prepare_chaos(plan: Option<&Path>, data: &Path) -> Result<Option<Arc<Chaos>>, Failure> {
    match plan {
        Some(plan) => match chaos::prepare(plan, data) {
            Ok(chaos) => Ok(Some(chaos)),
            Err(error) => Err(Failure::Usage(format!("--chaos: {error}"))),
        },
        None if chaos::is_marked(data) => {
            tracing::warn!(data = %data.display(), "this store was made for --chaos, and is served without");
            Ok(None)
        }
        None => Ok(None),
    }
}

/// An address with the port that the system has chosen before, if it was to choose one.
fn fixed(address: SocketAddr, before: Option<SocketAddr>) -> SocketAddr {
    before.filter(|before| address.port() == 0 && before.ip() == address.ip()).unwrap_or(address)
}

/// A listener for the server, on a port of its own; what comes to `outside` gets there through chaos.
async fn behind(
    chaos: &Arc<Chaos>,
    door: Door,
    outside: TcpListener,
) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let cannot = |error| cannot_listen(address, &error);
    let inside = TcpListener::bind(address).await.map_err(cannot)?;
    let address = inside.local_addr().map_err(cannot)?;
    tokio::spawn(Arc::clone(chaos).proxy(door, outside, address));
    Ok(inside)
}

/// How long an address may be in use before that is an error, ...
const ADDRESS_PATIENCE: Duration = Duration::from_secs(1);
/// ... and how often it is looked at.
const ADDRESS_LOOK: Duration = Duration::from_millis(10);

fn bind(address: SocketAddr) -> Result<TcpSocket, Failure> {
    let began = Instant::now();
    let is_patient = || {
        std::thread::sleep(ADDRESS_LOOK);
        began.elapsed() < ADDRESS_PATIENCE
    };
    bind_when_free(address, is_patient).map_err(|error| cannot_listen(address, &error))
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

/// What everybody may do is done for everybody only where nobody else than this machine asks, or when that
/// is meant.
fn check_open(settings: &Settings) -> Result<(), Failure> {
    match settings.sqs_listen {
        Some(SqsListen::At(address))
            if !address.ip().is_loopback()
                && settings.sqs_credentials.is_none()
                && settings.sqs_open != Some(true) =>
        {
            Err(Failure::Usage(format!(
                "--sqs-listen is {address}, which other machines may reach: expected \
                 --sqs-credentials with it, or --sqs-open to let everybody do everything"
            )))
        }
        _ => Ok(()),
    }
}

/// Where SQS is served, if anywhere. An address that nobody asked for and that is taken is no reason not to
/// start.
fn bind_sqs(listen: Option<SqsListen>) -> Result<Option<(TcpSocket, SocketAddr)>, Failure> {
    match listen {
        Some(SqsListen::Off) => Ok(None),
        Some(SqsListen::At(address)) => Ok(Some((bind(address)?, address))),
        None => match bind(SQS_LISTEN) {
            Ok(socket) => Ok(Some((socket, SQS_LISTEN))),
            Err(_) => Ok(without_sqs()),
        },
    }
}

fn listen_for_sqs(
    socket: TcpSocket,
    address: SocketAddr,
    is_default: bool,
) -> Result<Option<(TcpListener, SocketAddr)>, Failure> {
    match socket.listen(BACKLOG).and_then(|l| l.local_addr().map(|address| (l, address))) {
        Ok(listening) => Ok(Some(listening)),
        Err(_) if is_default => Ok(without_sqs()),
        Err(error) => Err(cannot_listen(address, &error)),
    }
}

fn without_sqs<T>() -> Option<T> {
    tracing::warn!(
        address = %SQS_LISTEN,
        "SQS is not served: its address is taken; give another with --sqs-listen, or off"
    );
    None
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::io(&format!("cannot listen on {address}"), error)
}

/// Opens the engine; a failure of its log ends the server.
async fn open_engine(
    settings: &Settings,
    data: &Path,
    clock: Arc<dyn Clock>,
    tell_ending: EndingSender,
) -> Result<(Engine, Opening), Failure> {
    let (mut options, data) = (settings.options(), data.to_owned());
    let bar = progress::hidden_bytes("of the log read");
    let shown = bar.clone();
    options.on_progress = OnProgress::new(move |progress| shown.set_position(progress.bytes));
    let open = move || {
        let on_failure = Box::new(move |failure: forebay_engine::LogFailure| {
            // Told first: nothing that happens to the log's reader may hold it back.
            tell_ending.send_replace(Some(Ending::StorageFailed { cause: failure.to_string() }));
            tracing::error!(%failure, "the log failed: the server ends");
        });
        Engine::open(Arc::new(RealDisk), clock, &data, options, on_failure)
    };
    let say_slow = || tracing::info!("reading the store; the server listens when that is done");
    let opened = progress::while_slow(&bar, say_slow, tokio::task::spawn_blocking(open)).await;
    Ok(opened.map_err(|error| Failure::because(format!("opening the store: {error}")))??)
}

/// Tells, in the log and on stdout, what was found and what can be done now.
fn announce(opening: &Opening, data: &Path, address: SocketAddr, sqs: Option<(SocketAddr, bool)>) {
    tracing::info!(data = %data.display(), "{opening}");
    for warning in &opening.warnings {
        tracing::warn!("{warning}");
    }
    let program = std::env::args().next().unwrap_or_else(|| "forebay".to_owned());
    let server = if address == LISTEN { String::new() } else { format!(" --server {address}") };
    let sqs = match sqs {
        Some((address, true)) => {
            format!("SQS on http://{address}, open: whoever reaches it may do everything\n")
        }
        Some((address, false)) => format!("SQS on http://{address}, with access keys\n"),
        None => String::new(),
    };
    let text = format!(
        "forebay listening on {address}\n\
         {sqs}\
         data in {}: {opening}\n\
         try next, in another terminal:\n  \
           {program} queue create orders{server}\n  \
           {program} send orders 'one order'{server}\n  \
           {program} receive orders --ack{server}",
        data.display(),
    );
    // The server serves also if nobody reads this.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Forwards signals. A server that could not be told to end any more ends now.
    async fn supervise(self, tell_ending: EndingSender) {
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
