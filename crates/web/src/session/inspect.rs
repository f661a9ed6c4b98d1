//! Inspector's hooks: what can be seen of a session from outside, and done in it.
//!
//! Values that a session [registers](Session::watch) can be looked at while it waits, wherever that is. What is to change
//! in a session is done by the session's own task, as a command in its queue: so nothing changes under its hands, and
//! what goes wrong ends that session only.

use super::{Session, SessionHost};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{self, Debug, Display};
use core::panic::Location;
use core::str::FromStr;
use core::time::Duration;
use flow::sync::OneShot;

/// What can be seen of a session from outside. Its id is not among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// See [`Session::number`].
    pub number: u64,
    /// The route's pattern.
    pub route: &'static str,
    /// Since its first request.
    pub age: Duration,
    /// Since its last request.
    pub idle: Duration,
    /// Requests that came for it.
    pub hits: u64,
    /// What waits in its queue: requests, messages and all else.
    pub queue: usize,
    /// Where it waits for its queue; none while it waits for something else, or runs.
    pub waits_at: Option<&'static Location<'static>>,
}

/// A value of a session that others may look at.
pub(super) struct Watched {
    name: &'static str,
    show: Box<dyn Fn() -> String>,
    set: Option<Box<Set>>,
}

type Set = dyn Fn(&str) -> Result<(), String>;

/// What a session lets others have it do.
pub(super) struct Offered {
    name: &'static str,
    help: &'static str,
    does: Rc<Does>,
}

type Does = dyn Fn(&str) -> Result<String, String>;

/// What is done in a session's own task.
pub(super) type Command = Box<dyn FnOnce(&mut Session)>;

/// Why a value was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// There is no session of that number, or it ended.
    NoSession,
    /// It has no value of that name.
    NoValue,
    /// The value can be looked at only.
    ReadOnly,
    /// The text is no such value, for this reason.
    Unreadable(String),
}

impl Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => f.write_str("there is no such session"),
            Self::NoValue => f.write_str("the session has no value of that name"),
            Self::ReadOnly => f.write_str("this value can be looked at only"),
            Self::Unreadable(reason) => write!(f, "not a value for it: {reason}"),
        }
    }
}

impl core::error::Error for SetError {}

/// Why a command gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// There is no session of that number, or it ended, as it does when the command panics.
    NoSession,
    /// It has no command of that name.
    NoCommand,
    /// The command says why.
    Failed(String),
}

impl Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => f.write_str("there is no such session"),
            Self::NoCommand => f.write_str("the session has no command of that name"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl core::error::Error for CommandError {}

impl Session {
    /// Lets others look at a value, as its `Debug` writes it, in place of an earlier one of that name.
    pub fn watch<T: Debug + 'static>(&self, name: &'static str, value: &Rc<RefCell<T>>) {
        self.add_watched(name, value, None);
    }

    /// Lets others look at a value and [set it](SessionHost::set), in place of an earlier one of that name.
    pub fn watch_and_set<T>(&self, name: &'static str, value: &Rc<RefCell<T>>)
    where
        T: Debug + FromStr<Err: Display> + 'static,
    {
        let target = value.clone();
        let set = move |text: &str| {
            let new: T = text.parse().map_err(|error| format!("{error}"))?;
            *target.try_borrow_mut().map_err(|_| String::from("it is in use"))? = new;
            Ok(())
        };
        self.add_watched(name, value, Some(Box::new(set)));
    }

    /// Lets others have something done [in the session's task](SessionHost::command), in place of an earlier command of that
    /// name. `does` gets their words, and gives an answer or a reason; `help` says what it does.
    pub fn command(
        &self,
        name: &'static str,
        help: &'static str,
        does: impl Fn(&str) -> Result<String, String> + 'static,
    ) {
        let mut commands = self.entry.extras().commands.borrow_mut();
        commands.retain(|known| known.name != name);
        commands.push(Offered { name, help, does: Rc::new(does) });
    }

    fn do_command(&self, name: &str, words: &str) -> Result<String, CommandError> {
        let does = {
            // It may add commands itself.
            let commands = self.entry.extras().commands.borrow();
            let command = commands.iter().find(|command| command.name == name);
            command.ok_or(CommandError::NoCommand)?.does.clone()
        };
        does(words).map_err(CommandError::Failed)
    }

    fn add_watched<T: Debug + 'static>(
        &self,
        name: &'static str,
        value: &Rc<RefCell<T>>,
        set: Option<Box<Set>>,
    ) {
        let shown = value.clone();
        let show = Box::new(move || match shown.try_borrow() {
            Ok(value) => format!("{value:?}"),
            Err(_) => "in use".into(),
        });
        let mut watched = self.entry.extras().watched.borrow_mut();
        watched.retain(|known| known.name != name);
        watched.push(Watched { name, show, set });
    }

    fn set_watched(&self, name: &str, text: &str) -> Result<(), SetError> {
        let watched = self.entry.extras().watched.borrow();
        let value = watched.iter().find(|value| value.name == name).ok_or(SetError::NoValue)?;
        let set = value.set.as_ref().ok_or(SetError::ReadOnly)?;
        set(text).map_err(SetError::Unreadable)
    }
}

impl SessionHost {
    /// Every session, in no order.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.stores().flat_map(|store| store.sessions()).collect()
    }

    /// The values that the session of that number lets others look at, with their names. What panics while it is written
    /// is said to.
    pub fn watched(&self, number: u64) -> Vec<(&'static str, String)> {
        let Some(entry) = self.entry(number) else { return Vec::new() };
        let Some(extras) = entry.known_extras() else { return Vec::new() };
        let shown = |value: &Watched| {
            let text = self.spawner().catch(|| (value.show)());
            (value.name, text.unwrap_or_else(|error| format!("{error}")))
        };
        extras.watched.borrow().iter().map(shown).collect()
    }

    /// The commands that the session of that number offers, with what they do.
    pub fn commands(&self, number: u64) -> Vec<(&'static str, String)> {
        let Some(entry) = self.entry(number) else { return Vec::new() };
        let Some(extras) = entry.known_extras() else { return Vec::new() };
        extras.commands.borrow().iter().map(|it| (it.name, it.help.into())).collect()
    }

    /// Has a session do what it [offers](Session::command), with these words, once it waits for its queue.
    ///
    /// # Errors
    /// When there is no such session or command, or the command says so. A panic in it ends the session.
    pub async fn command(
        &self,
        number: u64,
        name: &str,
        words: &str,
    ) -> Result<String, CommandError> {
        let (name, words) = (String::from(name), String::from(words));
        self.run(number, move |session| session.do_command(&name, &words))
            .await
            .unwrap_or(Err(CommandError::NoSession))
    }

    /// Sets a value of a session that [lets others do so](Session::watch_and_set): once it waits for its queue.
    ///
    /// # Errors
    /// When there is no such session or value, or the text is none for it.
    pub async fn set(&self, number: u64, name: &str, text: &str) -> Result<(), SetError> {
        let (name, text) = (String::from(name), String::from(text));
        self.run(number, move |session| session.set_watched(&name, &text))
            .await
            .unwrap_or(Err(SetError::NoSession))
    }

    /// Runs something in the task of the session of that number, once it waits for its queue: a panic ends that session.
    /// None if there is no such session, or it ended before.
    pub async fn run<T: 'static>(
        &self,
        number: u64,
        command: impl FnOnce(&mut Session) -> T + 'static,
    ) -> Option<T> {
        let done = Rc::<OneShot<Option<T>>>::default();
        let outcome = Outcome(done.clone());
        let command = move |session: &mut Session| outcome.0.set(Some(command(session)));
        self.entry(number)?.push_command(Box::new(command));
        done.take().await
    }
}

/// Says so when it is dropped, whatever became of the command.
struct Outcome<T>(Rc<OneShot<Option<T>>>);

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        let value = self.0.try_take().flatten();
        self.0.set(value);
    }
}
