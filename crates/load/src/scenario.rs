//! Scenario: what is asked, of whom, by how many connections and for how long. A small TOML file, or what a command line says.

mod check;
mod field;
mod place;
mod read;

pub use field::check_field;
pub use place::{Place, Protocol};
pub use read::{Fault, ScenarioError};

use crate::{Prefix, Schedule};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Connections of one generator at most. One address of ours has some 28,000 ports for one address of a server's unless the
/// system is told otherwise; beyond 65,535 there are none.
pub const CONNECTIONS_MAX: u32 = 1_000_000;
/// Kinds of requests in one scenario.
const REQUESTS_MAX: usize = 64;

/// What is asked, of whom, by how many connections and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Where the server is, and by which protocol it is asked.
    pub place: Place,
    /// The path of the target: what HTTP asks for where a request does not say, and the service of Cap'n Proto.
    pub path: String,
    /// When requests are made.
    pub shape: Shape,
    /// Of the run, from the first request's time on. What is open at its end is waited for, as long as its timeout.
    pub duration: Duration,
    /// Between the sending of a request and the last byte of its answer; and for a connection to be opened.
    pub timeout: Duration,
    /// Connections that ask.
    pub connections: u32,
    /// What they do beside asking.
    pub connection: ConnectionUse,
    /// Of the random numbers: the same gives the same times and choices.
    pub seed: u64,
    /// What is asked; at least one.
    pub requests: Vec<RequestKind>,
    /// What the generator as an image does beside; programs have options for that.
    pub guest: GuestUse,
}

/// When requests are made.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// By a schedule: latency counts from when a request was due.
    Open(Schedule),
    /// When the connection has its last answer, and has thought so long.
    Closed {
        /// From an answer to the next request.
        think: Duration,
    },
}

impl Shape {
    /// `open` or `closed`, as results are labelled.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Closed { .. } => "closed",
        }
    }
}

/// What connections do beside asking.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionUse {
    /// Requests that are under way on one connection at most. Default 1: the next waits for the answer.
    pub pipelining: u16,
    /// Requests after which a connection is closed and another opened for the next; the time that takes is part of that request's
    /// latency. 0, the default: as long as the server leaves it open.
    pub requests_max: u32,
    /// How fast answers are read, bytes per second. 0, the default: as fast as they come.
    pub read_bytes_per_second: u32,
    /// How fast requests are written, bytes per second. 0, the default: as fast as the server takes them.
    pub write_bytes_per_second: u32,
    /// Of a hundred requests so many are given up, by a reset, as soon as they are sent.
    pub abandoned_percent: u8,
    /// Connections beside the others that send the first line of a request, and never its end.
    pub half_open: u32,
    /// Cookies that the server sets are sent back, each connection being a visitor of its own.
    pub cookies: bool,
}

impl Default for ConnectionUse {
    fn default() -> Self {
        Self {
            pipelining: 1,
            requests_max: 0,
            read_bytes_per_second: 0,
            write_bytes_per_second: 0,
            abandoned_percent: 0,
            half_open: 0,
            cookies: false,
        }
    }
}

/// What the generator does as an image, which has no command line for it.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestUse {
    /// How the target is reached, if not by its address: a target of a connector, as `service://http@alpha` or `shm:http`.
    pub via: Option<String>,
    /// Where load may go beside the guest itself and what shares memory with it.
    pub allow: Vec<Prefix>,
    /// Whether the machine is switched off when the results are there: with a failure, if a request failed.
    pub power_off: bool,
    /// How long the server is waited for at the start.
    pub wait: Duration,
}

impl Default for GuestUse {
    fn default() -> Self {
        let wait = Duration::from_secs(30);
        Self { via: None, allow: Vec::new(), power_off: false, wait }
    }
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestKind {
    /// By which results call it.
    pub name: String,
    /// How often it is made, beside the others' weights.
    pub weight: u32,
    /// HTTP's method.
    pub method: String,
    /// HTTP's path, with a query if there is one.
    pub path: String,
    /// Further fields of an HTTP request. `Host` is in place of the target's, the last one of them.
    pub headers: Vec<(String, String)>,
    /// The content of an HTTP request; the message to a ZeroMQ socket.
    pub body: String,
    /// The status that an answer must have. None: any from 200 to 399.
    pub expect_status: Option<u16>,
    /// What an answer's content must contain, within its first 64 KiB.
    pub expect_body: Option<String>,
    /// The interface and method of a Cap'n Proto call without parameters, made to the bootstrap object.
    pub call: Option<(u64, u16)>,
}

impl Default for RequestKind {
    fn default() -> Self {
        Self {
            name: "/".to_owned(),
            weight: 1,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            expect_status: None,
            expect_body: None,
            call: None,
        }
    }
}

impl Scenario {
    /// Largest file, bytes: bodies are part of it.
    pub const FILE_BYTES_MAX: usize = 1 << 20;

    /// What is meant when nothing but the place is said: 64 connections for 10 s, each of which asks as soon as it has an answer.
    pub fn new(place: Place, path: &str) -> Self {
        let path = path.to_owned();
        Self {
            place,
            path: path.clone(),
            shape: Shape::Closed { think: Duration::ZERO },
            duration: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            connections: 64,
            connection: ConnectionUse::default(),
            seed: 1,
            requests: [RequestKind { name: path.clone(), path, ..RequestKind::default() }].into(),
            guest: GuestUse::default(),
        }
    }

    /// Reads a scenario. `file` names it in errors.
    ///
    /// # Errors
    /// All that is not TOML, or all that is not known, missing or out of range, each with its line and what is allowed.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        read::scenario(file, text)
    }

    /// The same of a file's bytes.
    ///
    /// # Errors
    /// They are too many, or not UTF-8; or as [`parse`](Self::parse).
    pub fn of_bytes(file: &str, bytes: &[u8]) -> Result<Self, ScenarioError> {
        if bytes.len() > Self::FILE_BYTES_MAX {
            let sentence =
                format!("found {} bytes; allowed: {}", bytes.len(), Self::FILE_BYTES_MAX);
            return Err(ScenarioError::new(file, 1, sentence));
        }
        match core::str::from_utf8(bytes) {
            Ok(text) => Self::parse(file, text),
            Err(error) => {
                let before = bytes.get(..error.valid_up_to()).unwrap_or(&[]);
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                let sentence = "no text in UTF-8".to_owned();
                Err(ScenarioError::new(file, line, sentence))
            }
        }
    }

    /// What does not go together, whoever said it.
    ///
    /// # Errors
    /// A line for each fault, with what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let faults = check::faults(self);
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }
}
