//! What the fuzz targets share. README.md says what each target promises and how to run it.
//!
//! A target is a program for an input that the fuzzer writes: what is built, what is broken and
//! where comes from the input alone ([`Choices`]), so that an input that found something finds it
//! again.

mod choices;
mod facts;
mod store;

pub use choices::Choices;
pub use facts::Fact;
pub use store::{BaseStore, Contents, open_and_read};
