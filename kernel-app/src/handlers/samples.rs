//! Samples: web sessions as an application writer writes them, one file each. [`routes`] is what leads to them; the shipped
//! appliance has none of them.

mod chat;
mod counter;
mod guess;
mod page;
mod scores;
mod transcript;
mod upload;
mod wizard;

use crate::Platform;
use crate::context::Context;
use endpoints::websocket::Host;
use web::session::Mapper;
use web::{Request, Response, Routes};

/// All of them below `/samples`; the chat's WebSockets run on that host.
pub fn routes<P: Platform>(context: &Context<P>, websockets: &Host) -> Routes {
    let sessions = &context.sessions;
    let room = chat::room(websockets, transcript::Transcript::new(context));
    let chat = sessions.route("/chat", Mapper::cookie_named("chat"), room);
    let upload = sessions.route("/upload", Mapper::cookie_named("upload"), upload::upload);
    let guess = guess::game(scores::Scores::new(context));
    let samples = Routes::new()
        .get("/", index)
        .get("/style.css", page::style)
        .session(sessions, "/counter", Mapper::cookie_named("counter"), counter::counter)
        .session(sessions, "/guess", Mapper::cookie_named("guess"), guess)
        .session(sessions, "/wizard", Mapper::cookie_named("wizard"), wizard::wizard)
        .any("/chat", chat.clone())
        .any("/chat/:what", chat)
        .any("/upload", upload.clone())
        .any("/upload/:what", upload);
    Routes::new().nest("/samples", samples)
}

async fn index(_: Request) -> Response {
    page::page(
        "Samples",
        "<ul>
<li><a href=/samples/counter>Counter</a>: a variable that stays
<li><a href=/samples/guess>Guess</a>: a loop of questions
<li><a href=/samples/wizard>Wizard</a>: several forms, one after the other
<li><a href=/samples/chat>Chat</a>: messages between sessions, by WebSocket or as events
<li><a href=/samples/upload>Upload</a>: a long upload and its progress
</ul>",
    )
}
