//! Services of others that requests are spread over: by routes of `[proxy]`, and by handlers that ask them by name.

use crate::Platform;
use crate::context::Context;
use crate::service::StartError;
use crate::settings::balance::BalanceSettings;
use crate::settings::proxy::{ProxyService, ProxySettings};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use endpoints::http::client::{BalancedClient, Client};
use endpoints::http::proxy::{ReverseProxy, ReverseProxyConfig};
use endpoints::places::{self, Places};
use flow::Dispatcher;
use flow::registry::{Query, ResolvingConnector};
use web::layer::{Inner, Layer};
use web::{Answer, Request, Routes};

/// A client of a service by name, whichever of its places answers.
pub type ServiceClient = BalancedClient<ResolvingConnector<Dispatcher>>;

/// How long a service that a handler asks may take for the first byte of an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What there is of them.
#[derive(Default)]
pub(crate) struct Balanced {
    /// Those that handlers asked for.
    clients: RefCell<Vec<(Query, ServiceClient)>>,
    /// Those of routes.
    routes: RefCell<Vec<Rc<Route>>>,
}

/// Requests that a service answers.
struct Route {
    settings: ProxySettings,
    proxy: ReverseProxy<ResolvingConnector<Dispatcher>>,
}

impl Balanced {
    /// The client of a service, which is made when it is first wanted.
    pub(crate) fn client<P: Platform>(&self, context: &Context<P>, query: &Query) -> ServiceClient {
        let known = self.clients.borrow().iter().find(|(own, _)| own == query).cloned();
        if let Some((_, client)) = known {
            return client;
        }
        let settings = BalanceSettings::new(&context.config.balance);
        let name = format!("service://{query}");
        let places = places(context, &name, settings.places.clone());
        places.follow(context.registry.clone(), query.clone());
        let client = client(context, &settings, places, RESPONSE_TIMEOUT);
        self.clients.borrow_mut().push((query.clone(), client.clone()));
        client
    }

    /// The places of all.
    fn places(&self) -> Vec<Places> {
        let routes = self.routes.borrow();
        let of_routes = routes.iter().map(|route| route.proxy.places().clone());
        let clients = self.clients.borrow();
        of_routes.chain(clients.iter().map(|(_, client)| client.places().clone())).collect()
    }
}

/// Opens the routes of `[proxy]`, and shows all places.
///
/// # Errors
/// One of them leads nowhere.
pub(crate) fn open<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    let settings = ProxySettings::all(&context.config.proxy).map_err(|(index, reason)| {
        StartError::Item { section: "proxy", key: "routes", index, reason }
    })?;
    let routes = settings.into_iter().map(|settings| Rc::new(route(context, settings))).collect();
    context.balanced.routes.replace(routes);
    show(context);
    Ok(())
}

/// Puts the routes of `[proxy]` around a table: what is theirs does not come to it.
pub(crate) fn with_proxies<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    let proxies: Rc<[Rc<Route>]> = context.balanced.routes.borrow().clone().into();
    if proxies.is_empty() { routes } else { routes.layer(Proxies(proxies)) }
}

struct Proxies(Rc<[Rc<Route>]>);

impl Layer for Proxies {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        let Some(route) = self.0.iter().find(|route| route.is_for(&request)) else {
            return inner.answer(request);
        };
        let proxy = route.proxy.clone();
        Answer::Later(alloc::boxed::Box::pin(async move { proxy.answer(request).await }))
    }
}

impl Route {
    fn is_for(&self, request: &Request) -> bool {
        let ProxySettings { host, prefix, .. } = &self.settings;
        let is_host = |host: &String| is_host(request.authority(), host);
        host.as_ref().is_none_or(is_host) && is_below(request.path(), prefix)
    }
}

/// Whether an authority is this host, at whichever port (RFC 3986 section 3.2.2: without case, and a final dot only says that
/// the name is whole).
fn is_host(authority: &[u8], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (own, rest) = authority.split_at_checked(host.len()).unwrap_or((authority, b""));
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    let is_port = |rest: &[u8]| match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    own.eq_ignore_ascii_case(host.as_bytes()) && is_port(rest)
}

/// Whether a path is this one or below it: `/api` has `/api/x` below it, and not `/apish`.
fn is_below(path: &[u8], prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/').as_bytes();
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn route<P: Platform>(context: &Context<P>, settings: ProxySettings) -> Route {
    let balance = BalanceSettings::new(&context.config.balance);
    let mut config = balance.places.clone();
    config.policy = settings.policy.unwrap_or(config.policy);
    config.probes = settings.health.is_some().then(|| balance.probes.clone());
    let places = places(context, &settings.name, config);
    match &settings.service {
        ProxyService::Named(query) => places.follow(context.registry.clone(), query.clone()),
        ProxyService::Places(list) => places.set(list),
    }
    let client = client(context, &balance, places, settings.response_timeout);
    if let Some(path) = &settings.health {
        client.probe(path, balance.probe_timeout);
    }
    log::info!("[proxy]: {} is answered by others", settings.name);
    let proxy = ReverseProxy::new(client, proxy_config(context, &settings));
    Route { settings, proxy }
}

fn proxy_config<P: Platform>(context: &Context<P>, settings: &ProxySettings) -> ReverseProxyConfig {
    let name = context.host_label();
    ReverseProxyConfig {
        // Many have the same hostname, as "aqueduct".
        id: format!("{name}-{:016x}", random(context)),
        name: name.to_string(),
        strip_prefix: if settings.strips_prefix { settings.prefix.clone() } else { String::new() },
        trusts_clients: settings.trusts_clients,
        key: settings.key.clone(),
    }
}

fn places<P: Platform>(context: &Context<P>, name: &str, config: places::Config) -> Places {
    Places::new(name, config, random(context), &context.spawner, &context.timers)
}

fn client<P: Platform>(
    context: &Context<P>,
    settings: &BalanceSettings,
    places: Places,
    response_timeout: Duration,
) -> ServiceClient {
    let config = settings.client(response_timeout);
    let client = Client::new(config, context.connector(), &context.spawner, &context.timers);
    BalancedClient::new(client, places)
}

fn random<P: Platform>(context: &Context<P>) -> u64 {
    let mut bytes = [0; 8];
    context.platform.fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn show<P: Platform>(context: &Context<P>) {
    let balanced = context.balanced.clone();
    context.inspector.add_metrics(places::PLACE_METRICS, move |visit| {
        for places in balanced.places() {
            visit(Some(("service", &places.name())), &places);
        }
    });
    let balanced = context.balanced.clone();
    context.inspector.add_table(&places::PLACES, move |visit| {
        balanced.places().iter().for_each(|places| places.visit(visit));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3986_3_2_2_hosts_are_compared_without_case_and_port() {
        for (authority, expected) in [
            ("shop.example", true),
            ("Shop.Example:8080", true),
            ("shop.example:", true),
            ("shop.example.", true),
            ("SHOP.example.:80", true),
            ("shop.example..", false),
            ("shop.example:.", false),
            ("shop.example.evil", false),
            ("shop.exampl", false),
            ("shop.example:80x", false),
            ("", false),
        ] {
            for host in ["shop.example", "shop.example."] {
                assert_eq!(is_host(authority.as_bytes(), host), expected, "{authority} {host}");
            }
        }
    }

    #[test]
    fn what_is_below_a_path_is_separated_by_a_slash() {
        for (path, prefix, expected) in [
            ("/api", "/api", true),
            ("/api/", "/api", true),
            ("/api/x", "/api/", true),
            ("/apish", "/api", false),
            ("/", "/api", false),
            ("/anything", "/", true),
            ("*", "/", false),
        ] {
            assert_eq!(is_below(path.as_bytes(), prefix), expected, "{path} {prefix}");
        }
    }
}
