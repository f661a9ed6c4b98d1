//! Services in xenstore, by which domains of a host find each other: values below `data/services` of each, which
//! all others may read.

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
    /// What it says.
    pub value: String,
}

/// Publishes a value of this domain under a name, which is to be a word without `/`. It is gone
/// with the domain.
pub async fn publish(store: &Store, name: &str, value: &str) -> Result<(), Error> {
    let own = store.read_number("domid").await?;
    let path = format!("data/services/{name}");
    store.write(&path, value.as_bytes()).await?;
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
    let values = store.read_each(&paths).await;
    let mut found = Vec::new();
    for (domain, value) in domains.into_iter().zip(values) {
        match value.map(String::from_utf8) {
            Ok(Ok(value)) => found.push(Published { domain, value }),
            // Most domains publish nothing, and what is not text is nothing.
            Ok(Err(_)) | Err(Error::NotFound | Error::NotPermitted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
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

    fn published_by(domain: u32, value: &str) -> Published {
        Published { domain, value: value.to_string() }
    }

    #[test]
    fn what_is_published_is_for_all_to_read() {
        let (store, mut daemon) = connect();
        daemon.set("domid", "1");
        daemon.drive(&store, publish(&store, "web", "here")).unwrap().unwrap();
        assert_eq!(daemon.get("/local/domain/1/data/services/web").unwrap(), "here");
        assert_eq!(daemon.permissions("/local/domain/1/data/services/web"), ["r1"]);
        let found = daemon.drive(&store, published(&store, "web")).unwrap();
        assert_eq!(found, Ok([published_by(1, "here")].into()));
    }

    #[test]
    fn all_domains_are_asked_whether_their_list_may_be_read_or_not() {
        for hidden in [false, true] {
            let (store, mut daemon) = connect();
            daemon.set("domid", "9");
            for (domain, value) in [(3, "three"), (12, "twelve"), (72, "seventy-two")] {
                daemon.set(&format!("/local/domain/{domain}/data/services/web"), value);
            }
            daemon.set("/local/domain/4/data/services/other", "four");
            daemon.set("/local/domain/5/data/services/web", "a secret");
            daemon.hide("/local/domain/5/data/services/web");
            if hidden {
                daemon.hide("/local/domain");
            }
            let found = daemon.drive(&store, published(&store, "web")).unwrap().unwrap();
            let expected = [(3, "three"), (12, "twelve"), (72, "seventy-two")];
            assert_eq!(found, expected.map(|(domain, value)| published_by(domain, value)));
        }
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
