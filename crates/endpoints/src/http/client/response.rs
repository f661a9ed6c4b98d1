//! Client response: a head, and a body that arrives as it is asked for.

use super::ClientError;
use super::driver::{Driver, Piece};
use super::pool::{Opened, Pool};
use crate::places::{Lease, Location};
use ::http::{ConnectionState, client};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use flow::Flow;
use flow::task::waiting;
use web::{ContentLength, Trailers};

/// A response whose body arrives as it is asked for. Dereferences to the head.
pub struct Response<F: Flow + 'static> {
    head: client::Response,
    /// None once the body has ended and the connection is back in the pool.
    driver: Option<Driver<F>>,
    trailers: Option<Trailers>,
    /// When the connection was opened.
    since: Duration,
    location: Location,
    pool: Pool<F>,
    /// Of a service with several places: the one that answers, which is busy until it has.
    lease: Option<Lease>,
}

impl<F: Flow + 'static> Response<F> {
    pub(super) fn new(
        head: client::Response,
        driver: Driver<F>,
        since: Duration,
        location: Location,
        pool: Pool<F>,
    ) -> Self {
        let switched = driver.state() == ConnectionState::Upgraded;
        let ended = head.content_length() == ContentLength::Empty && !switched;
        let mut response =
            Self { head, driver: Some(driver), trailers: None, since, location, pool, lease: None };
        if ended {
            response.release();
        }
        response
    }

    /// The next bytes of the body, never none; `None` at its end.
    ///
    /// # Errors
    /// See [`ClientError`]; the body is then not whole.
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, ClientError>> {
        waiting(async move {
            let Some(driver) = &mut self.driver else { return Ok(None) };
            match driver.body().await {
                Ok(Piece::Data(data)) => Ok(Some(data)),
                Ok(Piece::End(trailers)) => {
                    self.trailers = trailers;
                    self.release();
                    Ok(None)
                }
                Err(error) => {
                    self.driver = None;
                    if let Some(lease) = self.lease.take() {
                        lease.failed();
                    }
                    Err(error)
                }
            }
        })
    }

    /// The whole body, if it is at most `bytes_max` long.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn collect(
        &mut self,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<u8>, ClientError>> {
        waiting(async move {
            let mut whole = Vec::new();
            while let Some(bytes) = self.next().await? {
                if bytes.len() > bytes_max - whole.len() {
                    self.driver = None;
                    return Err(ClientError::TooLong);
                }
                whole.extend_from_slice(&bytes);
            }
            Ok(whole)
        })
    }

    /// The trailer section, once the body has ended.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.trailers.as_ref()
    }

    /// The connection, if the protocol changed: after 101 or a success to CONNECT.
    pub fn into_flow(mut self) -> Option<F> {
        let driver = self.driver.take()?;
        let switched = driver.state() == ConnectionState::Upgraded;
        switched.then(|| driver.into_parts().0)?
    }

    /// Keeps a place busy until the response is whole.
    pub(super) fn hold(&mut self, lease: Lease) {
        self.lease = self.driver.is_some().then_some(lease);
    }

    /// The place that answers, to be busy for as long as the caller has it.
    pub(crate) fn take_lease(&mut self) -> Option<Lease> {
        self.lease.take()
    }

    /// The response is whole: keeps its connection if it can serve another.
    fn release(&mut self) {
        self.lease = None;
        let Some(driver) = self.driver.take() else { return };
        match driver.into_parts() {
            (Some(flow), Some(core)) => {
                self.pool.put(&self.location, Opened { flow, core, since: self.since });
            }
            (Some(mut flow), None) => flow.finish(),
            (None, _) => {}
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
        write!(f, "Response({} from {})", self.head.status().code(), self.location.target)
    }
}
