//! Crash-recovery campaigns against Forebay: what `forebay torture` runs.
//!
//! Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `random`, `stop`, `store` | words: numbers from a seed, how somebody from outside ends a campaign, a store without threads |
//! | `kill` | the real server on the real disk, killed under load, and a checker of what its clients were told |
//! | `rot` | every bit, byte, block and file of a store at rest damaged, in memory |
//! | `sim` | the engine on a simulated disk and clock, beside a plain model, from one seed |

pub mod kill;
mod random;
pub mod rot;
pub mod sim;
mod stop;
mod store;

pub use stop::Stop;
