//! Meeting: the nodes of xenstore by which many clients come to one listener. See the crate's first page.

use alloc::format;
use alloc::string::String;
use machine::xen::DomainId;

/// All domains' folders.
pub(crate) const DOMAINS: &str = "/local/domain";

/// A client's wish for a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Request {
    /// Whose it is: nobody else can have written that node.
    pub(crate) client: DomainId,
    pub(crate) server: DomainId,
    /// What listens there.
    pub(crate) name: String,
    /// No two of a client's have the same.
    pub(crate) number: u64,
}

impl Request {
    /// The request that a node is, if it is one.
    pub(crate) fn of_node(node: &str) -> Option<Self> {
        let (client, path) = node.strip_prefix(DOMAINS)?.strip_prefix('/')?.split_once('/')?;
        let (server, request) = path.strip_prefix("data/vchan/to/")?.split_once('/')?;
        let (name, number) = request.rsplit_once('-')?;
        let (client, server) = (client.parse().ok()?, server.parse().ok()?);
        let request = Self { client, server, name: name.into(), number: number.parse().ok()? };
        // As it is written, and no other way: each node is another request.
        (request.node() == node).then_some(request)
    }

    /// Where it stands.
    pub(crate) fn node(&self) -> String {
        let Self { client, server, name, number } = self;
        format!("{DOMAINS}/{client}/{}/{name}-{number}", folder_to(*server))
    }

    /// Where it is answered, below the server's folder.
    pub(crate) fn answer(&self) -> String {
        let Self { client, name, number, .. } = self;
        format!("data/vchan/{name}/{client}-{number}")
    }

    /// The same for the client.
    pub(crate) fn answer_seen(&self) -> String {
        format!("{DOMAINS}/{}/{}", self.server, self.answer())
    }
}

/// Where a domain has its requests to another, below its own folder.
pub(crate) fn folder_to(server: DomainId) -> String {
    format!("data/vchan/to/{server}")
}

/// What is published of a listener, among the services of its domain.
pub(crate) fn service(name: &str) -> String {
    format!("vchan-{name}")
}

/// What is said of it: how it is reached, as the registry of services has it.
pub(crate) fn service_value(server: u32, name: &str) -> String {
    format!("vchan vchan:{server}/{name}")
}

/// Where that is for others.
pub(crate) fn service_seen(server: DomainId, name: &str) -> String {
    format!("{DOMAINS}/{server}/data/services/{}", service(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_node() {
        let request = Request { client: 7, server: 3, name: "a-b".into(), number: 12 };
        assert_eq!(request.node(), "/local/domain/7/data/vchan/to/3/a-b-12");
        assert_eq!(Request::of_node(&request.node()), Some(request.clone()));
        assert_eq!(request.answer_seen(), "/local/domain/3/data/vchan/a-b/7-12");
    }

    #[test]
    fn other_nodes_are_no_requests() {
        for node in [
            "/local/domain",
            "/local/domain/7",
            "/local/domain/7/data/vchan/to/3",
            "/local/domain/7/data/vchan/to/3/http",
            "/local/domain/7/data/vchan/to/3/http-",
            "/local/domain/7/data/vchan/to/3/http-+1",
            "/local/domain/7/data/vchan/to/3/http-01",
            "/local/domain/07/data/vchan/to/3/http-1",
            "/local/domain/7/data/vchan/to/3/http-1/x",
            "/local/domain/7/data/vchan/to/70000/http-1",
            "/local/domain/x/data/vchan/to/3/http-1",
            "data/vchan/to/3/http-1",
        ] {
            assert_eq!(Request::of_node(node), None, "{node}");
        }
    }
}
