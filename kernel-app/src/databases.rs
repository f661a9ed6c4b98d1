//! Databases that handlers ask by their names in the configuration.

use crate::Platform;
use crate::context::Context;
use crate::service::StartError;
use crate::settings::database::DatabaseSettings;
use crate::settings::tls::TlsSettings;
use crate::trust;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use config::SslMode;
use core::cell::RefCell;
use core::fmt;
use endpoints::postgres::{self, Pool, Server, ServerTls};
use endpoints::tls::TlsConfig;
use flow::registry::ResolvingConnector;
use flow::{Dispatcher, Target};
use tls::{ClientContext, ClientOptions, Trust};

/// Those of the configuration, with their names.
#[derive(Default)]
pub(crate) struct Databases(RefCell<Vec<(String, Pool)>>);

/// The configuration has no database of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoDatabase {
    name: String,
    known: Vec<String>,
}

impl fmt::Display for NoDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no [[database]] has the name `{}`; ", self.name)?;
        match self.known.as_slice() {
            [] => f.write_str("there is none"),
            known => write!(f, "there is {}", known.join(", ")),
        }
    }
}

impl core::error::Error for NoDatabase {}

impl Databases {
    /// The database of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Pool, NoDatabase> {
        let pools = self.0.borrow();
        let pool = pools.iter().find(|(own, _)| own == name).map(|(_, pool)| pool.clone());
        pool.ok_or_else(|| NoDatabase {
            name: name.into(),
            known: pools.iter().map(|(own, _)| own.clone()).collect(),
        })
    }
}

/// Makes a pool for each database, without a connection, and shows them.
///
/// # Errors
/// What one of them needs is not usable.
pub(crate) fn open<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    let mut pools = Vec::new();
    for (number, section) in context.config.databases.iter().enumerate() {
        let settings = DatabaseSettings::new(section);
        let pool = pool(context, &settings).map_err(|(key, reason)| StartError::Database {
            number,
            key,
            reason,
        })?;
        log::info!(
            "database {}: {} as {}",
            settings.name,
            section.servers.join(", "),
            section.user
        );
        pools.push((settings.name, pool));
    }
    context.databases.0.replace(pools);
    show(context);
    Ok(())
}

/// A key, and what is wrong with it.
type Fault = (&'static str, String);

fn pool<P: Platform>(context: &Context<P>, settings: &DatabaseSettings) -> Result<Pool, Fault> {
    let targets = settings.servers.clone().map_err(|reason| ("servers", reason))?;
    let password = password(context, settings);
    let start = settings.start(password.as_deref(), &context.host_label().to_string());
    let servers = servers(context, settings, targets)?;
    let DatabaseSettings { options, pool, .. } = settings.clone();
    Ok(Pool::new(servers, start, options, pool, context.postgres_environment()))
}

/// What is in the file of the bundle, whose first line it is, or in the configuration itself.
fn password<P: Platform>(context: &Context<P>, settings: &DatabaseSettings) -> Option<String> {
    let Some(path) = &settings.password_file else { return settings.password.clone() };
    let bytes = context.bundle.get(path).map_or(&[][..], |file| file.bytes);
    // The configuration is refused if it is no text.
    let text = core::str::from_utf8(bytes).unwrap_or("");
    Some(text.trim_end_matches(['\r', '\n']).to_string())
}

fn servers<P: Platform>(
    context: &Context<P>,
    settings: &DatabaseSettings,
    targets: Vec<Target>,
) -> Result<Vec<Server>, Fault> {
    let connector = context.connector();
    if settings.ssl_mode == SslMode::Disable {
        let plain = |target| Server::plain(connector.clone(), target);
        return Ok(targets.into_iter().map(plain).collect());
    }
    let tls = tls(context, settings)?;
    let server = |target| secure(settings, connector.clone(), tls.clone(), target);
    Ok(targets.into_iter().map(server).collect())
}

fn secure(
    settings: &DatabaseSettings,
    connector: ResolvingConnector<Dispatcher>,
    tls: ServerTls,
    target: Target,
) -> Server {
    let name = settings.server_name.clone().unwrap_or_else(|| host(&target));
    if settings.ssl_mode == SslMode::Prefer {
        Server::tls_or_plain(connector, tls, &name, target)
    } else {
        Server::tls(connector, tls, &name, target)
    }
}

/// The name that a server's certificate is for. That of a socket or a service is said by `server_name`, where it counts.
fn host(target: &Target) -> String {
    match target {
        Target::Address(address) => address.ip().to_string(),
        Target::Name(name, _) | Target::Tls(name, _) => name.clone(),
        _ => "localhost".into(),
    }
}

fn tls<P: Platform>(context: &Context<P>, settings: &DatabaseSettings) -> Result<ServerTls, Fault> {
    let of_all = TlsSettings::new(&context.config.tls);
    let (clock, wall_clock_start) = trust::clock(context);
    let config = TlsConfig {
        handshake_timeout: of_all.handshake_timeout,
        handshakes_max: of_all.handshakes_max,
        wall_clock_start,
        ledger: None,
    };
    let authorities = settings.authorities.clone().or(of_all.authorities);
    let trust = match settings.ssl_mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => Trust::any_server(),
        SslMode::VerifyCa => vouched(context, authorities)?.without_names(),
        SslMode::VerifyFull => vouched(context, authorities)?,
    };
    let client = ClientContext::new(ClientOptions::new(trust, clock));
    let client = client.map_err(|error| ("authorities", error.to_string()))?;
    Ok(ServerTls { context: client, config, timers: context.timers.clone() })
}

fn vouched<P: Platform>(context: &Context<P>, authorities: Option<String>) -> Result<Trust, Fault> {
    let path = authorities.unwrap_or_default();
    let trust = trust::trust(context, &path);
    trust.map_err(|error| ("authorities", format!("{path} of the bundle: {error}")))
}

fn show<P: Platform>(context: &Context<P>) {
    let databases = context.databases.clone();
    context.inspector.add_metrics(postgres::POOL_METRICS, move |visit| {
        for (name, pool) in &*databases.0.borrow() {
            visit(Some(("database", &name)), pool);
        }
    });
    let databases = context.databases.clone();
    context.inspector.add_table(&postgres::POOLS, move |visit| {
        for (name, pool) in &*databases.0.borrow() {
            visit(&pool.row(name));
        }
    });
    let databases = context.databases.clone();
    context.inspector.add_table(&postgres::SERVERS, move |visit| {
        for (name, pool) in &*databases.0.borrow() {
            pool.visit_servers(name, &mut |row| visit(row));
        }
    });
}
