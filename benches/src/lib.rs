//! Load generators and benchmark reports, `forebay bench`: `README.md` says what is measured and how.
//!
//! Every workload runs against `forebay serve` and, in the same run and in turns with it, against
//! the `bare` server: the same load generator, frames and sockets, a file instead of a queue.
//! What the second reaches is the limit of the machine, and the first is told as its share.
//!
//! This is a library that the server's program uses, and that knows nothing of the server: it starts the
//! program again as a process. Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `size`, `error`, `workload` | words: numbers of bytes, why a measurement failed, what is done by how many |
//! | `frames`, `wire`, `queues` | what the load generator sends, over what, and the queues of a workload |
//! | `machine`, `print`, `progress`, `blocking`, `processor_time` | what is measured on, results and how far it is, work that blocks, and what it costs |
//! | `process`, `place` | a server's process; which program is measured, and where its data is |
//! | `pace`, `measure`, `due` | when a run begins and ends, what was found, when sends are due |
//! | `outstanding`, `journeys` | messages on their way: how many, and for how long |
//! | `send`, `producer`, `drain`, `subscribe`, `both` | the load |
//! | `plain_file`, `probe` | a file instead of a queue, and what to compare with |
//! | `bare`, `server` | the servers under load |
//! | `syncs` | how many messages share a sync |
//! | `report`, `html` | the table, the JSON, and the page for people |
//! | `rounds`, `measured` | runs in turns, one workload after the other |
//! | `table`, `tcp` | the workloads that have a name, and one put together from its parts |
//! | `disk`, `log` | the disk alone, and the engine without a network |
//! | `sqs` | the SQS endpoint beside the native protocol and a bare HTTP server |
//! | `deep` | the workloads of a lot of data, on servers of their own |
//! | `cli` | the commands |

mod bare;
mod blocking;
mod both;
mod cli;
mod deep;
mod disk;
mod drain;
mod due;
mod error;
mod frames;
mod html;
mod journeys;
mod log;
mod machine;
mod measure;
mod measured;
mod outstanding;
mod pace;
mod place;
mod plain_file;
mod print;
mod probe;
mod process;
mod processor_time;
mod producer;
mod progress;
mod queues;
mod report;
mod rounds;
mod send;
mod server;
mod size;
mod sqs;
mod subscribe;
mod syncs;
mod table;
mod tcp;
mod wire;
mod workload;

pub use cli::Bench;
pub use error::{BenchError, BenchErrorKind};
pub use sqs::ParseBatch;
