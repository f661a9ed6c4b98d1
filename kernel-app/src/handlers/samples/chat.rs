//! Chat: what one visitor says is a message for the sessions of all, and each pushes it to its pages, by WebSocket or by an
//! event stream. Where there is a database it keeps the last lines.

use super::page::{field, page};
use super::transcript::Transcript;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt::Write;
use core::pin::Pin;
use endpoints::websocket::{Error, Host, Options, Socket, Writer};
use web::event_stream::{EventWriter, KeepAlive};
use web::html::Escaped;
use web::session::{
    Attended, Ended, Event, Hit, Mailbox, Message, Session, StreamWriter, Topic, UnsentReason,
};
use web::{Method, Response};

/// Lines that a page shows when it is opened.
const LINES_MAX: usize = 50;
const LINE_CHARS_MAX: usize = 500;
/// Pages that one visitor may have open; with more the oldest hears nothing.
const PAGES_MAX: usize = 8;

/// What somebody said.
pub(super) struct Line {
    pub(super) who: String,
    pub(super) text: String,
}

/// What was said last, for those who come later.
type History = Rc<RefCell<VecDeque<Rc<Line>>>>;

type Running = Pin<Box<dyn Future<Output = Result<(), Ended>>>>;

/// A room, whose sessions share its history.
pub(super) fn room(
    websockets: &Host,
    transcript: Transcript,
) -> impl Fn(Session) -> Running + use<> {
    let (history, websockets) = (History::default(), websockets.clone());
    move |session| {
        let visitor =
            Visitor::new(session, history.clone(), transcript.clone(), websockets.clone());
        Box::pin(visitor.run())
    }
}

struct Visitor {
    session: Session,
    history: History,
    transcript: Transcript,
    websockets: Host,
    room: Topic<Rc<Line>>,
    who: String,
    /// The pages that are open.
    pages: VecDeque<Page>,
}

/// How a page hears what is said.
enum Page {
    Events(EventWriter<StreamWriter>),
    Socket(Writer),
}

/// What a page's WebSocket tells the session.
enum FromPage {
    Opened(Writer),
    Said(String),
}

impl Visitor {
    fn new(session: Session, history: History, transcript: Transcript, websockets: Host) -> Self {
        let (room, who) = (session.join("chat"), format!("visitor {}", session.number()));
        Self { session, history, transcript, websockets, room, who, pages: VecDeque::new() }
    }

    async fn run(mut self) -> Result<(), Ended> {
        loop {
            match self.session.next_event().await {
                Event::Hit(hit) => self.answer(hit).await,
                Event::Message(message) => self.hear(&message).await,
                Event::Missed(count) => {
                    self.push(format!("<em>{count} lines are missing here</em>")).await;
                }
                Event::End(ended) => return Err(ended),
                _ => {}
            }
        }
    }

    async fn answer(&mut self, mut hit: Hit) {
        let what = hit.parameter_text("what");
        match (what.as_deref(), hit.method()) {
            (None, Method::Get) => {
                let page = self.whole_page().await;
                hit.reply(page);
            }
            (None, Method::Post) => {
                if let Some(text) = field(&mut hit, "text").await {
                    self.say(&text).await;
                }
                hit.reply(Response::see_other("/samples/chat"));
            }
            (Some("name"), Method::Post) => {
                if let Some(who) = field(&mut hit, "who").await.filter(|who| !who.is_empty()) {
                    self.who = who.chars().take(40).collect();
                }
                hit.reply(Response::see_other("/samples/chat"));
            }
            (Some("events"), Method::Get) => {
                let events = hit.events(KeepAlive::new(self.session.timers()));
                self.open(Page::Events(events));
            }
            (Some("socket"), Method::Get) => {
                let (mailbox, attended) = (self.session.mailbox(), self.session.attended());
                let listen = async move |socket| listen(socket, mailbox, attended).await;
                let reply = self.websockets.accept(&hit, Options::default(), listen);
                hit.reply(reply);
            }
            _ => hit.reply(Response::plain(web::Status::NOT_FOUND)),
        }
    }

    async fn hear(&mut self, message: &Message) {
        if let Some(line) = message.get::<Rc<Line>>() {
            self.push(html(&line)).await;
        }
        match message.get::<FromPage>().as_deref() {
            Some(FromPage::Opened(writer)) => self.open(Page::Socket(writer.clone())),
            Some(FromPage::Said(text)) => self.say(text).await,
            None => {}
        }
    }

    fn open(&mut self, page: Page) {
        self.pages.push_back(page);
        if self.pages.len() > PAGES_MAX {
            self.pages.pop_front();
        }
    }

    /// The others hear it at once, whether or not the database does.
    async fn say(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = text.chars().take(LINE_CHARS_MAX).collect();
        let line = Rc::new(Line { who: self.who.clone(), text });
        self.remember(line.clone());
        self.room.publish(line.clone());
        self.transcript.add(&line, LINES_MAX).await;
    }

    fn remember(&self, line: Rc<Line>) {
        let mut history = self.history.borrow_mut();
        history.push_back(line);
        if history.len() > LINES_MAX {
            history.pop_front();
        }
    }

    /// Tells the pages that are still there.
    async fn push(&mut self, html: String) {
        for _ in 0..self.pages.len() {
            let Some(mut page) = self.pages.pop_front() else { break };
            let is_there = match &mut page {
                Page::Events(events) => events.send(html.clone()).await.is_ok(),
                Page::Socket(writer) => writer.send(html.clone()).await.is_ok(),
            };
            if is_there {
                self.pages.push_back(page);
            }
        }
    }

    async fn whole_page(&self) -> Response {
        let mut lines = String::new();
        let mut show = |line: &Line| {
            let _ = write!(lines, "<li>{}", html(line));
        };
        match self.transcript.last(LINES_MAX).await {
            Some(kept) => kept.iter().for_each(show),
            None => self.history.borrow().iter().for_each(|line| show(line)),
        }
        let who = Escaped(&self.who);
        page(
            "Chat",
            format!(
                "<div class=card><ul class=lines id=lines aria-live=polite>{lines}</ul></div>
<form method=post class=row id=say><label>You say <input name=text maxlength={LINE_CHARS_MAX} autocomplete=off autofocus></label>
<button>Say</button></form>
<form method=post action=/samples/chat/name class=row><label>Your name <input name=who maxlength=40 value=\"{who}\"></label>
<button>Change</button></form>
<script>{SCRIPT}</script>"
            ),
        )
    }
}

/// Passes on what a page says by its WebSocket, until either has gone.
async fn listen(
    socket: Socket,
    session: Mailbox<FromPage>,
    _attended: Attended,
) -> Result<(), Error> {
    let (mut reader, writer) = socket.split();
    // What a session that cannot keep up does not get is lost, as it would be in a room that is too loud.
    let is_over =
        |message| matches!(session.send(message), Err(it) if it.reason == UnsentReason::Over);
    if is_over(FromPage::Opened(writer)) {
        return Ok(());
    }
    while let Some(message) = reader.next().await? {
        let text = message.as_text().unwrap_or_default();
        if is_over(FromPage::Said(text.into())) {
            break;
        }
    }
    Ok(())
}

fn html(line: &Line) -> String {
    format!("<b>{}</b>: {}", Escaped(&line.who), Escaped(&line.text))
}

/// Without it the forms work, and a reload shows what is new.
const SCRIPT: &str = "\
const lines = document.getElementById('lines'), say = document.getElementById('say');
const toEnd = () => { lines.scrollTop = lines.scrollHeight };
const show = ({ data }) => { lines.insertAdjacentHTML('beforeend', '<li>' + data); toEnd() };
const post = text => fetch('/samples/chat', { method: 'POST', body: new URLSearchParams({ text }) });
let send = post;
const connect = () => {
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/samples/chat/socket');
  let opened = false;
  socket.onmessage = show;
  socket.onopen = () => { opened = true; send = text => socket.send(text) };
  socket.onclose = () => {
    send = post;
    // What a server or a proxy without WebSockets has is events; they connect again by themselves.
    if (opened) setTimeout(connect, 2000); else new EventSource('/samples/chat/events').onmessage = show;
  };
};
connect();
say.addEventListener('submit', event => {
  event.preventDefault();
  send(say.elements.text.value);
  say.reset();
});
toEnd();";
