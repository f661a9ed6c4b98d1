//! OpenMetrics text (version 1.0.0, <https://prometheus.io/docs/specs/om/open_metrics_spec/>), and the older text format
//! of Prometheus (0.0.4).

use crate::{Family, Inspector, Kind, Label, MetricVisitor, Reading, Sample, Unit};
use core::fmt::{self, Display, Write};
use core::time::Duration;

/// What all names begin with.
const PREFIX: &str = "aqueduct_";

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics.
    OpenMetrics,
    /// What scrapers and checkers read that do not know OpenMetrics.
    Prometheus,
}

impl Format {
    /// The format that an `Accept` field prefers (RFC 9110 section 12.5.1); Prometheus' where it does not care.
    pub fn accepted(accept: &[u8]) -> Format {
        let accept = core::str::from_utf8(accept).unwrap_or_default();
        let openmetrics = quality(accept, "application", "openmetrics-text");
        let prometheus = quality(accept, "text", "plain");
        let is_named = openmetrics.is_some_and(|(_, specificity)| specificity == NAMED);
        let [openmetrics, prometheus] = [openmetrics, prometheus].map(|it| it.map_or(0, |it| it.0));
        if openmetrics > prometheus || is_named && openmetrics > 0 && openmetrics == prometheus {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// How specific a range is that names its type.
const NAMED: u8 = 2;

/// The quality, in thousandths, that the most specific range of an `Accept` field gives to a media type, and how specific that is;
/// none if no range has it.
fn quality(accept: &str, type_: &str, subtype: &str) -> Option<(u16, u8)> {
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let (range_type, range_subtype) = parts.next()?.split_once('/')?;
        let specificity = match (range_type, range_subtype) {
            ("*", "*") => 0,
            (own, "*") if own.eq_ignore_ascii_case(type_) => 1,
            (own, sub) if own.eq_ignore_ascii_case(type_) && sub.eq_ignore_ascii_case(subtype) => {
                NAMED
            }
            _ => return None,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Some((weight.map_or(Some(1000), thousandths).unwrap_or(0), specificity))
    });
    // Of two equal ones, the better.
    ranges.max_by_key(|(quality, specificity)| (*specificity, *quality))
}

/// RFC 9110 section 12.4.2: a number from 0 to 1 with up to three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part = part.bytes().chain(core::iter::repeat(b'0')).take(3);
    let part = part.fold(0, |sum, digit| 10 * sum + u16::from(digit - b'0'));
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}

/// Writes all metrics.
///
/// # Errors
/// Those of `out`.
pub fn write(inspector: &Inspector, format: Format, out: &mut dyn Write) -> fmt::Result {
    let mut exposition = Exposition { format, out, outcome: Ok(()) };
    inspector.visit_metrics(&mut exposition);
    exposition.outcome?;
    match format {
        Format::OpenMetrics => out.write_str("# EOF\n"),
        Format::Prometheus => Ok(()),
    }
}

struct Exposition<'a> {
    format: Format,
    out: &'a mut dyn Write,
    outcome: fmt::Result,
}

impl MetricVisitor for Exposition<'_> {
    fn family(&mut self, family: &Family) {
        self.outcome = self.outcome.and_then(|()| self.describe(family));
    }

    fn sample(&mut self, family: &Family, sample: &Sample<'_>) {
        self.outcome = self.outcome.and_then(|()| self.line(family, sample));
    }
}

impl Exposition<'_> {
    fn describe(&mut self, family: &Family) -> fmt::Result {
        let is_open = self.format == Format::OpenMetrics;
        // The older format knows a counter by the name of its sample.
        let suffix = if !is_open && family.kind == Kind::Counter { "_total" } else { "" };
        let (name, kind) = (Name(family), family.kind.name());
        writeln!(self.out, "# TYPE {name}{suffix} {kind}")?;
        if is_open && family.unit != Unit::None {
            writeln!(self.out, "# UNIT {name} {}", family.unit.name())?;
        }
        write!(self.out, "# HELP {name}{suffix} ")?;
        Escaped { out: self.out, is_quoted: is_open }.write_str(family.help)?;
        self.out.write_char('\n')
    }

    fn line(&mut self, family: &Family, sample: &Sample<'_>) -> fmt::Result {
        match sample.reading {
            Reading::Number(number) => self.number(family, sample, &number),
            Reading::Time(time) => self.number(family, sample, &Seconds(time)),
            Reading::Histogram(histogram) => {
                for (bound, count) in histogram.buckets() {
                    let bound: &dyn Display = match &bound {
                        Some(bound) => &Seconds(*bound),
                        None => &"+Inf",
                    };
                    self.start(family, "_bucket", sample, Some(("le", bound)))?;
                    writeln!(self.out, " {count}")?;
                }
                self.start(family, "_count", sample, None)?;
                writeln!(self.out, " {}", histogram.count())?;
                self.start(family, "_sum", sample, None)?;
                writeln!(self.out, " {}", Seconds(histogram.sum()))
            }
        }
    }

    fn number(
        &mut self,
        family: &Family,
        sample: &Sample<'_>,
        number: &dyn Display,
    ) -> fmt::Result {
        let suffix = if family.kind == Kind::Counter { "_total" } else { "" };
        self.start(family, suffix, sample, None)?;
        writeln!(self.out, " {number}")
    }

    /// A line up to its number.
    fn start(
        &mut self,
        family: &Family,
        suffix: &str,
        sample: &Sample<'_>,
        more: Option<Label<'_>>,
    ) -> fmt::Result {
        write!(self.out, "{}{suffix}", Name(family))?;
        let mut before = '{';
        for (name, value) in sample.labels.into_iter().chain([more]).flatten() {
            write!(self.out, "{before}{name}=\"")?;
            write!(Escaped { out: self.out, is_quoted: true }, "{value}")?;
            self.out.write_char('"')?;
            before = ',';
        }
        if before == ',' { self.out.write_char('}') } else { Ok(()) }
    }
}

/// The name of a family: its unit is its last part.
struct Name<'a>(&'a Family);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.name)?;
        match self.0.unit {
            Unit::None => Ok(()),
            unit => write!(f, "_{}", unit.name()),
        }
    }
}

/// A length of time in seconds, exactly.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs())?;
        let (mut digits, mut width) = (self.0.subsec_nanos(), 9);
        if digits == 0 {
            return Ok(());
        }
        while digits.is_multiple_of(10) {
            (digits, width) = (digits / 10, width - 1);
        }
        write!(f, ".{digits:0width$}")
    }
}

/// Escapes what would end a label's value or a line (OpenMetrics, section "ABNF": `escaped-char`).
struct Escaped<'a> {
    out: &'a mut dyn Write,
    /// Quotation marks are escaped, too: everywhere but in the help of the older format.
    is_quoted: bool,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '\\' => self.out.write_str("\\\\")?,
                '\n' => self.out.write_str("\\n")?,
                '"' if self.is_quoted => self.out.write_str("\\\"")?,
                letter => self.out.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Histogram, Metric};
    use std::string::String;

    struct Part {
        count: u64,
        time: Duration,
        times: Histogram,
    }

    static METRICS: &[Metric<Part>] = &[
        Metric::counter("frames", "Frames \"in\".", |part| part.count),
        Metric::byte_counter("received", "Octets.", |part| part.count),
        Metric::gauge_by("queue", "direction", "What\nwaits.", |part, visit| {
            visit(&"in", part.count);
            visit(&"a\\\"b\n", 0);
        }),
        Metric::time_counter("busy", "Time.", |part| part.time),
    ];

    static TIMES: &[Metric<Part>] = &[Metric::histogram("poll", "Polls.", |part| &part.times)];

    fn part(count: u64) -> Part {
        let time = Duration::from_micros(1_500_020);
        Part { count, time, times: Histogram::default() }
    }

    fn text(inspector: &Inspector, format: Format) -> String {
        let mut text = String::new();
        write(inspector, format, &mut text).unwrap();
        text
    }

    #[test]
    fn rfc9110_12_5_1_the_preferred_format_is_chosen() {
        let chosen = |accept: &str| Format::accepted(accept.as_bytes());
        for accept in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=1.0.0, text/plain",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "text/plain;q=0.5, application/openmetrics-text;q=0.501",
            "text/plain;q=0, */*",
            "application/*",
        ] {
            assert_eq!(chosen(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.000, text/plain;q=0.001",
            "application/openmetrics-text;q=0.5, text/plain",
            "application/openmetrics-text;q=2, text/plain",
            "application/openmetrics-text-2",
            "image/png",
        ] {
            assert_eq!(chosen(accept), Format::Prometheus, "{accept}");
        }
    }

    #[test]
    fn a_family_stands_together_whoever_adds_to_it_when() {
        let inspector = Inspector::default();
        inspector.add_metrics(METRICS, |visit| visit(Some(("card", &0)), &part(7)));
        inspector.add_metrics(TIMES, |_| {});
        inspector.add_metrics(METRICS, |visit| {
            visit(Some(("card", &"x\"y")), &part(8));
            visit(None, &part(9));
        });
        let expected = "\
# TYPE aqueduct_frames counter
# HELP aqueduct_frames Frames \\\"in\\\".
aqueduct_frames_total{card=\"0\"} 7
aqueduct_frames_total{card=\"x\\\"y\"} 8
aqueduct_frames_total 9
# TYPE aqueduct_received_bytes counter
# UNIT aqueduct_received_bytes bytes
# HELP aqueduct_received_bytes Octets.
aqueduct_received_bytes_total{card=\"0\"} 7
aqueduct_received_bytes_total{card=\"x\\\"y\"} 8
aqueduct_received_bytes_total 9
# TYPE aqueduct_queue gauge
# HELP aqueduct_queue What\\nwaits.
aqueduct_queue{card=\"0\",direction=\"in\"} 7
aqueduct_queue{card=\"0\",direction=\"a\\\\\\\"b\\n\"} 0
aqueduct_queue{card=\"x\\\"y\",direction=\"in\"} 8
aqueduct_queue{card=\"x\\\"y\",direction=\"a\\\\\\\"b\\n\"} 0
aqueduct_queue{direction=\"in\"} 9
aqueduct_queue{direction=\"a\\\\\\\"b\\n\"} 0
# TYPE aqueduct_busy_seconds counter
# UNIT aqueduct_busy_seconds seconds
# HELP aqueduct_busy_seconds Time.
aqueduct_busy_seconds_total{card=\"0\"} 1.50002
aqueduct_busy_seconds_total{card=\"x\\\"y\"} 1.50002
aqueduct_busy_seconds_total 1.50002
# TYPE aqueduct_poll_seconds histogram
# UNIT aqueduct_poll_seconds seconds
# HELP aqueduct_poll_seconds Polls.
# EOF
";
        assert_eq!(text(&inspector, Format::OpenMetrics), expected);
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let inspector = Inspector::default();
        inspector.add_metrics(METRICS, |visit| visit(None, &part(7)));
        let text = text(&inspector, Format::Prometheus);
        assert!(text.starts_with(
            "# TYPE aqueduct_frames_total counter\n# HELP aqueduct_frames_total Frames \"in\".\naqueduct_frames_total 7\n"
        ));
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_count_and_sum() {
        let inspector = Inspector::default();
        inspector.add_metrics(TIMES, |visit| {
            let part = part(0);
            part.times.observe(Duration::from_millis(3));
            part.times.observe(Duration::from_secs(60));
            visit(Some(("service", &"http")), &part);
        });
        let text = text(&inspector, Format::OpenMetrics);
        for line in [
            "aqueduct_poll_seconds_bucket{service=\"http\",le=\"0.0025\"} 0\n",
            "aqueduct_poll_seconds_bucket{service=\"http\",le=\"0.005\"} 1\n",
            "aqueduct_poll_seconds_bucket{service=\"http\",le=\"10\"} 1\n",
            "aqueduct_poll_seconds_bucket{service=\"http\",le=\"+Inf\"} 2\n",
            "aqueduct_poll_seconds_count{service=\"http\"} 2\n",
            "aqueduct_poll_seconds_sum{service=\"http\"} 60.003\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn scrapers_get_the_format_that_they_ask_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        assert_eq!(Format::accepted(prometheus.as_bytes()), Format::OpenMetrics);
        assert_eq!(Format::accepted(b"*/*"), Format::Prometheus);
        assert_eq!(Format::accepted(b""), Format::Prometheus);
    }

    #[test]
    fn times_are_written_exactly() {
        for (nanos, text) in
            [(0, "0"), (1, "0.000000001"), (1_000_000_000, "1"), (2_500_000_000, "2.5")]
        {
            assert_eq!(std::format!("{}", Seconds(Duration::from_nanos(nanos))), text);
        }
    }
}
