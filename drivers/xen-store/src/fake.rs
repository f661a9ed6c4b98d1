//! Fake xenstore daemon in a test process, at the other end of a real ring.

use crate::wire::{ERROR, Header, Kind, WATCH_EVENT};
use crate::{PAYLOAD_BYTES_MAX, Store};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use machine::xen::store_ring::fake::{DaemonSide, pair};

/// The folder that relative paths start in.
pub const HOME: &str = "/local/domain/1";

/// The daemon. It does what it is asked in [`Daemon::step`].
pub struct Daemon {
    ring: DaemonSide,
    nodes: BTreeMap<String, Vec<u8>>,
    watches: Vec<(String, String, String)>,
    transactions: BTreeMap<u32, Transaction>,
    next_transaction: u32,
    permissions: BTreeMap<String, Vec<String>>,
    /// Changes of the tree so far.
    generation: u64,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

/// Changes that nobody else sees yet.
struct Transaction {
    nodes: BTreeMap<String, Vec<u8>>,
    changed: Vec<String>,
    generation: u64,
}

/// A connection to a new daemon. It is not to be used when the daemon has been dropped.
pub fn connect() -> (Store, Daemon) {
    let (ring, side) = pair();
    let daemon = Daemon {
        ring: side,
        nodes: BTreeMap::new(),
        watches: Vec::new(),
        transactions: BTreeMap::new(),
        next_transaction: 1,
        permissions: BTreeMap::new(),
        generation: 0,
        incoming: Vec::new(),
        outgoing: Vec::new(),
    };
    (Store::over(ring), daemon)
}

impl Daemon {
    /// Runs a future that talks to it; `None` if that waits for ever.
    pub fn drive<T>(&mut self, store: &Store, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10_000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return Some(value);
            }
            store.poll();
            self.step();
            store.poll();
        }
        None
    }

    /// Takes in requests and sends answers, as far as the ring has them and has room; whether
    /// anything moved.
    pub fn step(&mut self) -> bool {
        if self.ring.is_reset_wanted() {
            self.reset();
        }
        let mut moved = self.ring.receive(&mut self.incoming);
        while let Some(header) = self.incoming.first_chunk().and_then(Header::parse) {
            let length = Header::BYTES + header.payload_bytes as usize;
            if self.incoming.len() < length {
                break;
            }
            let message: Vec<u8> = self.incoming.drain(..length).collect();
            self.serve(header, &message[Header::BYTES..]);
        }
        moved |= self.send();
        moved
    }

    /// Sets a node, as another domain would.
    pub fn set(&mut self, path: &str, value: &str) {
        let path = absolute(path);
        self.nodes.insert(path.clone(), value.as_bytes().to_vec());
        self.changed(&path);
    }

    /// Removes a node and all below it.
    pub fn remove(&mut self, path: &str) {
        let path = absolute(path);
        self.nodes.retain(|node, _| !is_below(node, &path));
        self.changed(&path);
    }

    /// A node's value.
    pub fn get(&self, path: &str) -> Option<String> {
        let value = self.nodes.get(&absolute(path))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// Who may do what to a node, if that was ever set.
    pub fn permissions(&self, path: &str) -> Vec<String> {
        self.permissions.get(path).cloned().unwrap_or_default()
    }

    /// Lets nobody read a node.
    pub fn hide(&mut self, path: &str) {
        self.permissions.insert(path.to_string(), Vec::from([String::from("n0")]));
    }

    fn is_hidden(&self, path: &str) -> bool {
        self.permissions.get(path).is_some_and(|access| access[0] == "n0")
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.watches.len()
    }

    /// Sends bytes that are no answer to anything.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        self.send();
    }

    /// Sends a message of any kind.
    pub fn send_message(&mut self, kind: u32, request: u32, payload: &[u8]) {
        let payload_bytes = payload.len() as u32;
        let header = Header { kind, request, transaction: 0, payload_bytes };
        self.outgoing.extend_from_slice(&header.emit());
        self.outgoing.extend_from_slice(payload);
        self.send();
    }

    /// Puts the index by which answers are found anywhere.
    pub fn set_answer_producer(&mut self, producer: u32) {
        self.ring.set_answer_producer(producer);
    }

    /// Puts the index by which room for requests is found anywhere.
    pub fn set_request_consumer(&mut self, consumer: u32) {
        self.ring.set_request_consumer(consumer);
    }

    /// Offers to reset the ring on request, or does not.
    pub fn set_can_reconnect(&mut self, can: bool) {
        self.ring.set_can_reconnect(can);
    }

    /// Empties the ring and forgets all watches, as the daemon of a domain that is restored knows none.
    pub fn reset(&mut self) {
        self.watches.clear();
        self.transactions.clear();
        self.incoming.clear();
        self.outgoing.clear();
        self.ring.reset();
    }

    fn send(&mut self) -> bool {
        self.ring.send(&mut self.outgoing)
    }

    fn serve(&mut self, header: Header, payload: &[u8]) {
        let answer = self.answer(header, payload);
        let (kind, payload) = match answer {
            Ok(payload) => (header.kind, payload),
            Err(name) => (ERROR, [name.as_bytes(), b"\0"].concat()),
        };
        let payload_bytes = payload.len() as u32;
        let header = Header { kind, payload_bytes, ..header };
        self.outgoing.extend_from_slice(&header.emit());
        self.outgoing.extend_from_slice(&payload);
    }

    fn answer(&mut self, header: Header, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        const READ: u32 = Kind::Read as u32;
        const WRITE: u32 = Kind::Write as u32;
        const MAKE: u32 = Kind::MakeFolder as u32;
        const REMOVE: u32 = Kind::Remove as u32;
        const DIRECTORY: u32 = Kind::Directory as u32;
        const PART: u32 = Kind::DirectoryPart as u32;
        const WATCH: u32 = Kind::Watch as u32;
        const UNWATCH: u32 = Kind::Unwatch as u32;
        const START: u32 = Kind::TransactionStart as u32;
        const END: u32 = Kind::TransactionEnd as u32;
        const PERMISSIONS: u32 = Kind::SetPermissions as u32;
        let end = payload.iter().position(|&byte| byte == 0).ok_or("EINVAL")?;
        let given = String::from_utf8_lossy(&payload[..end]).into_owned();
        let (path, rest) = (absolute(&given), &payload[end + 1..]);
        match header.kind {
            READ | DIRECTORY if self.is_hidden(&path) => Err("EACCES"),
            READ => self.tree(header)?.get(&path).cloned().ok_or("ENOENT"),
            WRITE => self.write(header, &path, rest),
            MAKE if self.tree(header)?.contains_key(&path) => Ok(b"OK\0".to_vec()),
            MAKE => self.write(header, &path, b""),
            REMOVE => self.remove_node(header, &path),
            DIRECTORY => match children(self.tree(header)?, &path) {
                list if list.len() > PAYLOAD_BYTES_MAX => Err("E2BIG"),
                list => Ok(list),
            },
            PART => self.part(header, &path, rest),
            WATCH => {
                let token = String::from_utf8_lossy(rest.strip_suffix(b"\0").ok_or("EINVAL")?);
                self.watches.push((path, given.clone(), token.into_owned()));
                let (_, _, token) = self.watches.last().ok_or("EINVAL")?;
                let event = [given.as_bytes(), b"\0", token.as_bytes(), b"\0"].concat();
                self.send_message(WATCH_EVENT, 0, &event);
                Ok(b"OK\0".to_vec())
            }
            UNWATCH => {
                let token = String::from_utf8_lossy(rest.strip_suffix(b"\0").ok_or("EINVAL")?);
                self.watches.retain(|watch| !(watch.0 == path && watch.2 == token));
                Ok(b"OK\0".to_vec())
            }
            START => {
                let id = self.next_transaction;
                self.next_transaction += 1;
                let nodes = self.nodes.clone();
                let new = Transaction { nodes, changed: Vec::new(), generation: self.generation };
                self.transactions.insert(id, new);
                Ok(alloc::format!("{id}\0").into_bytes())
            }
            END => self.end(header.transaction, &given),
            PERMISSIONS => {
                let access = String::from_utf8_lossy(rest.strip_suffix(b"\0").ok_or("EINVAL")?);
                let access = access.split('\0').map(String::from).collect();
                self.permissions.insert(path, access);
                Ok(b"OK\0".to_vec())
            }
            _ => Err("ENOSYS"),
        }
    }

    fn tree(&self, header: Header) -> Result<&BTreeMap<String, Vec<u8>>, &'static str> {
        match header.transaction {
            0 => Ok(&self.nodes),
            id => self.transactions.get(&id).map(|found| &found.nodes).ok_or("ENOENT"),
        }
    }

    fn write(&mut self, header: Header, path: &str, value: &[u8]) -> Result<Vec<u8>, &'static str> {
        if header.transaction == 0 {
            self.nodes.insert(path.to_string(), value.to_vec());
            self.changed(path);
        } else {
            let found = self.transactions.get_mut(&header.transaction).ok_or("ENOENT")?;
            found.nodes.insert(path.to_string(), value.to_vec());
            found.changed.push(path.to_string());
        }
        Ok(b"OK\0".to_vec())
    }

    fn remove_node(&mut self, header: Header, path: &str) -> Result<Vec<u8>, &'static str> {
        if !self.tree(header)?.keys().any(|node| is_below(node, path)) {
            return Err("ENOENT");
        }
        if header.transaction == 0 {
            self.remove(path);
        } else {
            let found = self.transactions.get_mut(&header.transaction).ok_or("ENOENT")?;
            found.nodes.retain(|node, _| !is_below(node, path));
            found.changed.push(path.to_string());
        }
        Ok(b"OK\0".to_vec())
    }

    fn end(&mut self, id: u32, verdict: &str) -> Result<Vec<u8>, &'static str> {
        let done = self.transactions.remove(&id).ok_or("ENOENT")?;
        if verdict == "T" {
            if done.generation != self.generation {
                return Err("EAGAIN");
            }
            self.nodes = done.nodes;
            for path in &done.changed {
                self.changed(path);
            }
        }
        Ok(b"OK\0".to_vec())
    }

    /// Up to 100 bytes of a list, after its generation.
    fn part(&self, header: Header, path: &str, rest: &[u8]) -> Result<Vec<u8>, &'static str> {
        let digits = rest.strip_suffix(b"\0").unwrap_or(rest);
        let offset: usize =
            core::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or("EINVAL")?;
        let list = children(self.tree(header)?, path);
        let rest = list.get(offset..).ok_or("EINVAL")?;
        let mut part = alloc::format!("{}\0", self.generation).into_bytes();
        let is_last = rest.len() <= 100;
        part.extend_from_slice(&rest[..rest.len().min(100)]);
        if is_last {
            part.push(0);
        }
        Ok(part)
    }

    /// Tells the watches of a change.
    fn changed(&mut self, path: &str) {
        self.generation += 1;
        let touched = |watch: &&(String, String, String)| {
            is_below(path, &watch.0) || is_below(&watch.0, path)
        };
        let events: Vec<Vec<u8>> = self
            .watches
            .iter()
            .filter(touched)
            .map(|watch| {
                // A watch by a relative path is told relative paths.
                let path = match path.strip_prefix(&watch.0) {
                    Some(below) => [watch.1.as_str(), below].concat(),
                    None => watch.1.clone(),
                };
                [path.as_bytes(), b"\0", watch.2.as_bytes(), b"\0"].concat()
            })
            .collect();
        for event in events {
            self.send_message(WATCH_EVENT, 0, &event);
        }
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') || path.starts_with('@') {
        path.to_string()
    } else {
        [HOME, "/", path].concat()
    }
}

fn is_below(node: &str, path: &str) -> bool {
    node.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn children(nodes: &BTreeMap<String, Vec<u8>>, path: &str) -> Vec<u8> {
    let mut list: Vec<&str> = Vec::new();
    for node in nodes.keys() {
        if let Some(rest) = node.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')) {
            let name = rest.split('/').next().unwrap_or_default();
            if !list.contains(&name) {
                list.push(name);
            }
        }
    }
    list.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect()
}
