//! Measurements: the rows of the table, what each measures, on which system, and the figure to reach.

use super::{
    counter::Plugin,
    disk::disk,
    load::{self, Reuse},
    system_under_test::{CONNECT_LIMIT, Site, SystemUnderTest},
};
use command::failure::{Failure, Result, fail};
use image_builder::image;
use lab::{guest::Guest, load as crowd};
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

pub(crate) const MEMORY_MIB: u32 = 256;

/// What a row is given.
pub(crate) struct Field {
    pub(crate) ours: SystemUnderTest,
    /// None with `--ours-only`.
    pub(crate) peer: Option<SystemUnderTest>,
    /// It is among our image's services.
    pub(crate) has_fastcgi: bool,
    pub(crate) plugin: Plugin,
    /// Length of one load phase.
    pub(crate) seconds: u64,
    pub(crate) rounds: usize,
}

/// One printed line.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) ours: f64,
    pub(crate) peer: Option<f64>,
    pub(crate) reach: Reach,
}

/// The figure asked for.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    AtMost(f64),
    AtLeast(f64),
    /// This many times the peer's, in the same run.
    TimesPeer(f64),
    /// None: for comparison.
    Any,
}

/// A name for the command line and how to measure it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measure: fn(&Field) -> Result<Vec<Line>>,
}

/// The row that needs our RPC peer.
pub(crate) const RPC_GUEST: &str = "rpc-guest";

/// The row about two images, whichever is measured.
pub(crate) const SIZE: &str = "size";

/// The row that needs a disk's image.
pub(crate) const DISK: &str = "disk";

pub(crate) const ROWS: &[Row] = &[
    Row { name: SIZE, measure: size },
    Row { name: "boot", measure: boot },
    Row { name: "memory", measure: memory },
    Row { name: "instructions", measure: instructions },
    Row { name: RPC_GUEST, measure: rpc_guest },
    Row { name: "load", measure: load },
    Row { name: "idle", measure: idle },
    Row { name: "crowd", measure: crowd },
    Row { name: "churn", measure: churn },
    Row { name: DISK, measure: disk },
];

impl Field {
    pub(crate) fn systems(&self) -> impl Iterator<Item = &SystemUnderTest> {
        std::iter::once(&self.ours).chain(&self.peer)
    }

    /// Measures on each in turn, several rounds: the medians, ours first.
    fn interleaved(
        &self,
        rounds: usize,
        mut measure: impl FnMut(&SystemUnderTest) -> Result<f64>,
    ) -> Result<Vec<f64>> {
        let mut values = vec![Vec::new(); self.systems().count()];
        for _ in 0..rounds {
            for (values, system) in values.iter_mut().zip(self.systems()) {
                values.push(measure(system)?);
            }
        }
        Ok(values.iter_mut().map(|values| median(values)).collect())
    }
}

pub(crate) fn line(what: impl Into<String>, values: &[f64], reach: Reach) -> Line {
    Line {
        what: what.into(),
        ours: values.first().copied().unwrap_or(f64::NAN),
        peer: values.get(1).copied(),
        reach,
    }
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn size(field: &Field) -> Result<Vec<Line>> {
    let [http_only, all] =
        [image::Options::http_only(), image::Options::default()].map(|options| options.image());
    let (http_only, all) = (http_only?, all?);
    let ours = |kernel: &Path| field.ours.size_bytes(kernel);
    let peers = field.peer.as_ref().map(|peer| peer.size_bytes(&peer.kernel));
    let row = |what: &str, kernel: &Path, reach| Line {
        what: format!("kernel + initrd, {what}, bytes"),
        ours: ours(kernel),
        peer: peers,
        reach,
    };
    Ok(vec![
        row("HTTP only", &http_only.shipped, Reach::AtMost(700e3)),
        row("HTTP only, unpacked", &http_only.unpacked, Reach::Any),
        row("all services", &all.shipped, Reach::Any),
        row("all services, unpacked", &all.unpacked, Reach::Any),
    ])
}

fn boot(field: &Field) -> Result<Vec<Line>> {
    let [http_only, all] =
        [image::Options::http_only(), image::Options::default()].map(|options| options.image());
    let mut starts = vec![(&field.ours, http_only?.shipped), (&field.ours, all?.shipped)];
    starts.extend(field.peer.as_ref().map(|peer| (peer, peer.kernel.clone())));
    let mut took = vec![Vec::new(); starts.len()];
    for _ in 0..field.rounds + 2 {
        for ((system, kernel), took) in starts.iter().zip(&mut took) {
            let (_guest, time) = system.serve_by(kernel, MEMORY_MIB, Site::Small, None)?;
            took.push(time.as_secs_f64() * 1e3);
        }
    }
    let took: Vec<f64> = took.iter_mut().map(|took| median(took)).collect();
    let peers = &took[2..];
    let reach = if field.ours.machine == lab::qemu::Machine::Microvm { 90.0 } else { 130.0 };
    let row = |what: &str, ours: f64, reach| {
        line(format!("exec to first 200, {what}, ms"), &[&[ours], peers].concat(), reach)
    };
    Ok(vec![
        row("HTTP only", took[0], Reach::AtMost(reach)),
        row("all services", took[1], Reach::Any),
    ])
}

/// The least `-m` with which fifty requests are answered, by halving.
fn memory(field: &Field) -> Result<Vec<Line>> {
    let mut values = Vec::new();
    for system in field.systems() {
        let (mut fails, mut serves) = (1, MEMORY_MIB);
        while serves - fails > 1 {
            let middle = fails.midpoint(serves);
            if serves_with(system, middle) {
                serves = middle;
            } else {
                fails = middle;
            }
        }
        values.push(f64::from(serves));
    }
    Ok(vec![line("smallest -m that serves, MiB", &values, Reach::AtMost(8.0))])
}

fn serves_with(system: &SystemUnderTest, memory_mib: u32) -> bool {
    let Ok(mut guest) = system.start(memory_mib, Site::Small, None) else {
        return false;
    };
    let answered = system.first_answer(&mut guest, Duration::from_secs(20), CONNECT_LIMIT).is_ok();
    answered && load::in_turn(system.server(), 50).is_ok()
}

/// The figures that hold on a busy machine.
fn instructions(field: &Field) -> Result<Vec<Line>> {
    let mut columns = Vec::new();
    for system in field.systems() {
        let mut figures = vec![boot_instructions(field, system)?];
        let counter = field.plugin.counter(system.name)?;
        let (_guest, _) = system.serve(MEMORY_MIB, Site::Bulk, Some(&counter))?;
        let server = system.server();
        load::wrk(server, 4, 1, Reuse::Keep)?;
        let mut phase = |work: &dyn Fn() -> Result<f64>| -> Result {
            let mut values = Vec::new();
            for _ in 0..field.rounds {
                std::thread::sleep(Duration::from_millis(200));
                let before = counter.now()?;
                let units = work()?;
                values.push((counter.now()? - before) as f64 / units);
            }
            figures.push(median(&mut values));
            Ok(())
        };
        phase(&|| load::in_turn(server, 1000).map(|()| 1000.0))?;
        phase(&|| load::wrk(server, 64, field.seconds, Reuse::Keep).map(|wrk| wrk.requests))?;
        let vary = Reuse::KeepAndVary;
        phase(&|| load::wrk(server, 64, field.seconds, vary).map(|wrk| wrk.requests))?;
        phase(&|| load::wrk(server, 4, field.seconds, Reuse::New).map(|wrk| wrk.requests))?;
        phase(&|| load::bulk(server).map(|(mib, _)| mib))?;
        if system.name == field.ours.name && field.has_fastcgi {
            phase(&|| load::fastcgi_in_turn(system.fastcgi(), 1000).map(|()| 1000.0))?;
        }
        columns.push(figures);
    }
    let names = [
        ("guest instructions to first 200", Reach::AtMost(3e6)),
        ("instructions per request, one at a time", Reach::AtMost(5e3)),
        ("instructions per request, 64 connections", Reach::AtMost(3.5e3)),
        ("  if no two are alike", Reach::Any),
        ("instructions per request, new connection each", Reach::AtMost(14e3)),
        ("instructions per MiB of bulk", Reach::AtMost(150e3)),
        ("instructions per request by FastCGI, one at a time", Reach::AtMost(5e3)),
    ];
    let values = |index: usize| {
        columns.iter().filter_map(|figures| figures.get(index).copied()).collect::<Vec<_>>()
    };
    Ok(names
        .iter()
        .enumerate()
        .filter(|(index, _)| !values(*index).is_empty())
        .map(|(index, (what, reach))| line(*what, &values(index), *reach))
        .collect())
}

/// With the small site: what the bulk file's copy costs is no part of a boot.
fn boot_instructions(field: &Field, system: &SystemUnderTest) -> Result<f64> {
    let start = || -> Result<f64> {
        let counter = field.plugin.counter("boot")?;
        let (_guest, _) = system.serve(MEMORY_MIB, Site::Small, Some(&counter))?;
        Ok(counter.now()? as f64)
    };
    Ok(median(&mut [start()?, start()?, start()?]))
}

/// A guest's instructions for each RPC call, alone and with others sent together with it.
fn rpc_guest(field: &Field) -> Result<Vec<Line>> {
    let counter = field.plugin.counter("rpc")?;
    let (_guest, _) = field.ours.serve(MEMORY_MIB, Site::Small, Some(&counter))?;
    let server = SocketAddr::from((field.ours.address, super::RPC_PORT));
    let cost = |in_flight| -> Result<f64> {
        let mut values = Vec::new();
        for _ in 0..field.rounds {
            let counted = |calls| -> Result<f64> {
                let before = counter.now()?;
                load::rpc_calls(server, calls, in_flight)?;
                Ok((counter.now()? - before) as f64)
            };
            // The difference of two, so that the connection's begin and end do not count.
            let (short, long) = (counted(1_200)?, counted(4_800)?);
            values.push((long - short) / 3_600.0);
        }
        Ok(median(&mut values))
    };
    Ok(vec![
        line("instructions per RPC call, one at a time", &[cost(1)?], Reach::AtMost(6e3)),
        line("instructions per RPC call, 12 in flight", &[cost(12)?], Reach::AtMost(3.5e3)),
    ])
}

fn load(field: &Field) -> Result<Vec<Line>> {
    let guests = all_up(field)?;
    for system in field.systems() {
        load::wrk(system.server(), 4, 1, Reuse::Keep)?;
    }
    let seconds = field.seconds;
    let rate = |connections, reuse| {
        field.interleaved(field.rounds, |system| {
            load::wrk(system.server(), connections, seconds, reuse).map(|wrk| wrk.per_second)
        })
    };
    let one = rate(1, Reuse::Keep)?;
    let many = rate(64, Reuse::Keep)?;
    let new = rate(16, Reuse::New)?;
    let bulk = field.interleaved(field.rounds + 2, |system| {
        load::bulk(system.server()).map(|(_, per_second)| per_second)
    })?;
    drop(guests);
    Ok(vec![
        line("requests/s, 1 connection", &one, Reach::TimesPeer(3.0)),
        line("requests/s, 64 connections", &many, Reach::TimesPeer(3.0)),
        line("requests/s, new connection each", &new, Reach::TimesPeer(4.0)),
        line("bulk, MiB/s", &bulk, Reach::TimesPeer(1.5)),
    ])
}

fn all_up(field: &Field) -> Result<Vec<Guest>> {
    field
        .systems()
        .map(|system| system.serve(MEMORY_MIB, Site::Bulk, None).map(|(guest, _)| guest))
        .collect()
}

fn idle(field: &Field) -> Result<Vec<Line>> {
    let guests = all_up(field)?;
    std::thread::sleep(Duration::from_secs(3));
    let used = |guest: &Guest| load::cpu_time(guest.process_id());
    let before = guests.iter().map(used).collect::<Result<Vec<_>>>()?;
    let started = Instant::now();
    std::thread::sleep(Duration::from_secs(20));
    let after = guests.iter().map(used).collect::<Result<Vec<_>>>()?;
    let percent = |(before, after): (&Duration, &Duration)| {
        100.0 * (*after - *before).as_secs_f64() / started.elapsed().as_secs_f64()
    };
    let values: Vec<_> = before.iter().zip(&after).map(percent).collect();
    Ok(vec![line("idle host CPU, %", &values, Reach::AtMost(0.05))])
}

const IDLE_CONNECTIONS: usize = 10_000;
const MOST_CONNECTIONS: usize = 50_000;
/// Of the guest that holds them.
const MOST_MEMORY_MIB: u32 = 128;

/// What idle connections cost: instructions of the requests beside them, and memory.
fn crowd(field: &Field) -> Result<Vec<Line>> {
    let (mut ratios, mut bytes) = (Vec::new(), Vec::new());
    for system in field.systems() {
        let counter = field.plugin.counter(system.name)?;
        let (guest, _) = system.serve(MEMORY_MIB, Site::Small, Some(&counter))?;
        let server = system.server();
        let cost = || -> Result<f64> {
            let before = counter.now()?;
            load::in_turn(server, 1000)?;
            Ok((counter.now()? - before) as f64)
        };
        load::in_turn(server, 200)?;
        let alone = median(&mut [cost()?, cost()?, cost()?]);
        let resident = load::guest_resident_bytes(guest.process_id(), MEMORY_MIB)?;
        let mut connections = crowd::open(server, IDLE_CONNECTIONS)?;
        crowd::ask_each(&mut connections, server, "/")?;
        std::thread::sleep(Duration::from_secs(1));
        let grown =
            load::guest_resident_bytes(guest.process_id(), MEMORY_MIB)?.saturating_sub(resident);
        bytes.push(grown as f64 / IDLE_CONNECTIONS as f64);
        let beside = median(&mut [cost()?, cost()?, cost()?]);
        ratios.push(beside / alone);
    }
    Ok(vec![
        line("instructions per request with 10,000 idle / none", &ratios, Reach::AtMost(1.05)),
        line("bytes of memory per idle connection", &bytes, Reach::AtMost(3072.0)),
        line(
            format!("connections held in {MOST_MEMORY_MIB} MiB"),
            &[most(field)? as f64],
            Reach::AtLeast(MOST_CONNECTIONS as f64),
        ),
    ])
}

/// How many of fifty thousand connections are all answered, in steps. Each step is a process: a process may have fewer
/// open files than that.
fn most(field: &Field) -> Result<usize> {
    const STEP: usize = 5_000;
    let (_guest, _) = field.ours.serve(MOST_MEMORY_MIB, Site::Small, None)?;
    let mut holders = Vec::new();
    while holders.len() * STEP < MOST_CONNECTIONS {
        match load::Holder::start(field.ours.server(), STEP) {
            Ok(holder) => holders.push(holder),
            Err(_) => break,
        }
    }
    Ok(holders.len() * STEP)
}

const CHURN_MINUTES: usize = 5;

/// The fifth minute against the first, of a new connection for each request.
fn churn(field: &Field) -> Result<Vec<Line>> {
    let counter = field.plugin.counter("churn")?;
    let (_guest, _) = field.ours.serve(MEMORY_MIB, Site::Small, Some(&counter))?;
    let server = field.ours.server();
    load::wrk(server, 4, 2, Reuse::New)?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..CHURN_MINUTES {
        let before = counter.now()?;
        let wrk = load::wrk(server, 4, 60, Reuse::New)?;
        costs.push((counter.now()? - before) as f64 / wrk.requests);
        rates.push(wrk.per_second);
    }
    let last_to_first = |values: &[f64]| match values {
        [first, .., last] => Ok(last / first),
        _ => fail!("churn ran for too short a time"),
    };
    Ok(vec![
        line(
            "requests/s in the 5th minute of churn / the 1st",
            &[last_to_first(&rates)?],
            Reach::AtLeast(0.98),
        ),
        line(
            "instructions per request, 5th minute / 1st",
            &[last_to_first(&costs)?],
            Reach::AtMost(1.05),
        ),
    ])
}

impl Reach {
    /// Whether a line has it; `None` where there is no peer to compare with.
    pub(crate) fn is_met(self, line: &Line) -> Option<bool> {
        match self {
            Self::AtMost(figure) => Some(line.ours <= figure),
            Self::AtLeast(figure) => Some(line.ours >= figure),
            Self::TimesPeer(times) => line.peer.map(|peer| line.ours >= times * peer),
            Self::Any => Some(true),
        }
    }
}

/// The row of that name.
pub(crate) fn named(name: &str) -> Result<&'static Row> {
    let known = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    ROWS.iter()
        .find(|row| row.name == name)
        .ok_or_else(|| Failure(format!("there is no row `{name}`; there are {}", known())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_targets() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        let met = |reach: Reach, ours, peer| {
            reach.is_met(&Line { what: String::new(), ours, peer, reach })
        };
        assert_eq!(met(Reach::AtMost(5.0), 5.0, None), Some(true));
        assert_eq!(met(Reach::AtLeast(0.98), 0.9, None), Some(false));
        assert_eq!(met(Reach::TimesPeer(3.0), 30.0, Some(10.0)), Some(true));
        assert_eq!(met(Reach::TimesPeer(3.0), 30.0, None), None);
    }
}
