//! xenstore client: the tree of small values by which domains and the toolstack find each other
//! (Xen, docs/misc/xenstore.txt and xenstore-ring.txt, public/io/xs_wire.h).
//!
//! Requests are futures, several may be under way, and whoever runs them calls [`Store::poll`] in
//! its loop. The daemon is trusted no more than any other domain: what it answers is checked, and
//! one that breaks the protocol is reconnected to where it offers that, else given up.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod client;
pub mod control;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod services;
#[cfg(test)]
mod tests;
mod watch;
mod wire;
pub mod xenbus;

pub use watch::Watch;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use client::Client;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context as TaskContext, Poll, Waker};
use core::time::Duration;
use machine::xen::store_ring::StoreRing;
use spinning_top::Spinlock;
use wire::Kind;

/// Longest value, list or path with value that fits a message, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 4096;
/// How often a transaction is tried before it is reported as [`Error::Again`]. Each loss means that
/// another domain has won.
const TRANSACTION_TRIES_MAX: u32 = 100;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such node.
    NotFound,
    /// The node is another domain's.
    NotPermitted,
    /// The node is there already.
    Exists,
    /// Something else has changed what the transaction touched: do it again.
    Again,
    /// The domain has as many nodes, watches or transactions as it may.
    NoSpace,
    /// The message would be longer than [`PAYLOAD_BYTES_MAX`], or the answer is.
    TooLong,
    /// The daemon does not know the request.
    Unsupported,
    /// The daemon finds the request wrong, or cannot do it for a reason of its own.
    Refused,
    /// The answer is not what the request is answered with.
    Malformed,
    /// The connection broke and was made anew: whether the request was done is unknown.
    Disconnected,
    /// The connection is broken for good, or there is none.
    Broken,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such node",
            Self::NotPermitted => "not permitted",
            Self::Exists => "exists already",
            Self::Again => "changed by others meanwhile",
            Self::NoSpace => "no room for more",
            Self::TooLong => "too long",
            Self::Unsupported => "not supported",
            Self::Refused => "refused",
            Self::Malformed => "malformed answer",
            Self::Disconnected => "disconnected",
            Self::Broken => "no connection to xenstore",
        })
    }
}

impl core::error::Error for Error {}

/// What the connection did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were sent.
    pub requests: u64,
    /// Events of watches.
    pub events: u64,
    /// Messages that answer nothing that was asked, or make no sense.
    pub strays: u64,
    /// Times that the connection was made anew.
    pub reconnections: u64,
}

/// A connection, or a transaction on it. Clones share it. Paths are relative to the domain's own
/// folder unless they begin with `/`.
#[derive(Clone)]
pub struct Store {
    client: Arc<Spinlock<Client>>,
    /// 0 outside of transactions.
    transaction: u32,
}

impl Store {
    /// The connection that the toolstack made for this domain; `None` without Xen. To be called
    /// once: a ring has one client.
    pub fn connect() -> Option<Self> {
        Some(Self::over(StoreRing::find()?))
    }

    fn over(ring: StoreRing) -> Self {
        Self { client: Arc::new(Spinlock::new(Client::new(ring))), transaction: 0 }
    }

    /// Moves messages between futures and ring; cheap when there are none. True when a future was
    /// woken.
    pub fn poll(&self) -> bool {
        self.client.lock().poll()
    }

    /// Runs a future to its end, idling between answers; `None` when `limit` has passed before. For
    /// the start of the machine, when nothing else runs.
    pub fn block_on<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let deadline = machine::clock::now() + limit;
        let mut future = pin!(future);
        let mut cx = TaskContext::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return Some(value);
            }
            if machine::clock::now() >= deadline {
                return None;
            }
            if !self.poll() {
                machine::idle::wait(Some(deadline));
                self.poll();
            }
        }
    }

    /// Connects again in a domain that was restored ([`machine::xen::suspend`]). What was under way is answered by
    /// [`Error::Disconnected`]; watches go on, and each tells something.
    pub fn restored(&self) {
        self.client.lock().restored();
    }

    /// What it did so far.
    pub fn counters(&self) -> Counters {
        self.client.lock().counters()
    }

    /// A node's value.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.request(Kind::Read, &[path.as_bytes(), b"\0"]).await
    }

    /// A node's value as text.
    pub async fn read_text(&self, path: &str) -> Result<String, Error> {
        String::from_utf8(self.read(path).await?).map_err(|_| Error::Malformed)
    }

    /// A node's value as a decimal number.
    pub async fn read_number(&self, path: &str) -> Result<u32, Error> {
        self.read_text(path).await?.trim().parse().map_err(|_| Error::Malformed)
    }

    /// The values of several nodes, in one round trip.
    pub async fn read_each(&self, paths: &[String]) -> Vec<Result<Vec<u8>, Error>> {
        let requests: Vec<[&[u8]; 3]> =
            paths.iter().map(|path| [path.as_bytes(), b"\0".as_slice(), b""]).collect();
        self.request_each(Kind::Read, &requests).await
    }

    /// Sets several nodes in that order, in one round trip. The first failure is told; those after
    /// it are set all the same.
    pub async fn write_each(&self, nodes: &[(String, String)]) -> Result<(), Error> {
        let requests: Vec<[&[u8]; 3]> = nodes
            .iter()
            .map(|(path, value)| [path.as_bytes(), b"\0".as_slice(), value.as_bytes()])
            .collect();
        let answers = self.request_each(Kind::Write, &requests).await;
        answers.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }

    /// Sets a node's value, making it and its parents where they are missing.
    pub async fn write(&self, path: &str, value: &[u8]) -> Result<(), Error> {
        self.request(Kind::Write, &[path.as_bytes(), b"\0", value]).await.map(drop)
    }

    /// Makes an empty node, if it is not there.
    pub async fn make(&self, path: &str) -> Result<(), Error> {
        self.request(Kind::MakeFolder, &[path.as_bytes(), b"\0"]).await.map(drop)
    }

    /// Removes a node and all below it; one that is not there counts as removed.
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        match self.request(Kind::Remove, &[path.as_bytes(), b"\0"]).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The names of a node's children, sorted as the daemon has them. A list that is longer than a
    /// message comes in parts, all of one generation.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, Error> {
        match self.request(Kind::Directory, &[path.as_bytes(), b"\0"]).await {
            Ok(list) => names(&list),
            Err(Error::TooLong) => self.directory_in_parts(path).await,
            Err(error) => Err(error),
        }
    }

    /// Lets `access` (as `b12`: both ways, domain 12) apply to a node; the first is its owner and
    /// what all others may do.
    pub async fn set_permissions(&self, path: &str, access: &[&str]) -> Result<(), Error> {
        let mut payload = Vec::from(path.as_bytes());
        payload.push(0);
        for entry in access {
            payload.extend_from_slice(entry.as_bytes());
            payload.push(0);
        }
        self.request(Kind::SetPermissions, &[&payload]).await.map(drop)
    }

    /// Tells of changes at a node and below it. The first event comes at once.
    pub async fn watch(&self, path: &str) -> Result<Watch, Error> {
        Watch::start(self, path).await
    }

    /// Does `body` as one step: what it reads is as if nobody else wrote meanwhile, and what it
    /// writes appears together. It is run again when others were in the way.
    pub async fn transact<T>(
        &self,
        mut body: impl AsyncFnMut(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..TRANSACTION_TRIES_MAX {
            let transaction = self.begin().await?;
            let done = body(&transaction).await;
            let ended = transaction.end(done.is_ok()).await;
            match (done, ended) {
                (Ok(value), Ok(())) => return Ok(value),
                (Ok(_) | Err(Error::Again), Err(Error::Again) | Ok(())) => {}
                (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
            }
        }
        Err(Error::Again)
    }

    async fn begin(&self) -> Result<Self, Error> {
        let id = self.request(Kind::TransactionStart, &[b"\0"]).await?;
        match number(&id) {
            Some(transaction @ 1..) => Ok(Self { client: self.client.clone(), transaction }),
            _ => Err(Error::Malformed),
        }
    }

    async fn end(&self, commit: bool) -> Result<(), Error> {
        let verdict: &[u8] = if commit { b"T\0" } else { b"F\0" };
        self.request(Kind::TransactionEnd, &[verdict]).await.map(drop)
    }

    async fn directory_in_parts(&self, path: &str) -> Result<Vec<String>, Error> {
        /// Lists longer than this are not believed: 1 MiB of names.
        const PARTS_MAX: usize = 256;
        let mut list: Vec<u8> = Vec::new();
        let mut generation = Vec::new();
        for _ in 0..PARTS_MAX {
            let offset = alloc::format!("{}\0", list.len());
            let parts: &[&[u8]] = &[path.as_bytes(), b"\0", offset.as_bytes()];
            let part = self.request(Kind::DirectoryPart, parts).await?;
            let end = part.iter().position(|&byte| byte == 0).ok_or(Error::Malformed)?;
            let (this, text) = (&part[..end], &part[end + 1..]);
            if !list.is_empty() && this != generation.as_slice() {
                list.clear();
                continue;
            }
            generation = this.to_vec();
            // The last part ends in an empty name.
            if text.ends_with(b"\0\0") || text == b"\0" || text.is_empty() {
                list.extend_from_slice(text.strip_suffix(b"\0").unwrap_or(text));
                return names(&list);
            }
            list.extend_from_slice(text);
        }
        Err(Error::TooLong)
    }

    async fn request(&self, kind: Kind, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        self.submit(kind, parts).await?.answer().await
    }

    async fn request_each(
        &self,
        kind: Kind,
        requests: &[[&[u8]; 3]],
    ) -> Vec<Result<Vec<u8>, Error>> {
        let mut answers = Vec::with_capacity(requests.len());
        // No more at once than have a place: the next would wait for those before it.
        for some in requests.chunks(client::REQUESTS_MAX / 2) {
            let mut waiting = Vec::with_capacity(some.len());
            for parts in some {
                waiting.push(self.submit(kind, parts).await);
            }
            for one in waiting {
                answers.push(match one {
                    Ok(waiting) => waiting.answer().await,
                    Err(error) => Err(error),
                });
            }
        }
        answers
    }

    async fn submit(&self, kind: Kind, parts: &[&[u8]]) -> Result<Waiting<'_>, Error> {
        let submitted =
            poll_fn(|cx| self.client.lock().poll_submit(cx, kind, self.transaction, parts));
        Ok(Waiting { store: self, id: submitted.await? })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

/// A request whose answer somebody waits for; nobody does any more when this is dropped.
struct Waiting<'a> {
    store: &'a Store,
    id: u32,
}

impl Waiting<'_> {
    async fn answer(&self) -> Result<Vec<u8>, Error> {
        poll_fn(|cx| self.store.client.lock().poll_answer(cx, self.id)).await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.store.client.lock().forget(self.id);
    }
}

/// Names, each ended by a zero byte.
fn names(list: &[u8]) -> Result<Vec<String>, Error> {
    let Some(list) = list.strip_suffix(b"\0") else {
        return if list.is_empty() { Ok(Vec::new()) } else { Err(Error::Malformed) };
    };
    let names = list.split(|&byte| byte == 0);
    names.map(|name| String::from_utf8(name.to_vec()).map_err(|_| Error::Malformed)).collect()
}

/// A decimal number, ended by a zero byte.
fn number(payload: &[u8]) -> Option<u32> {
    let digits = payload.strip_suffix(b"\0").unwrap_or(payload);
    core::str::from_utf8(digits).ok()?.parse().ok()
}
