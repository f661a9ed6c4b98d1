//! Service registry: makes the appliance's own services known, and reads those that its bundle lists.

use crate::Platform;
use crate::context::Context;
use crate::service::Offer;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use config::{Bundle, NAMES_FILE};
use core::net::{Ipv4Addr, SocketAddr};
use flow::registry::{Label, Service, StaticRegistry};

/// The services that the bundle lists.
pub fn of_bundle(bundle: &Bundle<'_>) -> Result<StaticRegistry, String> {
    let Some(file) = bundle.get(NAMES_FILE) else {
        return Ok(StaticRegistry::default());
    };
    StaticRegistry::parse(file.bytes).map_err(|bad| format!("{NAMES_FILE}:{bad}"))
}

/// Makes what the appliance serves known, where the registry can be added to.
pub(crate) fn register<P: Platform>(context: &Context<P>) {
    let registry = context.registry.clone();
    if !registry.can_register() {
        return;
    }
    let services = entries(&context.config.network.hostname, &context.services.offers());
    context.spawner.spawn("registry", async move {
        for service in services {
            match registry.register(&service).await {
                Ok(()) => log::info!("{}: known by name", service.name),
                Err(error) => log::warn!("{}: not known by name: {error}", service.name),
            }
        }
    });
}

/// What the registry gets to know of them.
fn entries(hostname: &str, offers: &[Offer]) -> Vec<Service> {
    let label = |text: &str| text.parse::<Label>().ok();
    let host = label(hostname);
    let entry = |offer: &Offer| {
        Some(Service {
            name: label(offer.name)?,
            host: host.clone()?,
            protocol: label(offer.protocol)?,
            target: SocketAddr::from((Ipv4Addr::UNSPECIFIED, offer.port)).into(),
        })
    };
    offers.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_is_served_has_names() {
        let offer = |name, protocol, port| Offer { name, protocol, port };
        let services =
            entries("aqueduct", &[offer("http", "http", 80), offer("appliance", "capnp", 7000)]);
        let lines: Vec<_> = services
            .iter()
            .map(|it| format!("{}@{} {} {}", it.name, it.host, it.protocol, it.target))
            .collect();
        assert_eq!(
            lines,
            ["http@aqueduct http 0.0.0.0:80", "appliance@aqueduct capnp 0.0.0.0:7000"]
        );
    }

    #[test]
    fn a_bad_line_of_the_bundle_is_named() {
        let bundle = |text: &[u8]| {
            let mut writer = config::cpio::Writer::new();
            writer.file(NAMES_FILE, text, 0).unwrap();
            let archive: &'static [u8] = writer.finish().leak();
            of_bundle(&Bundle::parse(archive).unwrap())
        };
        assert!(bundle(b"a b c d:1\n").is_ok());
        let message = bundle(b"a b c d:1\nx\n").unwrap_err().to_string();
        assert!(message.starts_with("names:2: found `x`; allowed: four words"), "{message}");
    }
}
