//! Without these, scripts could not trust the command line: its exit status, what it writes where,
//! and that bytes pass through it unchanged.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::process::{Child, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, forebay, free_address, output};

fn server(dir: &TempDir) -> Process {
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    server
}

/// Starts a command whose stdin, stdout and stderr are the test's.
fn piped(server: &str, arguments: &[&str]) -> Child {
    forebay(arguments)
        .args(["--server", server])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a command with these bytes as its stdin.
fn output_of(server: &Process, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = piped(&server.server(), arguments);
    // A command that failed early may not read.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn help_is_on_stdout_with_status_0() {
    for command in [&[][..], &["serve"], &["queue", "create"]] {
        let help = forebay(command).arg("--help").output().unwrap();
        assert_eq!(help.status.code(), Some(0), "{command:?}");
        assert!(text(&help.stdout).contains("\nExample: "), "{command:?}");
    }
}

#[test]
fn wrong_usage_is_status_2_and_failure_is_status_1() {
    for (arguments, named) in [
        (&["sned"][..], "sned"),
        (&["send"], "<QUEUE>"),
        (&["ack", "orders"], "<RECEIPT"),
        (&["queue", "set", "orders"], "expected an attribute, like --delay"),
        (&["queue", "list", "--server", "127.0.0.1"], "the port is missing"),
        (&["queue", "list", "--server", "::1"], "the port is missing"),
        (&["receive", "orders", "--follow", "--wait", "1s"], "--follow"),
        (&["serve", "--listen", "localhost:7481"], "127.0.0.1:7480"),
        (&["serve", "--segment-bytes", "1MB"], "--segment-bytes"),
        (&["serve", "--segment-bytes", "5KiB"], "--segment-bytes is 5KiB, expected 1MiB to 4GiB"),
        (&["serve", "--sqs-listen", "localhost:9324"], "127.0.0.1:9324; or off"),
        (&["serve", "--sqs-listen", "0.0.0.0:9324"], "--sqs-open to let everybody do everything"),
        (&["serve", "--sqs-account", "1"], "--sqs-account is 1, expected 12 digits"),
        (&["serve", "--connections-max", "0"], "--connections-max is 0, expected at least 1"),
        (&["serve", "--memory-bytes-max", "1MiB"], "--memory-bytes-max is 1MiB, expected at least"),
    ] {
        let Output { status, stdout, stderr } = forebay(arguments).output().unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}");
        assert!(stdout.is_empty(), "{arguments:?}");
        assert!(text(&stderr).contains(named), "{arguments:?}: {}", text(&stderr));
    }
    let attempt = |queue, max| ["receive", queue, "--max", max, "--attempt", "1"];
    for (arguments, named) in [
        (attempt("orders", "10"), "--attempt is for FIFO queues, whose names end in .fifo"),
        (attempt("orders.fifo", "0"), "--max is 0, expected 1 to 1000 with --attempt"),
        (attempt("orders.fifo", "1001"), "--max is 1001, expected 1 to 1000 with --attempt"),
        (["torture", "kill", "--eio", "--images", "3", "--json"], "--images <N>"),
        (["torture", "kill", "--block", "--faults", "3", "--json"], "--faults <N>"),
        (["torture", "kill", "--strace", "--restarts", "3", "--json"], "--restarts <N>"),
        (["torture", "kill", "--full-disk", "--minutes", "3", "--json"], "--minutes <M>"),
    ] {
        let refused = forebay(arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains(named), "{arguments:?}: {}", text(&refused.stderr));
    }
    // Nothing listens on port 1.
    let failed = forebay(["queue", "list", "--server", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(
        text(&failed.stderr),
        "forebay: cannot connect to 127.0.0.1:1: Connection refused; is a server running? start \
         one with: forebay serve\n"
    );
}

/// Under serve --chaos, or beside a start script, the server may come a moment later.
#[test]
fn what_may_go_on_for_long_waits_for_a_server_and_says_so() {
    let dir = TempDir::new().unwrap();
    let (data, address) = (dir.path().join("data"), free_address());
    let server = Process::serve(&data, address);
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    server.kill();
    let mut waiting = Vec::new();
    for arguments in [
        &["send", "orders", "--lines", "--give-up-after", "1h"][..],
        &["receive", "orders", "--follow", "--ack", "--give-up-after", "1h"],
        &["queue", "list", "--give-up-after", "1h"],
    ] {
        let mut child = piped(&address.to_string(), arguments);
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let told = format!(
            "forebay: cannot connect to {address}: Connection refused; waiting for it for up to 1h\n"
        );
        assert_eq!(line, told, "{arguments:?}");
        waiting.push(child);
    }
    let _server = Process::serve(&data, address);
    let [mut send, mut follow, list] = waiting.try_into().unwrap();
    assert!(list.wait_with_output().unwrap().status.success());
    send.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    let mut line = String::new();
    BufReader::new(follow.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "a line\n");
    assert!(send.wait().unwrap().success());
    follow.kill().unwrap();
    follow.wait().unwrap();
}

/// A client that said nothing for a minute looked as if it hung.
#[test]
fn a_server_that_is_lost_and_its_return_are_told_once() {
    let dir = TempDir::new().unwrap();
    let (data, address) = (dir.path().join("data"), free_address());
    let server = Process::serve(&data, address);
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    let follow = ["receive", "orders", "--follow", "--ack", "--give-up-after", "1h"];
    let mut follow = piped(&address.to_string(), &follow);
    let mut bodies = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut told = BufReader::new(follow.stderr.take().unwrap()).lines();
    output(&server, &["send", "orders", "one"]);
    assert_eq!(bodies.next().unwrap().unwrap(), "one");
    server.kill();
    let lost = format!("forebay: lost {address}: Connection refused; waiting for it for up to 1h");
    assert_eq!(told.next().unwrap().unwrap(), lost);
    let server = Process::serve(&data, address);
    let back = told.next().unwrap().unwrap();
    assert!(back.starts_with(&format!("forebay: {address} is back after ")), "{back}");
    output(&server, &["send", "orders", "two"]);
    assert_eq!(bodies.next().unwrap().unwrap(), "two");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn interrupted_lines_are_counted() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let mut send = piped(&server.server(), &["send", "orders", "--lines"]);
    let mut stdin = send.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    let both = output(&server, &["receive", "orders", "--max", "2", "--wait", "20s"]);
    assert_eq!(text(&both.stdout).lines().next(), Some("one"));
    interrupt(&send);
    let Output { status, stderr, .. } = send.wait_with_output().unwrap();
    assert_eq!(text(&stderr), "2 messages sent\nforebay: interrupted\n");
    assert_eq!(status.code(), Some(1));
    // Those of which nobody knows, for the server is away, are counted too.
    let arguments = ["send", "orders", "--lines", "--give-up-after", "1h"];
    let mut send = piped(&server.server(), &arguments);
    let mut stdin_of_second = send.stdin.take().unwrap();
    stdin_of_second.write_all(b"three\n").unwrap();
    output(&server, &["receive", "orders", "--wait", "20s"]);
    server.kill();
    let mut stderr = BufReader::new(send.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("forebay: lost "), "{line}");
    stdin_of_second.write_all(b"four\nfive\n").unwrap();
    drop(stdin_of_second);
    // Not a moment before they were read is of interest: in either case nothing is claimed to be stored.
    interrupt(&send);
    let told: Vec<String> = stderr.lines().map(Result::unwrap).collect();
    assert_eq!(told[0], "1 message sent");
    assert!(told[1].starts_with("forebay: interrupted"), "{told:?}");
    assert_eq!(send.wait().unwrap().code(), Some(1));
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn where_waiting_makes_no_sense_nobody_waits() {
    let no_name = format!("{}:7480", "x".repeat(64));
    let lines = forebay(["send", "orders", "--lines", "--server", &no_name]).output().unwrap();
    assert_eq!(lines.status.code(), Some(1));
    let told = text(&lines.stderr);
    assert!(
        told.starts_with("forebay: cannot connect to xxx") && !told.contains("waiting"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    let at_once = ["receive", "orders", "--max", "0", "--give-up-after", "0s"];
    let receive = forebay(at_once).args(["--server", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(receive.status.code(), Some(1));
    let told = "forebay: cannot connect to 127.0.0.1:1: Connection refused; is a server running? start \
                one with: forebay serve\n";
    assert_eq!(text(&receive.stderr), told);
}

#[test]
fn lines_pass_through_unchanged_be_they_text_or_not() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let lines = b"one\n\n\xff\x00\xfe\ntrailing\r\n\nlast without an end";
    let sent = output_of(&server, &["send", "orders", "--lines"], lines);
    assert_eq!((sent.status.code(), text(&sent.stderr)), (Some(0), "6 messages sent\n"));
    let received = output(&server, &["receive", "orders", "--max", "0", "--ack"]);
    assert_eq!(received.status.code(), Some(0), "{}", text(&received.stderr));
    assert_eq!(received.stdout, [&lines[..], b"\n"].concat());
    assert_eq!(output(&server, &["receive", "orders"]).stdout, b"", "all were acked");
}

#[test]
fn one_message_may_come_from_the_command_line_stdin_or_a_file() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let file = dir.path().join("message");
    std::fs::write(&file, b"from\na file").unwrap();
    let sent = [
        output(&server, &["send", "orders", "from the command line"]),
        output_of(&server, &["send", "orders"], b"from\nstdin"),
        output(&server, &["send", "orders", "--file", file.to_str().unwrap()]),
    ];
    let ids: Vec<&str> = sent.iter().map(|sent| text(&sent.stdout).trim_end()).collect();
    let received = output(&server, &["receive", "orders", "--max", "3", "--json"]);
    let found: Vec<Value> =
        text(&received.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bodies = ["from the command line", "from\nstdin", "from\na file"];
    for ((found, body), id) in found.iter().zip(bodies).zip(ids) {
        assert_eq!((&found["body"], &found["message_id"]), (&body.into(), &id.into()));
        assert_eq!(found["receive_count"], 1);
    }
    assert_eq!(found.len(), 3);
    let receipts: Vec<&str> =
        found.iter().map(|found| found["receipt"].as_str().unwrap()).collect();
    let acked = output(&server, &["ack", "orders", receipts[0]]);
    assert_eq!((acked.status.code(), text(&acked.stderr)), (Some(0), "1 of 1 acked\n"));
    let released = output(&server, &["release", "orders", receipts[1], receipts[0]]);
    assert_eq!(released.status.code(), Some(1));
    assert!(
        text(&released.stderr).contains("receipt 2: MessageGone"),
        "{}",
        text(&released.stderr)
    );
    let again = output(&server, &["receive", "orders", "--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["seq"], &again["receive_count"]), (&2.into(), &2.into()));
}

#[test]
fn a_body_that_is_no_text_is_base64_in_json() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output_of(&server, &["send", "orders"], b"\xff\xfe");
    let peeked = output(&server, &["peek", "orders", "--json"]);
    let peeked: Value = serde_json::from_slice(&peeked.stdout).unwrap();
    assert_eq!(peeked["body_base64"], "//4=");
    assert_eq!(peeked["state"], "waiting");
}

#[test]
fn what_travels_with_a_message_is_given_and_shown() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let file = dir.path().join("picture");
    std::fs::write(&file, b"\xff\0").unwrap();
    let from_file = format!("picture:Binary=@{}", file.display());
    output(&server, &["queue", "create", "orders.fifo", "--fifo"]);
    let arguments = [
        &["send", "orders.fifo", "one", "--group", "customer-7", "--dedup", "order/1"][..],
        &["--attr", "MyAttribute=a=b:c", "--attr", "pieces:Number.int=5", "--attr", &from_file],
        &["--attr", "seal:Binary=//4=", "--trace", "Root=1"],
    ]
    .concat();
    let sent = output(&server, &arguments);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    let expected = serde_json::json!({
        "MyAttribute": { "type": "String", "value": "a=b:c" },
        "pieces": { "type": "Number.int", "value": "5" },
        "picture": { "type": "Binary", "value_base64": "/wA=" },
        "seal": { "type": "Binary", "value_base64": "//4=" },
    });
    for command in ["peek", "receive"] {
        let shown = output(&server, &[command, "orders.fifo", "--json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["group"], "customer-7");
        assert_eq!(shown["deduplication_id"], "order/1");
        assert_eq!(shown["trace_header"], "Root=1");
        assert_eq!(shown["attributes"], expected);
        assert_eq!(shown["attributes_md5"].as_str().unwrap().len(), 32);
        assert_eq!(shown["body_md5"], "f97c5d29941bfb1b2fdab0874906ab82");
    }
    // Those of every line; of a message without any nothing is shown.
    let arguments = ["send", "orders", "--lines", "--attr", "MyAttribute=foobar"];
    output_of(&server, &arguments, b"two\nthree\n");
    output(&server, &["send", "orders", "four"]);
    let shown = output(&server, &["receive", "orders", "--max", "3", "--json"]);
    let shown: Vec<Value> =
        text(&shown.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &shown[..2] {
        assert_eq!(line["attributes_md5"], "adb59cd4678ea5a855436b949cd07ab6");
    }
    for absent in ["group", "deduplication_id", "trace_header", "attributes", "attributes_md5"] {
        assert_eq!(shown[2].get(absent), None, "{absent}");
    }
}

#[test]
fn attributes_that_cannot_be_are_wrong_usage() {
    for (arguments, named) in [
        (&["--attr", "colour"][..], "expected NAME=VALUE or NAME:TYPE=VALUE"),
        (&["--attr", "n:Number=five"], "number \"five\": expected a decimal number"),
        (&["--attr", "b:Binary=?"], "--attr b: expected base64, or @FILE for a file's bytes"),
        (&["--attr", "t:Text=x"], "type \"Text\", expected String, Number or Binary"),
        (&["--group", "two words"], "group id \"two words\", expected 1 to 128"),
        (&["--attr", "a=1", "--attr", "a=2"], "message attribute \"a\": the name is given twice"),
    ] {
        let Output { status, stderr, .. } =
            forebay([&["send", "orders", "x"], arguments].concat()).output().unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}: {}", text(&stderr));
        assert!(text(&stderr).contains(named), "{arguments:?}: {}", text(&stderr));
    }
    let arguments = ["send", "orders", "x", "--attr", "b:Binary=@/no/such/file"];
    let failed = forebay(arguments).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(text(&failed.stderr), "forebay: /no/such/file: No such file or directory\n");
}

#[test]
fn a_refused_message_is_not_said_to_be_of_a_batch() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "small", "--message-bytes-max", "1KiB"]);
    let body = "x".repeat(1025);
    for producer in [&[][..], &["--producer", "p"]] {
        let refused = output(&server, &[&["send", "small", &body], producer].concat());
        let told =
            "forebay: MessageTooLarge: the message has 1025 bytes, queue \"small\" allows 1024\n";
        assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(1), told));
    }
}

/// Whoever is told that no server runs starts a second one.
#[test]
fn a_server_that_refuses_a_connection_is_not_said_to_be_missing() {
    let dir = TempDir::new().unwrap();
    let arguments = ["--sqs-listen", "off", "--connections-max", "1"];
    let localhost = ([127, 0, 0, 1], 0).into();
    let server = Process::serve_with(&dir.path().join("data"), localhost, &arguments);
    output(&server, &["queue", "create", "orders"]);
    output(&server, &["send", "orders", "one"]);
    let mut follow = piped(&server.server(), &["receive", "orders", "--follow"]);
    let mut line = String::new();
    BufReader::new(follow.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let refused = output(&server, &["queue", "list"]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told.starts_with("forebay: TooManyConnections: "), "{told}");
    assert!(!told.contains("start one"), "{told}");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn a_line_over_the_queues_limit_is_named_by_its_number_and_those_before_it_are_sent() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "small", "--message-bytes-max", "1KiB"]);
    let lines = [&b"one\ntwo\n"[..], &[b'x'; 1025], b"\nfour\n"].concat();
    let sent = output_of(&server, &["send", "small", "--lines"], &lines);
    assert_eq!(sent.status.code(), Some(1));
    let stderr = text(&sent.stderr);
    assert!(stderr.contains("2 messages sent"), "{stderr}");
    assert!(stderr.contains("stdin: line 3 has more than 1024 bytes"), "{stderr}");
}

#[test]
fn a_reader_that_has_enough_ends_a_command_quietly() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let lines: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    output_of(&server, &["send", "orders", "--lines"], lines.as_bytes());
    let mut peek = forebay(["peek", "orders", "--max", "0", "--server", &server.server()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(16, peek.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let Output { status, stderr, .. } = peek.wait_with_output().unwrap();
    assert_eq!((first.as_str(), status.code(), text(&stderr)), ("0\n", Some(0), ""));
}

#[test]
fn following_prints_what_comes_and_ends_cleanly_on_ctrl_c() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let mut follow =
        forebay(["receive", "orders", "--follow", "--ack", "--server", &server.server()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    for body in ["one", "two"] {
        output(&server, &["send", "orders", body]);
        assert_eq!(lines.next().unwrap().unwrap(), body);
    }
    interrupt(&follow);
    let Output { status, stderr, .. } = follow.wait_with_output().unwrap();
    assert_eq!((status.code(), text(&stderr)), (Some(0), ""));
    let shown = output(&server, &["queue", "show", "orders", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["waiting"], &shown["in_flight"]), (&0.into(), &0.into()), "all were acked");
}

#[test]
fn following_gives_back_what_it_was_pushed_and_could_not_write() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let line = "x".repeat(1000) + "\n";
    let sent = output_of(&server, &["send", "orders", "--lines"], line.repeat(2000).as_bytes());
    assert_eq!(sent.status.code(), Some(0));
    let mut follow = forebay(["receive", "orders", "--follow", "--server", &server.server()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(16, follow.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, line);
    // Nobody reads on. The leases would last half a minute.
    follow.wait().unwrap();
    let shown = output(&server, &["queue", "show", "orders", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let [waiting, in_flight] = ["waiting", "in_flight"].map(|count| shown[count].as_u64().unwrap());
    assert_eq!(waiting + in_flight, 2000);
    // What was pushed together is written together.
    assert!((1..=512).contains(&in_flight), "{in_flight} are in flight");
}

#[test]
fn queues_are_created_shown_changed_purged_and_deleted() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let run = |arguments: &[&str]| {
        let Output { status, stdout, stderr } = output(&server, arguments);
        assert_eq!(status.code(), Some(0), "{arguments:?}: {}", text(&stderr));
        text(&stdout).to_owned()
    };
    assert_eq!(run(&["queue", "create", "orders"]), "queue orders exists\n");
    assert_eq!(run(&["queue", "create", "other", "--delay", "1h"]), "queue other created\n");
    run(&["send", "other", "later"]);
    assert_eq!(
        run(&["queue", "list"]),
        "orders\t0 waiting\t0 in flight\t0 delayed\nother\t0 waiting\t0 in flight\t1 delayed\n"
    );
    run(&["queue", "set", "other", "--visibility-timeout", "2m"]);
    assert!(run(&["queue", "show", "other"]).contains("visibility timeout           2m\n"));
    assert_eq!(run(&["queue", "purge", "other"]), "queue other purged of 1 message\n");
    assert_eq!(run(&["queue", "delete", "other"]), "queue other deleted\n");
    assert_eq!(run(&["queue", "list", "--prefix", "oth"]), "");
}

#[test]
fn every_attribute_is_an_option_and_is_shown() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let run = |arguments: &str| {
        let arguments: Vec<&str> =
            arguments.split(' ').map(|argument| argument.trim_matches('\'')).collect();
        let Output { status, stdout, stderr } = output(&server, &arguments);
        assert_eq!(status.code(), Some(0), "{arguments:?}: {}", text(&stderr));
        text(&stdout).to_owned()
    };
    let shown = |queue: &str| -> Value {
        let shown: Value =
            serde_json::from_str(&run(&format!("queue show {queue} --json"))).unwrap();
        shown["attributes"].clone()
    };
    run("queue create dead.fifo --fifo --retention forever --redrive-permission by-queue \
         --redrive-source steps.fifo --redrive-source other.fifo");
    run("queue create steps.fifo --fifo --visibility-timeout 1m --delay 1s --receive-wait 2s \
         --message-bytes-max 2KiB --retention 14d --in-flight-max 7 --durability written \
         --dead-letter-queue dead.fifo --receive-count-max 5 --content-based-deduplication \
         --deduplication-scope group --fifo-throughput-limit group --deduplication-window 1h \
         --tag team=water --tag stage=a=b --note n=1");
    assert_eq!(
        shown("steps.fifo"),
        serde_json::json!({
            "visibility_timeout_ms": 60_000, "delay_ms": 1000, "receive_wait_ms": 2000,
            "message_bytes_max": 2048, "retention_ms": 1_209_600_000, "in_flight_max": 7,
            "receive_count_max": 5, "fifo": true, "content_based_deduplication": true,
            "deduplication_scope": "group", "fifo_throughput_limit": "group",
            "deduplication_window_ms": 3_600_000, "durability": "written",
            "redrive_permission": "all", "dead_letter_queue": "dead.fifo",
            "redrive_sources": [], "tags": { "team": "water", "stage": "a=b" },
            "notes": { "n": "1" },
        })
    );
    let told = run("queue show dead.fifo");
    for line in [
        "retention                    forever",
        "receive count max            none",
        "fifo                         true",
        "redrive permission           by-queue",
        "dead letter queue            none",
        "redrive sources              steps.fifo, other.fifo",
        "tags                         none",
    ] {
        assert!(told.lines().any(|found| found == line), "{line:?} is not in\n{told}");
    }
    assert_eq!(run("queue sources dead.fifo"), "steps.fifo\n");
    // What goes without saying: no count without a queue, no sources unless by queue.
    run("queue set steps.fifo --dead-letter-queue '' --content-based-deduplication=false");
    assert_eq!(run("queue sources dead.fifo"), "");
    run("queue set dead.fifo --redrive-permission none");
    assert_eq!(shown("steps.fifo")["receive_count_max"], 0);
    assert_eq!(shown("steps.fifo")["content_based_deduplication"], false);
    assert_eq!(shown("dead.fifo")["redrive_sources"], serde_json::json!([]));
    assert_eq!(run("queue tag steps.fifo stage=test new="), "queue steps.fifo tagged\n");
    assert_eq!(run("queue untag steps.fifo team"), "queue steps.fifo untagged\n");
    assert_eq!(shown("steps.fifo")["tags"], serde_json::json!({ "new": "", "stage": "test" }));

    for (arguments, status, expected) in [
        ("queue set steps.fifo", 2, "expected an attribute"),
        ("queue set steps.fifo --durability fast", 2, "sync, written"),
        ("queue set steps.fifo --retention ever", 2, "forever"),
        ("queue tag steps.fifo stage", 2, "team=water"),
        ("queue create steps --fifo", 1, "does not end in .fifo"),
        ("queue set orders --dead-letter-queue nobody --receive-count-max 1", 1, "exists"),
    ] {
        let refused = output(&server, &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(refused.status.code(), Some(status), "{arguments}");
        assert!(text(&refused.stderr).contains(expected), "{}", text(&refused.stderr));
    }
}

#[test]
fn stats_tell_what_was_sent_and_what_is_held() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let stats = || {
        let Output { status, stdout, stderr } = output(&server, &["stats", "--json"]);
        assert_eq!(status.code(), Some(0), "{}", text(&stderr));
        serde_json::from_slice::<Value>(&stdout).unwrap()
    };
    let before = stats();
    assert_eq!(
        before["messages"],
        serde_json::json!({ "queues": 1, "messages": 0, "held_messages": 0, "expired_messages": 0 })
    );
    assert_eq!(before["disk"]["sent_bytes"], 0);
    assert_eq!(before["disk"].get("write_amplification"), None, "nothing was sent yet");

    output_of(&server, &["send", "orders", "--lines"], b"one\ntwo\nthree\n");
    output(&server, &["receive", "orders", "--visibility", "1h"]);
    let after = stats();
    assert_eq!(
        after["messages"],
        serde_json::json!({ "queues": 1, "messages": 3, "held_messages": 1, "expired_messages": 0 })
    );
    let (memory, disk) = (&after["memory"], &after["disk"]);
    assert!(memory["queues_bytes"].as_u64() > Some(0), "{after}");
    assert_eq!((&disk["sent_bytes"], &disk["is_compacting"]), (&11.into(), &false.into()));
    let written = |stats: &Value| stats["disk"]["log_bytes_written"].as_u64().unwrap();
    assert!(written(&after) > written(&before) + 11, "{after}");
    let amplification = disk["write_amplification"].as_f64().unwrap();
    assert!((amplification * 11.0 - written(&after) as f64).abs() < 0.001, "{after}");

    let told = output(&server, &["stats"]);
    let told = text(&told.stdout);
    for line in ["messages", "  held messages             1", "memory", "disk"] {
        assert!(told.lines().any(|found| found == line), "{line:?} is not in\n{told}");
    }
    assert!(told.contains("\n  sent bytes                11B\n"), "{told}");
}

#[test]
fn a_store_is_verified_and_inspected_offline() {
    let dir = TempDir::new().unwrap();
    let mut server = server(&dir);
    output(&server, &["send", "orders", "one"]);
    server.terminate();
    assert!(server.wait().success());
    let data = dir.path().join("data");
    let verified = forebay(["verify", "--json"]).arg(&data).output().unwrap();
    assert_eq!(verified.status.code(), Some(0));
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verified["outcome"], &verified["messages"]), (&"clean".into(), &1.into()));
    assert_eq!(verified["indexes"], 0, "nothing was sealed yet");
    let said = forebay(["verify"]).arg(&data).output().unwrap();
    assert!(text(&said.stdout).contains(", 1 message (deleted ones included), "), "{said:?}");
    assert!(verified["snapshots"].as_u64() >= Some(1), "one is taken at the end: {verified}");
    let inspected = forebay(["inspect"]).arg(&data).output().unwrap();
    assert_eq!(inspected.status.code(), Some(0));
    let shown = text(&inspected.stdout);
    assert!(shown.contains("QueueCreated queue=1 name=\"orders\""), "{shown}");
    let snapshot = shown.lines().find(|line| line.starts_with("snapshot ")).unwrap();
    assert!(snapshot.contains("queue=1 name=\"orders\""), "{snapshot}");
}

#[test]
fn flags_are_stronger_than_variables_and_variables_than_the_file() {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("forebay.toml");
    std::fs::write(&config, "listen = '127.0.0.1:1'\nlog-level = 'loud'\n").unwrap();
    let serve = |arguments: &[&str]| {
        let mut command = forebay(["serve", "--sqs-listen", "off", "--data"]);
        command.arg(dir.path().join("data")).arg("--config").arg(&config).args(arguments);
        command
    };
    let refused = serve(&[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("forebay.toml"), "{}", text(&refused.stderr));
    std::fs::write(&config, "listen = '127.0.0.1:1'\nsegment-bytes = '5KiB'\n").unwrap();
    let refused = serve(&["--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("segment-bytes is 5KiB"), "{}", text(&refused.stderr));
    std::fs::write(&config, "listen = '127.0.0.1:1'\nsegment-bytes = '2MiB'\n").unwrap();
    let mut served = serve(&["--listen", "127.0.0.1:0"])
        .env("FOREBAY_SEGMENT_BYTES", "1MiB")
        .env("FOREBAY_LISTEN", "127.0.0.1:1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(served.stdout.take().unwrap()).read_line(&mut first).unwrap();
    served.kill().unwrap();
    served.wait().unwrap();
    assert!(first.starts_with("forebay listening on 127.0.0.1:"), "{first}");
    assert!(!first.ends_with(":0\n") && !first.ends_with(":1\n"), "{first}");
}

/// Nobody looks for a mistake in what they did not type.
#[test]
fn a_value_that_cannot_be_is_said_to_come_from_the_environment() {
    let list = |arguments: &[&str]| {
        let mut list = forebay([&["queue", "list"], arguments].concat());
        let refused = list.env("FOREBAY_SERVER", "here").output().unwrap();
        (refused.status.code(), text(&refused.stderr).to_owned())
    };
    let (status, told) = list(&[]);
    assert_eq!(status, Some(2));
    assert!(told.contains("the port is missing"), "{told}");
    let variable = "forebay: the value is that of the environment variable FOREBAY_SERVER\n";
    assert!(told.ends_with(variable), "{told}");
    for flag in [&["--server", "there"][..], &["--server=there"]] {
        let (status, told) = list(flag);
        assert_eq!(status, Some(2));
        assert!(told.contains("there") && !told.contains("environment"), "{told}");
    }
    let mut serve = forebay(["serve"]);
    let refused = serve.env("FOREBAY_IDLE_TIMEOUT", "x").output().unwrap();
    let told = text(&refused.stderr);
    assert!(told.contains("expected a number and its unit: 500ms"), "{told}");
    assert!(told.contains("FOREBAY_IDLE_TIMEOUT"), "{told}");
}

/// Whoever typed it must be able to see what was wrong with it.
#[test]
fn what_cannot_be_is_refused_in_the_words_in_which_it_was_given() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["send", "orders", "one"]);
    let received = output(&server, &["receive", "orders", "--json", "--visibility", "1h"]);
    let received: Value = serde_json::from_slice(&received.stdout).unwrap();
    let receipt = received["receipt"].as_str().unwrap();
    let set = |option: &'static str, value: &'static str| ["queue", "set", "orders", option, value];
    let receive = |option: &'static str, value: &'static str| ["receive", "orders", option, value];
    let refused: [(&[&str], i32, &str); 26] = [
        (&set("--visibility-timeout", "13h"), 1, "visibility-timeout is 13h, expected 0s to 12h"),
        (&set("--delay", "101y"), 1, "delay is 36890d6h, expected 0s to 36500d"),
        (&set("--retention", "5s"), 1, "retention is 5s, expected 1m to 36500d"),
        (&set("--retention", "x"), 2, "30s, 5m, 12h or 4d, or forever"),
        (&set("--message-bytes-max", "20MiB"), 1, "is 20MiB, expected 1KiB to 16MiB"),
        (&set("--in-flight-max", "120,000"), 2, "expected a whole number, digits only: 120000"),
        (&set("--tag", "aws:x=1"), 1, "the key of a tag is \"aws:x\", expected one that does not"),
        (&set("--tag", "x=?"), 1, "the value of a tag is \"?\", expected letters, digits"),
        (&set("--note", "x"), 2, "expected a key, = and a value: team=water, or '' for none"),
        (&["queue", "set", "orders", "--fifo"], 2, "--fifo is for queue create"),
        (&["queue", "set", "orders"], 2, "nothing is to be set, expected an attribute"),
        (&receive("--wait", "30s"), 1, "wait is 30s, expected 0s to 20s"),
        (&receive("--visibility", "13h"), 1, "visibility is 13h, expected 0s to 12h"),
        (&receive("--visibility", "5"), 2, "expected a number and its unit: 500ms, 30s"),
        (&receive("--max", "many"), 2, "expected a whole number, digits only"),
        (&receive("--attempt", ""), 2, "0 bytes, expected 1 to 128"),
        (&["send", "orders", "x", "--delay", "101y"], 1, "expected 0s to 36500d"),
        (&["release", "orders", receipt, "--delay", "13h"], 1, "delay is 13h, expected 0s to 12h"),
        (&["release", "orders", receipt, "--delay", "12h"], 1, "delay is 12h, expected 0s to 11h5"),
        (
            &["release", "orders", receipt, "--reason", &"x".repeat(257)],
            2,
            "257 bytes, expected at",
        ),
        (&["release", "orders", "!!"], 2, "expected a receipt as receive shows it"),
        (&["peek", "orders", "--since", "x"], 2, "expected a number and its unit"),
        (&["explain", "orders", "x"], 2, "message id \"x\": expected a UUID like 0f1e2d00-0000-"),
        (
            &["redrive", "start", "orders", "--rate", "0"],
            2,
            "1 to 100000; without --rate there is no",
        ),
        (&["serve", "--listen", "127.0.0.1:99999"], 2, "port 99999, expected 0 to 65535"),
        (&["queue", "list", "--server", "localhost:99999"], 2, "port 99999, expected 0 to 65535"),
    ];
    for (arguments, status, text_expected) in refused {
        let is_own = ["serve", "list"].iter().any(|word| arguments.contains(word));
        let refused = match is_own {
            true => forebay(arguments).output().unwrap(),
            false => output(&server, arguments),
        };
        let stderr = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text_expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn an_empty_note_or_tag_removes_them() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let attributes = |arguments: &[&str]| {
        let set = output(&server, &[&["queue", "set", "orders"], arguments].concat());
        assert_eq!(set.status.code(), Some(0), "{}", text(&set.stderr));
        let shown = output(&server, &["queue", "show", "orders", "--json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        (shown["attributes"]["notes"].clone(), shown["attributes"]["tags"].clone())
    };
    let both = attributes(&["--note", "policy=x", "--tag", "team=water"]);
    assert_eq!(both, (serde_json::json!({"policy": "x"}), serde_json::json!({"team": "water"})));
    let (notes, tags) = attributes(&["--note", ""]);
    assert_eq!((notes, &tags), (serde_json::json!({}), &both.1));
    assert_eq!(attributes(&["--tag", ""]).1, serde_json::json!({}));
}

/// Messages that were written and reported as a failure would be received twice by a script.
#[test]
fn a_receive_that_the_in_flight_limit_ends_is_done_with_what_it_got() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "few", "--in-flight-max", "3"]);
    output_of(&server, &["send", "few", "--lines"], b"1\n2\n3\n4\n5\n6\n7\n8\n");
    let received = output(&server, &["receive", "few", "--max", "5"]);
    let told = "forebay: 3 received, no more now: InFlightFull: queue \"few\" has as many messages in \
                flight as it may: its maximum is 3\n";
    assert_eq!((received.status.code(), text(&received.stdout)), (Some(0), "1\n2\n3\n"));
    assert_eq!(text(&received.stderr), told);
    let none = output(&server, &["receive", "few"]);
    assert_eq!((none.status.code(), text(&none.stdout)), (Some(1), ""));
    output(&server, &["queue", "purge", "few"]);
    // With acks it goes on: what is acked is not in flight.
    output_of(&server, &["send", "few", "--lines"], b"1\n2\n3\n4\n5\n6\n7\n8\n");
    let all = output(&server, &["receive", "few", "--max", "0", "--ack"]);
    assert_eq!((all.status.code(), text(&all.stderr)), (Some(0), ""));
    assert_eq!(text(&all.stdout), "1\n2\n3\n4\n5\n6\n7\n8\n");
}

/// A waiting receive is not refused at the limit: it ends with nothing, as at an empty queue.
#[test]
fn a_receive_that_waits_at_the_in_flight_limit_says_so() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    let few = ["queue", "create", "few", "--in-flight-max", "1", "--receive-wait", "100ms"];
    output(&server, &few);
    output_of(&server, &["send", "few", "--lines"], b"1\n2\n3\n");
    assert_eq!(text(&output(&server, &["receive", "few", "--visibility", "1h"]).stdout), "1\n");
    let full =
        "InFlightFull: queue \"few\" has as many messages in flight as it may: its maximum is 1\n";
    for wait in [&["--wait", "100ms"][..], &[], &["--max", "0", "--wait", "100ms"]] {
        let none = output(&server, &[&["receive", "few"], wait].concat());
        assert_eq!((none.status.code(), text(&none.stdout)), (Some(1), ""), "{wait:?}");
        assert_eq!(text(&none.stderr), format!("forebay: {full}"), "{wait:?}");
    }
    let mut follow = piped(&server.server(), &["receive", "few", "--follow", "--ack"]);
    let mut line = String::new();
    BufReader::new(follow.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let told = "forebay: queue \"few\" has as many messages in flight as it may, 1; messages that wait: 2\n";
    assert_eq!(line, told);
    follow.kill().unwrap();
    follow.wait().unwrap();
    // At an empty queue it ends quietly.
    output(&server, &["queue", "purge", "few"]);
    let none = output(&server, &["receive", "few", "--wait", "100ms"]);
    assert_eq!((none.status.code(), text(&none.stderr)), (Some(0), ""));
}

/// A receive that overtook the acks of the one before got nothing of their group, and ended it at 1000.
#[test]
fn receive_until_empty_gets_all_of_a_fifo_group() {
    let dir = TempDir::new().unwrap();
    let server = server(&dir);
    output(&server, &["queue", "create", "few.fifo", "--fifo", "--content-based-deduplication"]);
    let lines = |numbers: Range<u32>| numbers.map(|n| format!("{n}\n")).collect::<String>();
    let send = |numbers| {
        output_of(
            &server,
            &["send", "few.fifo", "--lines", "--group", "a"],
            lines(numbers).as_bytes(),
        )
    };
    send(0..1300);
    let all = output(&server, &["receive", "few.fifo", "--max", "0", "--ack"]);
    assert_eq!((text(&all.stdout), text(&all.stderr)), (&*lines(0..1300), ""));
    // What is in flight without an ack holds up what is behind it, and that is said.
    send(2000..3300);
    let first = output(&server, &["receive", "few.fifo", "--max", "0"]);
    assert_eq!((first.status.code(), text(&first.stdout)), (Some(0), &*lines(2000..3000)));
    let told = "forebay: messages that wait and cannot be received now: 300; forebay explain few.fifo \
                says why\n";
    assert_eq!(text(&first.stderr), told);
}

/// A snapshot that is not used costs time at the next start, and says that somebody has touched it.
#[test]
fn verify_tells_a_spoiled_snapshot_by_its_exit_status() {
    let dir = TempDir::new().unwrap();
    let mut server = server(&dir);
    output(&server, &["send", "orders", "one"]);
    server.terminate();
    assert!(server.wait().success());
    let data = dir.path().join("data");
    let snapshots = std::fs::read_dir(data.join("snapshot")).unwrap();
    let path = snapshots.map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let verified = forebay(["verify"]).arg(&data).output().unwrap();
    let told = text(&verified.stdout);
    assert_eq!(verified.status.code(), Some(3), "{told}");
    assert!(told.starts_with("whole, but for files that can be made anew\nspoiled: "), "{told}");
    assert!(told.contains(&path.display().to_string()), "{told}");
    let json = forebay(["verify", "--json"]).arg(&data).output().unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["outcome"], json["spoiled"].as_array().map(Vec::len)),
        (&"clean".into(), Some(1))
    );
    // The next start passes it over, and takes another one.
    let mut server = Process::serve(&data, ([127, 0, 0, 1], 0).into());
    assert_eq!(text(&output(&server, &["receive", "orders"]).stdout), "one\n");
    server.terminate();
    assert!(server.wait().success());
}
