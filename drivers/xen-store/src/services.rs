//! Services in xenstore, by which domains of a host find each other: values below `data/services` of each, which
//! all others may read. A value says by which host's name it goes, and then what its domain says of the service.
//!
//! A domain can claim any name. Dom0's word decides: a domain whose `name` it lets us read goes by that and no other. Of
//! those whose name is not ours to read, the one that is longest there has a name that several claim, and none has
//! one that dom0 gives to another.

use crate::{Error, Store, Watch};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Domain numbers that are looked at above our own, where the list of domains is not ours to read.
/// Numbers only grow, so a domain that started after us is above us.
const DOMAINS_ABOVE: u32 = 64;
/// Of them all, the highest ones.
const DOMAINS_MAX: u32 = 512;

/// A value that a domain has published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The domain's number.
    pub domain: u32,
    /// The name that it goes by.
    pub host: String,
    /// What it says.
    pub value: String,
}

/// Publishes a value of this domain, which goes by the name `host`, under a name that is to be a word without `/`. It
/// is gone with the domain.
pub async fn publish(store: &Store, name: &str, host: &str, value: &str) -> Result<(), Error> {
    let own = store.read_number("domid").await?;
    let path = format!("data/services/{name}");
    store.write(&path, format!("{host} {value}").as_bytes()).await?;
    // We stay its owner, and all others may read it: a guest's nodes are its own secret at first.
    store.set_permissions(&path, &[&format!("r{own}")]).await
}

/// What domains have published under a name, in the order of their numbers.
pub async fn published(store: &Store, name: &str) -> Result<Vec<Published>, Error> {
    let domains = domains(store).await?;
    let paths: Vec<_> = domains
        .iter()
        .map(|domain| format!("/local/domain/{domain}/data/services/{name}"))
        .collect();
    let mut found = Vec::new();
    for (domain, value) in domains.iter().zip(texts(store, &paths).await?) {
        // Most domains publish nothing.
        if let Some((host, value)) = value.as_deref().and_then(|value| value.split_once(' ')) {
            found.push(Published { domain: *domain, host: host.into(), value: value.into() });
        }
    }
    let paths: Vec<_> =
        found.iter().map(|one| format!("/local/domain/{}/name", one.domain)).collect();
    Ok(rightful(found, &texts(store, &paths).await?))
}

/// Those that go by a name that is theirs; `names` are what dom0 calls them, as far as it says so.
fn rightful(found: Vec<Published>, names: &[Option<String>]) -> Vec<Published> {
    let is_known = |host: &str| names.iter().flatten().any(|name| name == host);
    let mut rightful: Vec<Published> = Vec::new();
    for (one, name) in found.into_iter().zip(names) {
        let is_its = match name {
            Some(name) => *name == one.host,
            // Domains' numbers grow: those before it are older.
            None => !is_known(&one.host) && rightful.iter().all(|other| other.host != one.host),
        };
        rightful.extend(is_its.then_some(one));
    }
    rightful
}

/// The texts of several nodes; `None` where there is none that is ours to read.
async fn texts(store: &Store, paths: &[String]) -> Result<Vec<Option<String>>, Error> {
    let values = store.read_each(paths).await.into_iter();
    values
        .map(|value| match value.map(String::from_utf8) {
            Ok(text) => Ok(text.ok()),
            Err(Error::NotFound | Error::NotPermitted) => Ok(None),
            Err(error) => Err(error),
        })
        .collect()
}

/// Tells when what domains publish may have changed.
pub async fn watch(store: &Store) -> Result<Watch, Error> {
    store.watch("/local/domain").await
}

/// The domains that there may be. A toolstack may keep their list to itself.
async fn domains(store: &Store) -> Result<Vec<u32>, Error> {
    let mut domains: Vec<u32> = match store.directory("/local/domain").await {
        Ok(names) => names.iter().filter_map(|name| name.parse().ok()).collect(),
        Err(Error::NotPermitted) => {
            let end = store.read_number("domid").await?.saturating_add(DOMAINS_ABOVE);
            (end.saturating_sub(DOMAINS_MAX)..end).collect()
        }
        Err(error) => return Err(error),
    };
    domains.sort_unstable();
    Ok(domains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::connect;
    use alloc::string::ToString;

    fn published_by(domain: u32, host: &str, value: &str) -> Published {
        Published { domain, host: host.to_string(), value: value.to_string() }
    }

    #[test]
    fn what_is_published_is_for_all_to_read() {
        let (store, mut daemon) = connect();
        daemon.set("domid", "1");
        daemon.drive(&store, publish(&store, "web", "one", "here")).unwrap().unwrap();
        assert_eq!(daemon.get("/local/domain/1/data/services/web").unwrap(), "one here");
        assert_eq!(daemon.permissions("/local/domain/1/data/services/web"), ["r1"]);
        let found = daemon.drive(&store, published(&store, "web")).unwrap();
        assert_eq!(found, Ok([published_by(1, "one", "here")].into()));
    }

    #[test]
    fn all_domains_are_asked_whether_their_list_may_be_read_or_not() {
        for hidden in [false, true] {
            let (store, mut daemon) = connect();
            daemon.set("domid", "9");
            for (domain, value) in [(3, "c three"), (12, "l twelve"), (72, "z 72")] {
                daemon.set(&format!("/local/domain/{domain}/data/services/web"), value);
            }
            daemon.set("/local/domain/4/data/services/other", "four");
            daemon.set("/local/domain/5/data/services/web", "e secret");
            daemon.hide("/local/domain/5/data/services/web");
            if hidden {
                daemon.hide("/local/domain");
            }
            let found = daemon.drive(&store, published(&store, "web")).unwrap().unwrap();
            let expected = [(3, "c", "three"), (12, "l", "twelve"), (72, "z", "72")];
            assert_eq!(found, expected.map(|(at, host, value)| published_by(at, host, value)));
        }
    }

    #[test]
    fn nobody_goes_by_the_name_of_another() {
        let (store, mut daemon) = connect();
        daemon.set("domid", "9");
        for (domain, value) in
            [(3, "one a"), (4, "one b"), (5, "two c"), (6, "two d"), (7, "six e")]
        {
            daemon.set(&format!("/local/domain/{domain}/data/services/web"), value);
        }
        // Dom0 says nothing: the oldest has a name that several claim.
        let found = daemon.drive(&store, published(&store, "web")).unwrap().unwrap();
        let oldest = [(3, "one", "a"), (5, "two", "c"), (7, "six", "e")];
        assert_eq!(found, oldest.map(|(at, host, value)| published_by(at, host, value)));
        // Dom0 says who one is: whoever else claims its name has none, older or not.
        daemon.set("/local/domain/4/name", "one");
        daemon.set("/local/domain/7/name", "seven");
        let found = daemon.drive(&store, published(&store, "web")).unwrap().unwrap();
        let known = [(4, "one", "b"), (5, "two", "c")];
        assert_eq!(found, known.map(|(at, host, value)| published_by(at, host, value)));
    }

    #[test]
    fn a_new_service_is_news() {
        let (store, mut daemon) = connect();
        let mut watch = daemon.drive(&store, watch(&store)).unwrap().unwrap();
        // The first event is the watch's own.
        daemon.drive(&store, watch.changed()).unwrap().unwrap();
        assert!(daemon.drive(&store, watch.changed()).is_none());
        daemon.set("/local/domain/7/data/services/web", "there");
        assert!(daemon.drive(&store, watch.changed()).is_some());
    }
}
