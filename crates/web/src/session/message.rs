//! Messages: values that sessions, handlers and services leave in the queues of sessions.
//!
//! A [`Mailbox`] leads to one session, a [`Topic`] to all that joined it. Both are typed: a name is a name among those
//! of its type. A message is not copied: all that get it share one value. Nothing waits for room: who sends faster than
//! a session reads is told so, and a session that missed something of a topic is told how much.

use super::entry::{Entry, Item};
use super::{Ended, Event, Session, SessionHost};
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::any::{Any, TypeId};
use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;

/// A value that came through the queue.
#[derive(Clone)]
pub struct Message(Rc<dyn Any>);

impl Message {
    /// The value, if it is of this type.
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        self.0.clone().downcast().ok()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(..)")
    }
}

/// Where one session gets messages of type `T`. Clones lead to the same one, and keep no session alive.
pub struct Mailbox<T> {
    entry: Weak<Entry>,
    of: PhantomData<fn(T)>,
}

impl<T: 'static> Mailbox<T> {
    fn new(entry: &Rc<Entry>) -> Self {
        Self { entry: Rc::downgrade(entry), of: PhantomData }
    }

    /// Leaves a message for the session. It reads it when it waits for [`Session::next_event`] or
    /// [`Session::next_message`], or never, if it ends before that.
    ///
    /// # Errors
    /// With the value, when the session is over or has [`Limits::messages_max`](super::Limits::messages_max) unread.
    pub fn send(&self, value: T) -> Result<(), Unsent<T>> {
        let Some(entry) = self.entry.upgrade().filter(|entry| !entry.is_over()) else {
            return Err(Unsent { value, reason: UnsentReason::Over });
        };
        if entry.is_mailbox_full() {
            return Err(Unsent { value, reason: UnsentReason::Full });
        }
        entry.push_message(Message(Rc::new(value)));
        Ok(())
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { entry: self.entry.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox(..)")
    }
}

/// A message that nobody will get.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsent<T> {
    /// What it was.
    pub value: T,
    /// Why.
    pub reason: UnsentReason,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsentReason {
    /// The session is over.
    Over,
    /// The session has as many messages unread as it may.
    Full,
}

impl fmt::Display for UnsentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Over => "the session is over",
            Self::Full => "the session has too many unread messages",
        })
    }
}

impl core::error::Error for UnsentReason {}

/// Another session has this name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameTaken;

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another session has this name")
    }
}

impl core::error::Error for NameTaken {}

/// Publish and subscribe: what is published is a message for every session that joined. Clones are the same topic.
pub struct Topic<T> {
    members: Rc<Members>,
    of: PhantomData<fn(T)>,
}

/// The sessions that joined a topic.
#[derive(Default)]
pub(super) struct Members(RefCell<Vec<Weak<Entry>>>);

impl<T: 'static> Topic<T> {
    /// Leaves the value in the queue of every member, and says for how many. Members whose queues are full miss it: they
    /// are told by [`Event::Missed`].
    pub fn publish(&self, value: T) -> usize {
        let message = Message(Rc::new(value));
        let mut reached = 0;
        self.members.0.borrow_mut().retain(|member| {
            let Some(entry) = member.upgrade().filter(|entry| !entry.is_over()) else {
                return false;
            };
            if entry.is_mailbox_full() {
                entry.push_missed();
            } else {
                entry.push_message(message.clone());
                reached += 1;
            }
            true
        });
        reached
    }
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        Self { members: self.members.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({} members)", self.members.0.borrow().len())
    }
}

impl Members {
    fn add(&self, entry: &Rc<Entry>) {
        let mut members = self.0.borrow_mut();
        if members.iter().any(|member| core::ptr::eq(member.as_ptr(), Rc::as_ptr(entry))) {
            return;
        }
        if members.len() == members.capacity() {
            // Those that are over are let go before there is more room: nobody else does it while nothing is published.
            members.retain(|member| member.strong_count() > 0);
        }
        members.push(Rc::downgrade(entry));
    }

    fn remove(&self, entry: &Rc<Entry>) {
        self.0.borrow_mut().retain(|member| !core::ptr::eq(member.as_ptr(), Rc::as_ptr(entry)));
    }
}

impl Session {
    /// Where others leave messages for this session.
    pub fn mailbox<T: 'static>(&self) -> Mailbox<T> {
        Mailbox::new(&self.entry)
    }

    /// Lets others find this session's mailbox by a name, until it is over.
    ///
    /// # Errors
    /// When another session has that name for messages of this type.
    pub fn register<T: 'static>(&self, name: &str) -> Result<(), NameTaken> {
        let names = self.store.host.names();
        match names.mailboxes.borrow().get::<T>(name) {
            Some(other) if !other.is_over() && !Rc::ptr_eq(&other, &self.entry) => {
                return Err(NameTaken);
            }
            _ => {}
        }
        names.mailboxes.borrow_mut().insert::<T>(name, &self.entry);
        Ok(())
    }

    /// Joins a topic, which is there from now on if it was not: what is published comes as messages, until the session is
    /// over or leaves. Joining twice is joining once.
    pub fn join<T: 'static>(&self, name: &str) -> Topic<T> {
        let topic = self.store.host.topic(name);
        topic.members.add(&self.entry);
        self.entry.extras().topics.borrow_mut().push(topic.members.clone());
        topic
    }

    /// Leaves a topic. What was published before may still wait in the queue.
    pub fn leave<T: 'static>(&self, topic: &Topic<T>) {
        topic.members.remove(&self.entry);
        let mut topics = self.entry.extras().topics.borrow_mut();
        topics.retain(|members| !Rc::ptr_eq(members, &topic.members));
    }

    /// Waits for the next message of this type. Everything else keeps its place in the queue. Cancel-safe.
    ///
    /// # Errors
    /// When the session is to end: see [`Session::next`].
    #[track_caller]
    pub fn next_message<T: 'static>(
        &mut self,
    ) -> impl Future<Output = Result<Rc<T>, Ended>> + use<'_, T> {
        let waiting = self.wait_for(|item| match item {
            Item::Message(message) => message.0.is::<T>(),
            Item::End(_) => true,
            _ => false,
        });
        async {
            match waiting.await {
                Event::Message(message) => Ok(message.get().expect("it is of that type")),
                Event::End(ended) => Err(ended),
                Event::Hit(_) | Event::Missed(_) => unreachable!("it does not fit"),
            }
        }
    }
}

impl SessionHost {
    /// The mailbox of the session that [registered](Session::register) this name for messages of this type.
    pub fn mailbox<T: 'static>(&self, name: &str) -> Option<Mailbox<T>> {
        let entry = self.names().mailboxes.borrow().get::<T>(name)?;
        (!entry.is_over()).then(|| Mailbox::new(&entry))
    }

    /// The mailbox of the session of that [number](Session::number).
    pub fn mailbox_of<T: 'static>(&self, number: u64) -> Option<Mailbox<T>> {
        self.entry(number).map(|entry| Mailbox::new(&entry))
    }

    /// The topic of this name for values of this type. It lasts as long as a session has joined it or somebody has a
    /// clone of it.
    pub fn topic<T: 'static>(&self, name: &str) -> Topic<T> {
        let mut topics = self.names().topics.borrow_mut();
        let members = topics.get::<T>(name).unwrap_or_else(|| {
            let members = Rc::default();
            topics.insert::<T>(name, &members);
            members
        });
        Topic { members, of: PhantomData }
    }
}

/// What sessions are found by, beside their keys.
#[derive(Default)]
pub(super) struct Names {
    mailboxes: RefCell<ByName<Entry>>,
    topics: RefCell<ByName<Members>>,
}

#[cfg(test)]
impl Names {
    pub(super) fn len(&self) -> usize {
        self.mailboxes.borrow().known.len() + self.topics.borrow().known.len()
    }
}

/// Names of things that live elsewhere, by the type of what they take.
struct ByName<V> {
    known: BTreeMap<(TypeId, String), Weak<V>>,
    /// With more than these, those that are dead are let go.
    tidy_above: usize,
}

/// So many names are kept before any of them is looked at.
const TIDY_ABOVE_MIN: usize = 16;

impl<V> Default for ByName<V> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), tidy_above: TIDY_ABOVE_MIN }
    }
}

impl<V> ByName<V> {
    fn get<T: 'static>(&self, name: &str) -> Option<Rc<V>> {
        self.known.get(&(TypeId::of::<T>(), name.into()))?.upgrade()
    }

    fn insert<T: 'static>(&mut self, name: &str, value: &Rc<V>) {
        self.known.insert((TypeId::of::<T>(), name.into()), Rc::downgrade(value));
        if self.known.len() > self.tidy_above {
            self.known.retain(|_, value| value.strong_count() > 0);
            self.tidy_above = (2 * self.known.len()).max(TIDY_ABOVE_MIN);
        }
    }
}
