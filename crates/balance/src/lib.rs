//! Load balancing: which of several places gets the next request, which is left out because it fails, and whether a
//! request may be tried again. Without I/O: time and random words are arguments.
//!
//! A [`Balancer`] knows the places of one service. Each request takes a [`Ticket`] for the place that it goes to, and gives
//! it back with its [`Outcome`], by which the place's health, its latency and the share of retries are known.
//!
//! ```
//! use balance::{Balancer, Config, Outcome, Place};
//! use core::time::Duration;
//!
//! let mut balancer = Balancer::new(Config::default());
//! let places = ["10.9.0.2:80", "10.9.0.3:80"].map(|target| Place::new(target, 1));
//! balancer.set_places(Duration::ZERO, &places);
//!
//! let ticket = balancer.choose(Duration::from_secs(1), 4, None).unwrap();
//! let other = balancer.choose(Duration::from_secs(1), 4, None).unwrap();
//! assert_ne!(ticket.target(), other.target(), "the first has a request already");
//! balancer.finish(Duration::from_secs(2), ticket, Outcome::Success);
//! balancer.finish(Duration::from_secs(2), other, Outcome::Failure);
//! ```
//!
//! | question | answer | where |
//! |---|---|---|
//! | Which place? | least outstanding, round robin, weighted random or consistent hash | `choice.rs` |
//! | Who is left out? | places that failed again and again, or that probes find ill, but never most of them | `health.rs` |
//! | For how long? | longer each time, and a place that returns gets its share little by little | `health.rs` |
//! | Is a failed request tried again? | within a share of all requests | `budget.rs` |
//! | Is a slow one tried elsewhere? | after a percentile of the latencies, within the same share | `quantile.rs` |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod balancer;
mod budget;
mod choice;
mod config;
mod health;
mod latency;
mod place;
mod quantile;
mod window;

pub use balancer::{Balancer, Event, NoPlace, NotAgain, Outcome, Ticket};
pub use choice::hash_key;
pub use config::{Config, Ejection, Policy, Probes, Retries, UnknownPolicy};
pub use place::{Place, PlaceId, PlaceInfo, State};
