//! HTTP reverse proxy: passes a request on to another server and its answer back, both bodies as
//! streams. It shows the HTTP client at work, over whatever the platform connects by.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::context::Context;
use endpoints::http::Limits;
use endpoints::http::client::{self, Client, ClientConfig};
use flow::{Connector, Target};
use web::{
    Answer, Content, ContentLength, ContentWriter, Fields, Handler, Method, Reply, Request,
    Response, Status,
};

/// Fields that belong to one connection, besides those that `Connection` names and those that the
/// protocol cores write themselves (RFC 9110 section 7.6.1).
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"];

/// Answers `/…/:server/*path` with what `server` answers to `/path`.
pub(crate) struct Proxy<C: Connector> {
    client: Client<C>,
}

impl<C: Connector> Proxy<C> {
    /// A proxy whose idle connections serve later requests.
    pub(crate) fn new<P: Platform<Connector = C>>(context: &Context<P>) -> Self {
        let connector = context.platform.connector();
        let (spawner, timers) = (&context.spawner, &context.timers);
        // Bodies pass as streams: they may have any length.
        let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
        let config = ClientConfig { limits, ..ClientConfig::default() };
        Self { client: Client::new(config, connector, spawner, timers) }
    }
}

impl<C: Connector + 'static> Handler for Proxy<C> {
    fn answer(&self, request: Request) -> Answer {
        let client = self.client.clone();
        Answer::Later(Box::pin(async move {
            match pass_on(client, request).await {
                Ok(reply) => reply,
                Err(status) => Response::plain(status).into(),
            }
        }))
    }
}

async fn pass_on<C: Connector + 'static>(
    client: Client<C>,
    mut request: Request,
) -> Result<Reply, Status> {
    let target = target(&request).ok_or(Status::BAD_REQUEST)?;
    let method = request.method();
    let outgoing = outgoing(&request, &target).ok_or(Status::BAD_REQUEST)?;
    let answer = match request.content_length() {
        ContentLength::Empty => client.send(&target, outgoing).await,
        length => {
            let outgoing = outgoing.carrying(streamed(length));
            let upload = async move |mut writer: ContentWriter| loop {
                match request.body().next().await {
                    Ok(Some(piece)) => writer.write(piece).await,
                    Ok(None) => return,
                    Err(_) => return writer.abandon(),
                }
            };
            client.send_stream(&target, outgoing, upload).await
        }
    };
    match answer {
        Ok(answer) => Ok(incoming(method, answer)),
        Err(error) => {
            log::info!("/_test/relay: {target}: {error}");
            Err(Status::BAD_GATEWAY)
        }
    }
}

fn target(request: &Request) -> Option<Target> {
    core::str::from_utf8(request.parameter("server")?).ok()?.parse().ok()
}

/// The request as the other server gets it, still without its body.
fn outgoing(request: &Request, target: &Target) -> Option<client::Request> {
    let mut path = String::from("/");
    path.push_str(core::str::from_utf8(request.parameter("path")?).ok()?);
    if let Some(query) = request.query() {
        path.push('?');
        path.push_str(core::str::from_utf8(query).ok()?);
    }
    let outgoing = client::Request::new(request.method(), &target.authority(), &path).ok()?;
    Some(
        end_to_end(request.headers())
            .fold(outgoing, |outgoing, (name, value)| outgoing.with_header(name, value)),
    )
}

/// The other server's response as the client gets it.
fn incoming<F: flow::Flow + 'static>(method: Method, mut answer: client::Response<F>) -> Reply {
    let response = end_to_end(answer.headers())
        .fold(Response::new(answer.status()), |response, (name, value)| {
            response.with_header(name, value)
        });
    if method == Method::Head {
        let length = answer
            .header("content-length")
            .and_then(|value| core::str::from_utf8(value).ok()?.parse().ok());
        return response.carrying(Content::Stream(length)).into();
    }
    if answer.content_length() == ContentLength::Empty {
        return response.into();
    }
    let response = response.carrying(streamed(answer.content_length()));
    Reply::stream(response, async move |mut writer| {
        loop {
            match answer.next().await {
                Ok(Some(piece)) => writer.write(piece).await,
                Ok(None) => return,
                Err(error) => {
                    log::info!("/_test/relay: a body broke off: {error}");
                    return writer.abandon();
                }
            }
        }
    })
}

fn streamed(length: ContentLength) -> Content {
    Content::Stream(match length {
        ContentLength::Empty => Some(0),
        ContentLength::Known(bytes) => Some(bytes),
        ContentLength::Unknown => None,
    })
}

/// The fields that are for the other end and not for its neighbour.
fn end_to_end(fields: Fields<'_>) -> impl Iterator<Item = (&str, &[u8])> {
    let named: Vec<&[u8]> = fields
        .clone()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
        .flat_map(|(_, value)| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    fields.filter_map(move |(name, value)| {
        let is_own = OF_THE_CONNECTION.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name))
            || named.iter().any(|own| own.eq_ignore_ascii_case(name));
        let name = core::str::from_utf8(name).ok()?;
        (!is_own).then_some((name, value))
    })
}
