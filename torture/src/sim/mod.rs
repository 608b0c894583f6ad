//! The engine on a simulated disk and clock, beside a plain model of what it must hold, all from one
//! seed.
//!
//! [`Run::step`] does one operation on both and compares what they answer. The model keeps every
//! state since the last one known durable: after a crash the store must equal one of them, to the
//! byte. That is the promise in one sentence: *what is recovered is what a prefix of the
//! operations left, and the prefix holds everything that was answered.*
//!
//! A check that fails panics, and says its name first ([`Check`]): tests want just that, and campaigns
//! catch it, as they catch any other panic.
//!
//! Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `check` | the checks by name, and how often each was made |
//! | `answers`, `message`, `shown`, `files`, `profile` | a store in a word each: callers, messages, contents, files, settings |
//! | `op`, `model` | the operations, and what they must do |
//! | `rot` | what a damaged file may cost |
//! | `run` | store and model side by side |
//! | `script`, `generate` | operations in a file, and from a seed |
//! | `violation`, `shrink` | a failure, and the fewest operations that show it |
//! | `random`, `scripts`, `exhaustive` | the campaigns; what one crash may leave: `run/fates` |

mod answers;
mod check;
mod exhaustive;
mod files;
mod generate;
mod message;
mod model;
mod op;
mod profile;
mod random;
mod rot;
mod run;
mod script;
mod scripts;
mod shown;
mod shrink;
mod violation;

pub use answers::{Answer, Answers, Slot, ask};
pub use check::{Check, Tally};
pub use exhaustive::{Exhaustive, Explored, explore};
pub use files::{DATA, assert_no_leaked_files, assert_undamaged, lose_derived, open, tiny};
pub use generate::script;
pub use message::{in_group, message};
pub use op::{Again, Kept, Op, QUEUES, Setting};
pub use profile::Profile;
pub use random::{Campaign, Failure, Found, Progress, campaign};
pub use run::Run;
pub use script::{Script, ScriptError};
pub use scripts::scripts;
pub use shown::{Shown, ShownQueue, differences, peek, show};
pub use shrink::shrink;
pub use violation::{Violation, attempt};
