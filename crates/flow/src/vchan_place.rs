//! Vchan place: where another domain of a Xen host shares memory.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// Where another domain of a Xen host shares memory. As text, `5/http`: of domain 5, what listens by the name `http`; or
/// `0/local/domain/5/data/vchan/log`: of domain 0, the one connection that it offers at that path of xenstore.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VchanPlace {
    domain: u16,
    path: String,
}

/// The text is no [`VchanPlace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadVchanPlace;

/// Domains have lower numbers (Xen, public/xen.h, `DOMID_FIRST_RESERVED`).
const DOMAINS_END: u16 = 0x7ff0;
/// Of a path, so that there is room for what is below it (xenstore's own limit is 3,072).
const PATH_BYTES_MAX: usize = 200;

impl VchanPlace {
    /// The domain's number.
    pub fn domain(&self) -> u16 {
        self.domain
    }

    /// The name by which it listens, if it is one.
    pub fn name(&self) -> Option<&str> {
        (!self.path.contains('/')).then_some(&*self.path)
    }

    /// What follows the domain's number: a name, or a path of xenstore without its first `/`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for VchanPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)
    }
}

impl FromStr for VchanPlace {
    type Err = BadVchanPlace;

    fn from_str(text: &str) -> Result<Self, BadVchanPlace> {
        let (domain, path) = text.split_once('/').ok_or(BadVchanPlace)?;
        let is_number = domain.bytes().all(|digit| digit.is_ascii_digit());
        let domain: u16 = domain.parse().map_err(|_| BadVchanPlace)?;
        // What xenstore takes (Xen, docs/misc/xenstore.txt).
        let is_word = |part: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_@".contains(&byte);
            !part.is_empty() && part.bytes().all(is_allowed)
        };
        if is_number
            && domain < DOMAINS_END
            && path.len() <= PATH_BYTES_MAX
            && path.split('/').all(is_word)
        {
            Ok(Self { domain, path: path.to_owned() })
        } else {
            Err(BadVchanPlace)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_place_is_a_domain_and_a_name_or_a_path() {
        let place: VchanPlace = "5/http".parse().unwrap();
        assert_eq!((place.domain(), place.name(), place.path()), (5, Some("http"), "http"));
        let place: VchanPlace = "0/local/domain/5/data/vchan/log".parse().unwrap();
        assert_eq!((place.domain(), place.name()), (0, None));
        assert_eq!(place.path(), "local/domain/5/data/vchan/log");
        assert_eq!(place.to_string(), "0/local/domain/5/data/vchan/log");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let longest = alloc::format!("1/{}", "x".repeat(200));
        assert!(longest.parse::<VchanPlace>().is_ok());
        assert!("32751/x".parse::<VchanPlace>().is_ok());
        for text in [
            "", "5", "5/", "/http", "+5/x", "32752/x", "65536/x", "a/x", "5//x", "5/x/", "5/a b",
            "5/a.b",
        ] {
            assert_eq!(text.parse::<VchanPlace>(), Err(BadVchanPlace), "{text}");
        }
        assert!(alloc::format!("{longest}x").parse::<VchanPlace>().is_err());
    }
}
