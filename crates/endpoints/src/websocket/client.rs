//! Client: a WebSocket to a server, over any connector.

use super::{Host, Limits, Socket};
use crate::http::client::{Client, ClientError, Request};
use ::websocket::Role;
use ::websocket::handshake::{ClientOptions, Opening, Refused};
use alloc::boxed::Box;
use core::fmt;
use flow::{Connector, FlowError, Target};
use web::Method;

/// Why there is no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailed {
    /// No answer came of the request.
    Http(ClientError),
    /// The server's answer makes no WebSocket.
    Refused(Refused),
}

impl Host {
    /// Opens a WebSocket at `path` of a server, by way of an HTTP client. It runs in a task of its own; dropped without
    /// [`close`](Socket::close), it is closed with 1011.
    ///
    /// # Errors
    /// See [`ConnectFailed`].
    pub async fn connect<C: Connector>(
        &self,
        client: &Client<C>,
        target: &Target,
        path: &str,
        options: ClientOptions,
        limits: Limits,
    ) -> Result<Socket, ConnectFailed> {
        let mut key = [0; 16];
        (self.0.entropy)(&mut key);
        let opening = Opening::new(key, options);
        let request = Request::new(Method::Get, &target.authority(), path)?.upgrading("websocket");
        let fields = opening.fields().into_iter();
        let request =
            fields.fold(request, |request, (name, value)| request.with_header(name, value));
        let response = client.send(target, request).await?;
        let agreed = opening.check(response.status(), |name| response.headers_named(name));
        let agreed = agreed.map_err(ConnectFailed::Refused)?;
        let Some(flow) = response.into_flow() else {
            return Err(ConnectFailed::Http(ClientError::Flow(FlowError::Closed)));
        };
        let mut mask_seed = [0; 32];
        (self.0.entropy)(&mut mask_seed);
        let role = Role::Client { mask_seed };
        let (socket, driving) = self.open_as(role, Box::new(flow), agreed, limits);
        self.0.spawner.spawn("websocket client", driving);
        Ok(socket)
    }
}

impl From<ClientError> for ConnectFailed {
    fn from(error: ClientError) -> Self {
        Self::Http(error)
    }
}

impl From<::http::Error> for ConnectFailed {
    fn from(error: ::http::Error) -> Self {
        Self::Http(error.into())
    }
}

impl fmt::Display for ConnectFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for ConnectFailed {}
