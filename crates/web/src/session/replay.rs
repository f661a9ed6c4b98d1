//! Replay: a session's last requests once more, to a copy of it that begins anew, and where its answers differ. For who
//! looks for a fault, and nobody else: what the requests do beside the session, they do again.

use super::SessionHost;
use super::entry::Entry;
use super::hit::{Answer, Hit, Waiting};
use super::store::{Key, Store};
use crate::{Body, Content, ContentLength, Reply, Request};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use flow::task::{Spawner, TaskId};

/// Bytes of a session's requests and answers that are recorded, at most: the oldest go.
pub const RECORDED_BYTES_MAX: usize = 16 << 10;
/// Bytes of an answer's content that are compared; of what is longer, the length is, too.
const COMPARED_BYTES_MAX: usize = 1 << 10;
/// How long a copy may take for one answer, and for all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes around a difference that are shown.
const EXCERPT_BYTES: usize = 48;

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Requests that came before the first that was recorded: the copy has not had them.
    pub missing_before: u64,
    /// Each request that was recorded, the oldest first.
    pub requests: Vec<Replayed>,
}

/// A request, what the session answered, and what its copy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Method and target.
    pub request: String,
    /// The status that was answered; none while the session has not answered.
    pub recorded_status: Option<u16>,
    /// That of the copy; none if it ended, or took too long.
    pub status: Option<u16>,
    /// Where the content differs first; none if as much of it as is compared is the same.
    pub difference: Option<Difference>,
    /// Why the request was not made, or not answered.
    pub fault: Option<&'static str>,
}

/// Where two contents differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first byte that differs, from 0.
    pub at_byte: usize,
    /// What is there in the answer that was recorded.
    pub recorded: String,
    /// What is there in the copy's.
    pub replayed: String,
}

/// Why nothing is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// There is no such session.
    NoSession,
    /// Nothing of it is recorded: see [`Limits::recorded_max`](super::Limits::recorded_max).
    NothingRecorded,
    /// Another replay runs.
    Busy,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSession => "there is no such session",
            Self::NothingRecorded => "no request of this session is recorded",
            Self::Busy => "another session is replayed",
        })
    }
}

impl core::error::Error for ReplayError {}

impl Replayed {
    /// Whether the copy answered as the session did.
    pub fn is_same(&self) -> bool {
        self.fault.is_none() && self.difference.is_none() && self.status == self.recorded_status
    }
}

/// The last requests of a session.
#[derive(Default)]
pub(super) struct Records(RefCell<VecDeque<Rc<Record>>>);

/// A request and its answer, as far as they have come.
pub(super) struct Record {
    request: Request,
    content: Rc<Kept>,
    answer: RefCell<Option<Answered>>,
}

/// Content that somebody reads, as far as it was read and there is room.
#[derive(Default)]
pub(crate) struct Kept {
    bytes: RefCell<Vec<u8>>,
    is_cut: Cell<bool>,
}

#[derive(Clone, Default)]
struct Answered {
    status: u16,
    /// None of a stream.
    length: Option<usize>,
    start: Vec<u8>,
}

impl Kept {
    pub(crate) fn add(&self, more: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() + more.len() > RECORDED_BYTES_MAX {
            self.is_cut.set(true);
        } else {
            bytes.extend_from_slice(more);
        }
    }
}

impl Records {
    /// Notes a request on its way to a session; of more than `count_max`, the oldest goes.
    pub(super) fn add(&self, hit: &mut Hit, count_max: usize) {
        let content = Rc::<Kept>::default();
        hit.body().keep(&content);
        let request = hit.again(Body::empty());
        let record = Rc::new(Record { request, content, answer: RefCell::default() });
        hit.note_answer(&record);
        let mut records = self.0.borrow_mut();
        records.push_back(record);
        while records.len() > count_max || bytes_of(&records) > RECORDED_BYTES_MAX {
            records.pop_front();
        }
    }

    fn all(&self) -> Vec<Rc<Record>> {
        self.0.borrow().iter().cloned().collect()
    }
}

fn bytes_of(records: &VecDeque<Rc<Record>>) -> usize {
    records.iter().map(|record| record.held_bytes()).sum()
}

impl Record {
    pub(super) fn answered(&self, reply: &Reply) {
        self.answer.replace(Some(Answered::of(reply)));
    }

    fn held_bytes(&self) -> usize {
        let answer = self.answer.borrow().as_ref().map_or(0, |answer| answer.start.len());
        size_of::<Self>()
            + self.request.section().bytes.len()
            + self.content.bytes.borrow().len()
            + answer
    }

    fn name(&self) -> String {
        let method = String::from_utf8_lossy(self.request.method_name());
        [&method, " ", &String::from_utf8_lossy(self.request.target())].concat()
    }

    /// Once more, with as much of its content as was read.
    fn hit(&self) -> (Hit, Waiting) {
        let body = if self.request.content_length() == ContentLength::Empty {
            Body::empty()
        } else {
            Body::whole(&self.content.bytes.borrow())
        };
        Hit::new(self.request.again(body))
    }
}

impl Answered {
    fn of(reply: &Reply) -> Self {
        let status = reply.response.status().code();
        match reply.response.content() {
            Content::Full(data) => {
                let bytes = data.as_bytes();
                let start = bytes[..bytes.len().min(COMPARED_BYTES_MAX)].to_vec();
                Self { status, length: Some(bytes.len()), start }
            }
            Content::Empty => Self { status, length: Some(0), start: Vec::new() },
            _ => Self { status, ..Self::default() },
        }
    }

    fn difference(&self, other: &Self) -> Option<Difference> {
        let same = self.start.iter().zip(&other.start).take_while(|(one, other)| one == other);
        let at = same.count();
        let is_same = self.start == other.start && self.length == other.length;
        let excerpt = |of: &Self| {
            let from = at.saturating_sub(EXCERPT_BYTES / 2);
            let to = of.start.len().min(from + EXCERPT_BYTES);
            String::from_utf8_lossy(of.start.get(from..to).unwrap_or_default()).to_string()
        };
        (!is_same).then(|| Difference {
            at_byte: at,
            recorded: excerpt(self),
            replayed: excerpt(other),
        })
    }
}

impl SessionHost {
    /// Runs a copy of the session of that number, which begins as a new one does and which no visitor finds, gives it the
    /// requests of the session that are recorded, one after another, and says what it answered. Then it is dropped.
    ///
    /// Whatever they do beside the session, as in a database, is done once more; time and random numbers are others.
    ///
    /// # Errors
    /// When there is nothing to replay, or another replay runs.
    pub async fn replay(&self, number: u64) -> Result<Replay, ReplayError> {
        let found = self.stores().find_map(|store| {
            let mut all = store.entries().into_iter().chain(store.fallen());
            let entry = all.find(|entry| entry.number == number)?;
            Some((store, entry))
        });
        let (store, entry) = found.ok_or(ReplayError::NoSession)?;
        let records = entry.known_extras().map(|extras| extras.records.all()).unwrap_or_default();
        if records.is_empty() {
            return Err(ReplayError::NothingRecorded);
        }
        let _alone = self.begin_replay().ok_or(ReplayError::Busy)?;
        let missing_before = entry.hits.get().saturating_sub(records.len() as u64);
        log::warn!("session {number} on {}: replayed, as somebody asked for", store.route);
        let copy = Copy::new(&store);
        let until = self.timers().now() + TIMEOUT;
        let mut requests = Vec::with_capacity(records.len());
        for record in records {
            requests.push(copy.replay(&record, until).await);
        }
        Ok(Replay { missing_before, requests })
    }
}

/// A session that no visitor finds; dropped, it ends.
struct Copy {
    entry: Rc<Entry>,
    spawner: Spawner,
    task: TaskId,
}

impl Copy {
    fn new(store: &Rc<Store>) -> Self {
        let entry = Entry::new_copy(&store.host, Key::Id(store.host.new_id()));
        let spawner = store.host.spawner().clone();
        let task = spawner.spawn("session's copy", store.clone().run(entry.clone()));
        entry.task.set(Some(task));
        Self { entry, spawner, task }
    }

    async fn replay(&self, record: &Record, until: Duration) -> Replayed {
        let recorded = record.answer.borrow().clone();
        let mut replayed = Replayed {
            request: record.name(),
            recorded_status: recorded.as_ref().map(|answer| answer.status),
            status: None,
            difference: None,
            fault: None,
        };
        if record.content.is_cut.get() {
            replayed.fault = Some("its content was too long to be recorded");
            return replayed;
        }
        if self.entry.is_over() {
            replayed.fault = Some("the copy has ended");
            return replayed;
        }
        match self.answer(record, until).await {
            Some(answer) => {
                let answered = Answered::of(&answer.reply);
                replayed.status = Some(answered.status);
                replayed.difference = recorded.and_then(|it| it.difference(&answered));
            }
            None => replayed.fault = Some("the copy did not answer in time"),
        }
        replayed
    }

    async fn answer(&self, record: &Record, until: Duration) -> Option<Answer> {
        let (hit, waiting) = record.hit();
        self.entry.push(hit);
        let timers = &self.entry.timers;
        let until = until.min(timers.now() + ANSWER_TIMEOUT);
        timers.before(until, waiting.answer()).await.ok()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.spawner.cancel(self.task);
    }
}
