//! WebSockets: an echo, and a client that has another server echo.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::context::Context;
use endpoints::http::client::{Client, ClientConfig};
use endpoints::websocket::{
    ClientOptions, CloseCode, Deflate, Error, Host, Limits, Message, Options, Socket,
};
use flow::Target;
use web::{Reply, Request, Response, Status};

/// The subprotocol that the echo speaks, for clients that want one.
const PROTOCOLS: &[&str] = &["echo"];
/// Longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Sends each message back. With the query `context`, each side's compressor may keep its own.
pub(crate) async fn echo(host: Host, request: Request) -> Reply {
    let options = Options {
        protocols: PROTOCOLS,
        deflate: Some(deflate(&request)),
        limits: Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() },
        ..Options::default()
    };
    host.accept(&request, options, async |mut socket| {
        while let Some(message) = socket.next().await? {
            match message.as_text() {
                Some("panic") => panic!("asked to by a message"),
                Some("close") => socket.close(CloseCode::GOING_AWAY, "as you wish"),
                _ => socket.send(message).await?,
            }
        }
        Ok(())
    })
}

/// Has the server that the path names echo messages of many lengths, and says how many came back right. With the query
/// `plain`, uncompressed.
pub(crate) async fn ask<P: Platform>(
    context: Context<P>,
    host: Host,
    request: Request,
) -> Response {
    let Some(target) = request.parameter_text("server").and_then(|text| text.parse().ok()) else {
        return Response::plain(Status::BAD_REQUEST);
    };
    let deflate = (request.query() != Some(b"plain")).then(|| deflate(&request));
    let client = Client::new(
        ClientConfig::default(),
        context.connector(),
        &context.spawner,
        &context.timers,
    );
    let options = ClientOptions { protocols: PROTOCOLS, deflate, origin: None };
    let target: Target = target;
    let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    let said = match host.connect(&client, &target, "/", options, limits).await {
        Err(error) => format!("no socket: {error}\n"),
        Ok(socket) => {
            let protocol = String::from(socket.protocol().unwrap_or("none"));
            match converse(socket).await {
                Ok(echoes) => format!("{echoes} echoes, protocol {protocol}\n"),
                Err(error) => format!("after the handshake: {error}\n"),
            }
        }
    };
    Response::ok("text/plain; charset=utf-8", said.into_bytes())
}

async fn converse(mut socket: Socket) -> Result<usize, Error> {
    let mut echoes = 0;
    for message in messages() {
        socket.send(message.clone()).await?;
        if socket.next().await?.as_ref() == Some(&message) {
            echoes += 1;
        }
    }
    socket.close(CloseCode::NORMAL, "done");
    while socket.next().await?.is_some() {}
    Ok(echoes)
}

/// Around all forms of length, as text and as bytes.
fn messages() -> Vec<Message> {
    let lengths = [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 300_000, 1_000_000];
    let text = |length: usize| Message::from("w\u{e9}bsocket ".repeat(length / 11));
    let bytes = |length: usize| Message::from(vec![0xfe; length]);
    lengths.into_iter().flat_map(|length| [text(length), bytes(length)]).collect()
}

fn deflate(request: &Request) -> Deflate {
    let keeps = request.query() == Some(b"context");
    Deflate { keeps_own_context: keeps, lets_peer_keep_context: keeps, ..Deflate::default() }
}
