//! DNS resolver (RFC 1035), by smoltcp's socket.

use crate::request::LookupRequest;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use flow::ConnectError;
use smoltcp::iface::{Context, SocketHandle, SocketSet};
use smoltcp::socket::dns::{GetQueryResultError, QueryHandle, Socket};
use smoltcp::wire::{DnsQueryType, IpAddress};

/// Lookups and the servers that are asked.
pub(crate) struct DnsResolver {
    socket: SocketHandle,
    /// From the configuration; leased ones come after them.
    configured: Vec<IpAddress>,
    servers: Vec<IpAddress>,
    pending: Vec<Pending>,
}

/// A lookup and its questions.
struct Pending {
    lookup: Rc<LookupRequest>,
    /// IPv6 first, since its answers are tried first.
    questions: Vec<Question>,
}

enum Question {
    Asked(QueryHandle),
    Answered(Vec<IpAddr>),
}

impl DnsResolver {
    pub(crate) fn new(servers: &[IpAddr], sockets: &mut SocketSet<'static>) -> Self {
        let configured: Vec<_> = servers.iter().copied().map(IpAddress::from).collect();
        let socket = sockets.add(Socket::new(&configured, Vec::new()));
        Self { socket, servers: configured.clone(), configured, pending: Vec::new() }
    }

    /// Who is asked.
    pub(crate) fn servers(&self) -> impl Iterator<Item = IpAddr> {
        self.servers.iter().map(|server| (*server).into())
    }

    /// A question is open.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes over the servers of a lease.
    pub(crate) fn use_servers(&mut self, leased: &[IpAddr], sockets: &mut SocketSet<'static>) {
        let mut servers = self.configured.clone();
        servers.extend(leased.iter().copied().map(IpAddress::from));
        sockets.get_mut::<Socket>(self.socket).update_servers(&servers);
        self.servers = servers;
    }

    /// Begins a lookup, for IPv6 addresses only where they can be reached.
    pub(crate) fn look_up(
        &mut self,
        lookup: Rc<LookupRequest>,
        has_v6: bool,
        context: &mut Context,
        sockets: &mut SocketSet<'static>,
    ) {
        if self.servers.is_empty() {
            return lookup.complete(Err(ConnectError::Unreachable));
        }
        if self.pending.len() >= LOOKUPS_MAX {
            return lookup.complete(Err(ConnectError::Exhausted));
        }
        let socket = sockets.get_mut::<Socket>(self.socket);
        let kinds: &[_] =
            if has_v6 { &[DnsQueryType::Aaaa, DnsQueryType::A] } else { &[DnsQueryType::A] };
        let ask = |kind: &DnsQueryType| socket.start_query(context, &lookup.wanted, *kind);
        let questions: Result<Vec<_>, _> =
            kinds.iter().map(ask).map(|query| query.map(Question::Asked)).collect();
        match questions {
            Ok(questions) => self.pending.push(Pending { lookup, questions }),
            // The name has an empty or too long label: nobody has it.
            Err(_) => lookup.complete(Err(ConnectError::NotFound)),
        }
    }

    /// Passes on what was answered.
    pub(crate) fn deliver_answers(&mut self, sockets: &mut SocketSet<'static>) {
        let socket = sockets.get_mut::<Socket>(self.socket);
        self.pending.retain_mut(|pending| !pending.is_settled(socket));
    }
}

impl Pending {
    /// Collects answers; true when all are there, or nobody wants them any more.
    fn is_settled(&mut self, socket: &mut Socket) -> bool {
        if self.lookup.is_abandoned() {
            for question in &self.questions {
                if let Question::Asked(query) = question {
                    socket.cancel_query(*query);
                }
            }
            return true;
        }
        for question in &mut self.questions {
            let Question::Asked(query) = question else { continue };
            match socket.get_query_result(*query) {
                Err(GetQueryResultError::Pending) => (),
                Err(GetQueryResultError::Failed) => *question = Question::Answered(Vec::new()),
                Ok(addresses) => {
                    let addresses = addresses.iter().map(|address| (*address).into()).collect();
                    *question = Question::Answered(addresses);
                }
            }
        }
        self.answer().is_some_and(|addresses| {
            let found =
                if addresses.is_empty() { Err(ConnectError::NotFound) } else { Ok(addresses) };
            self.lookup.complete(found);
            true
        })
    }

    /// All answers, when none is missing.
    fn answer(&self) -> Option<Vec<IpAddr>> {
        let mut all = Vec::new();
        for question in &self.questions {
            let Question::Answered(addresses) = question else { return None };
            all.extend(addresses);
        }
        Some(all)
    }
}

/// Lookups at a time; each holds two questions of 300 bytes.
const LOOKUPS_MAX: usize = 64;
