//! Name server of a vat: the service `names`, for each peer with a key as a holder of its own.

use super::Vat;
use crate::Platform;
use crate::appliance_capnp::names;
use crate::context::Context;
use crate::handlers::rpc::Object;
use crate::names::{NameServer, Names};
use crate::settings::names::NamesSettings;
use ::names::Holder;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use endpoints::rpc::{Peer, Rpc};
use flow::Address;

/// What it is called.
const NAME: &str = "names";
const ABOUT: &str = "who offers what, by name";

/// The server, if the configuration has one.
pub(super) fn of<P: Platform>(context: &Context<P>) -> Option<Rc<NameServer>> {
    let settings = NamesSettings::new(&context.config.names, Vec::new());
    if !settings.serve {
        return None;
    }
    let ledger = context.service_ledger("names");
    let server = Rc::new(NameServer::new(settings.limits, &context.timers, &ledger));
    let ending = server.clone();
    context.spawner.spawn("names kept", async move { ending.end_leases().await });
    Some(server)
}

/// The service for those of whom nothing is known, as who restores it by its name.
pub(super) fn object(server: &Rc<NameServer>, rpc: &Rpc) -> Object {
    object_for(server, rpc, Holder::without_key(UNKNOWN))
}

fn object_for(server: &Rc<NameServer>, rpc: &Rpc, holder: Holder) -> Object {
    let client: names::Client = rpc.client(Names::new(server, holder, rpc));
    Object::new(NAME, ABOUT, client)
}

/// Whose share they have.
const UNKNOWN: &str = "an unknown place";

/// The holder that a peer is: by its key, or with all others that have none, but with the share of where it is.
fn holder(peer: &Peer) -> Holder {
    match (peer.fingerprint, peer.address) {
        (Some(key), _) => Holder::new(&key.to_string()),
        (None, Address::Ip(address)) => Holder::without_key(&network(address.ip()).to_string()),
        (None, Address::Vsock(address)) => Holder::without_key(&format!("vsock:{}", address.cid)),
        (None, Address::Unix { user }) => Holder::without_key(&format!("unix:user={user}")),
        // Each flow has a number of its own there.
        (None, Address::SharedMemory(_)) => Holder::without_key("shm"),
        (None, Address::Memory(_)) => Holder::without_key(UNKNOWN),
    }
}

/// What one machine has to itself: of IPv6, as many addresses as it likes out of one network (RFC 6177 section 2).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
    }
}

impl Vat {
    /// Has a peer register as itself, if it may register.
    pub(super) fn name_holder(&self, peer: &Peer, services: &mut [Object]) {
        let Some(server) = &self.names else { return };
        let own = services.iter_mut().find(|service| service.name == NAME);
        if let Some(own) = own {
            *own = object_for(server, &self.rpc, holder(peer));
        }
    }

    /// The service for this appliance itself, if it keeps names. It is a holder without a key, so that one that lists itself among
    /// its servers is no other.
    pub(crate) fn own_names(&self) -> Option<names::Client> {
        let server = self.names.as_ref()?;
        Some(self.rpc.client(Names::new(server, Holder::without_key("this appliance"), &self.rpc)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use endpoints::rpc::Fingerprint;

    #[test]
    fn who_has_no_key_has_the_share_of_where_it_is() {
        let at = |address: Address| holder(&Peer::unknown(address));
        let ip = |text: &str| at(Address::Ip(text.parse().unwrap()));
        assert_eq!(ip("10.0.0.2:1"), ip("10.0.0.2:2"));
        assert_eq!(ip("10.0.0.2:1"), ip("[::ffff:10.0.0.2]:1"));
        assert_ne!(ip("10.0.0.2:1"), ip("10.0.0.3:1"));
        assert_eq!(ip("[fd00::1]:1"), ip("[fd00::ffff:0:0:2]:1"));
        assert_ne!(ip("[fd00::1]:1"), ip("[fd00:0:0:1::1]:1"));
        assert_ne!(at(Address::Unix { user: 1 }), at(Address::Unix { user: 2 }));
        assert_eq!(at(Address::SharedMemory(1)), at(Address::SharedMemory(2)));
        let key = |byte| Peer {
            fingerprint: Some(Fingerprint([byte; 32])),
            ..Peer::unknown(Address::Memory(0))
        };
        assert!(holder(&key(1)).has_key() && holder(&key(1)) != holder(&key(2)));
    }
}
