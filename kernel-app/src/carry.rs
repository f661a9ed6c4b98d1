//! Carry-over: what sessions saved, from one run of the appliance to the next, by an HTTP server that keeps it.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Service};
use crate::settings::sessions::CarryOver;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;
use endpoints::http::client::{Client, ClientConfig, ClientError, Request};
use flow::Dispatcher;
use flow::registry::ResolvingConnector;
use web::session::SessionHost;
use web::{Method, Status};

/// How long the start waits for what was saved: visitors wait, too.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of all sessions.
const ARCHIVE_BYTES_MAX: usize = 64 << 20;

/// Takes sessions along, if the configuration says where to: until what was saved is there again, no visitor is let in.
pub(crate) fn open<P: Platform>(context: &Context<P>) -> Option<Rc<dyn Service>> {
    let carrier = Carrier::new(context)?;
    context.sessions.withhold();
    let restoring = carrier.clone();
    context.spawner.spawn("saved sessions", async move {
        restoring.take_up().await;
        restoring.sessions().admit();
    });
    Some(Rc::new(carrier))
}

/// Takes sessions along. Clones are the same one.
#[derive(Clone)]
struct Carrier<P: Platform> {
    context: Context<P>,
    place: CarryOver,
    client: Client<ResolvingConnector<Dispatcher>>,
    is_busy: Rc<Cell<bool>>,
    /// What was saved before is taken up, or there is nothing.
    is_restored: Rc<Cell<bool>>,
}

impl<P: Platform> Carrier<P> {
    /// None if nothing is carried over.
    fn new(context: &Context<P>) -> Option<Self> {
        let place = CarryOver::new(&context.config.sessions)?;
        let mut config = ClientConfig::default();
        config.limits.body_bytes_max = ARCHIVE_BYTES_MAX as u64;
        let client = Client::new(config, context.connector(), &context.spawner, &context.timers);
        let (is_busy, is_restored) = Default::default();
        Some(Self { context: context.clone(), place, client, is_busy, is_restored })
    }

    /// Takes up what was saved; the log says what came of it.
    async fn take_up(&self) {
        let timers = &self.context.timers;
        let fetched = timers.before(timers.now() + START_TIMEOUT, self.fetch()).await;
        let restored = match fetched.unwrap_or_else(|_| Err("no answer".into())) {
            Ok(None) => {
                self.is_restored.set(true);
                return self.say("there are none");
            }
            Ok(Some(archive)) => self.sessions().restore(&archive).map_err(|bad| bad.to_string()),
            Err(reason) => Err(reason),
        };
        match restored {
            Ok(count) => {
                self.is_restored.set(true);
                self.say(&format!("{count} go on when their visitors come"));
            }
            Err(reason) => log::warn!("saved sessions at {}: {reason}", self.place.target),
        }
    }

    /// Puts away what sessions save; the log says what came of it.
    async fn put_away(&self) {
        if !self.is_restored.get() {
            // What could not be had at the start is not to be lost, if it can be had now.
            self.take_up().await;
        }
        match self.put(self.sessions().archive()).await {
            Ok(status) if status.is_success() => self.say("they are put away"),
            Ok(status) => self.complain(&format!("status {}", status.code())),
            Err(error) => self.complain(&error.to_string()),
        }
    }

    fn complain(&self, reason: &str) {
        let CarryOver { authority, path, .. } = &self.place;
        log::error!("saved sessions are lost: PUT to {path} of {authority}: {reason}");
    }

    /// What was put away, if there is anything; or why it is not had.
    async fn fetch(&self) -> Result<Option<Vec<u8>>, String> {
        let said = |error: ClientError| error.to_string();
        let request = self.request(Method::Get).map_err(said)?;
        let mut answer = self.client.send(&self.place.target, request).await.map_err(said)?;
        match answer.status() {
            Status::OK => answer.collect(ARCHIVE_BYTES_MAX).await.map(Some).map_err(said),
            Status::NOT_FOUND => Ok(None),
            status => Err(format!("status {}", status.code())),
        }
    }

    async fn put(&self, archive: Vec<u8>) -> Result<Status, ClientError> {
        let request = self.request(Method::Put)?.with_content("application/json", archive);
        Ok(self.client.send(&self.place.target, request).await?.status())
    }

    fn request(&self, method: Method) -> Result<Request, ClientError> {
        Ok(Request::new(method, &self.place.authority, &self.place.path)?)
    }

    fn sessions(&self) -> &SessionHost {
        &self.context.sessions
    }

    fn say(&self, what: &str) {
        log::info!("saved sessions at {}: {what}", self.place.target);
    }
}

impl<P: Platform> Service for Carrier<P> {
    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    /// What is put away is waited for.
    fn connections(&self) -> usize {
        usize::from(self.is_busy.get())
    }

    /// Begins to put away what sessions save, once all have ended or half of the time is over.
    fn drain(&self, linger: Duration) {
        self.is_busy.set(true);
        let own = self.clone();
        self.context.spawner.spawn("saved sessions", async move {
            let timers = &own.context.timers;
            let start = timers.now();
            // Those that are left are taken along as they are.
            let _ = timers.before(start + linger / 2, own.sessions().emptied()).await;
            // A little before the stop is over, so that the log has it.
            let put_away = timers.before(start + linger * 9 / 10, own.put_away()).await;
            if put_away.is_err() {
                own.complain("no answer");
            }
            own.is_busy.set(false);
        });
    }
}
