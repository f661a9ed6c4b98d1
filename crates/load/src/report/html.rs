//! Report as a page: one file, without scripts and without anything from elsewhere.

use super::svg::{Axis, Line, Plot};
use super::text::latency_heading;
use super::{Report, Second, digits, grouped, processor_time, shown, time_text};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

const STYLE: &str = include_str!("style.css");
/// Points of a line over time at most: beyond that, several seconds are one.
const POINTS_MAX: usize = 600;

pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> core::fmt::Result {
    let target = escaped(&report.target);
    write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>Load on {target}</title><style>{STYLE}</style><header><h1>Load on {target}</h1>\
         <p><span class=badge>{} loop</span>{}; {} connections{} for {} s</p></header>",
        report.shape,
        report.arrivals,
        grouped(report.connections.into()),
        match report.half_open {
            0 => String::new(),
            count => format!(" and {} half-open ones", grouped(count.into())),
        },
        report.duration_seconds
    )?;
    tiles(page, report)?;
    let seconds = thinned(&report.seconds, report.duration_seconds);
    latency_over_time(report, &seconds).write(page)?;
    page.push_str("<div class=pair>");
    percentile_curve(report).write(page)?;
    rate(report, &seconds).write(page)?;
    page.push_str("</div>");
    latencies(page, report)?;
    kinds(page, report)?;
    errors(page, report)?;
    second_table(page, &seconds)?;
    writeln!(
        page,
        "<footer>aqueduct-load {}, seed {}, {} thread{}, {}longest turn {}. \
         No latency is more exact than the longest turn.</footer></html>",
        escaped(&report.version),
        report.seed,
        report.threads,
        if report.threads == 1 { "" } else { "s" },
        processor_time(report),
        time_text(report.generator_longest_turn_milliseconds)
    )
}

fn tiles(page: &mut String, report: &Report) -> core::fmt::Result {
    let asked = match report.asked_per_second {
        Some(asked) => format!("per second, {} asked for", digits(asked)),
        None => "requests per second".to_owned(),
    };
    let failures = match report.failures_text() {
        text if text.is_empty() => "failures".to_owned(),
        text => format!("failed: {text}"),
    };
    let class = if report.failed > 0 { " class=bad" } else { "" };
    write!(
        page,
        "<div class=tiles><div class=tile><b>{}</b><span>{asked}</span></div>\
         <div class=tile><b>{}</b><span>median</span></div>\
         <div class=tile><b>{}</b><span>99th percentile</span></div>\
         <div class=tile><b>{}</b><span>99.99th percentile</span></div>\
         <div class=tile><b{class}>{}</b><span>{failures}</span></div></div>",
        digits(report.achieved_per_second),
        report.latency.shown(report.latency.p50),
        report.latency.shown(report.latency.p99),
        report.latency.shown(report.latency.p99_99),
        grouped(report.failed)
    )
}

fn latency_over_time<'a>(report: &'a Report, seconds: &[Point]) -> Plot<'a> {
    let seen = |value: fn(&Second) -> Option<f64>| {
        seconds.iter().filter_map(move |point| Some((point.middle(), value(&point.second)?)))
    };
    let line = |name, class, value: fn(&Second) -> Option<f64>| Line {
        name,
        class,
        points: seen(value).collect(),
    };
    let min = seen(|second| second.p50).map(|(_, time)| time).fold(f64::INFINITY, f64::min);
    let max = seen(|second| second.max).map(|(_, time)| time).fold(0.0, f64::max);
    let min = if min.is_finite() { min } else { 0.1 };
    Plot {
        title: "Latency over time",
        about: match report.shape {
            "open" => "Of requests that ended in each second, since they were due; logarithmic",
            _ => {
                "Of requests that ended in each second, since they were made: a server that stalls is asked less; logarithmic"
            }
        },
        x: time_axis(seconds),
        y: Axis::logarithmic(min, max, time_text),
        lines: [
            line("longest", "three", |second| second.max),
            line("99th percentile", "two", |second| second.p99),
            line("median", "one", |second| second.p50),
        ]
        .into(),
        strips: strips(seconds, |second| {
            let Some(p50) = second.p50 else { return "nothing measured".to_owned() };
            let [p99, max] = [second.p99, second.max].map(shown);
            let p50 = time_text(p50);
            format!("median {p50}, 99th percentile {p99}, longest {max}")
        }),
    }
}

fn rate<'a>(report: &'a Report, seconds: &[Point]) -> Plot<'a> {
    let line = |name, class, value: fn(&Second) -> u64| {
        // Behind the end there is only what was late, in a second that is not whole.
        let within = |point: &&Point| (point.second.second as f64) < report.duration_seconds;
        let points = seconds.iter().filter(within);
        let points = points.map(|point| (point.middle(), point.per_second(value)));
        Line { name, class, points: points.collect() }
    };
    let mut lines = Vec::new();
    if report.asked_per_second.is_some() {
        lines.push(line("due", "two", |second| second.due));
    }
    lines.push(line("answered as expected", "one", |second| second.succeeded));
    if report.failed > 0 {
        lines.push(line("failed", "three", |second| second.failed));
    }
    let highest = lines.iter().flat_map(|line| &line.points).map(|(_, rate)| *rate);
    let max = highest.fold(0.0, f64::max);
    Plot {
        title: "Rate",
        about: "Requests per second",
        x: time_axis(seconds),
        y: Axis::linear(max, digits),
        lines,
        strips: strips(seconds, |second| {
            let [due, succeeded, failed] =
                [second.due, second.succeeded, second.failed].map(grouped);
            format!("{due} due, {succeeded} answered as expected, {failed} failed")
        }),
    }
}

/// Percentiles on a scale of nines: each step to the right leaves a tenth of the requests.
fn percentile_curve(report: &Report) -> Plot<'_> {
    let nines = |percentile: f64| -libm::log10(1.0 - percentile.min(99.99) / 100.0);
    let points =
        report.percentiles.iter().map(|(at, time)| (nines(*at), *time)).collect::<Vec<_>>();
    let least = report.percentiles.first().map_or(0.1, |(_, time)| *time);
    let most = report.percentiles.last().map_or(1.0, |(_, time)| *time);
    // Without a unit, which the title has: on a narrow screen there is little room between the last two.
    let ticks = [50.0, 90.0, 99.0, 99.9, 99.99].map(|at| (nines(at), at.to_string()));
    let mut from = 0.0;
    let mut strip = |(at, time): &(f64, f64)| {
        let strip = (from, nines(*at), format!("{at} % within {}", time_text(*time)));
        from = strip.1;
        strip
    };
    Plot {
        title: "Percentiles",
        about: "So many of a hundred requests took no longer; both scales logarithmic",
        x: Axis::with_ticks(0.0, 4.0, ticks.into()),
        y: Axis::logarithmic(least, most, time_text),
        strips: report.percentiles.iter().skip(1).map(&mut strip).collect(),
        lines: [Line { name: latency_heading(report.shape), class: "one", points }].into(),
    }
}

fn latencies(page: &mut String, report: &Report) -> core::fmt::Result {
    let heading = latency_heading(report.shape);
    write!(
        page,
        "<section><h2>Latency</h2><p>Since due counts the wait for a free connection; service time counts \
         from when a request was made.</p><div class=scroll><table><thead><tr><th>\
         <th>{heading}<th>service time</thead>"
    )?;
    for ((name, latency), (_, service)) in
        report.latency.rows().iter().zip(report.service_time.rows())
    {
        write!(page, "<tr><td>{name}<td>{latency}<td>{service}")?;
    }
    write!(page, "</table></div></section>")
}

fn kinds(page: &mut String, report: &Report) -> core::fmt::Result {
    write!(
        page,
        "<section><h2>Requests</h2><div class=scroll><table><thead><tr><th>\
         <th>answered<th>failed<th>50 %<th>99 %<th>max</thead>"
    )?;
    for kind in &report.requests {
        let (name, count, failed) =
            (escaped(&kind.name), grouped(kind.succeeded), grouped(kind.failed));
        let latency = &kind.latency;
        let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(|it| latency.shown(it));
        write!(page, "<tr><td>{name}<td>{count}<td>{failed}<td>{p50}<td>{p99}<td>{max}")?;
    }
    let (received, sent) = (grouped(report.bytes_received), grouped(report.bytes_sent));
    let opened = grouped(report.connections_opened);
    write!(
        page,
        "</table></div><p>{opened} connections opened; {received} bytes received, {sent} sent.</p></section>"
    )
}

/// What was said of failures.
fn errors(page: &mut String, report: &Report) -> core::fmt::Result {
    if report.errors.is_empty() {
        return Ok(());
    }
    write!(
        page,
        "<section><h2>Errors</h2><div class=scroll><table><thead><tr><th>failure<th>kind<th>count\
         <th>the first one</thead>"
    )?;
    for error in &report.errors {
        let (failure, kind, count) = (error.failure, error.kind, grouped(error.count));
        write!(page, "<tr><td>{failure}<td>{kind}<td>{count}<td>{}", escaped(&error.line()))?;
    }
    write!(page, "</table></div></section>")
}

fn second_table(page: &mut String, seconds: &[Point]) -> core::fmt::Result {
    write!(
        page,
        "<section><details><summary>Second by second</summary><div class=scroll><table><thead>\
         <tr><th>second<th>due<th>answered<th>failed<th>50 %<th>99 %<th>max</thead>"
    )?;
    for point in seconds {
        let second = &point.second;
        let [due, succeeded, failed] = [second.due, second.succeeded, second.failed].map(grouped);
        let [p50, p99, max] = [second.p50, second.p99, second.max].map(shown);
        write!(
            page,
            "<tr><td>{}<td>{due}<td>{succeeded}<td>{failed}<td>{p50}<td>{p99}<td>{max}",
            second.second
        )?;
    }
    write!(page, "</table></div></details></section>")
}

/// One second, or several that are shown as one.
struct Point {
    second: Second,
    /// How long it is, seconds: the last may be cut short by the end of the run.
    length: f64,
}

impl Point {
    fn middle(&self) -> f64 {
        self.second.second as f64 + self.length / 2.0
    }

    fn per_second(&self, value: fn(&Second) -> u64) -> f64 {
        value(&self.second) as f64 / self.length
    }
}

/// As many points as can be seen: counts added, and of latencies the worst.
fn thinned(seconds: &[Second], duration_seconds: f64) -> Vec<Point> {
    let each = seconds.len().div_ceil(POINTS_MAX).max(1);
    let point = |group: &[Second]| {
        let mut all = group.first()?.clone();
        for second in group.iter().skip(1) {
            all.due += second.due;
            all.succeeded += second.succeeded;
            all.failed += second.failed;
            all.p50 = longer(all.p50, second.p50);
            all.p99 = longer(all.p99, second.p99);
            all.max = longer(all.max, second.max);
        }
        let begin = all.second as f64;
        let is_cut = begin < duration_seconds && duration_seconds < begin + group.len() as f64;
        let length = if is_cut { duration_seconds - begin } else { group.len() as f64 };
        Some(Point { second: all, length })
    };
    seconds.chunks(each).filter_map(point).collect()
}

fn longer(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

fn time_axis(points: &[Point]) -> Axis {
    let end = points.last().map_or(1.0, |point| point.second.second as f64 + point.length);
    Axis::counting(end, |second| format!("{second} s"))
}

fn strips(points: &[Point], text: impl Fn(&Second) -> String) -> Vec<(f64, f64, String)> {
    let strip = |point: &Point| {
        let from = point.second.second as f64;
        (from, from + point.length, format!("second {from}: {}", text(&point.second)))
    };
    points.iter().map(strip).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .to_string()
}
