//! What the metrics of an executor, of timers and of a ledger say after a known course of things.

use flow::ledger::{self, Ledger};
use flow::task::{self, Executor, yield_once};
use flow::time::{self, Timers};
use inspect::{Inspector, openmetrics};
use std::future::pending;
use std::time::Duration;

/// The lines of these metrics.
fn lines(inspector: &Inspector) -> Vec<String> {
    let mut text = String::new();
    openmetrics::write(inspector, openmetrics::Format::OpenMetrics, &mut text).unwrap();
    let of_metrics =
        text.lines().filter(|line| !line.starts_with('#') && !line.contains("task_poll_"));
    of_metrics.map(|line| line.trim_start_matches("aqueduct_").to_owned()).collect()
}

#[test]
fn tasks_and_their_polls_are_counted() {
    let executor = Executor::new(|body| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|_| "".into())
    });
    let (spawner, inspector) = (executor.spawner(), Inspector::default());
    let shown = spawner.clone();
    inspector.add_metrics(task::METRICS, move |visit| visit(None, &shown));
    spawner.limit_tasks(8);
    spawner.spawn("waits", pending());
    spawner.spawn("yields", async {
        yield_once().await;
        pending::<()>().await;
    });
    spawner.spawn("panics", async { panic!("asked to") });
    executor.run(100);
    assert_eq!(
        lines(&inspector),
        ["tasks 2", "tasks_limit 8", "task_panics_total 1", "task_polls_total 4"]
    );
    assert_eq!((spawner.count(), spawner.tasks_max(), spawner.load_percent()), (2, 8, 25));
    assert!(spawner.clock().is_none());
    spawner.measure(|| Duration::from_secs(7));
    assert_eq!(spawner.clock().map(|clock| clock()), Some(Duration::from_secs(7)));
    spawner.wake_all();
    executor.run(100);
    assert_eq!(lines(&inspector)[3], "task_polls_total 6");
}

#[test]
fn timers_and_what_peers_hold_are_shown() {
    let (timers, ledger, inspector) = (Timers::new(), Ledger::new(4000), Inspector::default());
    let service = ledger.service("test", 2000, 1000);
    let (shown, shown_ledger, shown_service) = (timers.clone(), ledger.clone(), service.clone());
    inspector.add_metrics(time::METRICS, move |visit| visit(None, &shown));
    inspector.add_metrics(ledger::METRICS, move |visit| visit(None, &shown_ledger));
    inspector.add_metrics(ledger::SERVICE_METRICS, move |visit| visit(None, &shown_service));
    let (_one, _other) = (timers.timer(), timers.timer());
    timers.advance(Duration::from_millis(1500));
    let (account, greedy) = (service.account(), service.account());
    account.set(300);
    greedy.set(1001);
    let lines = lines(&inspector);
    for line in [
        "timers 2",
        "uptime_seconds 1.5",
        "peers_held_bytes 1301",
        "peers_held_limit_bytes 4000",
        "service_held_bytes 1301",
        "service_held_limit_bytes 2000",
        "overloads_total 1",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} is not among {lines:#?}");
    }
}
