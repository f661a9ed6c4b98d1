//! Chat: what one visitor says is a message for the sessions of all, and each pushes it to its page by an event stream.

use super::page::{field, page};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt::Write;
use core::pin::Pin;
use web::event_stream::{EventWriter, KeepAlive};
use web::html::Escaped;
use web::session::{Ended, Event, Hit, Session, StreamWriter, Topic};
use web::{Method, Response};

/// Lines that a page shows when it is opened.
const LINES_MAX: usize = 50;
const LINE_CHARS_MAX: usize = 500;
/// Pages that one visitor may have open; with more the oldest hears nothing.
const PAGES_MAX: usize = 8;

/// What somebody said.
struct Line {
    who: String,
    text: String,
}

/// What was said last, for those who come later.
type History = Rc<RefCell<VecDeque<Rc<Line>>>>;

type Running = Pin<Box<dyn Future<Output = Result<(), Ended>>>>;

/// A room, whose sessions share its history.
pub(super) fn room() -> impl Fn(Session) -> Running {
    let history = History::default();
    move |session| Box::pin(Visitor::new(session, history.clone()).run())
}

struct Visitor {
    session: Session,
    history: History,
    room: Topic<Rc<Line>>,
    who: String,
    /// The pages that are open.
    pages: VecDeque<EventWriter<StreamWriter>>,
}

impl Visitor {
    fn new(session: Session, history: History) -> Self {
        let (room, who) = (session.join("chat"), format!("visitor {}", session.number()));
        Self { session, history, room, who, pages: VecDeque::new() }
    }

    async fn run(mut self) -> Result<(), Ended> {
        loop {
            match self.session.next_event().await {
                Event::Hit(hit) => self.answer(hit).await,
                Event::Message(message) => {
                    if let Some(line) = message.get::<Rc<Line>>() {
                        self.push("line", html(&line)).await;
                    }
                }
                Event::Missed(count) => {
                    self.push("line", format!("<em>{count} lines are missing here</em>")).await;
                }
                Event::End(ended) => return Err(ended),
                _ => {}
            }
        }
    }

    async fn answer(&mut self, mut hit: Hit) {
        let what = hit.parameter_text("what");
        match (what.as_deref(), hit.method()) {
            (None, Method::Get) => hit.reply(self.whole_page()),
            (None, Method::Post) => {
                if let Some(text) = field(&mut hit, "text").await {
                    self.say(&text);
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
                self.pages.push_back(hit.events(KeepAlive::new(self.session.timers())));
                if self.pages.len() > PAGES_MAX {
                    self.pages.pop_front();
                }
            }
            _ => hit.reply(Response::plain(web::Status::NOT_FOUND)),
        }
    }

    fn say(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = text.chars().take(LINE_CHARS_MAX).collect();
        let line = Rc::new(Line { who: self.who.clone(), text });
        let mut history = self.history.borrow_mut();
        history.push_back(line.clone());
        if history.len() > LINES_MAX {
            history.pop_front();
        }
        drop(history);
        self.room.publish(line);
    }

    /// Tells the pages that are still there.
    async fn push(&mut self, event: &str, data: String) {
        let event = web::event_stream::Event::new(data).named(event);
        for _ in 0..self.pages.len() {
            if let Some(mut page) = self.pages.pop_front()
                && page.send(event.clone()).await.is_ok()
            {
                self.pages.push_back(page);
            }
        }
    }

    fn whole_page(&self) -> Response {
        let mut lines = String::new();
        for line in self.history.borrow().iter() {
            let _ = write!(lines, "<li>{}", html(line));
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

fn html(line: &Line) -> String {
    format!("<b>{}</b>: {}", Escaped(&line.who), Escaped(&line.text))
}

/// Without it the forms work, and a reload shows what is new.
const SCRIPT: &str = "\
const lines = document.getElementById('lines'), say = document.getElementById('say');
const toEnd = () => { lines.scrollTop = lines.scrollHeight };
new EventSource('/samples/chat/events').addEventListener('line', event => {
  lines.insertAdjacentHTML('beforeend', '<li>' + event.data);
  toEnd();
});
say.addEventListener('submit', event => {
  event.preventDefault();
  fetch('/samples/chat', { method: 'POST', body: new URLSearchParams(new FormData(say)) });
  say.reset();
});
toEnd();";
