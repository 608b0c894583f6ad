//! The report of workloads beside a limit: over TCP, and of the engine alone.

use super::plot::{Bar, Colour, Lines, Point, Scale, Series, Unit, bars, lines};
use super::{Run, escaped, grouped, put, table, time};
use crate::measure::Measure;
use crate::report::{Limit, Lone, Reported, Row, Spread, together};
use crate::workload::{Durability, Kind, Workload};

/// What a plot of latencies shows: the share of requests that took no longer, and its name.
const QUANTILES: [(f64, &str); 7] = [
    (0.0, "fastest"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (1.0, "slowest"),
];

/// Of more workloads than these the plot above says enough; each has its sentence in its own section.
const SENTENCES_MAX: usize = 4;

/// What rows are told beside.
pub(crate) struct Words {
    /// The page's title.
    pub(crate) title: &'static str,
    /// What is measured, for somebody who has never heard of it.
    pub(crate) lead: &'static str,
    /// What is measured, in a word or two.
    pub(crate) subject: &'static str,
    /// The limit, in a word or two.
    pub(crate) limit: &'static str,
    /// What the limit is.
    pub(crate) explanation: &'static str,
}

const TCP: Words = Words {
    title: "Forebay: messages over TCP",
    lead: "Forebay is a durable message queue. Programs send it messages over TCP, and it answers when they \
           are stored; others receive them, work on them, and delete them by an <em>ack</em>. This page \
           shows how many messages a second a server took on the machine below, how long its answers took, \
           and how that compares with the most that this machine allows.",
    subject: "Forebay",
    limit: "bare server",
    explanation: "What Forebay is compared with is a <em>bare server</em>, which ran in the same minutes, in \
                  turns with it, under the same load. It reads the same bytes from the same kind of \
                  sockets, appends them to a file that was prepared before, makes them durable in the \
                  same way, and answers. It has no queue behind: it checks nothing, indexes nothing and \
                  remembers nothing, and what it delivers was made beforehand. So its throughput is about \
                  what the sockets and the disk of this machine allow, and <em>share</em> is Forebay's \
                  throughput divided by it.",
};

/// The page about workloads over TCP.
pub(crate) fn page(run: &Run, rows: &[Row]) -> String {
    page_in(&TCP, run, rows)
}

/// The page about rows beside a limit, in these words.
pub(crate) fn page_in(words: &Words, run: &Run, rows: &[Row]) -> String {
    let reported: Vec<Reported> = rows.iter().map(Row::report).collect();
    let mut body = format!("<p class=\"lead\">{}</p>\n", words.lead);
    if let [only] = reported.as_slice() {
        body += &tiles(only, words);
    }
    if rows.len() <= SENTENCES_MAX {
        for (row, of) in rows.iter().zip(&reported) {
            body += &sentence(row, of, words);
        }
    }
    body += &overview(&reported, words);
    body += &sweep(rows, &reported, words);
    put(&mut body, format_args!("<h2>The limit</h2>\n<p>{}</p>\n", words.explanation));
    body += &method(rows);
    body += &run.section(&[]);
    body += "<h2>All figures</h2>\n";
    body += &figures(&reported);
    for (row, of) in rows.iter().zip(&reported) {
        body += &details(row, of, words);
    }
    super::page(words.title, &body)
}

fn tiles(of: &Reported, words: &Words) -> String {
    let tile = |value: String, what: String| {
        format!("<div class=\"tile\"><strong>{value}</strong><span>{what}</span></div>\n")
    };
    let mut tiles = tile(grouped(of.messages_per_second), "messages a second".to_owned());
    let limit = grouped(of.limit.messages_per_second);
    tiles += &match of.is_open() {
        false => tile(
            format!("{:.0} %", of.share_of_limit * 100.0),
            format!("of the {}'s {limit}", words.limit),
        ),
        // Both were asked for the same, so a share would say nothing.
        true => tile(limit, format!("by the {}, asked for the same", words.limit)),
    };
    tiles += &tile(time(of.latency_us.p50), "half of the answers were faster".to_owned());
    tiles += &tile(time(of.latency_us.p99), "99 of 100 answers were faster".to_owned());
    format!("<div class=\"tiles\">{tiles}</div>\n")
}

/// What was found, in words.
fn sentence(row: &Row, of: &Reported, words: &Words) -> String {
    let Spread { min, max } = of.spread;
    let spread = match of.rounds {
        1 => "in one run".to_owned(),
        rounds => format!("{} to {} in {rounds} runs", grouped(min), grouped(max)),
    };
    let mut text = format!(
        "<p>{} did <strong>{} messages a second</strong> ({spread}) with {}",
        words.subject,
        grouped(of.messages_per_second),
        row.workload.as_ref().map_or_else(|| escaped(&row.words), in_words),
    );
    let limit = grouped(of.limit.messages_per_second);
    match of.is_open() {
        false => put(
            &mut text,
            format_args!(": {:.2} of the limit, which was {limit}.", of.share_of_limit),
        ),
        true => {
            put(&mut text, format_args!(". The {}, asked for the same, did {limit}.", words.limit))
        }
    }
    if let Some(latency) = of.end_to_end_us {
        put(
            &mut text,
            format_args!(
                " From send to delivery a message took {} (p50), and 99 of 100 took at most {}.",
                time(latency.p50),
                time(latency.p99)
            ),
        );
    }
    match of.unanswered {
        Some(0) if of.is_kept_up_with() => text += " The rate was kept up with.",
        Some(0) => {
            text += " <strong>The rate was not kept up with</strong>: fewer messages were answered than due."
        }
        Some(unanswered) => put(
            &mut text,
            format_args!(
                " <strong>The rate was not kept up with</strong>: {} requests were not answered \
                 10 s after the end.",
                grouped(unanswered as f64)
            ),
        ),
        None => {}
    }
    text + "</p>\n"
}

/// A workload, in words.
fn in_words(workload: &Workload) -> String {
    let Workload { kind, batch, bytes, connections, window, queues, durability, rate } = *workload;
    let several = |count: usize, one: &str, more: &str| match count {
        1 => format!("one {one}"),
        count => format!("{} {more}", grouped(count as f64)),
    };
    let messages = match batch {
        1 => format!("one message of {} bytes", grouped(bytes as f64)),
        batch => format!("{batch} messages of {} bytes", grouped(bytes as f64)),
    };
    let connections = several(connections, "connection", "connections");
    let mut text = match kind {
        Kind::Send => format!(
            "{connections}{}with {} of {messages} unanswered",
            if workload.connections == 1 { " " } else { ", each " },
            several(window, "request", "requests")
        ),
        Kind::Producer => format!(
            "the client library on {connections}, into which messages of {} bytes were pushed one by \
             one",
            grouped(bytes as f64)
        ),
        Kind::Both => format!(
            "{connections} that sent {messages} in a request, and as many that consumed, all at once"
        ),
        Kind::Drain { messages: waiting } => format!(
            "{connections} that received and acked {} waiting messages in batches of {batch}",
            grouped(waiting.into())
        ),
        Kind::Subscribe { messages: waiting } => format!(
            "{connections} to which {} waiting messages were pushed, and which acked them",
            grouped(waiting.into())
        ),
    };
    if queues > 1 {
        let queues = grouped(queues as f64);
        match kind {
            Kind::Producer => {
                put(&mut text, format_args!(", each connection to one of {queues} queues"))
            }
            _ => put(&mut text, format_args!(", to {queues} queues in turn")),
        }
    }
    if let Some(rate) = rate {
        put(&mut text, format_args!(", {} messages a second being due", grouped(rate.into())));
    }
    text + match durability {
        Durability::Sync => ", each answer following an fdatasync",
        Durability::Written => ", answers following the write and no sync",
    }
}

fn bar(group: &str, name: &str, colour: Colour, value: f64, spread: Spread, text: String) -> Bar {
    let spread = Some((spread.min, spread.max));
    Bar { group: group.to_owned(), name: name.to_owned(), colour, value, spread, text }
}

/// All throughputs beside their limits.
fn overview(reported: &[Reported], words: &Words) -> String {
    let mut all = Vec::new();
    for of in reported {
        let rate = of.messages_per_second;
        let text = match of.is_open() {
            false => format!("{} ({:.2} of the limit)", grouped(rate), of.share_of_limit),
            true => grouped(rate),
        };
        all.push(bar(&of.workload, words.subject, Colour::A, rate, of.spread, text));
        if let Some(Limit { messages_per_second: rate, spread, .. }) = of.receive_ack {
            all.push(bar("", "by receives", Colour::C, rate, spread, grouped(rate)));
        }
        let rate = of.limit.messages_per_second;
        all.push(bar("", words.limit, Colour::B, rate, of.limit.spread, grouped(rate)));
    }
    bars(
        "Messages a second",
        "medians; the thin lines go from the slowest to the fastest run",
        &all,
    )
}

/// Throughput and latency by the number of connections, where a workload was run with several.
fn sweep(rows: &[Row], reported: &[Reported], words: &Words) -> String {
    let pairs = || rows.iter().zip(reported).filter_map(|(row, of)| Some((row.workload?, of)));
    let alike = |workload: Workload| Workload { connections: 0, ..workload };
    let mut workloads = pairs().map(|(workload, _)| workload);
    let Some(first) = workloads.next() else { return String::new() };
    let mut others = workloads.peekable();
    if others.peek().is_none() || others.any(|other| alike(other) != alike(first)) {
        return String::new();
    }
    // Each number of connections is as far from the next, whatever they are.
    let mut sorted: Vec<_> = pairs().collect();
    sorted.sort_by_key(|(workload, _)| workload.connections);
    let places = || (0_u32..).map(f64::from);
    let marks: Vec<(f64, String)> =
        places().zip(&sorted).map(|(x, (of, _))| (x, of.connections.to_string())).collect();
    let rates = |rate: fn(&Reported) -> (f64, Spread)| {
        let point = |(x, (_, of)): (f64, &(Workload, &Reported))| {
            let (y, spread) = rate(of);
            Point { x, y, spread: Some((spread.min, spread.max)) }
        };
        places().zip(&sorted).map(point).collect()
    };
    let series = |name: &str, colour, points| Series {
        name: name.to_owned(),
        colour,
        is_dashed: false,
        points,
    };
    let throughput = lines(&Lines {
        title: "Throughput by connections",
        note: "medians; the upright lines go from the slowest to the fastest run",
        across: "connections",
        up: "messages/s",
        unit: Unit::Number,
        scale: Scale::Linear,
        marks: marks.clone(),
        series: vec![
            series(words.subject, Colour::A, rates(|of| (of.messages_per_second, of.spread))),
            series(
                words.limit,
                Colour::B,
                rates(|of| (of.limit.messages_per_second, of.limit.spread)),
            ),
        ],
    });
    let latencies = |latency: fn(&Reported) -> f64| {
        places().zip(&sorted).map(|(x, (_, of))| Point::new(x, latency(of))).collect()
    };
    let dashed = |series: Series| Series { is_dashed: true, ..series };
    let latency = lines(&Lines {
        title: "Latency by connections",
        note: "",
        across: "connections",
        up: "until answered",
        unit: Unit::Time,
        scale: Scale::Logarithmic,
        marks,
        series: vec![
            series("p50", Colour::A, latencies(|of| of.latency_us.p50)),
            dashed(series("p99", Colour::A, latencies(|of| of.latency_us.p99))),
            series("limit p50", Colour::B, latencies(|of| of.limit.latency_us.p50)),
            dashed(series("limit p99", Colour::B, latencies(|of| of.limit.latency_us.p99))),
        ],
    });
    throughput + &latency
}

fn method(rows: &[Row]) -> String {
    let workloads = || rows.iter().filter_map(|row| row.workload);
    let mut text = String::from("<h2>How it was measured</h2>\n<ul>\n");
    if workloads().any(|workload| workload.rate.is_none())
        || rows.iter().any(|r| r.workload.is_none())
    {
        text += "<li>In a <em>closed loop</em>: who has the answer to a request sends the next. A server \
                 that stalls is asked less meanwhile, so the latencies are those of full windows, and say \
                 nothing about a given rate.</li>\n";
    }
    if workloads().any(|workload| workload.rate.is_some()) {
        text += "<li>In an <em>open loop</em>: requests were due at a given rate, whatever the server did, \
                 and each latency counts from when its request was due. So a stall counts for everything \
                 that was due in it.</li>\n";
    }
    if workloads().any(|workload| workload.kind == Kind::Producer) {
        text += "<li>What the client library costs is in its figures, on both servers: it makes each \
                 message's checksum and frame, and forms the batches.</li>\n";
    }
    if workloads().any(|workload| workload.kind != Kind::Producer) {
        text += "<li>The load came from one thread, and its requests were encoded before the clock \
                 started.</li>\n";
    }
    if workloads().any(|workload| workload.kind == Kind::Both) {
        text += "<li>Sends, deliveries and acks at once: a message counts when its ack is answered. In a \
                 closed loop who sends waits when a number of messages is on its way, so that the queue \
                 does not grow.</li>\n";
    }
    if workloads().any(|workload| workload.kind.waiting() > 0) {
        text += "<li>Of messages that waited each counts when its ack is answered, which is durable then. \
                 The latency is that of a batch, from its arrival to the answer to its ack.</li>\n";
    }
    text + "<li>Bodies are random bytes, which nothing gains by compressing. What is measured and the load \
            share the processor.</li>\n</ul>\n"
}

fn figures(reported: &[Reported]) -> String {
    let heads = [
        "workload",
        "messages/s",
        "slowest to fastest",
        "limit",
        "slowest to fastest",
        "share",
        "p50",
        "p99",
        "p99.9",
    ];
    let range = |spread: Spread| format!("{} to {}", grouped(spread.min), grouped(spread.max));
    let row = |of: &Reported| {
        vec![
            format!("<code>{}</code>", escaped(&of.workload)),
            grouped(of.messages_per_second),
            range(of.spread),
            grouped(of.limit.messages_per_second),
            range(of.limit.spread),
            format!("{:.2}", of.share_of_limit),
            time(of.latency_us.p50),
            time(of.latency_us.p99),
            time(of.latency_us.p999),
        ]
    };
    let rows: Vec<Vec<String>> = reported.iter().map(row).collect();
    table(&heads, &rows)
}

/// A row's own plots.
fn details(row: &Row, of: &Reported, words: &Words) -> String {
    let mut html = format!("<h2><code>{}</code></h2>\n", escaped(&row.name));
    html += &sentence(row, of, words);
    if let Some(lone) = &of.lone {
        html += &lone_sender(lone, of);
    }
    if !of.depth.is_empty() {
        let depths: Vec<String> = of.depth.iter().map(ToString::to_string).collect();
        put(
            &mut html,
            format_args!(
                "<p>Messages that were sent and not acked, from the start to the end of each run: {}.\
                 </p>\n",
                depths.join(", ")
            ),
        );
    }
    let over_time = |name: &str, colour, runs: &[Measure]| {
        Row::middle(runs).map(|run| Series::new(name, colour, run.over_time()))
    };
    let series = [
        over_time(words.subject, Colour::A, &row.forebay),
        over_time(words.limit, Colour::B, &row.bare),
        over_time("by receives", Colour::C, &row.asked_for),
    ];
    html += &lines(&Lines {
        title: "Throughput over the time",
        note: "of the middle run of each, in tenths of a second",
        across: "seconds",
        up: "messages/s",
        unit: Unit::Number,
        scale: Scale::Linear,
        marks: Vec::new(),
        series: series.into_iter().flatten().collect(),
    });
    let mut series = vec![percentiles(words.subject, Colour::A, &together(&row.forebay))];
    series.push(percentiles(words.limit, Colour::B, &together(&row.bare)));
    let journeys = row.both.iter().filter_map(|found| found.end_to_end.as_ref());
    let journeys = together(journeys);
    if journeys.latencies() > 0 {
        series.push(percentiles("send to delivery", Colour::C, &journeys));
    }
    html + &lines(&Lines {
        title: "Latencies",
        note: "so many of the requests were answered within",
        across: "share of the requests",
        up: "until answered",
        unit: Unit::Time,
        scale: Scale::Logarithmic,
        marks: (0_u32..).map(f64::from).zip(QUANTILES.map(|(_, name)| name.to_owned())).collect(),
        series,
    })
}

fn percentiles(name: &str, colour: Colour, found: &Measure) -> Series {
    let has_any = found.latencies() > 0;
    let points = (0_u32..).map(f64::from).zip(QUANTILES.map(|(at, _)| found.latency_us(at)));
    Series::new(name, colour, points.filter(|_| has_any))
}

/// What a lone sender waits for.
fn lone_sender(lone: &Lone, of: &Reported) -> String {
    let part = |name: &str, colour, us| Bar {
        group: String::new(),
        name: name.to_owned(),
        colour,
        value: us,
        spread: None,
        text: time(us),
    };
    let parts = [
        part("fdatasync", Colour::C, lone.fdatasync_us.p50),
        part("TCP round trip", Colour::D, lone.round_trip_us.p50),
        part("a send", Colour::A, of.latency_us.p50),
        part("to the bare server", Colour::B, of.limit.latency_us.p50),
    ];
    let html = bars(
        "What a lone sender waits for",
        "p50; the first two are what no durable queue can do without",
        &parts,
    );
    html + &format!(
        "<p>One write of {} bytes and its fdatasync took {} (p50), a round trip over TCP {}, and a send, \
         which needs both, {}: {} more than these two.</p>\n",
        grouped(lone.frame_bytes as f64),
        time(lone.fdatasync_us.p50),
        time(lone.round_trip_us.p50),
        time(of.latency_us.p50),
        time(lone.rest_us(of.latency_us)),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::assert_well_formed;
    use super::*;
    use crate::machine::Machine;
    use crate::report::tests::row;

    const SEND: Workload = Workload::plain(Kind::Send, 10, 1024, 16, 1);

    fn run() -> Run {
        Run::now(&Machine::of(Path::new(".")), 3)
    }

    #[test]
    fn a_report_says_what_was_run_where_and_how_it_compares() {
        let page = page(&run(), &[row(&SEND)]);
        assert_well_formed(&page);
        let machine = Machine::of(Path::new("."));
        for told in [
            "16 connections, each with one request of 10 messages of 1,024 bytes unanswered",
            "0.50 of the limit, which was 40",
            "<strong>20 messages a second</strong> (10 to 30 in 3 runs)",
            "bare server",
            "closed loop",
            "each answer following an fdatasync",
            &escaped(&machine.kernel),
            &escaped(&machine.file_system.kind),
            "Latencies",
        ] {
            assert!(page.contains(told), "{told:?} is not in the page");
        }
        assert!(!page.contains("Throughput by connections"), "nothing was swept");
        assert!(!page.contains("src=") && !page.contains("http"), "it needs no other file");
    }

    #[test]
    fn a_sweep_over_connections_is_drawn_and_nothing_else_is_taken_for_one() {
        let of = |connections| row(&Workload { connections, ..SEND });
        let swept = page(&run(), &[of(1), of(4), of(16)]);
        assert_well_formed(&swept);
        assert!(swept.contains("Throughput by connections"));
        let others = page(&run(), &[of(1), row(&Workload { batch: 1, ..SEND })]);
        assert!(!others.contains("Throughput by connections"));
    }

    #[test]
    fn a_report_at_a_given_rate_says_whether_it_was_kept_up_with() {
        let mut row = row(&Workload { rate: Some(20), ..SEND });
        let kept = page(&run(), std::slice::from_ref(&row));
        assert!(kept.contains("open loop") && kept.contains("The rate was kept up with."));
        row.workload = Some(Workload { rate: Some(40), ..SEND });
        assert!(
            page(&run(), std::slice::from_ref(&row))
                .contains("fewer messages were answered than due")
        );
        row.forebay[0].unanswered = 5;
        let page = page(&run(), &[row]);
        assert!(page.contains("<strong>The rate was not kept up with</strong>: 5 requests"));
        assert_well_formed(&page);
    }
}
