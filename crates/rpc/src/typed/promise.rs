//! Promises: clients that are resolved later.

use super::System;
use crate::exception::Exception;
use crate::vat::Cap;
use capnp::capability::FromClientHook;
use core::marker::PhantomData;

/// Says what a promised client stands for. Dropped without that, the client breaks.
pub struct Resolver<C> {
    system: System,
    cap: Option<Cap>,
    client: PhantomData<C>,
}

impl<C: FromClientHook> Resolver<C> {
    pub(super) fn new(system: System, cap: Cap) -> Self {
        Self { system, cap: Some(cap), client: PhantomData }
    }

    /// Lets the client stand for `to`.
    pub fn resolve(mut self, to: &C) {
        if let Some(cap) = self.cap.take() {
            let to = self.system.cap_of(to.as_client_hook());
            self.system.shared.vat.borrow_mut().resolve(cap, to);
            self.system.release(cap);
        }
    }

    /// Breaks the client.
    pub fn reject(mut self, reason: Exception) {
        self.reject_with(reason);
    }
}

impl<C> Resolver<C> {
    fn reject_with(&mut self, reason: Exception) {
        if let Some(cap) = self.cap.take() {
            self.system.shared.vat.borrow_mut().reject(cap, reason);
            self.system.release(cap);
        }
    }
}

impl<C> Drop for Resolver<C> {
    fn drop(&mut self) {
        self.reject_with(Exception::failed("the promise was given up"));
    }
}
