//! A response and its body.

use super::ClientError;
use super::exchange::{Exchange, Piece};
use super::pool::Pool;
use ::http::{BodyLength, Trailers, Transport, client};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use flow::{Flow, Target};

/// A response whose body arrives as it is asked for. Dereferences to the head.
pub struct Response<F: Flow + 'static> {
    head: client::Response,
    /// None once the body has ended and the connection is back in the pool.
    exchange: Option<Exchange<F>>,
    trailers: Option<Trailers>,
    target: Target,
    pool: Pool<F>,
}

impl<F: Flow + 'static> Response<F> {
    pub(super) fn new(
        head: client::Response,
        exchange: Exchange<F>,
        target: Target,
        pool: Pool<F>,
    ) -> Self {
        let switched = exchange.transport() == Transport::Upgraded;
        let ended = head.body_length() == BodyLength::Empty && !switched;
        let mut response = Self { head, exchange: Some(exchange), trailers: None, target, pool };
        if ended {
            response.release();
        }
        response
    }

    /// The next bytes of the body, never none; `None` at its end.
    ///
    /// # Errors
    /// See [`ClientError`]; the body is then not whole.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let Some(exchange) = &mut self.exchange else { return Ok(None) };
        match exchange.body().await {
            Ok(Piece::Data(data)) => Ok(Some(data)),
            Ok(Piece::End(trailers)) => {
                self.trailers = trailers;
                self.release();
                Ok(None)
            }
            Err(error) => {
                self.exchange = None;
                Err(error)
            }
        }
    }

    /// The whole body, if it is at most `bytes_max` long.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn collect(&mut self, bytes_max: usize) -> Result<Vec<u8>, ClientError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if bytes.len() > bytes_max - whole.len() {
                self.exchange = None;
                return Err(ClientError::TooLong);
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// The trailer section, once the body has ended.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.trailers.as_ref()
    }

    /// The connection, if the protocol changed: after 101 or a success to CONNECT.
    pub fn into_flow(mut self) -> Option<F> {
        let exchange = self.exchange.take()?;
        let switched = exchange.transport() == Transport::Upgraded;
        switched.then(|| exchange.into_parts().0)
    }

    /// The exchange is over: keeps its connection if it can serve another.
    fn release(&mut self) {
        let Some(exchange) = self.exchange.take() else { return };
        match exchange.into_parts() {
            (flow, Some(core)) => self.pool.put(self.target.clone(), flow, core),
            (mut flow, None) => flow.finish(),
        }
    }
}

impl<F: Flow + 'static> Deref for Response<F> {
    type Target = client::Response;

    fn deref(&self) -> &client::Response {
        &self.head
    }
}

impl<F: Flow + 'static> fmt::Debug for Response<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} from {})", self.head.status().code(), self.target)
    }
}
