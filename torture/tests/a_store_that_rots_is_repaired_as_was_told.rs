//! Without this: a repair could lose what it did not say, bring back what was deleted, or come to an end in the
//! middle, whatever has happened to the bytes of a store.

#![allow(clippy::unwrap_used, reason = "a test")]

use forebay_torture::Stop;
use forebay_torture::rot::{Options, run};

/// Whole files, and places spread over all the others; `forebay torture rot` does all of them.
#[test]
fn what_a_repair_of_a_rotten_store_brings_is_what_it_said() {
    let options = Options {
        seed: 3,
        cases: Some(1200),
        time: None,
        only: None,
        jobs: 2,
        stop: Stop::default(),
    };
    let report = run(&options, &mut |_, _| {}).unwrap();
    let texts: Vec<_> = report.violations.iter().map(|violation| &violation.text).collect();
    assert!(texts.is_empty(), "{texts:#?}");
    assert!(report.summary.repaired > 100, "{} stores were repaired", report.summary.repaired);
}
