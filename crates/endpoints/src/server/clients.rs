//! Clients: how many connections each of them has.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::net::IpAddr;
use flow::Address;

/// Connections by client. As many entries as there are connections, at most.
#[derive(Default)]
pub(super) struct Clients {
    /// Zero is no limit.
    connections_max: Cell<usize>,
    open: RefCell<BTreeMap<Client, usize>>,
}

/// An address of IPv4, or the first half of one of IPv6, which is what one client has to itself (RFC 6177).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    V4(u32),
    V6(u64),
}

/// A connection that is counted until this is dropped.
pub(super) struct Place {
    clients: Rc<Clients>,
    client: Client,
}

impl Clients {
    /// So many of each from now on; zero is no limit.
    pub(super) fn limit(&self, connections_max: usize) {
        self.connections_max.set(connections_max);
    }

    /// Counts a connection of a client; none where there is no limit, or no address.
    ///
    /// # Errors
    /// The client has as many as it may.
    pub(super) fn enter(clients: &Rc<Self>, peer: Address) -> Result<Option<Place>, ()> {
        let connections_max = clients.connections_max.get();
        let client = match peer.ip().filter(|_| connections_max > 0).map(|ip| ip.to_canonical()) {
            None => return Ok(None),
            Some(IpAddr::V4(address)) => Client::V4(address.to_bits()),
            Some(IpAddr::V6(address)) => Client::V6((address.to_bits() >> 64) as u64),
        };
        let mut open = clients.open.borrow_mut();
        let count = open.entry(client).or_default();
        if *count >= connections_max {
            return Err(());
        }
        *count += 1;
        Ok(Some(Place { clients: clients.clone(), client }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.clients.open.borrow_mut();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        Address::Ip(text.parse().unwrap())
    }

    #[test]
    fn each_client_has_so_many_at_once() {
        let clients = Rc::new(Clients::default());
        let enter = |text| Clients::enter(&clients, at(text));
        assert!(enter("10.0.0.1:1").unwrap().is_none());
        clients.limit(2);
        let first = enter("10.0.0.1:2").unwrap();
        let _second = enter("[::ffff:10.0.0.1]:3").unwrap();
        assert!(enter("10.0.0.1:4").is_err() && enter("10.0.0.2:4").is_ok());
        drop(first);
        let again = enter("10.0.0.1:5").unwrap();
        assert!(again.is_some() && enter("10.0.0.1:6").is_err());
        let _one = enter("[fd00::1]:1").unwrap();
        let _other = enter("[fd00::2]:1").unwrap();
        assert!(enter("[fd00::3]:1").is_err() && enter("[fd00:0:0:1::3]:1").is_ok());
        assert!(Clients::enter(&clients, Address::Memory(1)).unwrap().is_none());
        drop((again, _second, _one, _other));
        assert!(clients.open.borrow().is_empty());
    }
}
