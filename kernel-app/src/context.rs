//! Context: what everything in the appliance is given, which is platform, configuration, bundle, tasks, time.

use crate::Platform;
use crate::live_settings::LiveSettings;
use crate::live_site::LiveSite;
#[cfg(feature = "vats")]
use crate::names::SharedNames;
use crate::service::Services;
#[cfg(any(feature = "rpc", feature = "https"))]
use crate::service::StartError;
use crate::settings::{self, memory::MemorySettings, names::NamesSettings};
#[cfg(feature = "https")]
use crate::tls_server::Identities;
#[cfg(feature = "rpc")]
use crate::vat::Vat;
#[cfg(feature = "vats")]
use crate::vat::{Capabilities, NoCapability};
use alloc::rc::Rc;
use config::{Bundle, Config};
use core::cell::OnceCell;
use core::time::Duration;
use endpoints::postgres::Environment;
use flow::ledger::{Ledger, ServiceLedger};
#[cfg(feature = "http-client")]
use flow::registry::Query;
use flow::registry::{Label, Registry, ResolvingConnector, Ways};
use flow::task::{Executor, Spawner};
use flow::time::Timers;
use flow::{Dispatcher, Scheme};
use inspect::Inspector;
use web::session::{self, SessionHost};

/// What services and handlers may use. Clones are the same one.
pub struct Context<P: Platform> {
    /// The platform, for connections to others and the time of day.
    pub platform: P,
    /// The configuration as it was read at the start.
    pub config: Rc<Config>,
    /// The files of the boot bundle.
    pub bundle: Rc<Bundle<'static>>,
    /// Who offers what, and where.
    pub registry: Rc<dyn Registry>,
    /// What name servers know, if there are any.
    #[cfg(feature = "vats")]
    pub(crate) names: Option<Rc<SharedNames>>,
    /// How services of others were reached.
    pub ways: Ways,
    /// Makes tasks.
    pub spawner: Spawner,
    /// Time and deadlines.
    pub timers: Timers,
    /// The services that run, once they do; empty before the start.
    pub services: Services,
    /// What peers make the appliance hold.
    pub ledger: Ledger,
    /// What can be seen of all this.
    pub inspector: Inspector,
    /// The site, if it is on a disk instead of in the bundle.
    #[cfg(feature = "disk")]
    pub disk_site: Option<Rc<crate::disk::DiskSite>>,
    /// The machine's disks.
    #[cfg(feature = "disk")]
    pub disks: Rc<[Rc<dyn storage::BlockDevice>]>,
    /// What of the disk that is served from is in memory.
    #[cfg(feature = "disk")]
    pub(crate) disk_cache: Rc<core::cell::RefCell<Option<storage::PageCache>>>,
    /// Makes routes that lead to web sessions.
    pub sessions: SessionHost,
    /// The configuration as it is in force now.
    pub(crate) live_settings: Rc<LiveSettings>,
    /// The site, once something has wanted it.
    live_site: Rc<OnceCell<Rc<LiveSite>>>,
    /// The certificates, once something is served by TLS.
    #[cfg(feature = "https")]
    identities: Rc<OnceCell<Identities>>,
    /// Services of others that requests are spread over.
    #[cfg(feature = "http-client")]
    pub(crate) balanced: Rc<crate::balanced::Balanced>,
    /// The vat, once something has wanted it.
    #[cfg(feature = "rpc")]
    vat: Rc<OnceCell<Rc<Vat>>>,
    /// Services of other vats.
    #[cfg(feature = "vats")]
    capabilities: Rc<Capabilities>,
    /// Where WebSockets come in for the ZeroMQ service, once it is known whether they do.
    #[cfg(feature = "zmq")]
    pub(crate) zmq_websockets: Rc<OnceCell<Option<endpoints::zmq::WebSockets>>>,
    /// Databases that handlers ask.
    #[cfg(feature = "database")]
    pub(crate) databases: Rc<crate::databases::Databases>,
}

impl<P: Platform> Clone for Context<P> {
    fn clone(&self) -> Self {
        Self {
            platform: self.platform.clone(),
            config: self.config.clone(),
            bundle: self.bundle.clone(),
            registry: self.registry.clone(),
            #[cfg(feature = "vats")]
            names: self.names.clone(),
            ways: self.ways.clone(),
            spawner: self.spawner.clone(),
            timers: self.timers.clone(),
            services: self.services.clone(),
            ledger: self.ledger.clone(),
            inspector: self.inspector.clone(),
            #[cfg(feature = "disk")]
            disk_site: self.disk_site.clone(),
            #[cfg(feature = "disk")]
            disks: self.disks.clone(),
            #[cfg(feature = "disk")]
            disk_cache: self.disk_cache.clone(),
            sessions: self.sessions.clone(),
            live_settings: self.live_settings.clone(),
            live_site: self.live_site.clone(),
            #[cfg(feature = "https")]
            identities: self.identities.clone(),
            #[cfg(feature = "http-client")]
            balanced: self.balanced.clone(),
            #[cfg(feature = "rpc")]
            vat: self.vat.clone(),
            #[cfg(feature = "vats")]
            capabilities: self.capabilities.clone(),
            #[cfg(feature = "zmq")]
            zmq_websockets: self.zmq_websockets.clone(),
            #[cfg(feature = "database")]
            databases: self.databases.clone(),
        }
    }
}

/// What is earlier was set by no clock: 2020-01-01.
const PLAUSIBLE: Duration = Duration::from_secs(1_577_836_800);

impl<P: Platform> Context<P> {
    /// The context of an appliance that starts.
    pub fn new(
        platform: P,
        config: Config,
        bundle: Bundle<'static>,
        registry: Rc<dyn Registry>,
        executor: &Executor,
        timers: &Timers,
    ) -> Self {
        let settings = MemorySettings::new(&config.memory, platform.memory_bytes());
        let ways = NamesSettings::new(&config.names, platform.host_ids().all()).ways;
        let ways = Ways::new(ways, timers);
        #[cfg(feature = "vats")]
        let names = crate::names::over(&registry, &config, timers);
        #[cfg(feature = "vats")]
        let registry = names.clone().map_or(registry, |names| names as Rc<dyn Registry>);
        let registry = crate::service_records::over(registry, &platform, &config, timers);
        let entropy = platform.clone();
        let sessions = SessionHost::new(
            &executor.spawner(),
            timers,
            session_limits(&config, &platform),
            move |bytes| entropy.fill_random(bytes),
        );
        let (config, services) = (Rc::new(config), Services::default());
        let mut context = Self {
            live_settings: Rc::new(LiveSettings::new(
                config.clone(),
                &executor.spawner(),
                &services,
            )),
            live_site: Rc::default(),
            #[cfg(feature = "https")]
            identities: Rc::default(),
            #[cfg(feature = "http-client")]
            balanced: Rc::default(),
            #[cfg(feature = "rpc")]
            vat: Rc::default(),
            #[cfg(feature = "vats")]
            capabilities: Rc::new(Capabilities::new(&config.capabilities)),
            #[cfg(feature = "zmq")]
            zmq_websockets: Rc::default(),
            #[cfg(feature = "database")]
            databases: Rc::default(),
            sessions,
            ledger: Ledger::new(settings.peers_bytes_max),
            inspector: Inspector::default(),
            #[cfg(feature = "disk")]
            disk_site: None,
            #[cfg(feature = "disk")]
            disks: Rc::new([]),
            #[cfg(feature = "disk")]
            disk_cache: Rc::default(),
            platform,
            config,
            bundle: Rc::new(bundle),
            registry,
            #[cfg(feature = "vats")]
            names,
            ways,
            spawner: executor.spawner(),
            timers: timers.clone(),
            services,
        };
        context.join_group();
        #[cfg(not(feature = "disk"))]
        if context.config.storage.site_disk > 0 {
            log::warn!("[storage] is without effect: it is not in this build");
        }
        context
    }

    /// The same with a site that is on a disk, if one is.
    #[cfg(feature = "disk")]
    #[must_use]
    pub fn with_disk_site(self, site: Option<crate::disk::DiskSite>) -> Self {
        self.disk_cache.replace(site.as_ref().map(|site| site.cache().clone()));
        Self { disk_site: site.map(Rc::new), ..self }
    }

    /// The same with the machine's disks.
    #[cfg(feature = "disk")]
    #[must_use]
    pub fn with_disks(self, disks: crate::disk::Disks) -> Self {
        Self { disks: disks.into(), ..self }
    }

    /// The vat of this appliance.
    ///
    /// # Errors
    /// `[rpc]` names a service that there is not.
    #[cfg(feature = "rpc")]
    pub(crate) fn vat(&self) -> Result<Rc<Vat>, StartError> {
        if let Some(vat) = self.vat.get() {
            return Ok(vat.clone());
        }
        let vat = Rc::new(Vat::new(self)?);
        Ok(self.vat.get_or_init(|| vat).clone())
    }

    /// A service of another vat, by its name in `[capabilities]`. Calls can be made at once; they wait for the connection, if
    /// there is none. When it breaks they fail as disconnected, and this has to be asked again.
    ///
    /// # Errors
    /// There is none of this name, or this vat's key is not usable.
    #[cfg(feature = "vats")]
    pub fn capability<C: capnp::capability::FromClientHook>(
        &self,
        name: &str,
    ) -> Result<C, NoCapability> {
        self.capabilities.get(self, name)
    }

    /// The configuration as it is in force now: [`config`](Self::config), with what was changed since the start.
    pub fn live_config(&self) -> Config {
        (*self.live_settings.get()).clone()
    }

    /// The certificates of this appliance, as `load` finds them the first time: one that it makes is the same everywhere.
    #[cfg(feature = "https")]
    pub(crate) fn identities(
        &self,
        load: impl FnOnce() -> Result<Identities, StartError>,
    ) -> Result<Identities, StartError> {
        if let Some(identities) = self.identities.get() {
            return Ok(identities.clone());
        }
        let identities = load()?;
        Ok(self.identities.get_or_init(|| identities).clone())
    }

    /// The site as it is now.
    pub(crate) fn live_site(&self) -> Rc<LiveSite> {
        self.live_site.get_or_init(|| Rc::new(LiveSite::new(self))).clone()
    }

    #[cfg(feature = "vats")]
    pub(crate) fn check_capabilities(&self) -> Result<(), StartError> {
        self.capabilities.check(self)
    }

    #[cfg(feature = "http-client")]
    fn join_group(&mut self) {
        if let Some(affinity) = crate::group::affinity(self) {
            self.sessions = self.sessions.with_affinity(affinity);
        }
    }

    #[cfg(not(feature = "http-client"))]
    fn join_group(&mut self) {
        if settings::affinity::AffinitySettings::new(&self.config.affinity).is_some() {
            log::warn!("[affinity] is without effect: it is not in this build");
        }
    }

    /// An HTTP client of a service by name: each request goes to one of the service's places, as `[balance]` says. All that
    /// ask for the same service share one.
    #[cfg(feature = "http-client")]
    pub fn service_client(&self, query: &Query) -> crate::balanced::ServiceClient {
        self.balanced.client(self, query)
    }

    /// What others know this appliance by.
    pub fn host_label(&self) -> Label {
        self.config.network.hostname.parse().expect("a host's name is a label")
    }

    /// The part of the ledger that is a service's.
    pub fn service_ledger(&self, service: &'static str) -> ServiceLedger {
        let settings = MemorySettings::new(&self.config.memory, self.platform.memory_bytes());
        self.ledger.service(service, settings.service_bytes_max, settings.peer_bytes_max)
    }

    /// Opens connections to others, by whatever the target's scheme says; also by the names of their
    /// services. Where `[relay]` says so, they are opened from another appliance's network.
    pub fn connector(&self) -> ResolvingConnector<Dispatcher> {
        #[cfg(feature = "relay")]
        if let Some(through) = crate::vat::ThroughConnector::new(self) {
            return self.connector_over(Dispatcher::new().with(Scheme::Tcp, through));
        }
        self.direct_connector()
    }

    /// The same, with connections by TCP opened by `tcp`, which is asked for addresses and names.
    pub fn connector_with(&self, tcp: impl flow::Connector) -> ResolvingConnector<Dispatcher> {
        self.connector_over(Dispatcher::new().with(Scheme::Tcp, tcp))
    }

    /// The same, always by this appliance's own network.
    pub(crate) fn direct_connector(&self) -> ResolvingConnector<Dispatcher> {
        self.connector_over(Dispatcher::new().with(Scheme::Tcp, self.platform.connector()))
    }

    fn connector_over(&self, tcp: Dispatcher) -> ResolvingConnector<Dispatcher> {
        // Where the platform has none it says so.
        let tcp = tcp.with(Scheme::Unix, self.platform.connector());
        #[cfg(feature = "vsock")]
        let tcp = match self.platform.vsock() {
            Some(network) => tcp.with(Scheme::Vsock, network),
            None => tcp,
        };
        #[cfg(feature = "shared-memory")]
        let tcp = self.platform.with_shared_memory(tcp);
        #[cfg(any(feature = "https", feature = "database"))]
        let tcp = crate::trust::with_tls(self, tcp);
        ResolvingConnector::new(tcp, self.registry.clone(), self.ways.clone())
    }

    /// The database of that name in the configuration: connections to it, which are made as they are needed. All that ask for
    /// the same share them.
    ///
    /// # Errors
    /// No `[[database]]` has this name.
    #[cfg(feature = "database")]
    pub fn database(
        &self,
        name: &str,
    ) -> Result<endpoints::postgres::Pool, crate::databases::NoDatabase> {
        self.databases.get(name)
    }

    /// What clients of PostgreSQL need of the appliance: tasks, time, entropy and memory.
    pub fn postgres_environment(&self) -> Environment {
        let platform = self.platform.clone();
        Environment {
            spawner: self.spawner.clone(),
            timers: self.timers.clone(),
            entropy: Rc::new(move |bytes| platform.fill_random(bytes)),
            ledger: Some(self.service_ledger("postgres")),
        }
    }

    /// Time since 1970-01-01 00:00 UTC when the timers' time was zero, whatever the platform's clock is worth: for what must go
    /// on, right or not.
    pub fn wall_clock_start(&self) -> Duration {
        self.platform.wall_clock().saturating_sub(self.timers.now())
    }

    /// The same; none if the clock cannot be right, as in a machine without one. RFC 9110 section 6.6.1: answers have no date then.
    pub fn date_start(&self) -> Option<Duration> {
        (self.platform.wall_clock() >= PLAUSIBLE).then(|| self.wall_clock_start())
    }
}

/// The bounds of sessions; nothing of them is recorded where it would be of no use.
fn session_limits<P: Platform>(config: &Config, platform: &P) -> session::Limits {
    let limits = settings::sessions::limits(&config.sessions, platform.memory_bytes());
    if limits.recorded_max > 0 && !platform.records_sessions() {
        log::warn!("[sessions] recorded_max is without effect: sessions are replayed in a process");
        return session::Limits { recorded_max: 0, ..limits };
    }
    limits
}
