//! Session affinity: several appliances behind any balancer, each session on one of them, and no table that they share.
//!
//! The session's owner stands in its cookie, authenticated by a key that all have, or follows from the session's key. A
//! request that reaches another one is passed to the owner; how, is the appliance's to say, so that nothing here knows a
//! network.

use super::SessionId;
use crate::{Reply, Request, Response};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::hash::Hasher;
use core::pin::Pin;
use core::time::Duration;
use flow::registry::Label;
use siphasher::sip128::{Hasher128, SipHasher24};
use subtle::ConstantTimeEq;

/// How long nobody is asked to take a request again who could not be reached.
const LOST_FOR: Duration = Duration::from_secs(5);

/// The key of a group, 128 bits. Who has it can make cookies.
pub type GroupKey = [u8; 16];

/// How one appliance of a group finds the owners of sessions.
pub struct Affinity {
    name: Label,
    key: GroupKey,
    owner_lost: OwnerLost,
    formula: Option<Box<Formula>>,
    pass: Box<Pass>,
    /// Who could not be reached, and until when that is believed.
    lost: RefCell<BTreeMap<Label, Duration>>,
    /// That a cookie is not of the group.
    has_warned: Cell<bool>,
}

type Formula = dyn Fn(&Request, &[u8]) -> Option<Label>;
type Pass = dyn Fn(Label, Request) -> Passing;

/// A request on its way to its session's owner.
pub type Passing = Pin<Box<dyn Future<Output = Result<Reply, NotPassed>>>>;

/// The owner did not answer.
pub struct NotPassed {
    /// What the visitor is told, if nobody else answers.
    pub response: Response,
    /// The request, if the owner cannot be reached and nothing of it was passed on.
    pub untouched: Option<Request>,
}

/// What becomes of a request whose session's owner cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnerLost {
    /// A new session begins, here.
    #[default]
    Begin,
    /// It is answered 502: the owner may come back, with the session.
    Refuse,
}

impl Affinity {
    /// Of the appliance of that name, in the group that has this key. `pass` passes a request to another one, and sees
    /// to it that none goes round in circles.
    pub fn new(
        name: Label,
        key: GroupKey,
        pass: impl Fn(Label, Request) -> Passing + 'static,
    ) -> Self {
        let (owner_lost, formula, pass) = (OwnerLost::default(), None, Box::new(pass));
        let (lost, has_warned) = (RefCell::default(), Cell::new(false));
        Self { name, key, owner_lost, formula, pass, lost, has_warned }
    }

    /// What to do without an owner.
    #[must_use]
    pub fn when_lost(self, owner_lost: OwnerLost) -> Self {
        Self { owner_lost, ..self }
    }

    /// Owners of sessions without cookies: from a request and its session's key, such as by [`rendezvous`]. All of the
    /// group have to come to the same one. Without a formula, or where it gives none, the session is where the request is.
    #[must_use]
    pub fn with_formula(
        self,
        formula: impl Fn(&Request, &[u8]) -> Option<Label> + 'static,
    ) -> Self {
        Self { formula: Some(Box::new(formula)), ..self }
    }

    /// The cookie's value for a session of ours.
    pub(super) fn seal(&self, id: SessionId) -> String {
        let owner = self.name.as_str();
        [id.as_str(), ".", owner, ".", mac(&self.key, id, owner).as_str()].concat()
    }

    /// The session and its owner by a cookie's value, if somebody of the group made it.
    pub(super) fn open(&self, value: &[u8]) -> Option<(SessionId, Label)> {
        let (id, rest) = value.split_first_chunk::<{ SessionId::DIGITS }>()?;
        let (rest, shown) = rest.split_last_chunk::<{ SessionId::DIGITS }>()?;
        let owner = rest.strip_prefix(b".")?.strip_suffix(b".")?;
        let owner: Label = core::str::from_utf8(owner).ok()?.parse().ok()?;
        let id = SessionId::of_value(id)?;
        let expected = mac(&self.key, id, owner.as_str());
        // In the same time wherever the difference is: time would tell a forger how far he is right.
        let is_ours: bool = shown.ct_eq(expected.as_str().as_bytes()).into();
        if !is_ours && !self.has_warned.replace(true) {
            log::warn!(
                "a session's cookie is not of this group: it is forged, or not all have the same key (said once)"
            );
        }
        is_ours.then_some((id, owner))
    }

    /// Whether that is this appliance.
    pub(super) fn is_own(&self, name: &Label) -> bool {
        *name == self.name
    }

    /// Who has the session of that key, if it is not this appliance.
    pub(super) fn owner_of_key(&self, request: &Request, key: &[u8]) -> Option<Label> {
        let owner = self.formula.as_ref()?(request, key)?;
        (!self.is_own(&owner)).then_some(owner)
    }

    /// Passes a request to its session's owner. An error comes with the request, if it is to begin a session here.
    pub(super) async fn pass(
        &self,
        owner: Label,
        request: Request,
        now: Duration,
    ) -> Result<Reply, Result<Request, Response>> {
        let is_lost = self.lost.borrow().get(&owner).is_some_and(|until| now < *until);
        if is_lost && self.owner_lost == OwnerLost::Begin {
            return Err(Ok(request));
        }
        match (self.pass)(owner.clone(), request).await {
            Ok(reply) => {
                self.lost.borrow_mut().remove(&owner);
                Ok(reply)
            }
            Err(NotPassed { untouched: Some(request), .. })
                if self.owner_lost == OwnerLost::Begin =>
            {
                self.lost.borrow_mut().insert(owner, now + LOST_FOR);
                Err(Ok(request))
            }
            Err(NotPassed { response, .. }) => Err(Err(response)),
        }
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Affinity({})", self.name)
    }
}

impl fmt::Debug for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotPassed({:?})", self.response.status())
    }
}

/// The member of a group that a key belongs to, by rendezvous hashing (Thaler and Ravishankar 1998): when one joins or
/// leaves, only the keys that are or were its own move. `None` of no members.
pub fn rendezvous<'a>(
    group: &GroupKey,
    key: &[u8],
    members: impl IntoIterator<Item = &'a Label>,
) -> Option<&'a Label> {
    let weight = |member: &Label| {
        let mut hasher = SipHasher24::new_with_key(group);
        hasher.write(member.as_str().as_bytes());
        // No label has such a byte.
        hasher.write(&[0]);
        hasher.write(key);
        hasher.finish()
    };
    members.into_iter().max_by_key(|member| (weight(member), *member))
}

/// Message authentication code of a session's place: SipHash-2-4 with 128 bits (Aumasson and Bernstein 2012), as an id is
/// written.
fn mac(key: &GroupKey, id: SessionId, owner: &str) -> SessionId {
    let mut hasher = SipHasher24::new_with_key(key);
    // The id has always the same length, so that no two pairs are written alike.
    hasher.write(id.as_str().as_bytes());
    hasher.write(owner.as_bytes());
    SessionId::new(hasher.finish128().as_bytes())
}
