//! Names that appliances keep for each other: `[names] serve` and `[names] servers`. The core, without I/O, is the crate
//! [`names`].

mod client;
mod server;
mod shared;
mod wire;

pub(crate) use server::{NameServer, Names};
pub(crate) use shared::SharedNames;

use crate::Platform;
use crate::context::Context;
use crate::service::StartError;
use crate::settings::names::NamesSettings;
use alloc::rc::Rc;
use alloc::string::ToString;
use client::{Client, ServerPlace};
use config::Config;
use flow::registry::Registry;
use flow::time::Timers;

/// The registry over `base`, with what name servers know, if the configuration has any.
pub(crate) fn over(
    base: &Rc<dyn Registry>,
    config: &Config,
    timers: &Timers,
) -> Option<Rc<SharedNames>> {
    let config::Names { serve, servers, .. } = &config.names;
    let places = servers.len() + usize::from(*serve);
    (places > 0).then(|| Rc::new(SharedNames::new(base.clone(), places, timers)))
}

/// Begins to read and to register with the servers that the configuration names, and with this appliance's own.
///
/// # Errors
/// A server is none that can be connected with.
pub(crate) fn start<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    let Some(names) = &context.names else { return Ok(()) };
    let settings = NamesSettings::new(&context.config.names, context.platform.host_ids().all());
    let refused = |reason: &str| StartError::Setting {
        section: "names",
        key: "servers".into(),
        reason: reason.to_string(),
    };
    let mut places = alloc::vec::Vec::new();
    for server in &settings.servers {
        // The text may be a secret, even if something is wrong with it.
        let reference = named(&context.config, server).unwrap_or(server);
        places.push(reference.parse::<ServerPlace>().map_err(|_| refused(ServerPlace::EXPECTED))?);
    }
    let vat = context.vat()?;
    places.extend(vat.own_names().map(ServerPlace::Own));
    for (at, place) in places.into_iter().enumerate() {
        let client = Client::new(context, names, at, place, settings.lease);
        context.spawner.spawn("names", async move { client.run().await });
    }
    let ending = names.clone();
    context.spawner.spawn("names leases", async move { ending.end_leases().await });
    Ok(())
}

/// The reference that a server's text means by its name in `[capabilities]`.
fn named<'a>(config: &'a Config, server: &str) -> Option<&'a str> {
    let name = server.strip_prefix("capability:")?;
    let mut references = config.capabilities.references.iter();
    references.find(|(own, _)| own == name).map(|(_, reference)| reference.as_str())
}
