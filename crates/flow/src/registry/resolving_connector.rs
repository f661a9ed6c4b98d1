//! Resolving connector: connects to services by name, in the best way that works.

use super::{Registry, Ways};
use crate::{ConnectError, Connector, Target};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A connector that also knows services by name: it looks [`Target::Service`] up and opens a flow to
/// where the service is, and hands all other targets on. What is below may be a
/// [`Dispatcher`](crate::Dispatcher), so that services can be reached in any way.
#[derive(Clone)]
pub struct ResolvingConnector<C> {
    connector: C,
    registry: Rc<dyn Registry>,
    ways: Ways,
}

impl<C> ResolvingConnector<C> {
    /// Looks services up in `registry`, and opens flows by `connector`, in the best of the `ways` that works.
    pub fn new(connector: C, registry: Rc<dyn Registry>, ways: Ways) -> Self {
        Self { connector, registry, ways }
    }
}

impl<C: Connector> Connector for ResolvingConnector<C> {
    type Flow = C::Flow;

    /// Tries the ways to the services that are meant, each for its time: in the order in which the registry gives the
    /// services, and each its ways, but those last that failed lately.
    ///
    /// # Errors
    /// `NotFound` if there is no such service, `Unreachable` if none of its ways is for this machine; else why the last
    /// attempt failed.
    async fn connect(&self, target: &Target) -> Result<C::Flow, ConnectError> {
        let Target::Service(query) = target else {
            return self.connector.connect(target).await;
        };
        let found = self.registry.look_up(query).await.map_err(|_| ConnectError::NotFound)?;
        let mut failure =
            if found.is_empty() { ConnectError::NotFound } else { ConnectError::Unreachable };
        let mut failures = Vec::new();
        for (service, target) in self.ways.order(&found) {
            let attempt = self.ways.attempt(service, target);
            let connecting = self.connector.connect(target);
            let outcome = attempt.timers().before(attempt.deadline(), connecting).await;
            match outcome.unwrap_or(Err(ConnectError::TimedOut)) {
                Ok(flow) => {
                    attempt.ended(None);
                    return Ok(flow);
                }
                Err(error) => {
                    attempt.ended(Some(error));
                    failures.push((target, error));
                    failure = error;
                }
            }
        }
        self.ways.all_failed(query, &failures);
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HostId, Query, StaticRegistry, WayPolicy, WayRow};
    use super::*;
    use crate::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
    use crate::task::block_on;
    use crate::time::Timers;
    use crate::{Dispatcher, Listener, Scheme};
    use alloc::boxed::Box;
    use core::future::{Pending, pending};
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use core::time::Duration;
    use std::string::{String, ToString};

    fn resolving<C: Connector>(connector: C, table: &[u8], ways: Ways) -> ResolvingConnector<C> {
        let registry = Rc::new(StaticRegistry::parse(table).unwrap());
        ResolvingConnector::new(connector, registry, ways)
    }

    fn ways() -> Ways {
        Ways::new(WayPolicy::default(), &Timers::new())
    }

    #[test]
    fn whatever_connects_connects_by_name() {
        let network = MemoryNetwork::new(100, 10);
        let mut there = network.listen(&"beta.example:80".parse().unwrap()).unwrap();
        let table = b"web alpha http alpha.example:80\nweb beta http beta.example:80";
        let connector = resolving(network, table, ways());
        let connect = |target: Target| block_on(connector.connect(&target)).map(drop);
        // Nobody listens at the first.
        for name in ["web", "web@beta"] {
            let query: Query = name.parse().unwrap();
            assert_eq!(connect(query.target()), Ok(()), "{name}");
            block_on(there.accept()).unwrap();
        }
        let query: Query = "web@alpha".parse().unwrap();
        assert_eq!(connect(query.target()), Err(ConnectError::Refused));
        let query: Query = "mail".parse().unwrap();
        assert_eq!(connect(query.target()), Err(ConnectError::NotFound));
        assert_eq!(connect("beta.example:80".parse().unwrap()), Ok(()));
    }

    #[test]
    fn a_service_may_be_anywhere_that_the_connector_below_reaches() {
        let (inside, outside) = (MemoryNetwork::new(100, 10), MemoryNetwork::new(100, 10));
        let mut web = inside.listen(&"memory:web".parse().unwrap()).unwrap();
        let mut mail = outside.listen(&"mail.example:25".parse().unwrap()).unwrap();
        let table = b"web here http memory:web\nmail there smtp mail.example:25";
        let below = Dispatcher::new().with(Scheme::Memory, inside).with(Scheme::Tcp, outside);
        let connector = resolving(below, table, ways());
        let connect = |text: &str| block_on(connector.connect(&text.parse().unwrap())).map(drop);
        assert_eq!(connect("service://web"), Ok(()));
        block_on(web.accept()).unwrap();
        assert_eq!(connect("service://mail@there"), Ok(()));
        block_on(mail.accept()).unwrap();
        assert_eq!(connect("service://mail@here"), Err(ConnectError::NotFound));
        assert_eq!(connect("memory:mail"), Err(ConnectError::Refused));
    }

    /// A network on which some places say nothing to who connects.
    #[derive(Clone)]
    struct Network {
        network: MemoryNetwork,
        silent: Vec<Target>,
    }

    impl Connector for Network {
        type Flow = MemoryFlow;

        async fn connect(&self, target: &Target) -> Result<MemoryFlow, ConnectError> {
            if self.silent.contains(target) {
                let silence: Pending<()> = pending();
                silence.await;
            }
            self.network.connect(target).await
        }
    }

    /// A service with ways, of which all but the silent ones are listened at.
    struct Lab {
        timers: Timers,
        ways: Ways,
        connector: ResolvingConnector<Network>,
        listeners: Vec<(Target, MemoryListener)>,
    }

    impl Lab {
        fn new(line: &str, listened: &[&str], silent: &[&str], policy: WayPolicy) -> Self {
            let (network, timers) = (MemoryNetwork::new(100, 10), Timers::new());
            let targets = listened.iter().map(|text| text.parse::<Target>().unwrap());
            let listeners =
                targets.map(|target| (target.clone(), network.listen(&target).unwrap())).collect();
            let silent = silent.iter().map(|text| text.parse().unwrap()).collect();
            let ways = Ways::new(policy, &timers);
            let connector = resolving(Network { network, silent }, line.as_bytes(), ways.clone());
            Self { timers, ways, connector, listeners }
        }

        /// Connects to the service, while time goes on in steps of half a second; says where, and after how many steps.
        fn connect(&mut self) -> (Result<String, ConnectError>, u32) {
            let (target, connector) = ("service://web".parse().unwrap(), self.connector.clone());
            let mut connecting = pin!(connector.connect(&target));
            let cx = &mut Context::from_waker(Waker::noop());
            let mut steps = 0;
            let outcome = loop {
                match connecting.as_mut().poll(cx) {
                    Poll::Ready(outcome) => break outcome.map(drop),
                    Poll::Pending => {
                        self.timers.advance(self.timers.now() + Duration::from_millis(500));
                    }
                }
                steps += 1;
            };
            (outcome.map(|()| self.accepted()), steps)
        }

        fn accepted(&mut self) -> String {
            let cx = &mut Context::from_waker(Waker::noop());
            let mut places = self.listeners.iter_mut();
            let found = places.find_map(|(target, listener)| {
                listener.poll_accept(cx).is_ready().then(|| target.to_string())
            });
            found.expect("somebody accepts")
        }

        fn rows(&self) -> Vec<WayRow> {
            let mut rows = Vec::new();
            self.ways.visit(&mut |row| rows.push(row.clone()));
            rows
        }
    }

    const POLICY_SECONDS: [u64; 3] = [1, 3, 30];

    fn policy() -> WayPolicy {
        let [local_timeout, remote_timeout, retry_after] = POLICY_SECONDS.map(Duration::from_secs);
        WayPolicy { local_timeout, remote_timeout, retry_after, ..WayPolicy::default() }
    }

    #[test]
    fn ways_are_tried_in_order_and_those_of_other_hosts_are_not() {
        let line =
            "web here http 0000000000000000000000000000000a!memory:best memory:gone memory:next";
        let listened = ["memory:best", "memory:next"];
        let mut elsewhere = Lab::new(line, &listened, &[], policy());
        assert_eq!(elsewhere.connect(), (Ok("memory:next".into()), 0));
        let here = WayPolicy { hosts: Vec::from([HostId(1), HostId(10)]), ..policy() };
        let mut here = Lab::new(line, &listened, &[], here);
        assert_eq!(here.connect(), (Ok("memory:best".into()), 0));
        let other = WayPolicy { schemes: Vec::from([Scheme::Tcp]), ..policy() };
        let mut other = Lab::new(line, &listened, &[], other);
        assert_eq!(other.connect(), (Err(ConnectError::Unreachable), 0));
    }

    #[test]
    fn a_silent_way_is_given_up_and_tried_last_for_a_while() {
        let (line, silent) = ("web here http memory:best a:1 a:2", ["memory:best", "a:1"]);
        let mut lab = Lab::new(line, &["a:2"], &silent, policy());
        // One second for what is local, three for what is not.
        assert_eq!(lab.connect(), (Ok("a:2".into()), 2 + 6));
        assert_eq!(lab.connect(), (Ok("a:2".into()), 0));
        // The first one failed a second after the start, and the next one three seconds later.
        lab.timers.advance(Duration::from_millis(30_999));
        assert_eq!(lab.connect(), (Ok("a:2".into()), 0));
        lab.timers.advance(Duration::from_secs(31));
        assert_eq!(lab.connect(), (Ok("a:2".into()), 2));
        let rows = lab.rows();
        let seen: Vec<_> = rows.iter().map(|row| (row.opened, row.failed, row.is_in_use)).collect();
        assert_eq!(seen, [(0, 1, false), (0, 2, false), (4, 0, true)]);
        assert_eq!(rows[0].failure, Some(ConnectError::TimedOut));
    }

    #[test]
    fn a_way_that_failed_is_the_last_one_and_not_left_out() {
        let mut lab = Lab::new("web here http a:1 a:2", &["a:1"], &["a:2"], policy());
        let listener = lab.listeners.remove(0);
        drop(listener);
        assert_eq!(lab.connect(), (Err(ConnectError::TimedOut), 6));
        let target: Target = "a:1".parse().unwrap();
        let again = lab.connector.connector.network.listen(&target).unwrap();
        lab.listeners.push((target, again));
        // Both have failed: they are tried as they are listed.
        assert_eq!(lab.connect(), (Ok("a:1".into()), 0));
    }

    #[test]
    fn a_caller_with_less_time_than_a_way_has_is_not_caught_by_it_again() {
        let lab = Lab::new("web here http memory:a b:2", &["b:2"], &["memory:a"], policy());
        let target = "service://web".parse().unwrap();
        let cx = &mut Context::from_waker(Waker::noop());
        for (given_milliseconds, next) in [(499, "memory:a"), (500, "b:2")] {
            let mut connecting = Box::pin(lab.connector.connect(&target));
            assert!(connecting.as_mut().poll(cx).is_pending());
            lab.timers.advance(lab.timers.now() + Duration::from_millis(given_milliseconds));
            drop(connecting);
            let found = block_on(lab.connector.registry.look_up(&"web".parse().unwrap())).unwrap();
            assert_eq!(lab.ways.order(&found)[0].1.to_string(), next);
        }
    }

    #[test]
    fn who_drains_is_asked_after_all_others() {
        let table = "web one http a:1 drains\nweb two http a:2 a:3";
        let mut lab = Lab::new(table, &["a:1", "a:3"], &[], policy());
        assert_eq!(lab.connect(), (Ok("a:3".into()), 0));
        lab.listeners.retain(|(target, _)| target.to_string() == "a:1");
        assert_eq!(lab.connect(), (Ok("a:1".into()), 0));
    }
}
