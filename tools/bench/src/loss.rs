//! `cargo xtask bench loss`: TCP on bad paths, ours and Linux's, behind one relay in one run.
//!
//! A client on the kernel's sockets, a relay between two TAPs that delays, loses and reorders frames, and behind it a
//! router with both servers: the process or the image on a TAP, and nginx over the kernel's stack. The client is the same
//! for both, as is all of the way but the server's TCP. What is measured is bytes in a bounded time, so that no row takes
//! long however bad it is.

mod network;
mod transfer;

use crate::{
    figure,
    measurements::{Line, Reach, median},
};
use command::{
    failure::{Failure, Result, fail},
    programs::{self, Install},
};
use image_builder::image;
use lab::{
    namespace::{self, NSENTER},
    peers, process,
    relay::{Bottleneck, Impairments},
};
use network::Network;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};
use transfer::{Kind, Sample};

/// The hidden verb by which the measurements run in a network namespace of their own.
pub const LOSS_VERB: &str = "bench-loss-worker";
/// All rows take about a quarter of this.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Of one measurement; less where the time is over before.
const BYTES: u64 = 128 << 20;
const MIB: f64 = (1u64 << 20) as f64;
/// Of the rows with a bottleneck.
const BOTTLENECK: Bottleneck = Bottleneck { bits_per_second: 50_000_000, queue_frames: 60 };
/// What of a frame is TCP's payload: Ethernet, IP and TCP with timestamps have 66 bytes.
const PAYLOAD: f64 = 1448.0 / 1514.0;
/// What the machine's loss of 5 % leaves to BBR, at least, of the link.
const BBR_SHARE: f64 = 0.85;
const STALL_DOWNLOADS: usize = 100;
const STALL_BYTES: u64 = 25 << 20;
/// The least timeout for retransmissions that Linux has, which it adds to the round trip.
const RTO_ABOVE_ROUND_TRIP: Duration = Duration::from_millis(200);
/// What a busy machine takes away from a client.
const SCHEDULING: Duration = Duration::from_millis(50);

/// Of the short form's measurements.
const SHORT_BYTES: u64 = 8 << 20;

/// The appliance that is measured: the trial one, which takes uploads.
pub enum Subject {
    /// The Linux process, on a TAP by its own stack.
    Process(PathBuf),
    /// The image in QEMU, on the same TAP.
    Image(PathBuf),
}

/// Which rows are measured, and how.
pub struct LossOptions {
    /// The image, and not the process.
    pub image: bool,
    /// Of both servers, and of the client.
    pub control: Control,
    /// Of one measurement, at most.
    pub seconds: u64,
    /// How often each row is measured; the median counts.
    pub rounds: usize,
    /// A hundred downloads on each of the rows, and the longest time in which nothing came.
    pub stalls: bool,
    /// Their names; none for all.
    pub rows: Vec<String>,
    /// Whether missing programs may be installed.
    pub install: Install,
}

/// Congestion control of all who send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// RFC 9438.
    Cubic,
    /// Bottleneck bandwidth and round-trip time.
    Bbr,
}

/// A path, and which way the bytes go.
struct Row {
    name: &'static str,
    what: &'static str,
    kind: Kind,
    path: Impairments,
    /// Measured where it is named, and in all rows for this control.
    only: Option<Control>,
}

const NONE: Impairments = Impairments::NONE;
const FAR: Impairments = Impairments { delay: Duration::from_millis(25), ..NONE };
const NEAR: Impairments = Impairments { delay: Duration::from_millis(5), ..NONE };
const LATE: Impairments =
    Impairments { late_per_thousand: 50, late_by: Duration::from_millis(25), ..FAR };
const NARROW: Impairments =
    Impairments { delay: Duration::from_millis(10), bottleneck: Some(BOTTLENECK), ..NONE };

const fn row(name: &'static str, what: &'static str, kind: Kind, path: Impairments) -> Row {
    Row { name, what, kind, path, only: None }
}

const ROWS: &[Row] = &[
    row("clean", "clean, down", Kind::Download, NONE),
    row("clean-up", "clean, up", Kind::Upload, NONE),
    row("loss-1", "1 % loss, down", Kind::Download, Impairments { lost_per_thousand: 10, ..NONE }),
    row("loss-5", "5 % loss, down", Kind::Download, Impairments { lost_per_thousand: 50, ..NONE }),
    row("far", "25 ms, down", Kind::Download, FAR),
    row("far-up", "25 ms, up", Kind::Upload, FAR),
    row(
        "far-loss-1",
        "25 ms, 1 % loss, down",
        Kind::Download,
        Impairments { lost_per_thousand: 10, ..FAR },
    ),
    row(
        "near-late",
        "5 ms, 0.5 % late by up to 5 ms, down",
        Kind::Download,
        Impairments { late_per_thousand: 5, late_by: Duration::from_millis(5), ..NEAR },
    ),
    row("far-late", "25 ms, 5 % late by up to 25 ms, down", Kind::Download, LATE),
    row("far-late-up", "25 ms, 5 % late by up to 25 ms, up", Kind::Upload, LATE),
    row("narrow", "50 Mbit/s, 10 ms, queue of 60, down", Kind::Download, NARROW),
    Row {
        only: Some(Control::Bbr),
        ..row(
            "narrow-loss-5",
            "50 Mbit/s, 10 ms, queue of 60, 5 % loss, down",
            Kind::Download,
            Impairments { lost_per_thousand: 50, ..NARROW },
        )
    },
];

impl Default for LossOptions {
    fn default() -> Self {
        Self {
            image: false,
            control: Control::Cubic,
            seconds: 6,
            rounds: 3,
            stalls: false,
            rows: Vec::new(),
            install: Install::Yes,
        }
    }
}

impl LossOptions {
    fn rows(&self) -> Result<Vec<&'static Row>> {
        if self.rows.is_empty() {
            let is_wanted = |row: &&Row| row.only.is_none_or(|only| only == self.control);
            return Ok(ROWS.iter().filter(is_wanted).collect());
        }
        let known = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        let named = |name: &String| {
            ROWS.iter()
                .find(|row| row.name == name)
                .ok_or_else(|| Failure(format!("there is no row `{name}`; there are {}", known())))
        };
        self.rows.iter().map(named).collect()
    }
}

impl Control {
    /// The kernel's name for it, and appliance.toml's.
    fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }
}

impl FromStr for Control {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cubic" => Ok(Self::Cubic),
            "bbr" => Ok(Self::Bbr),
            _ => fail!("--control: found `{text}`; allowed: cubic or bbr"),
        }
    }
}

/// Builds, then measures in a namespace of its own.
///
/// # Errors
///
/// Something is missing, does not build or does not end.
pub fn loss(options: &LossOptions, words: &[OsString]) -> Result<ExitCode> {
    options.rows()?;
    programs::need(&[&programs::IP, &NSENTER], options.install)?;
    peers::prepare(&["http/nginx"], options.install)?;
    let subject = if options.image {
        programs::need(&[&programs::QEMU], options.install)?;
        image::build(&image::Options::trial(), options.install)?.shipped
    } else {
        process::build_trial()?
    };
    let verb = [OsString::from(LOSS_VERB), subject.into_os_string()];
    namespace::again(verb.iter().chain(words), LIMIT)
}

/// Measures; runs in the namespace that [`loss`] made.
///
/// # Errors
///
/// A server does not start or answer.
pub fn loss_worker(subject: &Path, options: &LossOptions) -> Result<ExitCode> {
    let form = if options.image { Subject::Image } else { Subject::Process };
    let network = Network::start(&form(subject.to_owned()), options.control, BYTES)?;
    println!("{}", network.describe()?);
    if options.stalls {
        return stalls(&network, options);
    }
    println!("MiB/s; medians of {}, interleaved", options.rounds);
    println!("{:<50} {:>12} {:>12} {:>8}  reach", "one-way delay", "ours", "Linux", "ratio");
    let mut failed = false;
    for row in options.rows()? {
        match measure(&network, row, options) {
            Ok(line) => crate::print(&line),
            Err(failure) => {
                failed = true;
                println!("{:<50} {failure}", row.what);
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A short form for tests, which have a namespace of their own: of each of these rows our rate over Linux's, by a few
/// transfers of a small file.
///
/// # Errors
///
/// A server does not start or answer.
pub fn loss_ratios(subject: &Subject, rows: &[&str]) -> Result<Vec<(&'static str, f64)>> {
    let rows = rows.iter().map(|row| (*row).to_owned()).collect();
    let options = LossOptions { seconds: 4, rows, ..LossOptions::default() };
    let network = Network::start(subject, options.control, SHORT_BYTES)?;
    let ratio = |row: &'static Row| {
        let line = measure(&network, row, &options)?;
        Ok((row.name, line.ours / line.peer.unwrap_or(f64::NAN)))
    };
    options.rows()?.into_iter().map(ratio).collect()
}

/// Ours, Linux, ours, Linux, with the same frames lost for both.
fn measure(network: &Network, row: &Row, options: &LossOptions) -> Result<Line> {
    let mut rates = [const { Vec::new() }; 2];
    let limit = Duration::from_secs(options.seconds);
    for round in 0..options.rounds {
        for (rates, server) in rates.iter_mut().zip(network.servers()) {
            let path = Impairments { seed: round as u64 + 1, ..row.path.clone() };
            let sample = network.transfer(server, row.kind, path, network.bytes(), limit)?;
            rates.push(sample.bytes as f64 / MIB / sample.time.as_secs_f64());
        }
    }
    let [ours, peer] = rates.each_mut().map(|rates| median(rates));
    let reach = match (options.control, &row.path.bottleneck) {
        (Control::Bbr, Some(link)) if row.only == Some(Control::Bbr) => {
            Reach::AtLeast(BBR_SHARE * link.bits_per_second as f64 / 8.0 / MIB * PAYLOAD)
        }
        (Control::Bbr, _) => Reach::Any,
        // An emulated processor against this one.
        (Control::Cubic, _) if options.image => Reach::Any,
        (Control::Cubic, _) => Reach::TimesPeer(1.0),
    };
    Ok(Line { what: row.what.into(), ours, peer: Some(peer), reach })
}

/// A hundred downloads of 25 MiB: how long nothing came, at most, and how often that was longer than a timeout.
fn stalls(network: &Network, options: &LossOptions) -> Result<ExitCode> {
    println!(
        "longest time without a byte in {STALL_DOWNLOADS} downloads of {} MiB, ms; those longer than an RTO",
        STALL_BYTES >> 20
    );
    println!("{:<50} {:>16} {:>16}", "one-way delay", "ours", "Linux");
    let mut failed = false;
    for row in options.rows()?.iter().filter(|row| row.kind == Kind::Download) {
        let rto = row.path.delay * 2 + queueing(&row.path) + RTO_ABOVE_ROUND_TRIP + SCHEDULING;
        let limit = Duration::from_secs(options.seconds);
        let mut cells = [const { String::new() }; 2];
        for (index, (cell, server)) in cells.iter_mut().zip(network.servers()).enumerate() {
            let mut samples = Vec::new();
            for number in 0..STALL_DOWNLOADS {
                let path = Impairments { seed: number as u64 + 1, ..row.path.clone() };
                samples.push(network.transfer(server, row.kind, path, STALL_BYTES, limit)?);
            }
            let longest = samples.iter().map(|sample| sample.longest_silence).max();
            let longer = |sample: &&Sample| sample.longest_silence > rto;
            let count = samples.iter().filter(longer).count();
            failed |= index == 0 && count > 0;
            let longest = longest.unwrap_or_default().as_secs_f64() * 1e3;
            *cell = format!("{} ({count})", figure(longest));
        }
        println!("{:<50} {:>16} {:>16}", row.what, cells[0], cells[1]);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a full queue adds to the round trip.
fn queueing(path: &Impairments) -> Duration {
    let Some(link) = &path.bottleneck else { return Duration::ZERO };
    let bits = link.queue_frames as u64 * 1514 * 8;
    Duration::from_secs_f64(bits as f64 / link.bits_per_second as f64)
}
