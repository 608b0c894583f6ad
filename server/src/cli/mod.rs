//! The commands of the `forebay` binary, one file each.
//!
//! Results go to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage; 3 and
//! 4 are `verify`'s.

mod ack;
mod attributes;
mod bench;
mod connect;
mod doors;
mod explain;
mod failure;
mod forward;
mod inspect;
mod interrupted;
mod lines;
mod message_json;
mod open_files;
mod output;
mod peek;
mod producing;
mod progress;
mod quantity;
mod queue;
mod receipt_text;
mod receive;
mod redrive;
mod release;
mod repair;
mod say;
mod send;
mod serve;
mod settings;
mod signals;
mod stats;
#[cfg(test)]
mod tests;
mod told;
mod torture;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::Failure;
use self::say::say;

/// A durable message queue.
#[derive(Debug, Parser)]
#[command(
    name = "forebay",
    version,
    about,
    after_help = "Example: forebay serve &\n         forebay queue create orders\n         \
                  forebay send orders 'one order'\n         forebay receive orders --ack"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Queue(Box<queue::Queue>),
    Send(send::Send),
    Receive(receive::Receive),
    Ack(ack::Ack),
    Release(release::Release),
    Forward(forward::Forward),
    Peek(peek::Peek),
    Explain(explain::Explain),
    Redrive(redrive::Redrive),
    Stats(stats::Stats),
    Torture(torture::Torture),
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
    Bench(Box<bench::Bench>),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(arguments.command) {
        // Whoever read the output has enough: `forebay peek q | head -1`.
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(Failure::Spoiled) => ExitCode::from(3),
        Err(Failure::Repaired) => ExitCode::from(4),
        Err(Failure::Because(reason)) => {
            say(format_args!("forebay: {reason}"));
            ExitCode::FAILURE
        }
        Err(Failure::Usage(reason)) => {
            say(format_args!("forebay: {reason}"));
            ExitCode::from(2)
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Queue(queue) => online(queue.run()),
        Command::Send(send) => online(send.run()),
        Command::Receive(receive) => online(receive.run()),
        Command::Ack(ack) => online(ack.run()),
        Command::Release(release) => online(release.run()),
        Command::Forward(forward) => online(forward.run()),
        Command::Peek(peek) => online(peek.run()),
        Command::Explain(explain) => online(explain.run()),
        Command::Redrive(redrive) => online(redrive.run()),
        Command::Stats(stats) => online(stats.run()),
        Command::Torture(torture) => torture.run(),
        Command::Verify(verify) => verify.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Bench(bench) => bench::run(*bench),
    }
}

/// Runs a command that talks to a server.
fn online(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::because(format!("cannot start: {error}")))?;
    let result = runtime.block_on(command);
    // What a thread still reads from stdin is nobody's concern now.
    runtime.shutdown_background();
    result
}
