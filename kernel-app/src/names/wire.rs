//! Messages of the interface `Names`: what they hold, as the core has it.

use crate::appliance_capnp::names;
use ::names::{Changes, Cursor, Offered};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use capnp::Error;
use core::time::Duration;
use flow::registry::{Label, Service};

/// Writes a service.
pub(super) fn write_service(mut to: names::service::Builder<'_>, service: &Service) {
    to.set_name(service.name.as_str());
    to.set_host(service.host.as_str());
    to.set_description(&*service.description().to_string());
}

/// Reads a service.
///
/// # Errors
/// It is none: what it says of itself names the word.
pub(super) fn read_service(from: names::service::Reader<'_>) -> Result<Service, Error> {
    let (name, host) = (read_label(from.get_name()?)?, read_label(from.get_host()?)?);
    let description = from.get_description()?.to_str()?;
    Service::described(name, host, description).map_err(|bad| Error::failed(bad.to_string()))
}

/// What a service is called, for who says that it is none.
pub(super) fn called(service: names::service::Reader<'_>) -> String {
    let text = |text: capnp::Result<capnp::text::Reader<'_>>| {
        let text = text.ok().and_then(|text| text.to_str().ok()).unwrap_or_default();
        // Of whom nobody knows what he writes.
        let is_plain = |letter: &char| letter.is_ascii_graphic() && *letter != '`';
        text.chars().filter(is_plain).take(CALLED_CHARS_MAX).collect::<String>()
    };
    format!("`{}@{}`", text(service.get_name()), text(service.get_host()))
}

/// As long as a label may be.
const CALLED_CHARS_MAX: usize = 63;

pub(super) fn read_label(text: capnp::text::Reader<'_>) -> Result<Label, Error> {
    text.to_str()?.parse().map_err(|bad| Error::failed(alloc::format!("a name: {bad}")))
}

pub(super) fn write_changes(mut to: names::changes::Builder<'_>, changes: &Changes) {
    to.set_is_all(changes.is_all);
    let mut offered = to.reborrow().init_offered(changes.offered.len() as u32);
    for (at, one) in (0..).zip(&changes.offered) {
        let mut to = offered.reborrow().get(at);
        to.set_id(one.id);
        to.set_left_milliseconds(milliseconds(one.left));
        write_service(to.init_service(), &one.service);
    }
    let mut renewed = to.reborrow().init_renewed(changes.renewed.len() as u32);
    for (at, (id, left)) in (0..).zip(&changes.renewed) {
        let mut to = renewed.reborrow().get(at);
        to.set_id(*id);
        to.set_left_milliseconds(milliseconds(*left));
    }
    let mut dropped = to.init_dropped(changes.dropped.len() as u32);
    for (at, id) in (0..).zip(&changes.dropped) {
        dropped.set(at, *id);
    }
}

/// What a server tells, and what is wrong with what of it is no service: another version's may have ways that are not known here.
///
/// # Errors
/// It is no message at all.
pub(super) fn read_changes(
    from: names::changes::Reader<'_>,
) -> Result<(Changes, Option<String>), Error> {
    let (mut offered, mut fault) = (Vec::new(), None);
    for one in from.get_offered()? {
        let left = Duration::from_millis(one.get_left_milliseconds().into());
        let service = one.get_service()?;
        match read_service(service) {
            Ok(service) => offered.push(Offered { id: one.get_id(), service, left }),
            Err(error) => fault = Some(format!("{} is left out: {error}", called(service))),
        }
    }
    let renewed = from.get_renewed()?.iter();
    let left = |one: &names::renewed::Reader<'_>| one.get_left_milliseconds().into();
    let renewed = renewed.map(|one| (one.get_id(), Duration::from_millis(left(&one)))).collect();
    let dropped = from.get_dropped()?.iter().collect();
    let (cursor, is_all) = (Cursor::default(), from.get_is_all());
    Ok((Changes { cursor, is_all, offered, renewed, dropped }, fault))
}

/// As many as there is room for: longer than any lease.
pub(super) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::names::{Directory, Holder, Limits};
    use capnp::message::Builder;

    fn carried(changes: &Changes) -> Result<Changes, Error> {
        let mut message = Builder::new_default();
        write_changes(message.init_root(), changes);
        let (changes, fault) = read_changes(message.get_root_as_reader()?)?;
        assert_eq!(fault, None);
        Ok(changes)
    }

    #[test]
    fn an_entry_that_is_none_is_left_out_by_its_name_and_the_others_are_kept() {
        let mut message = Builder::new_default();
        let changes = message.init_root::<names::changes::Builder<'_>>();
        let mut offered = changes.init_offered(3);
        for (at, name, text) in
            [(0, "web", "http a:80"), (1, "new", "http quic:9"), (2, "mail", "smtp b:25")]
        {
            let mut service = offered.reborrow().get(at).init_service();
            service.set_name(name);
            service.set_host("alpha");
            service.set_description(if name == "new" { "http quic://x:1" } else { text });
        }
        let (changes, fault) = read_changes(message.get_root_as_reader().unwrap()).unwrap();
        let names: Vec<_> =
            changes.offered.iter().map(|one| one.service.name.to_string()).collect();
        assert_eq!(names, ["web", "mail"]);
        let fault = fault.unwrap();
        assert!(fault.starts_with("`new@alpha` is left out: "), "{fault}");
        assert!(fault.contains("`quic://x:1`"), "{fault}");
    }

    #[test]
    fn changes_are_carried() {
        let (mut directory, holder) = (Directory::new(Limits::default()), Holder::new("a"));
        let (now, lease) = (Duration::from_millis(1), Duration::from_secs(10));
        let text =
            "zmtp 00112233445566778899aabbccddeeff!shm:/run/x.shm tcp.example:80 weight=2 drains";
        let named = |name: &str| {
            let (name, host) = (name.parse().unwrap(), "alpha".parse().unwrap());
            Service::described(name, host, text).unwrap()
        };
        for name in ["web", "mail", "news"] {
            directory.register(now, &holder, named(name), lease).unwrap();
        }
        let all = directory.changes(now, None);
        let cursor = Cursor::default();
        assert_eq!(carried(&all).unwrap(), Changes { cursor, ..all.clone() });
        directory.register(now * 2, &holder, named("web"), lease).unwrap();
        directory.withdraw(now * 2, &holder, &named("mail").name, &named("mail").host);
        let some = directory.changes(now * 2, Some(all.cursor));
        assert_eq!((some.renewed.len(), some.dropped.len(), some.is_all), (1, 1, false));
        assert_eq!(carried(&some).unwrap(), Changes { cursor, ..some });
    }

    #[test]
    fn what_is_no_service_is_refused() {
        for (name, host, description) in
            [("a/b", "h", "http a:80"), ("a", "", "http a:80"), ("a", "h", "http service://b")]
        {
            let mut message = Builder::new_default();
            let mut service = message.init_root::<names::service::Builder<'_>>();
            service.set_name(name);
            service.set_host(host);
            service.set_description(description);
            let read = read_service(message.get_root_as_reader().unwrap());
            assert!(read.is_err(), "{name} {host} {description}");
        }
    }
}
