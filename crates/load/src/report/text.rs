//! Report as text.

use super::{Report, digits, grouped, processor_time, time_text};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Characters behind a row's name, of lines of 80.
const VALUE_CHARS: usize = 57;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> core::fmt::Result {
    let Report { target, shape, arrivals, connections, threads, .. } = report;
    let half_open = match report.half_open {
        0 => String::new(),
        count => format!(" and {count} half-open ones"),
    };
    writeln!(text, "{target}: {shape} loop, {arrivals}")?;
    let many = if *threads == 1 { "" } else { "s" };
    writeln!(
        text,
        "{connections} connections{half_open}, {threads} thread{many}, seed {}",
        report.seed
    )?;
    writeln!(text)?;
    let asked = report.asked_per_second.map_or("as many as answered".into(), digits);
    row(
        text,
        "requests per second",
        &format!("asked {asked}, achieved {}", digits(report.achieved_per_second)),
    )?;
    let (made, succeeded) = (grouped(report.started), grouped(report.succeeded));
    row(text, "requests", &format!("{made} made, {succeeded} answered as expected"))?;
    let failures = report.failures_text();
    let failures = if failures.is_empty() { "none".into() } else { failures };
    row(text, "failures", &failures)?;
    for error in &report.errors {
        let heading = format!("{} {}", error.failure, error.kind);
        let line = format!("{} times: {}", grouped(error.count), error.line());
        let letters: Vec<char> = line.chars().collect();
        for (index, part) in letters.chunks(VALUE_CHARS).enumerate() {
            let part: String = part.iter().collect();
            row(text, if index == 0 { &heading } else { "" }, &part)?;
        }
    }
    if report.unstarted > 0 {
        row(text, "", &format!("{} of the timeouts had no free connection", report.unstarted))?;
    }
    if report.abandoned > 0 {
        row(text, "abandoned", &grouped(report.abandoned))?;
    }
    row(text, "connections opened", &grouped(report.connections_opened))?;
    let (received, sent) = (grouped(report.bytes_received), grouped(report.bytes_sent));
    row(text, "bytes", &format!("{received} received, {sent} sent"))?;
    row(text, "took", &format!("{} s", digits(report.elapsed_seconds)))?;
    writeln!(text)?;
    writeln!(text, "{:<22} {:>12} {:>12}", "", latency_heading(shape), "service time")?;
    for ((name, latency), (_, service)) in
        report.latency.rows().iter().zip(report.service_time.rows())
    {
        writeln!(text, "{name:<22} {latency:>12} {service:>12}")?;
    }
    if report.requests.len() > 1 {
        writeln!(text)?;
        writeln!(
            text,
            "{:<22} {:>12} {:>12} {:>12} {:>12}",
            "", "answered", "failed", "50 %", "99 %"
        )?;
        for kind in &report.requests {
            let name: String = kind.name.chars().take(22).collect();
            let (count, failed) = (grouped(kind.succeeded), grouped(kind.failed));
            let [p50, p99] = [kind.latency.p50, kind.latency.p99].map(|it| kind.latency.shown(it));
            writeln!(text, "{name:<22} {count:>12} {failed:>12} {p50:>12} {p99:>12}")?;
        }
    }
    writeln!(text)?;
    let turn = time_text(report.generator_longest_turn_milliseconds);
    writeln!(text, "generator: {}longest turn {turn}", processor_time(report))
}

/// What a latency is in this loop.
pub(super) fn latency_heading(shape: &str) -> &'static str {
    if shape == "open" { "since due" } else { "since made" }
}

fn row(text: &mut String, name: &str, value: &str) -> core::fmt::Result {
    writeln!(text, "{name:<22} {value}")
}
