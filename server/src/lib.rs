//! The Forebay server: the native protocol over TCP and the API of Amazon SQS over HTTP in front of one
//! store, and the command line.
//!
//! The server is thin: [`run`] turns requests into the engine's commands and answers into replies.
//! What it adds is that nobody can cost anybody else anything: memory, connections and time are
//! bounded per connection and in all (`limits`).
//!
//! Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `byte_size`, `duration`, `limits`, `memory`, `ending`, `socket`, `accept` | sizes and durations as people write them, the bounds, the budget, the end, what is set on sockets, accepting connections |
//! | `caller` | the way of answers back from the engine; undelivered messages |
//! | `workers` | the threads that serve connections |
//! | `deduplication`, `replies`, `dispatch` | the protocol's words to the engine's and back |
//! | `stored` | stored messages: from memory, or from the disk |
//! | `chaos` | `serve --chaos`: bad days, for those who test their clients |
//! | `connection` | one connection's task |
//! | `server` | accepting and draining |
//! | `sqs` | the SQS endpoint: another front door |
//! | `cli` | the commands of the `forebay` binary |

mod accept;
mod byte_size;
mod caller;
mod chaos;
pub mod cli;
mod connection;
mod deduplication;
mod dispatch;
mod duration;
mod ending;
mod limits;
mod memory;
mod replies;
mod server;
mod socket;
pub mod sqs;
mod stored;
mod workers;

pub use caller::{Caller, Engine, EngineHandle};
pub use ending::{Ending, EndingReceiver, EndingSender, ending};
pub use limits::Limits;
pub use server::{Budget, run, run_within};
pub use workers::Workers;
