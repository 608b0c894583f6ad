//! What the fuzz targets share. README.md says what each target promises and how to run it.
//!
//! A target is a program for an input that the fuzzer writes: what is built, what is broken and
//! where comes from the input alone ([`Choices`]), so that an input that found something finds it
//! again. Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `choices` | the input, as decisions |
//! | `facts` | records, as the input chooses them |
//! | `store` | a store to damage, and what is in it |

mod choices;
mod facts;
mod store;

pub use choices::Choices;
pub use facts::Fact;
pub use store::{BaseStore, Contents, open_and_read};
