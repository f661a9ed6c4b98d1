//! Group: the appliances that sessions are spread over. Each is known to the others by its hostname, and found by the
//! service registry.

use crate::Platform;
use crate::context::Context;
use crate::settings::affinity::AffinitySettings;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use endpoints::http::proxy::Proxy;
use flow::Connector;
use flow::registry::{Label, Query, Registry, Service};
use web::session::{Affinity, NotPassed, Passing, rendezvous};
use web::{Request, Response};

/// What the members' web servers are registered as.
const SERVICE: &str = "http";

/// How this appliance finds the owners of sessions, if it belongs to a group.
pub(crate) fn affinity<P: Platform>(context: &Context<P>) -> Option<Affinity> {
    let settings = AffinitySettings::new(&context.config.affinity)?;
    let name = context.host_label();
    let proxy = Proxy::new(
        name.clone(),
        context.direct_connector(),
        &context.spawner,
        &context.timers,
        settings.connect_timeout,
    );
    let pass = move |owner, request| -> Passing { Box::pin(pass(proxy.clone(), owner, request)) };
    let members = members(context, name.clone());
    let formula = move |_: &Request, key: &[u8]| {
        rendezvous(&settings.key, key, members.borrow().iter()).cloned()
    };
    log::info!("[affinity]: sessions are shared with a group, as {name}");
    let affinity = Affinity::new(name, settings.key, pass);
    Some(affinity.when_lost(settings.owner_lost).with_formula(formula))
}

/// Lets the owner of a session answer.
async fn pass<C: Connector + 'static>(
    proxy: Proxy<C>,
    owner: Label,
    request: Request,
) -> Result<web::Reply, NotPassed> {
    let target = query(Some(owner.clone())).target();
    proxy.pass_on(&target, request).await.map_err(|not_passed| {
        log::info!("a session is at {owner}: {}", not_passed.reason);
        let response = Response::plain(not_passed.status());
        let is_lost = not_passed.is_unreachable() && not_passed.is_untouched;
        let untouched = is_lost.then_some(not_passed.request);
        NotPassed { response, untouched }
    })
}

/// Who the members are, this one among them: the registry tells of changes.
fn members<P: Platform>(context: &Context<P>, own: Label) -> Rc<RefCell<Vec<Label>>> {
    let members = Rc::new(RefCell::new(Vec::from([own.clone()])));
    let (list, registry) = (members.clone(), context.registry.clone());
    context.spawner.spawn("group", async move {
        let mut known = Vec::new();
        look_up_own(&*registry, &own).await;
        loop {
            match registry.watch(&query(None), &known).await {
                Ok(services) => {
                    list.replace(names(&own, &services));
                    known = services;
                }
                Err(error) => return log::warn!("the group's members are not known: {error}"),
            }
        }
    });
    members
}

/// Says what is wrong with the list of members, if anything can be seen of that here.
async fn look_up_own(registry: &dyn Registry, own: &Label) {
    let Ok(services) = registry.look_up(&query(None)).await else { return };
    if services.is_empty() {
        log::warn!(
            "[affinity]: no `names` file lists a member, as `{SERVICE} HOST http ADDRESS:PORT`"
        );
    } else if !registry.can_register() && !services.iter().any(|service| service.host == *own) {
        log::warn!(
            "[affinity]: the `names` file does not list {own}, which is [network] hostname here: others know it by another name"
        );
    }
}

fn names(own: &Label, services: &[Service]) -> Vec<Label> {
    let others = services.iter().map(|service| &service.host).filter(|host| *host != own);
    core::iter::once(own).chain(others).cloned().collect()
}

fn query(host: Option<Label>) -> Query {
    Query { name: SERVICE.parse().expect("it is a label"), host }
}
