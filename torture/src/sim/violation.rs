//! A failure: which check, what it says, where.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use super::check::Check;

/// What a run that failed says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The check that failed.
    pub check: Check,
    /// What was found, and what was expected.
    pub text: String,
    /// Where in the source.
    pub at: String,
}

thread_local! {
    /// What the last panic in an attempt on this thread said; `None` outside of one.
    static CAUGHT: RefCell<Option<Option<Violation>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs something whose checks panic. A panic is not shown: it is the result.
pub fn attempt<T>(run: impl FnOnce() -> T) -> Result<T, Violation> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_attempt = CAUGHT.with_borrow_mut(|caught| match caught {
                Some(caught) => {
                    // The first panic is the cause.
                    caught.get_or_insert_with(|| violation(info));
                    true
                }
                None => false,
            });
            if !is_attempt {
                before(info);
            }
        }));
    });
    CAUGHT.set(Some(None));
    let result = catch_unwind(AssertUnwindSafe(run));
    let caught = CAUGHT.take().flatten();
    result.map_err(|_| caught.expect("the hook was called"))
}

fn violation(info: &PanicHookInfo<'_>) -> Violation {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("a panic without a text").to_owned();
    let at = info.location().map_or_else(String::new, ToString::to_string);
    let check = match Check::of_panic(&text) {
        // An assertion of the run: the engine answered what no model would.
        Check::NoPanic if at.contains("torture/src/sim") => Check::Answer,
        check => check,
    };
    Violation { check, text, at }
}
