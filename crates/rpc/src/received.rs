//! Capabilities that the peer names: what a message is addressed to, and what it brings.

use crate::connection::Import;
use crate::exception::Exception;
use crate::inbound::{Broken, NO_CAP_HERE};
use crate::node::Kind;
use crate::vat::{Cap, ConnId, Vat};
use crate::wire::{Descriptor, Target};
use alloc::vec::Vec;

/// A capability that was received, and whether the peer named it as something of ours, so that
/// calls already sent towards it come back.
pub(crate) type Received = (Cap, bool);

impl Vat {
    /// What the peer addresses, with a reference.
    pub(crate) fn target(&mut self, conn: ConnId, target: &Target) -> Result<Cap, Broken> {
        match target {
            Target::Import(id) => self.own_export(conn, *id),
            Target::Answer(question, path) => Ok(self.own_answer(conn, *question, path)),
            Target::TooLong => Ok(self.broken(path_too_long())),
        }
    }

    pub(crate) fn own_export(&mut self, conn: ConnId, id: u32) -> Result<Cap, Broken> {
        let connection = self.open(conn).ok_or("the connection is closed")?;
        let node = connection.exports.get(id).ok_or("no such export")?.node;
        Ok(self.retain(node))
    }

    /// A part of an answer to the peer; something broken where there is none, since the answer may have gone
    /// without the peer's knowing (rpc.capnp, `Return.noFinishNeeded`).
    pub(crate) fn own_answer(&mut self, conn: ConnId, question: u32, path: &[u16]) -> Cap {
        let parts_max = self.limits.parts_max;
        let answer = self.open(conn).and_then(|connection| connection.answers.get(question));
        match answer.map(|answer| answer.call) {
            Some(call) if self.has_parts(call, parts_max, path) => {
                self.broken(Exception::overloaded("parts_max exceeded"))
            }
            Some(call) => self.pipelined(call, path.to_vec()),
            None => self.broken(Exception::failed(NO_CAP_HERE)),
        }
    }

    pub(crate) fn receive_all(
        &mut self,
        conn: ConnId,
        descriptors: &[Descriptor],
    ) -> Result<Vec<Option<Received>>, Broken> {
        let mut caps: Vec<Option<Received>> = Vec::with_capacity(descriptors.len());
        for descriptor in descriptors {
            match self.receive(conn, descriptor) {
                Ok(cap) => caps.push(cap),
                Err(reason) => {
                    for (cap, _) in caps.into_iter().flatten() {
                        self.release_node(cap);
                    }
                    return Err(reason);
                }
            }
        }
        Ok(caps)
    }

    /// The capability that `descriptor` names, with a reference.
    pub(crate) fn receive(
        &mut self,
        conn: ConnId,
        descriptor: &Descriptor,
    ) -> Result<Option<Received>, Broken> {
        Ok(match descriptor {
            Descriptor::None => None,
            Descriptor::SenderHosted(id) => Some((self.import(conn, *id, false)?, false)),
            Descriptor::SenderPromise(id) => Some((self.import(conn, *id, true)?, false)),
            // As the reference implementation has it: what uses such a capability fails, no more.
            Descriptor::ReceiverHosted(id) => match self.own_export(conn, *id) {
                Ok(cap) => Some((cap, true)),
                Err(reason) => Some((self.broken(Exception::failed(reason)), false)),
            },
            Descriptor::ReceiverAnswer(question, path) => {
                Some((self.own_answer(conn, *question, path), true))
            }
            Descriptor::TooLong => Some((self.broken(path_too_long()), false)),
            Descriptor::Unknown => {
                let reason = Exception::unimplemented("a capability of an unknown kind");
                Some((self.broken(reason), false))
            }
        })
    }

    fn import(&mut self, conn: ConnId, id: u32, promise: bool) -> Result<Cap, Broken> {
        let imports_max = self.limits.imports_max;
        let connection = self.open(conn).ok_or("the connection is closed")?;
        if let Some(import) = connection.imports.get_mut(id) {
            import.refs = import.refs.checked_add(1).ok_or("too many references")?;
            let node = import.node;
            return Ok(self.retain(node));
        }
        if connection.imports.len() >= imports_max {
            return Err("imports_max exceeded");
        }
        let node = self.add_node(Kind::Import { conn, id, promise, used: false });
        if let Some(connection) = self.open(conn) {
            connection.imports.insert(id, Import { node, refs: 1 });
        }
        Ok(node)
    }
}

fn path_too_long() -> Exception {
    Exception::overloaded("path_fields_max exceeded")
}
