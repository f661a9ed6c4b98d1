//! Access: which services a peer may have that shows no token.

use crate::service::StartError;
use crate::settings::rpc::RpcSettings;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use config::{Octets32, RpcEpoch, RpcPeer};
use endpoints::rpc::Fingerprint;

/// Who may have what, by `[rpc]`.
#[derive(Clone)]
pub(crate) struct Access {
    strangers: Vec<String>,
    peers: BTreeMap<Fingerprint, Vec<String>>,
    /// Other settings that name services.
    epochs: Vec<String>,
}

impl Access {
    pub(crate) fn new(settings: &RpcSettings) -> Self {
        let mut peers = BTreeMap::<Fingerprint, Vec<String>>::new();
        for RpcPeer { fingerprint: Octets32(digest), services } in &settings.peers {
            peers.entry(Fingerprint(*digest)).or_default().extend(services.iter().cloned());
        }
        let epochs = settings.epochs.iter().map(|RpcEpoch { service, .. }| service.clone());
        Self { strangers: settings.strangers.clone(), peers, epochs: epochs.collect() }
    }

    /// What those may have of whom nothing is known.
    pub(crate) fn of_strangers(&self) -> Self {
        Self { peers: BTreeMap::new(), ..self.clone() }
    }

    /// Whether a peer may have a service; without a fingerprint it is a stranger, as is one that is not in the table.
    pub(crate) fn allows(&self, peer: Option<Fingerprint>, service: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|name| name == "*" || name == service);
        let known = peer.and_then(|peer| self.peers.get(&peer));
        has(&self.strangers) || known.is_some_and(|names| has(names))
    }

    /// Whether the table lists a vat for a service by its name: what `*`, tokens and strangers do not bring.
    #[cfg_attr(not(feature = "relay"), allow(dead_code, reason = "there is no such service"))]
    pub(crate) fn lists(&self, vat: Fingerprint, service: &str) -> bool {
        self.peers.get(&vat).is_some_and(|names| names.iter().any(|name| name == service))
    }

    /// Whether all services that are named are among these; `for_listed` is one that only vats of the table may have.
    pub(crate) fn check(
        &self,
        services: impl Iterator<Item = &'static str>,
        for_listed: Option<&'static str>,
    ) -> Result<(), StartError> {
        let mut known: Vec<_> = services.collect();
        let unknown = |names: &[String], known: &[&'static str]| {
            names.iter().find(|name| *name != "*" && !known.contains(&&***name)).cloned()
        };
        let of_all = unknown(&self.strangers, &known)
            .map(|name| ("strangers", name))
            .or_else(|| unknown(&self.epochs, &known).map(|name| ("epochs", name)));
        known.extend(for_listed);
        let mut peers = self.peers.values();
        let found = of_all
            .or_else(|| peers.find_map(|names| unknown(names, &known)).map(|name| ("peers", name)));
        let Some((key, name)) = found else { return Ok(()) };
        let reason = alloc::format!("there is no service `{name}`, but {}", known.join(", "));
        Err(StartError::Setting { section: "rpc", key: key.into(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use config::Config;

    const KEY: &str = "3Tj5y5Q2qpqN3Sbh0GRPxgORZw98_NtrU2nLI0-Tn6g";

    fn access(rpc: &str) -> Access {
        let config = Config::parse("a.toml", &alloc::format!("[rpc]\n{rpc}")).unwrap();
        Access::new(&RpcSettings::new(&config.rpc))
    }

    fn known() -> Fingerprint {
        let text = alloc::format!("capnp://sha-256:{KEY}@a:1");
        text.parse::<endpoints::rpc::SturdyRef>().unwrap().fingerprint.unwrap()
    }

    #[test]
    fn strangers_have_nothing_and_others_what_the_table_says() {
        let access = access(&alloc::format!(
            "strangers = [\"calculator\"]\npeers = [\"sha-256:{KEY} admin\"]"
        ));
        let other = Fingerprint([7; 32]);
        for (peer, service, allowed) in [
            (None, "calculator", true),
            (None, "admin", false),
            (Some(other), "calculator", true),
            (Some(other), "admin", false),
            (Some(known()), "calculator", true),
            (Some(known()), "admin", true),
            (Some(known()), "other", false),
        ] {
            assert_eq!(access.allows(peer, service), allowed, "{peer:?} {service}");
            let strangers = access.of_strangers();
            assert_eq!(strangers.allows(peer, service), service == "calculator");
        }
        let closed = Access::new(&RpcSettings::new(&Config::default().rpc));
        assert!(!closed.allows(None, "calculator") && !closed.allows(Some(other), "admin"));
    }

    #[test]
    fn a_star_is_all_services() {
        let access = access(&alloc::format!("peers = [\"sha-256:{KEY} *\"]"));
        assert!(access.allows(Some(known()), "admin") && !access.allows(None, "admin"));
        assert!(!access.lists(known(), "admin"));
    }

    #[test]
    fn services_that_there_are_not_are_refused_where_they_are_named() {
        let services = || ["admin", "calculator"].into_iter();
        let peers = |name: &str| alloc::format!("peers = [\"sha-256:{KEY} admin {name}\"]");
        for (settings, key) in [
            ("strangers = [\"admim\"]".to_string(), "strangers"),
            (peers("admim"), "peers"),
            ("epochs = [\"admim 1\"]".to_string(), "epochs"),
        ] {
            let message = access(&settings).check(services(), None).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains("`admim`"), "{message}");
        }
        assert!(access("strangers = [\"*\"]").check(services(), None).is_ok());
        assert!(access(&peers("calculator")).check(services(), None).is_ok());
        // What only the table gives.
        assert!(access(&peers("network")).check(services(), None).is_err());
        assert!(access(&peers("network")).check(services(), Some("network")).is_ok());
        let strangers = access("strangers = [\"network\"]");
        assert!(strangers.check(services(), Some("network")).is_err());
    }
}
