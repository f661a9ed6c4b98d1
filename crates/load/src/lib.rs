//! Load generation without I/O: what is asked when, how long it took, and what that looks like. Time is an argument.
//!
//! ```
//! use load::{Job, Next, Outcome, Scenario, Share, Workload};
//! use core::time::Duration;
//!
//! let scenario = Scenario::parse("a.toml", "
//!     target = 'http://127.0.0.1:8080/'
//!     duration_seconds = 1
//!     [arrivals]
//!     rate = 10
//! ").unwrap();
//! let begin = Duration::from_secs(100);
//! let mut workload = Workload::new(&scenario, Share::ALL, begin);
//! // The first is due at once, the second a tenth of a second later.
//! let Next::Job(job) = workload.next(begin) else { panic!() };
//! assert_eq!(workload.next(begin), Next::At(begin + Duration::from_millis(100)));
//! // It is late: its latency counts from when it was due all the same.
//! let late = begin + Duration::from_millis(130);
//! let Next::Job(second) = workload.next(late) else { panic!() };
//! workload.finish(late + Duration::from_millis(5), second, Outcome::Success);
//! assert_eq!(workload.recorder().latencies().max(), Duration::from_millis(35));
//! # let _: Job = job;
//! ```
//!
//! | question | where |
//! |---|---|
//! | What is asked, of whom, by how many connections? | `scenario.rs`, read from TOML |
//! | When is the next request due? | `arrivals.rs`: even or random (Poisson), at a constant rate, a ramp or steps |
//! | Who asks next? | `workload.rs`: open loop by that schedule, or closed loop with think time |
//! | How long did it take? | `histogram.rs`: log-linear, three significant digits |
//! | What became of all? | `recorder.rs` and `progress.rs` while it runs, `report.rs` at the end: text, JSON, HTML |
//! | Where may load go? | `allowed.rs`: to this machine, and where the operator says |
//!
//! **Open loop**: requests are due by a schedule that the server has no say in, and a latency counts from when its request
//! was due. A server that stalls delays every request that was due meanwhile, and each of them says so. **Closed loop**:
//! a connection asks again when it has its answer, so that a stalled server is asked less (coordinated omission);
//! such latencies say what a connection saw, not what a user at a given rate would see.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod allowed;
mod arrivals;
mod histogram;
mod progress;
mod recorder;
mod report;
mod scenario;
mod workload;

pub use allowed::{Prefix, is_allowed, refusal};
pub use arrivals::{Arrivals, Rate, Schedule, Share, Spacing};
pub use histogram::Histogram;
pub use progress::ProgressLine;
pub use recorder::{Failure, Progress, Recorder};
pub use report::{ErrorReport, Latency, Report, Run, Second};
pub use scenario::{
    CONNECTIONS_MAX, ConnectionUse, Fault, GuestUse, Place, Protocol, RequestKind, Scenario,
    ScenarioError, Shape, check_field,
};
pub use workload::{Job, Next, Outcome, Workload};
