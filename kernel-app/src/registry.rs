//! Service registry: makes the appliance's own services known, and reads those that its bundle lists.

use crate::context::Context;
use crate::service::Offer;
use crate::{Platform, local_port};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use config::{Bundle, NAMES_FILE};
use core::net::{Ipv4Addr, SocketAddr};
use flow::registry::{Label, Service, StaticRegistry, Way};

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
    let services = entries(context);
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
fn entries<P: Platform>(context: &Context<P>) -> Vec<Service> {
    let offers = context.services.offers().into_iter();
    let entry = |(name, offer)| entry(context.host_label(), offer, local_port::ways(context, name));
    offers.filter_map(entry).collect()
}

/// The service that is offered in these ways, and by TCP; none that nobody reaches. The registry knows by which address
/// others reach this machine.
fn entry(host: Label, offer: Offer, mut ways: Vec<Way>) -> Option<Service> {
    let Offer { name, protocol, port } = offer;
    let address = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    ways.extend(port.map(|port| Way::anywhere(address(port).into())));
    let label = |text: &str| text.parse().ok();
    let service = Service::new(label(name)?, host, label(protocol)?, ways);
    (!service.ways.is_empty()).then_some(service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_is_served_has_a_name_and_its_ways() {
        let text = |name, protocol, port, ways: &[&str]| {
            let ways = ways.iter().map(|way| way.parse().unwrap()).collect();
            let host = "aqueduct".parse().unwrap();
            let service = entry(host, Offer { name, protocol, port }, ways)?;
            Some(format!("{}@{} {}", service.name, service.host, service.description()))
        };
        let http = text("http", "http", Some(80), &[]).unwrap();
        assert_eq!(http, "http@aqueduct http 0.0.0.0:80");
        let local = "00112233445566778899aabbccddeeff!shm:/run/rpc.shm";
        let rpc = text("appliance", "capnp", Some(7000), &[local]).unwrap();
        assert_eq!(rpc, format!("appliance@aqueduct capnp {local} 0.0.0.0:7000"));
        let rpc = text("appliance", "capnp", None, &[local]).unwrap();
        assert_eq!(rpc, format!("appliance@aqueduct capnp {local}"));
        assert_eq!(text("http", "http", None, &[]), None);
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
