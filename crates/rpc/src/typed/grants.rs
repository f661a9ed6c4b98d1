//! Grants: services under tokens, which can be taken back (level 2 of rpc.capnp).

use super::System;
use super::restorer::Restorer;
use super::server::Target;
use crate::persistent_capnp::persistent;
use crate::table::Key;
use crate::vat::{Cap, ObjectId};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use capnp::Error;
use capnp::capability::{FromServer, Promise};
use capnp::private::capability::ClientHook;
use core::cell::RefCell;
use subtle::ConstantTimeEq;

/// Services by token. Whoever knows a token gets its service, so that a token has to be one that nobody guesses. Clones
/// are the same table.
///
/// A grant is an object of its own that stands before the service: it can be revoked and leaves others of the same
/// service alone. To who has it, `Persistent.save` tells the reference that leads to it.
#[derive(Clone)]
pub struct Grants {
    system: System,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    grants: RefCell<Vec<Grant>>,
    loader: RefCell<Option<Rc<dyn Restorer>>>,
}

struct Grant {
    token: Vec<u8>,
    object: ObjectId,
    hook: Box<dyn ClientHook>,
}

/// A reference as text, or why there is none just now.
type Reference = dyn Fn() -> Result<String, Error>;

impl Grants {
    /// None yet, of a vat's services.
    pub fn new(system: &System) -> Self {
        Self { system: system.clone(), shared: Rc::default() }
    }

    /// Grants a service to who knows `token`, in place of what was granted by it before, which is revoked. `reference` is
    /// what [`Persistent`](persistent) says.
    pub fn insert(
        &self,
        token: &[u8],
        service: &dyn ClientHook,
        reference: impl Fn() -> Result<String, Error> + 'static,
    ) {
        self.revoke(token);
        let (object, hook) = self.system.granted(service, Rc::new(reference));
        self.shared.grants.borrow_mut().push(Grant { token: token.into(), object, hook });
    }

    /// A service that says its reference, and is in no table.
    pub fn persistent(
        &self,
        service: &dyn ClientHook,
        reference: impl Fn() -> Result<String, Error> + 'static,
    ) -> Box<dyn ClientHook> {
        self.system.granted(service, Rc::new(reference)).1
    }

    /// The service of a token, if there is one in the table.
    pub fn get(&self, token: &[u8]) -> Option<Box<dyn ClientHook>> {
        let grants = self.shared.grants.borrow();
        // All of them, each in the same time: how long a search takes tells nothing of the tokens.
        let found = grants.iter().fold(None, |found, grant| {
            if bool::from(grant.token.ct_eq(token)) { Some(grant) } else { found }
        });
        found.map(|grant| grant.hook.add_ref())
    }

    /// Takes a grant back: nobody gets the service by this token any more, and who got it finds that calls fail from now
    /// on. Those under way go on, and what their results brought stays. False if there is no such grant.
    pub fn revoke(&self, token: &[u8]) -> bool {
        let mut grants = self.shared.grants.borrow_mut();
        let place = grants.iter().position(|grant| bool::from(grant.token.ct_eq(token)));
        let Some(place) = place else { return false };
        let grant = grants.swap_remove(place);
        drop(grants);
        self.system.revoke(grant.object);
        true
    }

    /// Asks `loader` for tokens that the table does not have, as for services that are made when they are wanted. What it
    /// gives it may keep here by [`insert`](Self::insert); else it is not among what can be revoked.
    pub fn set_loader(&self, loader: impl Restorer + 'static) {
        let before = self.shared.loader.borrow_mut().replace(Rc::new(loader));
        drop(before);
    }
}

impl Restorer for Grants {
    fn restore(&self, token: &[u8]) -> Promise<Box<dyn ClientHook>, Error> {
        if let Some(hook) = self.get(token) {
            return Promise::ok(hook);
        }
        let loader = self.shared.loader.borrow().clone();
        match loader {
            Some(loader) => loader.restore(token),
            None => Promise::err(Error::failed(String::from("no service has this token"))),
        }
    }
}

impl System {
    /// An object that stands before `service`.
    fn granted(
        &self,
        service: &dyn ClientHook,
        reference: Rc<Reference>,
    ) -> (ObjectId, Box<dyn ClientHook>) {
        let saving =
            <persistent::Client as FromServer<Saving>>::from_server(Rc::new(Saving(reference)));
        let target = self.target_of(service).persistent(saving);
        let object = self.shared.objects.borrow_mut().insert(target);
        let cap = self.shared.vat.borrow_mut().object(object);
        (object, self.hook(cap))
    }

    /// What answers the calls of a service: at once what does, if it lives here.
    fn target_of(&self, service: &dyn ClientHook) -> Target {
        let own = || {
            if service.get_brand() != self.brand() {
                return None;
            }
            let cap = Cap(Key::from_bits(service.get_ptr() as u64));
            let object = self.shared.vat.borrow_mut().object_at(cap)?;
            Some(self.shared.objects.borrow_mut().get_mut(object)?.target.clone())
        };
        own().unwrap_or_else(|| Target::Foreign(service.add_ref()))
    }

    fn revoke(&self, object: ObjectId) {
        if let Some(entry) = self.shared.objects.borrow_mut().get_mut(object) {
            entry.failed = Some(Error::failed(String::from("this capability was revoked")));
        }
    }
}

/// Answers [`Persistent`](persistent).
struct Saving(Rc<Reference>);

impl persistent::Server for Saving {
    async fn save(
        self: Rc<Self>,
        _: persistent::SaveParams,
        mut results: persistent::SaveResults,
    ) -> Result<(), Error> {
        let reference = (self.0)()?;
        results.get().get_sturdy_ref().set_as(&*reference)
    }
}
