//! Hit: one request to a session, and the answer to it.

use super::SessionId;
use super::entry::{Busy, Entry};
use super::replay::Record;
use crate::event_stream::{EventWriter, KeepAlive};
use crate::{Content, ContentWriter, Data, Next, Reply, Request, Response, Status};
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::{Deref, DerefMut};
use flow::sync::{Notify, OneShot};
use flow::task::waiting;

/// A visitor's request, to be answered. Dereferences to the [`Request`]. One that is dropped without an answer is
/// answered 500.
pub struct Hit(Box<Parts>);

/// Apart, so that what waits in a queue or in a session's variables is a pointer.
struct Parts {
    request: Request,
    exchange: Rc<Exchange>,
    entry: Weak<Entry>,
    is_answered: bool,
    /// Who notes its answer.
    record: Option<Rc<Record>>,
}

/// What the session and the connection share of one request.
#[derive(Default)]
pub(super) struct Exchange {
    answer: OneShot<Answer>,
    is_gone: Cell<bool>,
    is_answered: Cell<bool>,
    /// By [`Hit::print`].
    printed: RefCell<String>,
    /// While the connection waits.
    busy: Cell<Option<Busy>>,
    /// Equal requests that came later and get the same answer.
    others: RefCell<Vec<Rc<Exchange>>>,
}

/// A reply, and the id that its visitor is to be told.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) id: Option<SessionId>,
}

/// The connection's end: dropped with the connection.
pub(super) struct Waiting(Rc<Exchange>);

impl Waiting {
    pub(super) async fn answer(&self) -> Answer {
        self.0.answer.take().await
    }

    /// The answer, if it has been given.
    pub(super) fn try_answer(&self) -> Option<Answer> {
        self.0.answer.try_take()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.is_gone.set(true);
        self.0.busy.take();
    }
}

impl Exchange {
    /// The connection's end of another request that gets the same answer.
    pub(super) fn join(&self, entry: &Rc<Entry>) -> Waiting {
        let other = Rc::<Self>::default();
        other.busy.set(Some(Busy::new(entry)));
        self.others.borrow_mut().push(other.clone());
        Waiting(other)
    }

    /// Whether the answer has been given, or nobody waits for it.
    pub(super) fn is_over(&self) -> bool {
        self.is_answered.get() || !self.is_awaited()
    }

    fn is_awaited(&self) -> bool {
        !self.is_gone.get() || self.others.borrow().iter().any(|other| !other.is_gone.get())
    }

    /// Answers all that wait: with copies, or, what can be sent once only, the one that came last.
    fn answer(&self, reply: Reply, id: Option<SessionId>) {
        self.is_answered.set(true);
        let others = self.others.take();
        if others.is_empty() {
            return self.answer.set(Answer { reply, id });
        }
        let all = core::iter::once(self).chain(others.iter().map(|other| &**other));
        let mut waiting: Vec<&Self> = all.filter(|exchange| !exchange.is_gone.get()).collect();
        let last = waiting.pop().unwrap_or(self);
        for exchange in waiting {
            let response = copy(&reply).unwrap_or_else(|| {
                let text = "the answer went to a later request like this one\n";
                plain(Status::CONFLICT, text)
            });
            exchange.answer.set(Answer { reply: response.into(), id });
        }
        last.answer.set(Answer { reply, id });
    }
}

/// The same response again, if it is complete.
fn copy(reply: &Reply) -> Option<Response> {
    let is_whole = matches!(reply.next, Next::Nothing) && !reply.response.content().is_stream();
    is_whole.then(|| reply.response.clone())
}

impl Hit {
    /// Both ends.
    pub(super) fn new(request: Request) -> (Self, Waiting) {
        let exchange = Rc::<Exchange>::default();
        let waiting = Waiting(exchange.clone());
        let parts =
            Parts { request, exchange, entry: Weak::new(), is_answered: false, record: None };
        (Self(Box::new(parts)), waiting)
    }

    /// It goes to this session.
    pub(super) fn to(mut self, entry: &Rc<Entry>) -> Self {
        self.0.entry = Rc::downgrade(entry);
        if !self.is_gone() {
            self.0.exchange.busy.set(Some(Busy::new(entry)));
        }
        self
    }

    /// What equal requests may join.
    pub(super) fn exchange(&self) -> &Rc<Exchange> {
        &self.0.exchange
    }

    /// Adds to the page that [`finish`](Self::finish) sends; as `write!` does.
    pub fn print(&mut self, text: &str) {
        self.0.exchange.printed.borrow_mut().push_str(text);
    }

    /// Answers it with the page that was printed, as HTML.
    pub fn finish(self) {
        let page = self.0.exchange.printed.take().into_bytes();
        self.reply(Response::ok("text/html; charset=utf-8", page));
    }

    /// Answers it.
    pub fn reply(mut self, reply: impl Into<Reply>) {
        self.answer(reply.into());
    }

    /// Answers it with content that is written piece by piece, as fast as the visitor takes it. Of the response only head
    /// and fields count.
    pub fn stream(self, response: Response) -> StreamWriter {
        self.stream_by(response, |reply| reply)
    }

    /// Answers it with an [event stream](crate::event_stream).
    pub fn events(self, keep_alive: KeepAlive) -> EventWriter<StreamWriter> {
        let head = crate::event_stream::head();
        EventWriter::new(self.stream_by(head, |reply| keep_alive.around(reply)))
    }

    fn stream_by(mut self, response: Response, adapt: impl FnOnce(Reply) -> Reply) -> StreamWriter {
        let pipe = Rc::<Pipe>::default();
        let busy = self.0.entry.upgrade().map(|entry| Busy::new(&entry));
        let reader = Reader { pipe: pipe.clone(), _busy: busy };
        let response = response.carrying(Content::Stream(None));
        self.answer(adapt(Reply::stream(response, |writer| reader.pass_on(writer))));
        StreamWriter(pipe)
    }

    /// Nobody waits for the answer any more: the connection has ended.
    pub fn is_gone(&self) -> bool {
        !self.0.exchange.is_awaited()
    }

    pub(super) fn note_answer(&mut self, record: &Rc<Record>) {
        self.0.record = Some(record.clone());
    }

    fn answer(&mut self, reply: Reply) {
        self.0.is_answered = true;
        if let Some(record) = &self.0.record {
            record.answered(&reply);
        }
        let id = self.0.entry.upgrade().and_then(|entry| entry.id_to_tell());
        self.0.exchange.answer(reply, id);
    }
}

/// Printing cannot fail.
impl fmt::Write for Hit {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.print(text);
        Ok(())
    }
}

impl Deref for Hit {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0.request
    }
}

impl DerefMut for Hit {
    fn deref_mut(&mut self) -> &mut Request {
        &mut self.0.request
    }
}

impl Drop for Hit {
    fn drop(&mut self) {
        if !self.0.is_answered {
            let text = "the session did not answer this request\n";
            self.0.exchange.answer(plain(Status::INTERNAL_SERVER_ERROR, text).into(), None);
        }
    }
}

impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hit({:?})", self.0.request)
    }
}

/// A status with its reason, for whoever asked.
pub(super) fn plain(status: Status, text: &'static str) -> Response {
    Response::new(status).with_content("text/plain; charset=utf-8", text)
}

/// Writes the content of an answer. Dropped before [`finish`](Self::finish), the connection is cut, so that the visitor
/// cannot take a part for the whole.
pub struct StreamWriter(Rc<Pipe>);

/// Nobody reads the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the visitor has gone")
    }
}

impl core::error::Error for Gone {}

/// From the session's task to the connection's: one piece at a time.
#[derive(Default)]
struct Pipe {
    piece: OneShot<Piece>,
    /// The piece was taken on, or nobody will.
    moved: Notify,
    is_gone: Cell<bool>,
    is_finished: Cell<bool>,
}

enum Piece {
    Data(Data),
    End,
    Abandoned,
}

impl StreamWriter {
    /// Sends the next piece; returns when there is room for another.
    ///
    /// # Errors
    /// When nobody reads any more.
    #[track_caller]
    pub fn write(&mut self, data: impl Into<Data>) -> impl Future<Output = Result<(), Gone>> {
        waiting(async move {
            let data = data.into();
            if self.0.is_gone.get() {
                return Err(Gone);
            }
            if !data.is_empty() {
                self.0.piece.set(Piece::Data(data));
                self.0.moved.notified().await;
            }
            if self.0.is_gone.get() { Err(Gone) } else { Ok(()) }
        })
    }

    /// Ends the content.
    pub fn finish(self) {
        self.0.is_finished.set(true);
        self.0.piece.set(Piece::End);
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.0.is_finished.get() {
            self.0.piece.set(Piece::Abandoned);
        }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamWriter(..)")
    }
}

/// The connection's end.
struct Reader {
    pipe: Rc<Pipe>,
    /// While there may be more to read.
    _busy: Option<Busy>,
}

impl Reader {
    async fn pass_on(self, mut writer: ContentWriter) {
        loop {
            match self.pipe.piece.take().await {
                Piece::Data(data) => {
                    writer.write(data).await;
                    self.pipe.moved.notify();
                }
                Piece::End => return,
                Piece::Abandoned => return writer.abandon(),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.pipe.is_gone.set(true);
        self.pipe.moved.notify();
    }
}
