//! Imports: another's flows, listeners, connectors and networks as if they were local.

use super::{ListenFailure, flow_error, read_address, read_outcome};
use crate::network_capnp::{
    self as schema, ConnectFailure, connector, listener, network, opened, reader, writer,
};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use capnp::capability::{Promise, Response};
use capnp::{Error, ErrorKind};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use flow::{Address, ConnectError, Connector, Flow, FlowError, Listener, Target};

/// Bytes asked for by a read, and written by one write. 32 KiB: two of them fill a window of calls that stream.
const CHUNK_BYTES: usize = 32 << 10;

/// A call that waits for its answer.
type Call<T> = Promise<Response<T>, Error>;

/// A flow behind two objects.
pub struct RemoteFlow {
    /// None once it was aborted.
    ends: Option<(reader::Client, writer::Client)>,
    peer: Address,
    local: Address,
    reading: Option<Call<reader::read_results::Owned>>,
    /// What the last answer to a read brought, and how much of it was consumed.
    unread: Vec<u8>,
    unread_from: usize,
    /// How reading ended.
    read_end: Option<Result<(), FlowError>>,
    scratch: Box<[u8]>,
    sending: Option<Promise<(), Error>>,
    draining: Option<Call<writer::drain_results::Owned>>,
    finished: bool,
}

impl RemoteFlow {
    /// The flow behind these objects, between these addresses.
    pub fn new(
        reader: reader::Client,
        writer: writer::Client,
        peer: Address,
        local: Address,
    ) -> Self {
        Self {
            ends: Some((reader, writer)),
            peer,
            local,
            reading: None,
            unread: Vec::new(),
            unread_from: 0,
            read_end: None,
            scratch: alloc::vec![0; CHUNK_BYTES].into_boxed_slice(),
            sending: None,
            draining: None,
            finished: false,
        }
    }

    fn opened(opened: opened::Reader<'_>) -> Result<Self, Error> {
        let (peer, local) = (read_address(opened.get_peer()), read_address(opened.get_local()));
        Ok(Self::new(opened.get_reader()?, opened.get_writer()?, peer, local))
    }

    /// Shows what is left of the last answer.
    fn show(&mut self, take: &mut dyn FnMut(&mut [u8]) -> usize) -> Option<usize> {
        let rest = &mut self.unread[self.unread_from..];
        if rest.is_empty() {
            return None;
        }
        let count = take(rest).min(rest.len());
        self.unread_from += count;
        Some(count)
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let Some((reader, _)) = &self.ends else {
            return Poll::Ready(Err(FlowError::Closed));
        };
        let answer = ready!(Pin::new(self.reading.get_or_insert_with(|| read(reader))).poll(cx));
        self.reading = None;
        let response = answer.map_err(|error| flow_error(&error))?;
        let outcome = response.get().and_then(|results| results.get_outcome());
        read_outcome(outcome)?;
        let data = response.get().and_then(|results| results.get_data());
        // Copied, since a reader may change what it is shown.
        self.unread = data.map_err(|error| flow_error(&error))?.to_vec();
        self.unread_from = 0;
        // The next bytes are on their way while these are consumed.
        self.reading = Some(read(reader));
        Poll::Ready(Ok(()))
    }
}

fn read(reader: &reader::Client) -> Call<reader::read_results::Owned> {
    let mut request = reader.read_request();
    request.get().set_bytes_max(CHUNK_BYTES as u32);
    request.send().promise
}

impl Flow for RemoteFlow {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        loop {
            if let Some(count) = self.show(take) {
                return Poll::Ready(Ok(count));
            }
            match self.read_end {
                Some(Ok(())) => return Poll::Ready(Ok(take(&mut []))),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {}
            }
            self.read_end = match ready!(self.poll_answer(cx)) {
                Ok(()) => None,
                // The other end finished; what this side ended is an error.
                Err(FlowError::Closed) if self.ends.is_some() => Some(Ok(())),
                Err(error) => Some(Err(error)),
            };
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let Some((_, writer)) = self.ends.as_ref().filter(|_| !self.finished) else {
            return Poll::Ready(Err(FlowError::Closed));
        };
        if let Some(sending) = &mut self.sending {
            let room = ready!(Pin::new(sending).poll(cx));
            self.sending = None;
            room.map_err(|error| flow_error(&error))?;
        }
        let count = fill(&mut self.scratch);
        if count > 0 {
            let mut request = writer.write_request();
            request.get().set_data(&self.scratch[..count]);
            self.sending = Some(request.send());
        }
        Poll::Ready(Ok(count))
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let Some((_, writer)) = &self.ends else {
            return Poll::Ready(Err(FlowError::Closed));
        };
        let draining = self.draining.get_or_insert_with(|| writer.drain_request().send().promise);
        let answer = ready!(Pin::new(draining).poll(cx));
        self.draining = None;
        let response = answer.map_err(|error| flow_error(&error))?;
        Poll::Ready(read_outcome(response.get().and_then(|r| r.get_outcome())))
    }

    fn finish(&mut self) {
        if let Some((_, writer)) = self.ends.as_ref().filter(|_| !self.finished) {
            // A streaming call goes on though nobody waits for it.
            drop(writer.close_request().send());
            // It was about an end that had not been said.
            self.draining = None;
            self.finished = true;
        }
    }

    fn abort(&mut self) {
        if let Some((reader, _)) = self.ends.take() {
            drop(reader.abort_request().send());
        }
        self.reading = None;
        (self.unread, self.unread_from) = (Vec::new(), 0);
        self.sending = None;
        self.draining = None;
    }

    fn peer(&self) -> Address {
        self.peer
    }

    fn local(&self) -> Address {
        self.local
    }
}

impl Drop for RemoteFlow {
    fn drop(&mut self) {
        if !self.finished {
            self.abort();
        }
    }
}

/// A listener behind an object.
pub struct RemoteListener {
    client: listener::Client,
    local: Address,
    accepting: Option<Call<listener::accept_results::Owned>>,
    /// Answers since the last flow that were none.
    bad_answers: u32,
}

/// Answers in a row that are no flows, after which a listener is given up: whoever is there does not know how to answer, and
/// each costs a call.
const BAD_ANSWERS_MAX: u32 = 16;

impl RemoteListener {
    /// The listener behind `client`, which is asked where it listens.
    pub async fn new(client: listener::Client) -> Result<Self, Error> {
        let response = client.local_request().send().promise.await?;
        let local = read_address(response.get()?.get_local());
        Ok(Self { client, local, accepting: None, bad_answers: 0 })
    }
}

impl Listener for RemoteListener {
    type Flow = RemoteFlow;

    /// An answer that is no flow costs that flow alone: the next one is asked for.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<RemoteFlow, FlowError>> {
        loop {
            let client = &self.client;
            let accepting =
                self.accepting.get_or_insert_with(|| client.accept_request().send().promise);
            let answer = ready!(Pin::new(accepting).poll(cx));
            self.accepting = None;
            let error = match answer.and_then(|response| accepted(&response)) {
                Ok(accepted) => {
                    self.bad_answers = 0;
                    return Poll::Ready(accepted);
                }
                Err(error) => error,
            };
            self.bad_answers += 1;
            let is_gone = matches!(error.kind, ErrorKind::Disconnected | ErrorKind::Unimplemented);
            if is_gone || self.bad_answers >= BAD_ANSWERS_MAX {
                return Poll::Ready(Err(flow_error(&error)));
            }
            log::warn!(
                "a remote listener at {} has a connection that is none: {error}",
                self.local
            );
        }
    }

    fn local(&self) -> Address {
        self.local
    }
}

/// The flow of an answer, or how the listener ended; an error if the answer is neither.
fn accepted(
    response: &Response<listener::accept_results::Owned>,
) -> Result<Result<RemoteFlow, FlowError>, Error> {
    let results = response.get()?;
    // What cannot be read says of no end.
    results.get_outcome()?.which()?;
    match read_outcome(results.get_outcome()) {
        Ok(()) => RemoteFlow::opened(results.get_opened()?).map(Ok),
        Err(end) => Ok(Err(end)),
    }
}

/// A connector behind an object: another appliance's network as one's own.
#[derive(Clone)]
pub struct RemoteConnector(connector::Client);

impl RemoteConnector {
    /// The connector behind `client`.
    pub fn new(client: connector::Client) -> Self {
        Self(client)
    }

    async fn open(&self, target: &Target) -> Result<Result<RemoteFlow, ConnectError>, Error> {
        let mut request = self.0.connect_request();
        request.get().set_target(&*target.to_string());
        let response = request.send().promise.await?;
        let results = response.get()?;
        Ok(Err(match results.get_failure() {
            Ok(ConnectFailure::None) => return RemoteFlow::opened(results.get_opened()?).map(Ok),
            Ok(ConnectFailure::Refused) => ConnectError::Refused,
            Ok(ConnectFailure::TimedOut) => ConnectError::TimedOut,
            Ok(ConnectFailure::NotFound) => ConnectError::NotFound,
            Ok(ConnectFailure::Exhausted) => ConnectError::Exhausted,
            Ok(ConnectFailure::NotAllowed) => ConnectError::NotAllowed,
            Ok(ConnectFailure::Unreachable) | Err(_) => ConnectError::Unreachable,
        }))
    }
}

impl Connector for RemoteConnector {
    type Flow = RemoteFlow;

    async fn connect(&self, target: &Target) -> Result<RemoteFlow, ConnectError> {
        self.open(target).await.unwrap_or_else(|error| {
            log::debug!("{target} through a remote connector: {error}");
            Err(ConnectError::Unreachable)
        })
    }
}

/// A network behind an object.
#[derive(Clone)]
pub struct RemoteNetwork(network::Client);

impl RemoteNetwork {
    /// The network behind `client`.
    pub fn new(client: network::Client) -> Self {
        Self(client)
    }

    /// Listens at a port there.
    ///
    /// # Errors
    /// The network does not let us, or the object is gone, as the message says.
    pub async fn listen(&self, port: u16) -> Result<RemoteListener, Error> {
        let mut request = self.0.listen_request();
        request.get().set_port(port);
        let response = request.send().promise.await?;
        let results = response.get()?;
        let failure = match results.get_failure() {
            Ok(schema::ListenFailure::None) => {
                return RemoteListener::new(results.get_listener()?).await;
            }
            Ok(schema::ListenFailure::InUse) => ListenFailure::InUse,
            Ok(schema::ListenFailure::NotAllowed) | Err(_) => ListenFailure::NotAllowed,
        };
        Err(Error::failed(failure.to_string()))
    }

    /// What opens connections from there. Calls go out at once.
    pub fn connector(&self) -> RemoteConnector {
        RemoteConnector::new(self.0.connector_request().send().pipeline.get_connector())
    }
}
