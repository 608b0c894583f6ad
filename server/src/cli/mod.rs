//! The commands of the `forebay` binary, one file each.
//!
//! Results go to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage; 3 and
//! 4 are `verify`'s.

mod ack;
mod attributes;
mod bench;
mod connect;
mod disk_space;
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

use clap::error::{ContextKind, ContextValue};
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refused) => return end_of_parsing(&refused),
    };
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

/// Shows help, or what is wrong, which may come from the environment.
fn end_of_parsing(refused: &clap::Error) -> ExitCode {
    // Whether anybody reads it or not.
    let _ = refused.print();
    if let Some(ContextValue::String(argument)) = refused.get(ContextKind::InvalidArg)
        && let Some(variable) = variable_of(argument, std::env::args().skip(1))
        && std::env::var_os(&variable).is_some()
    {
        say(format_args!("forebay: the value is that of the environment variable {variable}"));
    }
    u8::try_from(refused.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The variable that sets an argument, as an error shows it, `--server <ADDR>`, that is not given as a flag.
fn variable_of(argument: &str, given: impl IntoIterator<Item = String>) -> Option<String> {
    let flag = argument.split(' ').next().filter(|flag| flag.starts_with("--"))?;
    let is_flag = |word: &String| word.split('=').next() == Some(flag);
    let name = flag[2..].to_uppercase().replace('-', "_");
    (!given.into_iter().any(|word| is_flag(&word))).then(|| format!("FOREBAY_{name}"))
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
