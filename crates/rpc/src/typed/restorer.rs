//! Restorer: services by name; what a sturdy reference leads to (level 2 of rpc.capnp).

use super::System;
use super::server::Unanswered;
use crate::exception::Exception;
use crate::payload::Payload;
use crate::slot::Slot;
use crate::vat::{CallId, ConnId};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use capnp::Error;
use capnp::capability::{FromClientHook, Promise};
use capnp::private::capability::ClientHook;

/// Finds the service of a name, at once or later.
pub trait Restorer {
    /// The service, or why not. The name comes from the peer and is at most
    /// [`SERVICE_BYTES_MAX`](crate::SERVICE_BYTES_MAX) long; that it knows the name is all the
    /// right it has.
    fn restore(&self, service: &[u8]) -> Promise<Box<dyn ClientHook>, Error>;
}

impl<F> Restorer for F
where
    F: Fn(&[u8]) -> Promise<Box<dyn ClientHook>, Error>,
{
    fn restore(&self, service: &[u8]) -> Promise<Box<dyn ClientHook>, Error> {
        self(service)
    }
}

/// A fixed set of services.
#[derive(Default)]
pub struct ServiceTable {
    services: BTreeMap<Vec<u8>, Box<dyn ClientHook>>,
}

impl ServiceTable {
    /// No services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service, or replaces it.
    #[must_use]
    pub fn with(mut self, name: &[u8], service: impl FromClientHook) -> Self {
        self.services.insert(name.into(), service.into_client_hook());
        self
    }
}

impl Restorer for ServiceTable {
    fn restore(&self, service: &[u8]) -> Promise<Box<dyn ClientHook>, Error> {
        match self.services.get(service) {
            Some(hook) => Promise::ok(hook.add_ref()),
            None => Promise::err(Error::failed(String::from("no service of this name"))),
        }
    }
}

impl System {
    /// Lets peers of all connections ask for services by name.
    pub fn set_restorer(&self, restorer: impl Restorer + 'static) {
        let before = self.shared.restorer.borrow_mut().replace(Rc::new(restorer));
        drop(before);
    }

    /// What a peer would get that asks for this name; `None` if no services have names here.
    pub fn restore_here(&self, service: &[u8]) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        let restorer = self.shared.restorer.borrow().clone();
        restorer.map(|restorer| restorer.restore(service))
    }

    /// The peer's service of this name. Calls can be made at once.
    pub fn restore<C: FromClientHook>(&self, conn: ConnId, service: &[u8]) -> C {
        let cap = self.shared.vat.borrow_mut().restore(conn, service);
        self.signal();
        C::new(self.hook(cap))
    }

    /// A peer asked for a service.
    pub(super) fn restore_for(&self, call: CallId, service: &[u8]) {
        let restorer = self.shared.restorer.borrow().clone();
        let Some(restorer) = restorer else {
            let reason = Exception::unimplemented("this vat has no services by name");
            self.shared.vat.borrow_mut().fail(call, reason);
            return;
        };
        let unanswered = Unanswered { system: self.clone(), call };
        let mut found = None;
        if let Err(panicked) = self.catch(|| found = Some(restorer.restore(service))) {
            self.shared.vat.borrow_mut().fail(call, panicked);
        }
        let Some(found) = found else { return };
        self.detach(async move {
            let system = &unanswered.system;
            match found.await {
                Ok(hook) => system.reply_with(call, &*hook),
                Err(error) => system.shared.vat.borrow_mut().fail(call, error.into()),
            }
            system.signal();
        });
    }

    fn reply_with(&self, call: CallId, hook: &dyn ClientHook) {
        let cap = self.cap_of(hook);
        let mut results = Payload::results(0);
        let built = results.build(&[Some(cap)], |mut root| {
            root.set_as_capability(Slot(0).hook());
        });
        let mut vat = self.shared.vat.borrow_mut();
        match built {
            Ok(()) => vat.reply(call, results),
            Err(error) => vat.fail(call, error.into()),
        }
    }
}
