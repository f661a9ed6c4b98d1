//! Carry-over: what sessions saved, from one run of the appliance to the next, by an HTTP server or a database that keeps it.

#[cfg(feature = "database")]
mod database;
mod http;

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Service};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Display;
use core::pin::Pin;
use core::time::Duration;
use web::session::SessionHost;

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

/// What keeps sessions. It shows its name in the log.
trait Store: Display {
    /// What was put away, if there is anything; or why it is not had.
    fn fetch(&self) -> Step<'_, Option<Vec<u8>>>;

    /// Puts it away; or why not.
    fn put(&self, archive: Vec<u8>) -> Step<'_, ()>;
}

type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + 'a>>;

/// The store that the configuration names, if it names one.
fn store<P: Platform>(context: &Context<P>) -> Option<Rc<dyn Store>> {
    if let Some(store) = http::HttpStore::new(context) {
        return Some(Rc::new(store));
    }
    let name = context.config.sessions.carry_over.strip_prefix("database:")?;
    #[cfg(feature = "database")]
    if let Ok(pool) = context.database(name) {
        return Some(Rc::new(database::DatabaseStore::new(name, pool, &context.host_label())));
    }
    log::warn!("[sessions] carry_over is without effect: database {name} is not in this build");
    None
}

/// Takes sessions along. Clones are the same one.
#[derive(Clone)]
struct Carrier<P: Platform> {
    context: Context<P>,
    store: Rc<dyn Store>,
    is_busy: Rc<Cell<bool>>,
    /// What was saved before is taken up, or there is nothing.
    is_restored: Rc<Cell<bool>>,
}

impl<P: Platform> Carrier<P> {
    /// None if nothing is carried over.
    fn new(context: &Context<P>) -> Option<Self> {
        let store = store(context)?;
        let (is_busy, is_restored) = Default::default();
        Some(Self { context: context.clone(), store, is_busy, is_restored })
    }

    /// Takes up what was saved; the log says what came of it.
    async fn take_up(&self) {
        let timers = &self.context.timers;
        let fetched = timers.before(timers.now() + START_TIMEOUT, self.store.fetch()).await;
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
                self.say(&alloc::format!("{count} go on when their visitors come"));
            }
            Err(reason) => log::warn!("saved sessions at {}: {reason}", self.store),
        }
    }

    /// Puts away what sessions save; the log says what came of it.
    async fn put_away(&self) {
        if !self.is_restored.get() {
            if !self.sessions().has_archived() {
                // Nothing is lost, and what is kept there from before stays.
                return self.say("there are none to put away");
            }
            // What could not be had at the start is not to be lost, if it can be had now.
            self.take_up().await;
        }
        let has_any = self.sessions().has_archived();
        match self.store.put(self.sessions().archive()).await {
            Ok(()) => self.say("they are put away"),
            Err(reason) if has_any => self.complain(&reason),
            Err(reason) => {
                log::warn!(
                    "saved sessions at {}: there are none, which it was not told: {reason}",
                    self.store
                );
            }
        }
    }

    fn complain(&self, reason: &str) {
        log::error!("saved sessions are lost: {}: {reason}", self.store);
    }

    fn sessions(&self) -> &SessionHost {
        &self.context.sessions
    }

    fn say(&self, what: &str) {
        log::info!("saved sessions at {}: {what}", self.store);
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
            let has_any = own.sessions().has_archived();
            // A little before the stop is over, so that the log has it.
            let put_away = timers.before(start + linger * 9 / 10, own.put_away()).await;
            if put_away.is_err() && has_any {
                own.complain("no answer");
            }
            own.is_busy.set(false);
        });
    }
}
