//! What `strace` wrote down: each system call, with the thread that made it and what it was made on.

use std::collections::BTreeMap;

/// A place of the server that makes a system call: which call, which thread, and on what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    pub(super) call: String,
    /// The thread's name; any, where it is no file of the store's: what a library calls does not depend on it.
    pub(super) thread: String,
    pub(super) object: Object,
}

/// What a call is made on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    /// A file of the store, by its name below the store's directory.
    File(String),
    /// Files of the store whose names have numbers: all of a kind.
    Files(String),
    /// Anything else: a library, a socket, memory.
    Other(String),
}

/// One call of a trace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traced {
    pub(super) thread_id: u32,
    pub(super) site: Site,
    /// The file of the store, by its name below the store's directory.
    pub(super) file: Option<String>,
    /// Whether `strace` let it fail.
    pub(super) failed: bool,
}

/// Whoever it was.
pub(super) const ANY_THREAD: &str = "any thread";

/// These name a file by a text; others by a number, behind which `strace` writes the name.
const BY_NAME: [&str; 8] =
    ["openat", "rename", "renameat", "unlink", "unlinkat", "mkdir", "mkdirat", "statx"];

/// Reads a trace with names of threads (`-Y`) and of files (`-y`), of a server whose store is at `store`.
pub(super) fn calls(trace: &str, store: &str) -> Vec<Traced> {
    let mut calls: Vec<Traced> = Vec::new();
    // Where each thread's newest call is.
    let mut newest: BTreeMap<u32, usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread_id, thread, rest)) = thread_of(line) else { continue };
        let failed = rest.ends_with("(INJECTED)");
        // `<... openat resumed>`: the end of a call whose beginning is a line of its own.
        if rest.starts_with("<...") {
            if let Some(at) = newest.get(&thread_id) {
                calls[*at].failed |= failed;
            }
            continue;
        }
        let Some((call, arguments)) = rest.split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            continue;
        }
        let arguments = arguments.trim_end_matches("<unfinished ...>");
        let (object, file) = object(call, arguments, store);
        let thread = if file.is_some() { thread } else { ANY_THREAD };
        let site = Site { call: call.to_owned(), thread: thread.to_owned(), object };
        newest.insert(thread_id, calls.len());
        calls.push(Traced { thread_id, site, file, failed });
    }
    calls
}

/// A trace of one thread, in which `strace` does not say who it is, as if it had.
pub(super) fn of_thread(trace: &str, thread_id: u32, thread: &str) -> String {
    trace.lines().map(|line| format!("{thread_id}<{thread}> {line}\n")).collect()
}

/// `123<forebay-core> openat(...`: who, and what.
fn thread_of(line: &str) -> Option<(u32, &str, &str)> {
    let (number, rest) = line.split_once('<')?;
    let (name, rest) = rest.split_once("> ")?;
    Some((number.parse().ok()?, name, rest.trim()))
}

fn object(call: &str, arguments: &str, store: &str) -> (Object, Option<String>) {
    let quoted = || arguments.split('"').nth(1).filter(|text| !text.is_empty());
    let annotated = || {
        let (_, rest) = arguments.split_once('<')?;
        rest.split_once('>').map(|(path, _)| path)
    };
    let path = match BY_NAME.contains(&call) {
        true => quoted().or_else(annotated),
        false => annotated(),
    };
    let Some(path) = path else { return (Object::Other("memory".to_owned()), None) };
    let name = match path.strip_prefix(store) {
        Some("") => "",
        Some(name) if name.starts_with('/') => &name[1..],
        // Sockets have numbers, and so have processes.
        _ => return (Object::Other(without_numbers(path)), None),
    };
    let kind = without_numbers(name);
    let object = if kind == name { Object::File(kind) } else { Object::Files(kind) };
    (object, Some(name.to_owned()))
}

/// With a star for each number.
fn without_numbers(path: &str) -> String {
    let is_number = |part: &str| {
        let is_hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_decimal = part.bytes().all(|byte| byte.is_ascii_digit());
        !part.is_empty() && (is_decimal || is_hexadecimal && part.len() >= 8)
    };
    let mut kind = String::new();
    let mut part = String::new();
    for letter in path.chars().chain(['\0']) {
        if letter.is_ascii_alphanumeric() {
            part.push(letter);
            continue;
        }
        kind.push_str(if is_number(&part) { "*" } else { &part });
        part.clear();
        if letter != '\0' {
            kind.push(letter);
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(call: &str, thread: &str, object: Object) -> Site {
        Site { call: call.to_owned(), thread: thread.to_owned(), object }
    }

    #[test]
    fn a_trace_tells_who_makes_which_call_on_what() {
        let trace = "10<forebay> openat(AT_FDCWD</tmp>, \"/t/store/log/next.tmp\", O_RDWR) = 3</t/store>\n\
            11<forebay-core> pwrite64(7</t/store/log/00000000000000a1.log>, \"FBEN\"..., 4096, 0) = 4096\n\
            11<forebay-core> fdatasync(7</t/store/log/00000000000000a1.log> <unfinished ...>\n\
            10<forebay> mmap(NULL, 8192, PROT_READ, MAP_ANONYMOUS, -1, 0) = 0x7f\n\
            11<forebay-core> <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)\n\
            10<forebay> openat(AT_FDCWD</tmp>, \"/lib/libc.so.6\", O_RDONLY) = -1 EIO (INJECTED)\n\
            12<tokio-rt-worker> accept4(9<socket:[4711]>, 0x7f, [128], 0) = 4<socket:[4712]>\n\
            12<tokio-rt-worker> madvise(0x7f00, 4096, MADV_DONTNEED <unfinished ...>\n\
            10<forebay> +++ exited with 0 +++";
        let log = Object::Files("log/*.log".to_owned());
        let (next, segment) = (Some("log/next.tmp"), Some("log/00000000000000a1.log"));
        let other = |text: &str| Object::Other(text.to_owned());
        let expected = [
            (10, site("openat", "forebay", Object::File("log/next.tmp".to_owned())), next, false),
            (11, site("pwrite64", "forebay-core", log.clone()), segment, false),
            (11, site("fdatasync", "forebay-core", log), segment, true),
            (10, site("mmap", ANY_THREAD, other("memory")), None, false),
            (10, site("openat", ANY_THREAD, other("/lib/libc.so.*")), None, true),
            (12, site("accept4", ANY_THREAD, other("socket:[*]")), None, false),
            (12, site("madvise", ANY_THREAD, other("memory")), None, false),
        ];
        let expected = expected.map(|(thread_id, site, file, failed)| {
            let file = file.map(str::to_owned);
            Traced { thread_id, site, file, failed }
        });
        assert_eq!(calls(trace, "/t/store"), expected);
    }

    #[test]
    fn a_trace_of_one_thread_reads_like_one_of_many() {
        let trace = "fsync(7</t/store/log>) = -1 EIO (Input/output error) (INJECTED)\n+++ exited with 0 +++";
        let file = Some("log".to_owned());
        let site = site("fsync", "forebay-keeper", Object::File("log".to_owned()));
        let expected = Traced { thread_id: 12, site, file, failed: true };
        assert_eq!(calls(&of_thread(trace, 12, "forebay-keeper"), "/t/store"), [expected]);
    }
}
