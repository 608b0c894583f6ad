//! `forebay serve`: opens the store, runs the server, ends on a signal.
//!
//! The order of the end: the server drains its connections ([`crate::run`]), the engine commits
//! what is pending and closes the store, the process leaves: with status 0 when it was asked to,
//! 1 when the log failed.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_engine::disk::{Disk, RealDisk};
use forebay_engine::error::OpenError;
use forebay_engine::progress::OnProgress;
use forebay_engine::{Clock, Opening, SystemClock};
use tracing::level_filters::LevelFilter;

use super::disk_space;
use super::doors::{Bound, Doors, LISTEN, Listening};
use super::failure::Failure;
use super::open_files;
use super::progress;
use super::settings::{Settings, SqsListen};
use super::signals::Signals;
use crate::caller::Engine;
use crate::chaos;
use crate::ending::{Ending, EndingSender, ending};
use crate::server::{self, Budget};
use crate::sqs;
use crate::workers::Workers;

/// Start a server
///
/// Each setting is a flag, an environment variable and a key of the file given with --config, in
/// this order of strength. SIGTERM, SIGINT and SIGHUP end the server after what it has begun; a second
/// SIGTERM or SIGINT ends it at once. Under nohup, SIGHUP does nothing.
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

/// Where the store is if nobody says.
pub(super) const DATA: &str = "./forebay-data";

/// What is logged if nobody says.
pub(super) const LOG_LEVEL: LevelFilter = LevelFilter::INFO;

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
            .with_max_level(settings.log_level.unwrap_or(LOG_LEVEL))
            .init();
        // It accepts connections; those who serve them have threads of their own.
        tokio::runtime::Builder::new_current_thread()
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
    let chaos =
        chaos::prepare(plan, data).map_err(|error| Failure::Usage(format!("--chaos: {error}")))?;
    // Of a server that runs already its store says more than its address.
    let bound = Bound::bind(settings, chaos.as_deref()).map_err(|failure| match failure {
        Failure::Because(_) => held(data).unwrap_or(failure),
        other => other,
    })?;
    let (tell_ending, ending) = ending();
    // Before the store is opened, which may take long: the second signal ends that too.
    tokio::spawn(Signals::listen()?.supervise(tell_ending.clone()));
    let clock: Arc<dyn Clock> = match &chaos {
        Some(chaos) => Arc::new(chaos.clock()),
        None => Arc::new(SystemClock),
    };
    disk_space::warn_if_short(data, &settings.options());
    let (engine, opening) = open_engine(settings, data, clock, tell_ending).await?;
    if let Some(chaos) = &chaos {
        chaos.mark(opening.created).map_err(|error| Failure::because(error.to_string()))?;
    }
    let mut doors = bound.listen()?;
    if let Some(chaos) = &chaos {
        chaos.announce(doors.control.as_ref().map(|control| control.address));
    }
    warn_if_reachable(doors.native.address);
    announce(&opening, data, &doors, settings.sqs_credentials.is_none());
    let workers = Workers::start().map_err(|error| Failure::io("cannot start", &error))?;
    let mut budget = Budget::new(&limits).on(workers);
    if let Some(chaos) = chaos {
        let (addresses, control) = (doors.addresses(), doors.control.take());
        budget = budget.with_duplicates(chaos.duplicates());
        doors = doors.behind(&chaos).await?;
        let control = control.map(|control| control.listener);
        tokio::spawn(chaos.run(engine.handle(), control, addresses, ending.clone()));
    }
    let sqs = async {
        if let Some(sqs) = doors.sqs {
            let (limits, budget) = (limits.clone(), budget.clone());
            let (listener, ending) = (sqs.listener, ending.clone());
            sqs::run(listener, engine.handle(), limits, budget, sqs_config, ending).await;
        }
    };
    let native = server::run_within(
        doors.native.listener,
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

/// The native protocol asks nobody who they are.
fn warn_if_reachable(native: SocketAddr) {
    if !native.ip().is_loopback() {
        tracing::warn!(
            listen = %native,
            "other machines may reach the native protocol, which has no authentication: whoever reaches it may \
             do everything; access keys and policies of SQS do not apply to it"
        );
    }
}

/// Who has the store open, if there is one that somebody has.
fn held(data: &Path) -> Option<Failure> {
    let path = data.join("LOCK");
    // Locking creates it.
    let error = path.exists().then(|| RealDisk.lock(&path))?.err()?;
    let is_held = error.kind() == std::io::ErrorKind::WouldBlock;
    is_held.then(|| OpenError::InUse { path, detail: error.source.to_string() }.into())
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
fn announce(opening: &Opening, data: &Path, doors: &Doors, is_open: bool) {
    let address = doors.native.address;
    tracing::info!(data = %data.display(), "{opening}");
    for warning in &opening.warnings {
        tracing::warn!("{warning}");
    }
    let program = std::env::args().next().unwrap_or_else(|| "forebay".to_owned());
    let server = if address == LISTEN { String::new() } else { format!(" --server {address}") };
    let sqs = match &doors.sqs {
        Some(Listening { address, .. }) if is_open => {
            format!("SQS on http://{address}, open: whoever reaches it may do everything\n")
        }
        Some(Listening { address, .. }) => format!("SQS on http://{address}, with access keys\n"),
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
