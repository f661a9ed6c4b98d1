//! Session store: tickets that servers gave us, for the next connection to each.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use spinning_top::Spinlock;

/// Servers that are remembered; the one that was used longest ago gives way.
const SERVERS_MAX: usize = 64;

/// Tickets of one server: as many as connections of a pool begin together.
const TICKETS_MAX: usize = 4;

/// What is known of servers.
pub(crate) struct SessionStore(Spinlock<VecDeque<(ServerName<'static>, Known)>>);

#[derive(Default)]
struct Known {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// Each is used once (RFC 8446 appendix C.4).
    tickets: Vec<Tls13ClientSessionValue>,
}

impl SessionStore {
    pub(crate) fn new() -> Self {
        Self(Spinlock::new(VecDeque::new()))
    }

    /// Changes what is known of a server, which comes to the front.
    fn change<T>(&self, name: ServerName<'static>, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut servers = self.0.lock();
        let place = servers.iter().position(|(own, _)| *own == name);
        let mut entry = place.and_then(|place| servers.remove(place));
        let (_, known) = entry.get_or_insert_with(|| (name, Known::default()));
        let changed = change(known);
        servers.extend(entry);
        if servers.len() > SERVERS_MAX {
            servers.pop_front();
        }
        changed
    }

    fn look<T>(&self, name: &ServerName<'_>, look: impl FnOnce(&Known) -> Option<T>) -> Option<T> {
        let servers = self.0.lock();
        servers.iter().find(|(own, _)| own == name).and_then(|(_, known)| look(known))
    }
}

impl ClientSessionStore for SessionStore {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.change(name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.look(name, |known| known.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.change(name, |known| known.tls12 = Some(value));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.look(name, |known| known.tls12.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.change(name.clone(), |known| known.tls12 = None);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.change(name, |known| {
            if known.tickets.len() == TICKETS_MAX {
                known.tickets.remove(0);
            }
            known.tickets.push(value);
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.change(name.clone(), |known| known.tickets.pop())
    }
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionStore")
    }
}
