//! Interfaces that the toolstack gives this domain, as xenstore shows them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use xen_store::{Error, Store, Watch};

/// Where they are, by their numbers.
pub(crate) const FOLDER: &str = "device/vif";

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// One of them. Its address is what it is known by: numbers change when it comes anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The toolstack's number.
    pub number: u32,
    /// Its address.
    pub mac: [u8; 6],
}

impl Interface {
    pub(crate) fn folder(&self) -> String {
        format!("{FOLDER}/{}", self.number)
    }
}

/// All of them, now and later.
#[derive(Debug)]
pub struct Interfaces {
    store: Store,
    watch: Watch,
    known: Vec<Mac>,
}

impl Interfaces {
    /// Those of this domain.
    pub async fn new(store: &Store) -> Result<Self, Error> {
        Ok(Self { store: store.clone(), watch: store.watch(FOLDER).await?, known: Vec::new() })
    }

    /// Those that this has not told of before. Of several with one address, the first.
    pub async fn fresh(&mut self) -> Result<Vec<Interface>, Error> {
        let mut fresh = list(&self.store).await?;
        fresh.retain(|interface| {
            let is_new = !self.known.contains(&interface.mac);
            self.known.extend(is_new.then_some(interface.mac));
            is_new
        });
        Ok(fresh)
    }

    /// Those that are there now.
    pub async fn now(store: &Store) -> Result<Vec<Interface>, Error> {
        list(store).await
    }

    /// Waits until some may have come, and tells of them.
    pub async fn more(&mut self) -> Result<Vec<Interface>, Error> {
        self.watch.changed().await?;
        self.fresh().await
    }
}

/// Those that are there now, in the order of their numbers. One without an address is not there yet,
/// or not any more.
pub(crate) async fn list(store: &Store) -> Result<Vec<Interface>, Error> {
    let names = match store.directory(FOLDER).await {
        Err(Error::NotFound) => return Ok(Vec::new()),
        names => names?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let paths: Vec<String> =
        numbers.iter().map(|number| format!("{FOLDER}/{number}/mac")).collect();
    let macs = store.read_each(&paths).await;
    let mut found = Vec::new();
    for (number, mac) in numbers.into_iter().zip(macs) {
        match mac {
            Ok(text) => {
                let mac = parse_mac(&text);
                found.extend(mac.map(|mac| Interface { number, mac }));
            }
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Six bytes as `00:16:3e:01:02:03`.
fn parse_mac(text: &[u8]) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = core::str::from_utf8(text).ok()?.trim().split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_six_bytes_in_hexadecimal() {
        assert_eq!(parse_mac(b"00:16:3e:01:02:fF"), Some([0, 0x16, 0x3e, 1, 2, 0xff]));
        for mac in
            ["", "00:16:3e:01:02", "00:16:3e:01:02:03:04", "0x:16:3e:01:02:03", "1:2:3:4:5:6"]
        {
            assert_eq!(parse_mac(mac.as_bytes()), None, "{mac:?}");
        }
        assert_eq!(parse_mac(b"\xff\xff"), None);
    }
}
