//! Without this: a failure could not be replayed by the seed that it is told with, and a shrunk script
//! would show something else.

use forebay_torture::sim::{Run, Script, script};

/// What a run left on its disk, and what was counted.
fn done(script: &Script) -> (u128, String) {
    let mut run = Run::new(script.seed, script.profile);
    script.ops.iter().for_each(|op| run.step(op));
    let fingerprint = run.disk().fingerprint();
    (fingerprint, format!("{:?}", run.finish()))
}

#[test]
fn a_run_leaves_the_same_bytes_each_time() {
    for seed in 0..60 {
        let script = script(seed);
        assert_eq!(done(&script), done(&script), "seed {seed}");
    }
}

#[test]
fn a_script_that_was_written_and_read_is_the_same_run() {
    for seed in 0..200 {
        let script = script(seed);
        let text = script.to_string();
        assert_eq!(text.parse::<Script>().expect("it was written just now"), script);
        assert_eq!(format!("# why\n\n{text}").parse::<Script>().expect("it is a comment"), script);
    }
}

#[test]
fn a_text_that_is_no_script_says_in_which_line() {
    let text = script(1).to_string();
    let cut = text.lines().take(3).collect::<Vec<_>>().join("\n");
    let bad = format!("{cut}\n{{\"send\":{{\"queue\":0}}}}");
    let error = bad.parse::<Script>().expect_err("a field is missing").to_string();
    assert!(error.starts_with("line 4 of the script: missing field `bodies`"), "{error}");
    let error = "".parse::<Script>().expect_err("it is empty").to_string();
    assert!(error.starts_with("line 1 of the script: the script is empty"), "{error}");
}
