use super::*;
use crate::{ConnectionUse, Histogram, Place, Rate, RequestKind, Schedule, Spacing};
use alloc::collections::VecDeque;
use alloc::vec;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn scenario(shape: Shape, seconds: u64) -> Scenario {
    let place = Place::parse("http://127.0.0.1:8080").unwrap().0;
    Scenario { shape, duration: SECOND * seconds as u32, ..Scenario::new(place, "/") }
}

fn open(rate: f64, spacing: Spacing) -> Shape {
    Shape::Open(Schedule { rate: Rate::Constant(rate), spacing })
}

fn job(next: Next) -> Job {
    let Next::Job(job) = next else { panic!("{next:?}") };
    job
}

/// A server that takes `SERVICE` for each request of a connection, and answers nothing from 3 s to 4 s.
const SERVICE: Duration = Duration::from_micros(700);
const STALL: core::ops::Range<Duration> = Duration::from_secs(3)..Duration::from_secs(4);

fn answered_at(asked: Duration) -> Duration {
    let ready = asked + SERVICE;
    if ready > STALL.start && ready < STALL.end { STALL.end } else { ready }
}

/// Runs the workload on so many connections against that server, by a clock that moves to whatever is next.
fn run(scenario: &Scenario, connections: usize) -> Recorder {
    let mut workload = Workload::new(scenario, Share::ALL, Duration::ZERO);
    let mut busy: Vec<Option<(Duration, Job)>> = vec![None; connections];
    let mut now = Duration::ZERO;
    loop {
        for connection in &mut busy {
            if let Some((_, job)) = connection.take_if(|(ready, _)| *ready <= now) {
                workload.finish(now, job, Outcome::Success);
            }
        }
        let mut at = None;
        for connection in busy.iter_mut().filter(|connection| connection.is_none()) {
            match workload.next(now) {
                Next::Job(job) => *connection = Some((answered_at(now), job)),
                Next::At(next) => at = Some(next),
                Next::Done => {}
            }
        }
        match busy.iter().flatten().map(|(ready, _)| *ready).chain(at).min() {
            Some(next) => now = next,
            None => return workload.into_recorder(),
        }
    }
}

/// The same computed from the times alone: requests in their order, each on the connection that is free first.
fn modelled(due: impl Iterator<Item = Duration>, connections: usize) -> Vec<Duration> {
    let mut free: VecDeque<Duration> = vec![Duration::ZERO; connections].into();
    let latency = |due: Duration| {
        let begins = free.pop_front().unwrap().max(due);
        let ready = answered_at(begins);
        let at = free.partition_point(|other| *other <= ready);
        free.insert(at, ready);
        ready - due
    };
    let mut latencies: Vec<_> = due.map(latency).collect();
    latencies.sort_unstable();
    latencies
}

fn assert_alike(found: &Histogram, exact: &[Duration]) {
    assert_eq!(found.count(), exact.len() as u64);
    assert_eq!((found.min(), found.max()), (exact[0], exact[exact.len() - 1]));
    for (part, whole) in [(1, 2), (3, 4), (9, 10), (99, 100), (999, 1000), (9_999, 10_000)] {
        let rank = (exact.len() as u64 * part).div_ceil(whole) as usize;
        let (exact, found) =
            (exact[rank - 1].as_secs_f64(), found.quantile(part, whole).as_secs_f64());
        assert!(found >= exact && found <= exact * 1.001, "{part}/{whole}: {found} for {exact}");
    }
}

#[test]
fn a_stall_of_one_second_is_in_the_tail_as_a_model_computes_it() {
    for spacing in [Spacing::Even, Spacing::Poisson] {
        for connections in [1, 3, 64] {
            let scenario = scenario(open(1000.0, spacing), 10);
            let Shape::Open(schedule) = &scenario.shape else { unreachable!() };
            let arrivals = Arrivals::new(schedule, scenario.duration, scenario.seed, Share::ALL);
            let exact = modelled(arrivals, connections);
            let recorder = run(&scenario, connections);
            assert_alike(&recorder.latencies(), &exact);
            // A tenth of all was due while the server stalled, half of which waited for more than half a second.
            let tail = recorder.latencies().quantile(97, 100);
            assert!(tail > Duration::from_millis(600), "{connections}: {tail:?}");
        }
    }
}

#[test]
fn a_closed_loop_hides_the_stall_as_its_label_says() {
    let recorder = run(&scenario(Shape::Closed { think: Duration::ZERO }, 10), 4);
    let latencies = recorder.latencies();
    // The last one that was made before the stall.
    assert_eq!(latencies.max(), STALL.end - SERVICE * 4285);
    // Four connections, each with one request that was late.
    assert_eq!(latencies.count_above(10 * MS), 4);
    assert!(latencies.quantile(99, 100) < MS);
}

#[test]
fn service_times_are_those_without_the_wait_for_a_connection() {
    let recorder = run(&scenario(open(1000.0, Spacing::Even), 10), 1);
    // On one connection, only one request was being served when the server stalled.
    assert_eq!(recorder.service_times().count_above(2 * MS), 1);
    assert!(recorder.latencies().count_above(2 * MS) > 1000);
}

#[test]
fn late_requests_are_due_all_the_same_and_in_order() {
    let mut workload = Workload::new(&scenario(open(10.0, Spacing::Even), 1), Share::ALL, SECOND);
    assert_eq!(workload.next(Duration::ZERO), Next::At(SECOND));
    let jobs: Vec<_> = (0..10).map(|_| job(workload.next(3 * SECOND))).collect();
    for (index, job) in jobs.iter().enumerate() {
        assert_eq!((job.due(), job.made()), (SECOND + 100 * MS * index as u32, 3 * SECOND));
    }
    assert_eq!((workload.next(3 * SECOND), workload.next_due()), (Next::Done, None));
    assert_eq!(workload.recorder().progress().open(), 10);
}

#[test]
fn what_was_due_and_not_made_has_failed_with_the_time_it_waited() {
    let mut workload =
        Workload::new(&scenario(open(10.0, Spacing::Even), 1), Share::ALL, Duration::ZERO);
    let first = job(workload.next(Duration::ZERO));
    workload.finish(MS, first, Outcome::Success);
    workload.give_up(5 * SECOND);
    let recorder = workload.recorder();
    assert_eq!(recorder.failures(Failure::Timeout), 9);
    assert_eq!((recorder.progress().unstarted, recorder.progress().open()), (9, 0));
    let latencies = recorder.latencies();
    assert_eq!((latencies.count(), latencies.max()), (10, 4900 * MS));
    assert_eq!(workload.next(5 * SECOND), Next::Done);
}

#[test]
fn failures_have_a_latency_if_an_answer_came_or_was_waited_for() {
    let scenario = scenario(Shape::Closed { think: MS }, 1);
    for failure in Failure::ALL {
        let mut workload = Workload::new(&scenario, Share::ALL, Duration::ZERO);
        let job = job(workload.next(Duration::ZERO));
        workload.finish(MS, job, Outcome::Failure(failure));
        let expected = matches!(failure, Failure::Timeout | Failure::Status | Failure::Body);
        assert_eq!(workload.recorder().latencies().count(), u64::from(expected), "{failure:?}");
        assert_eq!(
            Failure::ALL.map(|it| workload.recorder().failures(it) == 1),
            Failure::ALL.map(|it| it == failure)
        );
        assert_eq!((workload.think(), workload.next(SECOND)), (MS, Next::Done));
    }
}

#[test]
fn requests_are_chosen_by_their_weights_and_given_up_by_their_share() {
    let kind = |weight| RequestKind { weight, ..RequestKind::default() };
    let scenario = Scenario {
        requests: [kind(0), kind(1), kind(3), kind(0)].into(),
        connection: ConnectionUse { abandoned_percent: 20, ..ConnectionUse::default() },
        ..scenario(Shape::Closed { think: Duration::ZERO }, 1)
    };
    let mut workload = Workload::new(&scenario, Share::ALL, Duration::ZERO);
    let (mut counts, mut abandoned) = ([0; 4], 0);
    for _ in 0..10_000 {
        let job = job(workload.next(Duration::ZERO));
        counts[job.kind()] += 1;
        abandoned += u32::from(job.is_to_be_abandoned());
    }
    assert_eq!((counts[0], counts[3]), (0, 0));
    assert!((2300..2700).contains(&counts[1]), "{counts:?}");
    assert!((1800..2200).contains(&abandoned), "{abandoned}");
}

#[test]
fn seconds_and_shares_merge_into_the_whole() {
    let scenario = scenario(open(100.0, Spacing::Even), 3);
    let mut whole: Option<Recorder> = None;
    for index in 0..2 {
        let mut workload = Workload::new(&scenario, Share { index, of: 2 }, Duration::ZERO);
        while let Some(due) = workload.next_due() {
            let job = job(workload.next(due));
            workload.finish(due + 500 * MS, job, Outcome::Success);
        }
        let recorder = workload.into_recorder();
        match &mut whole {
            Some(whole) => whole.merge(recorder),
            None => whole = Some(recorder),
        }
    }
    let mut whole = whole.unwrap();
    let seconds: Vec<_> =
        whole.seconds().map(|(second, all)| (second.due, second.succeeded, all.count())).collect();
    assert_eq!(seconds, [(100, 50, 50), (100, 100, 100), (100, 100, 100), (0, 50, 50)]);
    assert_eq!((whole.latencies().count(), whole.progress().succeeded), (300, 300));
}
