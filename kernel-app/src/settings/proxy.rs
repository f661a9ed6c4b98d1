//! `[proxy]`: requests that services of others answer.

use super::balance;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use config::{Proxy, ProxyKey, ProxyPlace, ProxyRoute};
use core::time::Duration;
use endpoints::http::proxy::RequestKey;
use endpoints::places::{Place, Policy};
use flow::Target;
use flow::registry::Query;

/// Requests that go to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// What the route is called in log and tables: as it is written.
    pub name: String,
    /// For requests to this host alone, without its port.
    pub host: Option<String>,
    /// The path, and what is below it.
    pub prefix: String,
    /// Where they go.
    pub service: ProxyService,
    /// How a place is chosen, if not as `[balance]` says.
    pub policy: Option<Policy>,
    /// What requests have in common that go to one place.
    pub key: RequestKey,
    /// The prefix is taken off.
    pub strips_prefix: bool,
    /// The path by which places are asked whether they are well.
    pub health: Option<String>,
    /// How long the service may take for the first byte of an answer.
    pub response_timeout: Duration,
    /// Clients are proxies themselves.
    pub trusts_clients: bool,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyService {
    /// To all whom the registry knows by a name.
    Named(Query),
    /// To those that were written down.
    Places(Vec<Place<Target>>),
}

impl ProxySettings {
    /// Of all routes of the section, those first that are for fewest requests.
    ///
    /// # Errors
    /// What is wrong with one of them, and which one it is, counted from 0.
    pub fn all(section: &Proxy) -> Result<Vec<Self>, (usize, String)> {
        let Proxy { routes, response_timeout, trust_forwarded } = section;
        let settings = routes.iter().enumerate().map(|(index, route)| {
            let settings = Self::new(route, *response_timeout, *trust_forwarded);
            settings.map_err(|reason| (index, format!("`{route}`: {reason}")))
        });
        let mut all = settings.collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|it| (it.host.is_none(), core::cmp::Reverse(it.prefix.len())));
        Ok(all)
    }

    fn new(
        route: &ProxyRoute,
        response_timeout_usual: Duration,
        trusts_clients: bool,
    ) -> Result<Self, String> {
        let ProxyRoute {
            host,
            prefix,
            places,
            policy,
            key,
            strips_prefix,
            health,
            response_timeout,
        } = route.clone();
        Ok(Self {
            name: format!("{}{prefix}", host.as_deref().unwrap_or("")),
            host,
            prefix,
            service: service(&places)?,
            policy: policy.map(balance::policy),
            key: request_key(key),
            strips_prefix,
            health,
            response_timeout: response_timeout.unwrap_or(response_timeout_usual),
            trusts_clients,
        })
    }
}

/// A lone name is that of a service with as many places as the registry knows.
fn service(places: &[ProxyPlace]) -> Result<ProxyService, String> {
    let place = |ProxyPlace { target, weight }: &ProxyPlace| {
        let target: Target = target.parse().map_err(|error| format!("`{target}`: {error}"))?;
        let is_port_zero = match &target {
            Target::Address(address) => address.port() == 0,
            Target::Name(_, port) | Target::Tls(_, port) => *port == 0,
            _ => false,
        };
        if is_port_zero {
            return Err(format!("`{target}`: nobody listens at port 0"));
        }
        Ok(Place::new(target, *weight))
    };
    let places = places.iter().map(place).collect::<Result<Vec<_>, String>>()?;
    Ok(match places.as_slice() {
        [Place { target: Target::Service(query), .. }] => ProxyService::Named(query.clone()),
        _ => ProxyService::Places(places),
    })
}

fn request_key(key: ProxyKey) -> RequestKey {
    match key {
        ProxyKey::Client => RequestKey::Client,
        ProxyKey::Path => RequestKey::Path,
        ProxyKey::Header(name) => RequestKey::Header(name),
        ProxyKey::Cookie(name) => RequestKey::Cookie(name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(routes: &[&str]) -> Result<Vec<ProxySettings>, (usize, String)> {
        let routes = routes.iter().map(|route| route.parse().unwrap()).collect();
        ProxySettings::all(&Proxy { routes, ..Proxy::default() })
    }

    #[test]
    fn routes_for_a_host_and_longer_paths_come_first() {
        let routes = ["/ a:1", "/api a:1", "x.example/ a:1", "/api/v2 a:1", "x.example/api a:1"];
        let names: Vec<_> = all(&routes).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["x.example/api", "x.example/", "/api/v2", "/api", "/"]);
    }

    #[test]
    fn a_lone_name_is_a_service_and_targets_are_places() {
        let service = |route| all(&[route]).unwrap().remove(0).service;
        assert_eq!(service("/ service://shop"), ProxyService::Named("shop".parse().unwrap()));
        let place = |text: &str, weight| Place::new(text.parse().unwrap(), weight);
        let expected = [place("service://shop@alpha", 1), place("10.9.0.2:80", 3)];
        assert_eq!(
            service("/ service://shop@alpha 10.9.0.2:80*3"),
            ProxyService::Places(expected.to_vec())
        );
        let (index, error) = all(&["/ a:1", "/b http://a:1"]).unwrap_err();
        assert_eq!(index, 1);
        assert!(error.starts_with("`/b http://a:1`: `http://a:1`: expected HOST:PORT"), "{error}");
        assert!(all(&["/ a:0"]).unwrap_err().1.ends_with("nobody listens at port 0"));
    }
}
