//! Services of other vats, by names of the appliance's own: connected when they are first wanted, and again when they
//! broke.

use crate::Platform;
use crate::context::Context;
use crate::service::StartError;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use capnp::ErrorKind;
use capnp::any_pointer;
use capnp::capability::{Client, FromClientHook};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use endpoints::rpc::{Exception, Resolver, Rpc, SecureVat, SturdyRef};
use flow::time::Timers;

/// How often a service is asked whether it is there still. 10 s: less than anybody waits for a page, and a packet.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What `[capabilities]` names.
pub(crate) struct Capabilities {
    by_name: BTreeMap<String, Rc<Capability>>,
}

/// Why a name leads to no service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCapability {
    /// `[capabilities]` does not have it.
    Unknown(String),
    /// This vat cannot connect to others, for this reason.
    NoVat(String),
}

impl fmt::Display for NoCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "[capabilities] does not have `{name}`"),
            Self::NoVat(reason) => f.write_str(reason),
        }
    }
}

impl core::error::Error for NoCapability {}

impl Capabilities {
    /// None is connected.
    pub(crate) fn new(section: &config::Capabilities) -> Self {
        let config::Capabilities { references } = section;
        let named = references.iter().map(|(name, reference)| {
            let capability = Capability {
                name: name.clone(),
                reference: reference.parse().ok(),
                latest: RefCell::new(None),
                pauses: Pauses::default(),
            };
            (name.clone(), Rc::new(capability))
        });
        Self { by_name: named.collect() }
    }

    /// Whether all of them can be used.
    pub(crate) fn check<P: Platform>(&self, context: &Context<P>) -> Result<(), StartError> {
        if self.by_name.is_empty() {
            return Ok(());
        }
        if let Some(bad) = self.by_name.values().find(|it| it.reference.is_none()) {
            // The text is a secret, even if something is wrong with it.
            let reason = "it is no reference, as `capnp://sha-256:FINGERPRINT@HOST:PORT/TOKEN`";
            return Err(StartError::Setting {
                section: "capabilities",
                key: bad.name.clone(),
                reason: reason.into(),
            });
        }
        context.vat()?.secure(context).map(drop)
    }

    /// See [`Context::capability`].
    pub(crate) fn get<P: Platform, C: FromClientHook>(
        &self,
        context: &Context<P>,
        name: &str,
    ) -> Result<C, NoCapability> {
        let found = self.by_name.get(name).ok_or_else(|| NoCapability::Unknown(name.into()))?;
        let no_vat = |error: StartError| NoCapability::NoVat(format!("{error}"));
        let vat = context.vat().map_err(no_vat)?;
        let secure = vat.secure(context).map_err(no_vat)?;
        let client =
            found.client(&vat.rpc).unwrap_or_else(|| found.begin(context, &vat.rpc, secure));
        Ok(C::new(client.hook))
    }
}

/// A service of another vat.
struct Capability {
    name: String,
    reference: Option<SturdyRef>,
    /// The client that was made last; it may be connecting, or broken.
    latest: RefCell<Option<Client>>,
    pauses: Pauses,
}

impl Capability {
    /// The client that there is, unless it is broken.
    fn client(&self, rpc: &Rpc) -> Option<Client> {
        let latest = self.latest.borrow();
        latest.as_ref().filter(|client| rpc.broken_by(&*client.hook).is_none()).cloned()
    }

    /// A client that stands for the service once there is a connection.
    fn begin<P: Platform>(
        self: &Rc<Self>,
        context: &Context<P>,
        rpc: &Rpc,
        secure: &SecureVat,
    ) -> Client {
        let (client, resolver) = rpc.promise::<Client>();
        *self.latest.borrow_mut() = Some(client.clone());
        let (capability, secure, context) = (self.clone(), secure.clone(), context.clone());
        context.clone().spawner.spawn("capability", async move {
            capability.connect(&context, &secure, resolver).await;
        });
        client
    }

    async fn connect<P: Platform>(
        &self,
        context: &Context<P>,
        secure: &SecureVat,
        resolver: Resolver<Client>,
    ) {
        let Some(reference) = &self.reference else { return };
        let timers = &context.timers;
        timers.sleep(self.pauses.before_attempt(timers.now())).await;
        let restored = secure.restore::<_, Client>(&context.direct_connector(), reference).await;
        self.pauses.attempted(timers.now());
        match restored {
            Ok(service) => {
                resolver.resolve(&service);
                until_gone(timers, &service).await;
            }
            Err(error) => {
                log::warn!("capability {}: {error}", self.name);
                resolver.reject(Exception::disconnected(format!("{}: {error}", self.name)));
            }
        }
    }
}

/// Asks a service for something that none has, from time to time, until the connection with it is broken.
///
/// A machine that loses its power says nothing of that, and who only waits for its calls sends nothing that would be
/// answered by a reset once it is up again.
async fn until_gone(timers: &Timers, service: &Client) {
    loop {
        timers.sleep(HEARTBEAT).await;
        let nothing = service.new_call::<any_pointer::Owned, any_pointer::Owned>(0, 0, None);
        let answer = nothing.send().promise.await;
        if answer.is_err_and(|error| error.kind == ErrorKind::Disconnected) {
            return;
        }
    }
}

/// The pauses between attempts: each twice the one before, and none after a while without an attempt.
#[derive(Default)]
pub(super) struct Pauses {
    /// When there was an attempt.
    latest: Cell<Option<Duration>>,
    next: Cell<Duration>,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);
    const QUIET: Duration = Duration::from_secs(30);

    /// How long the next attempt has to wait.
    pub(super) fn before_attempt(&self, now: Duration) -> Duration {
        let Some(latest) = self.latest.get() else { return Duration::ZERO };
        let since = now.saturating_sub(latest);
        if since > Self::QUIET {
            self.next.set(Duration::ZERO);
        }
        let pause = self.next.get();
        self.next.set((pause * 2).clamp(Self::FIRST, Self::LONGEST));
        pause.saturating_sub(since)
    }

    pub(super) fn attempted(&self, now: Duration) {
        self.latest.set(Some(now));
        self.next.set(self.next.get().max(Self::FIRST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_ever_more_seldom_and_soon_again_after_a_quiet_while() {
        let pauses = Pauses::default();
        let mut now = Duration::from_secs(100);
        let mut waited = || {
            let pause = pauses.before_attempt(now);
            now += pause;
            pauses.attempted(now);
            pause.as_millis()
        };
        let seen: [_; 10] = core::array::from_fn(|_| waited());
        assert_eq!(seen, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        now += Duration::from_secs(4);
        assert_eq!(pauses.before_attempt(now).as_secs(), 6);
        pauses.attempted(now);
        now += Pauses::QUIET + Duration::from_secs(1);
        assert_eq!(pauses.before_attempt(now), Duration::ZERO);
    }
}
