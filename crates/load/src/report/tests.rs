use super::*;
use crate::{Next, Outcome, Place, RequestKind, Schedule, Share, Workload};

const MS: Duration = Duration::from_millis(1);

fn report(shape: Shape) -> Report {
    let place = Place::parse("http://127.0.0.1:8080").unwrap().0;
    let kind = |name: &str| RequestKind { name: name.into(), ..RequestKind::default() };
    let scenario = Scenario {
        shape,
        duration: Duration::from_secs(3),
        requests: [kind("home"), kind("<script>")].into(),
        ..Scenario::new(place, "/")
    };
    let mut workload = Workload::new(&scenario, Share::ALL, Duration::ZERO);
    let mut now = Duration::ZERO;
    for index in 0..30 {
        let Next::Job(job) = workload.next(now) else { break };
        let outcome =
            if index % 10 == 9 { Outcome::Failure(Failure::Status) } else { Outcome::Success };
        workload.finish(now + MS * (index + 1), job, outcome);
        now += 100 * MS;
    }
    let run = Run { threads: 2, cpu: Some(20 * MS), longest_turn: MS / 4, version: "1.2".into() };
    Report::new(&scenario, workload.into_recorder(), &run)
}

fn open() -> Report {
    report(Shape::Open(Schedule { rate: Rate::Constant(10.0), spacing: Spacing::Even }))
}

#[test]
fn numbers_have_three_digits_and_a_unit() {
    let texts = [0.0, 0.0456, 0.9996, 1.0, 12.34, 123.4, 999.4, 999.6, 61_000.0].map(time_text);
    let expected = [
        "0 ms", "45.6 µs", "1.00 ms", "1.00 ms", "12.3 ms", "123 ms", "999 ms", "1.00 s", "61.0 s",
    ];
    assert_eq!(texts, expected);
    assert_eq!(digits(1_234_567.6), "1,234,568");
    assert_eq!([grouped(0), grouped(999), grouped(1000)], ["0", "999", "1,000"]);
}

#[test]
fn both_loops_are_labelled_with_what_was_asked_and_achieved() {
    let open = open();
    assert_eq!((open.shape, open.asked_per_second), ("open", Some(10.0)));
    let text = open.to_text();
    for part in [
        "http://127.0.0.1:8080: open loop, 10 per second, evenly spaced",
        "asked 10.0, achieved 9.00",
        "30 made, 27 answered as expected",
        "3 status",
        "since due",
        "longest turn 250 µs",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let closed = report(Shape::Closed { think: 100 * MS });
    assert_eq!((closed.shape, closed.asked_per_second), ("closed", None));
    let text = closed.to_text();
    assert!(text.contains("closed loop, 0.1 s after the answer") && text.contains("since made"));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn json_has_the_same_values_with_their_units() {
    let json: serde_json::Value = serde_json::from_str(&open().to_json()).unwrap();
    assert_eq!(json["loop"], "open");
    assert_eq!(json["failures"]["status"], 3);
    assert_eq!(json["latency"]["max"], 30.0);
    assert_eq!(json["seconds"][1]["due"], 10);
    assert_eq!(json["seconds"].as_array().unwrap().len(), 3);
    assert_eq!(json["percentiles"][3][0], 50.0);
    assert_eq!(json["requests"][0]["name"], "home");
}

#[test]
fn the_page_needs_nothing_else_and_shows_names_as_text() {
    let page = open().to_html();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
    for outside in ["src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for title in ["Latency over time", "Percentiles", "Rate"] {
        assert!(page.contains(&format!("<h2>{title}</h2>")), "{title}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"), "a place that is none");
}

/// What was never made, never answered or not measured is neither an answer nor a latency of zero, in each of the three forms.
#[test]
fn only_answers_count_as_answered_and_only_what_was_measured_has_a_time() {
    let place = Place::parse("http://127.0.0.1:8080").unwrap().0;
    let kind = |name: &str, weight| RequestKind { name: name.into(), weight, ..Default::default() };
    let mut scenario = Scenario {
        shape: Shape::Open(Schedule { rate: Rate::Constant(10.0), spacing: Spacing::Even }),
        duration: Duration::from_secs(2),
        requests: [kind("hang", 1), kind("none", 0)].into(),
        ..Scenario::new(place, "/")
    };
    scenario.connection.half_open = 7;
    let mut workload = Workload::new(&scenario, Share::ALL, Duration::ZERO);
    let failures = [Failure::Timeout, Failure::Status, Failure::Body, Failure::Reset];
    for outcome in failures.map(Outcome::Failure).into_iter().chain([Outcome::Success]) {
        let Next::Job(job) = workload.next(500 * MS) else { panic!("none is due") };
        workload.finish(3500 * MS, job, outcome);
    }
    workload.give_up(3500 * MS);
    let report = Report::new(&scenario, workload.into_recorder(), &Run::default());
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let (hang, none) = (&json["requests"][0], &json["requests"][1]);
    assert_eq!((hang["succeeded"].as_u64(), hang["failed"].as_u64()), (Some(1), Some(19)));
    assert_eq!((none["succeeded"].as_u64(), none["failed"].as_u64()), (Some(0), Some(0)));
    assert_eq!(json["half_open"], 7);
    assert!(json["seconds"][1]["p50"].is_null() && json["seconds"][3]["p50"].is_number());
    let text = report.to_text();
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(row("hang").split_whitespace().take(3).eq(["hang", "1", "19"]), "{text}");
    assert!(row("none").split_whitespace().eq(["none", "0", "0"]), "{text}");
    assert!(text.contains("64 connections and 7 half-open ones"), "{text}");
    let page = report.to_html();
    for part in ["<td>hang<td>1<td>19<td>", "<td>none<td>0<td>0<td><td><td>", "7 half-open ones"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("<tr><td>1<td>10<td>0<td>0<td><td><td>"), "{page}");
}

#[test]
fn a_run_without_a_single_answer_has_results_too() {
    let place = Place::parse("http://127.0.0.1:8080").unwrap().0;
    let scenario = Scenario::new(place, "/");
    let workload = Workload::new(&scenario, Share::ALL, Duration::ZERO);
    let report = Report::new(&scenario, workload.into_recorder(), &Run::default());
    assert!(!report.to_html().contains("NaN"));
    let text = report.to_text();
    assert!(
        text.contains("0 made") && text.lines().any(|line| line.trim_end() == "50 %"),
        "{text}"
    );
    assert!(report.to_json().contains("\"seconds\": []"));
}

/// An error's text comes from the server: it is shown as text, and only so much of it.
#[test]
fn of_each_kind_of_errors_the_first_text_is_shown_as_text() {
    let place = Place::parse("capnp://127.0.0.1:7000").unwrap().0;
    let scenario = Scenario::new(place, "/");
    let recorder = || Workload::new(&scenario, Share::ALL, Duration::ZERO).into_recorder();
    let (mut one, mut two) = (recorder(), recorder());
    one.note_error(Failure::Status, "failed", "<script>\u{1b}[2J\"ü\"\n");
    one.note_error(Failure::Status, "failed", "the second");
    two.note_error(Failure::Status, "failed", "of another thread");
    two.note_error(Failure::Status, "overloaded", &"x".repeat(5000));
    one.merge(two);
    let report = Report::new(&scenario, one, &Run::default());
    let counts: Vec<_> = report.errors.iter().map(|error| (error.kind, error.count)).collect();
    assert_eq!(counts, [("failed", 3), ("overloaded", 1)]);
    assert_eq!(report.errors[1].text.chars().count(), 303);
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["errors"][0]["text"], "<script>\u{1b}[2J\"ü\"\n");
    assert_eq!(json["errors"][0]["failure"], "status");
    let text = report.to_text();
    let row = "status failed          3 times: <script>\\u{1b}[2J\"ü\"\\n\n";
    assert!(text.contains(row) && !text.contains('\u{1b}'), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let page = report.to_html();
    let cell = "<td>status<td>failed<td>3<td>&lt;script&gt;\\u{1b}[2J&quot;ü&quot;\\n<";
    assert!(page.contains(cell) && !page.contains("<script"), "{page}");
}
