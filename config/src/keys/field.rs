//! Fields: how a text becomes the value of one, or is not allowed there.

use crate::{
    Cidr, ClientCertificates, Config,
    network::{is_host, is_on_link},
    schema::{WayKind, is_service},
    texts::{is_host_text, is_path, is_unix_path},
};
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::net::IpAddr;

pub(super) fn parsed<T: core::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

pub(super) fn host(text: &str) -> Option<IpAddr> {
    parsed(text).filter(|address| is_host(*address))
}

pub(super) fn put_capability(config: &mut Config, name: &str, reference: &str) -> bool {
    let references = &mut config.capabilities.references;
    let is_new = references.iter().all(|(other, _)| other != name);
    let fits = is_service(name) && reference.starts_with("capnp://") && is_new;
    if fits {
        references.push((name.to_owned(), reference.to_owned()));
    }
    fits
}

pub(super) fn put_token(config: &mut Config, text: &str) -> bool {
    config.admin.token = parsed(text);
    config.admin.token.is_some() || text.is_empty()
}

pub(super) fn put_group_key(config: &mut Config, text: &str) -> bool {
    let key = parsed(text);
    let is_allowed = key.is_some() || text.is_empty();
    config.affinity.key = key.or(config.affinity.key);
    is_allowed
}

pub(super) fn put_owner_lost(config: &mut Config, text: &str) -> bool {
    let is_allowed = ["begin", "refuse"].contains(&text);
    config.affinity.begins_when_lost = text != "refuse";
    is_allowed
}

pub(super) fn push_way(ways: &mut Vec<WayKind>, text: &str) -> bool {
    let Some(way) = parsed(text).filter(|way| !ways.contains(way)) else { return false };
    ways.push(way);
    true
}

pub(super) fn push_address(addresses: &mut Vec<Cidr>, text: &str) -> bool {
    let Some(cidr) = parsed::<Cidr>(text) else {
        return false;
    };
    let first = addresses.iter().all(|other| other.address != cidr.address);
    if first {
        addresses.push(cidr);
    }
    first
}

pub(super) fn push_gateway(gateways: &mut Vec<IpAddr>, text: &str) -> bool {
    let Some(address) = host(text).filter(|address| is_on_link(*address)) else {
        return false;
    };
    let first = !gateways.iter().any(|other| other.is_ipv4() == address.is_ipv4());
    if first {
        gateways.push(address);
    }
    first
}

pub(super) fn push_host(hosts: &mut Vec<String>, text: &str) -> bool {
    let fits = is_host_text(text);
    if fits {
        hosts.push(text.to_owned());
    }
    fits
}

pub(super) fn push_path(paths: &mut Vec<String>, text: &str) -> bool {
    let fits = is_path(text);
    if fits {
        paths.push(text.to_owned());
    }
    fits
}

pub(super) fn is_path_or_none(text: &str) -> bool {
    text.is_empty() || is_path(text)
}

pub(super) fn is_unix_path_or_none(text: &str) -> bool {
    text.is_empty() || is_unix_path(text)
}

/// Permissions as chmod(1) writes them, without set-user-ID and the like.
pub(super) fn file_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('0').filter(|digits| digits.len() == 3)?;
    // What `from_str_radix` takes besides.
    u32::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with('+'))
}

pub(super) fn client_certificates(text: &str) -> Option<ClientCertificates> {
    match text {
        "off" => Some(ClientCertificates::Off),
        "optional" => Some(ClientCertificates::Optional),
        "required" => Some(ClientCertificates::Required),
        _ => None,
    }
}

/// The last of the things that have a section each: of one whose section began, or of a list of defaults.
pub(super) fn last<T: Default>(all: &mut Vec<T>) -> &mut T {
    if all.is_empty() {
        all.push(T::default());
    }
    let last = all.len() - 1;
    &mut all[last]
}

pub(super) fn push(list: &mut Vec<String>, text: &str) -> bool {
    list.push(text.to_owned());
    true
}

pub(super) fn put(field: &mut String, text: &str) -> bool {
    field.clear();
    field.push_str(text);
    true
}
