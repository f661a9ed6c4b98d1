//! Sessions kept by an HTTP server: it is asked by GET, and told by PUT.

use super::{ARCHIVE_BYTES_MAX, Step, Store};
use crate::Platform;
use crate::context::Context;
use crate::settings::sessions::CarryOver;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use endpoints::http::client::{Client, ClientConfig, ClientError, Request};
use flow::Dispatcher;
use flow::registry::ResolvingConnector;
use web::{Method, Status};

pub(super) struct HttpStore {
    place: CarryOver,
    client: Client<ResolvingConnector<Dispatcher>>,
}

impl HttpStore {
    /// None if the configuration has another or none.
    pub(super) fn new<P: Platform>(context: &Context<P>) -> Option<Self> {
        let place = CarryOver::new(&context.config.sessions)?;
        let mut config = ClientConfig::default();
        config.limits.body_bytes_max = ARCHIVE_BYTES_MAX as u64;
        let client = Client::new(config, context.connector(), &context.spawner, &context.timers);
        Some(Self { place, client })
    }

    async fn ask(&self) -> Result<Option<Vec<u8>>, String> {
        let said = |error: ClientError| error.to_string();
        let request = self.request(Method::Get).map_err(said)?;
        let mut answer = self.client.send(&self.place.target, request).await.map_err(said)?;
        match answer.status() {
            Status::OK => answer.collect(ARCHIVE_BYTES_MAX).await.map(Some).map_err(said),
            Status::NOT_FOUND => Ok(None),
            status => Err(format!("status {}", status.code())),
        }
    }

    async fn tell(&self, archive: Vec<u8>) -> Result<Status, ClientError> {
        let request = self.request(Method::Put)?.with_content("application/json", archive);
        Ok(self.client.send(&self.place.target, request).await?.status())
    }

    fn request(&self, method: Method) -> Result<Request, ClientError> {
        Ok(Request::new(method, &self.place.authority, &self.place.path)?)
    }
}

impl Store for HttpStore {
    fn fetch(&self) -> Step<'_, Option<Vec<u8>>> {
        Box::pin(self.ask())
    }

    fn put(&self, archive: Vec<u8>) -> Step<'_, ()> {
        Box::pin(async move {
            match self.tell(archive).await {
                Ok(status) if status.is_success() => Ok(()),
                Ok(status) => Err(format!("status {}", status.code())),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// Without the path, which may be a secret.
impl fmt::Display for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.target.fmt(f)
    }
}
