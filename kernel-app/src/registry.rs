//! Service registry: makes the appliance's own services known, and reads those that its bundle lists.

use crate::Platform;
use crate::app::Context;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use config::{Bundle, Config, NAMES_FILE};
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
    let services = services(&context.config);
    context.spawner.spawn("registry", async move {
        for service in services {
            match registry.register(&service).await {
                Ok(()) => log::info!("{}: known by name", service.name),
                Err(error) => log::warn!("{}: not known by name: {error}", service.name),
            }
        }
    });
}

/// What the table of ports serves.
fn services(config: &Config) -> Vec<Service> {
    let offered = [
        ("http", "http", Some(config.http.port)),
        ("appliance", "capnp", config.rpc.port.filter(|_| cfg!(feature = "rpc"))),
        ("transform", "zmtp", config.zmq.port.filter(|_| cfg!(feature = "zmq"))),
    ];
    let label = |text: &str| text.parse::<Label>().ok();
    let host = label(&config.network.hostname);
    let service = |(name, protocol, port): (&str, &str, Option<u16>)| {
        Some(Service {
            name: label(name)?,
            host: host.clone()?,
            protocol: label(protocol)?,
            target: SocketAddr::from((Ipv4Addr::UNSPECIFIED, port?)).into(),
        })
    };
    offered.into_iter().filter_map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_is_served_has_names() {
        let mut config = Config::default();
        config.zmq.port = None;
        let services = services(&config);
        let told: Vec<_> = services
            .iter()
            .map(|it| format!("{}@{} {} {}", it.name, it.host, it.protocol, it.target))
            .collect();
        assert_eq!(
            told,
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
