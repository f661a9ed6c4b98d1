//! Certificates and keys of the bundle, and the one that the appliance makes when there are none.

use super::unusable;
use crate::Platform;
use crate::context::Context;
use crate::service::StartError;
use crate::settings::tls::TlsSettings;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use inspect::Metric;
use tls::{Clock, Identity, hex};

/// What is taken if no other is named.
const CERTIFICATE: &str = "tls/cert.pem";
const KEY: &str = "tls/key.pem";

/// How long before a certificate's end the log begins to say so, each day.
const WARNED_DAYS: u64 = 30;
const DAY_SECONDS: u64 = 86_400;

/// Those that the configuration names, or the usual one, or a self-made one.
pub(super) fn load<P: Platform>(
    context: &Context<P>,
    service: &'static str,
    settings: &TlsSettings,
) -> Result<Vec<Identity>, StartError> {
    if !settings.identities.is_empty() {
        let named = settings.identities.iter();
        return named.map(|(certificate, key)| read(context, service, certificate, key)).collect();
    }
    let has = |path| context.bundle.get(path).is_some();
    match (has(CERTIFICATE), has(KEY)) {
        (true, true) => Ok(Vec::from([read(context, service, CERTIFICATE, KEY)?])),
        (false, false) => Ok(Vec::from([make(context, service)?])),
        (true, false) => Err(unusable(service, KEY, &Missing)),
        (false, true) => Err(unusable(service, CERTIFICATE, &Missing)),
    }
}

/// Says that what the bundle has is not used, if nothing is served by TLS.
pub(crate) fn tell_unused<P: Platform>(context: &Context<P>) {
    if context.bundle.get(CERTIFICATE).is_some() && !context.config.admin.is_by_tls() {
        log::warn!("{CERTIFICATE} is in the bundle and HTTPS is off: `port` in [tls] turns it on");
    }
}

/// Says each day of which certificates the end is near, or that they have not begun.
pub(super) fn watch<P: Platform>(context: &Context<P>, identities: &[Identity], clock: &Clock) {
    let validities: Vec<_> = identities
        .iter()
        .map(|it| (it.fingerprint(), it.not_before_seconds(), it.not_after_seconds()))
        .collect();
    let (clock, timers) = (clock.clone(), context.timers.clone());
    if clock.seconds().is_none() {
        return;
    }
    let start = context.wall_clock_start();
    context.spawner.spawn("certificates' ends", async move {
        loop {
            let now = (start + timers.now()).as_secs();
            for (fingerprint, begin, end) in &validities {
                let early = begin.and_then(|begin| told_of_begin(begin, now));
                if let Some(sentence) = early.or_else(|| end.and_then(|end| told(end, now))) {
                    log::warn!("the certificate {} {sentence}", hex(fingerprint));
                }
            }
            timers.sleep(Duration::from_secs(DAY_SECONDS)).await;
        }
    });
}

static METRICS: &[Metric<Identity>] = &[Metric::time_gauge(
    "tls_certificate_end",
    "When a certificate ends, since 1970-01-01 00:00 UTC; 0 if it does not say.",
    |it| Duration::from_secs(it.not_after_seconds().unwrap_or(0)),
)];

/// Lets others see when certificates end.
pub(super) fn add_to_inspector<P: Platform>(context: &Context<P>, identities: &[Identity]) {
    let identities = identities.to_vec();
    context.inspector.add_metrics(METRICS, move |visit| {
        for identity in &identities {
            visit(Some(("certificate", &hex(&identity.fingerprint()))), identity);
        }
    });
}

/// What is to be said of a certificate that ends then.
fn told(end_seconds: u64, now_seconds: u64) -> Option<String> {
    match end_seconds.checked_sub(now_seconds).map(|left| left / DAY_SECONDS) {
        None => Some("has expired: browsers refuse it".to_string()),
        Some(days) if days < WARNED_DAYS => Some(alloc::format!("expires in {days} days")),
        Some(_) => None,
    }
}

/// What is to be said of a certificate that begins then.
fn told_of_begin(begin_seconds: u64, now_seconds: u64) -> Option<String> {
    let left = begin_seconds.checked_sub(now_seconds).filter(|left| *left > 0)?;
    Some(alloc::format!("is not in force for {left} more seconds, in which browsers refuse it"))
}

fn read<P: Platform>(
    context: &Context<P>,
    service: &'static str,
    certificate: &str,
    key: &str,
) -> Result<Identity, StartError> {
    let bytes = |path| context.bundle.get(path).map(|file| file.bytes);
    let certificates =
        bytes(certificate).ok_or_else(|| unusable(service, certificate, &Missing))?;
    let key_bytes = bytes(key).ok_or_else(|| unusable(service, key, &Missing))?;
    let identity = Identity::from_pem(certificates, key_bytes);
    let identity = identity.map_err(|error| {
        use tls::IdentityError::{BadCertificate, NoCertificate};
        let is_certificate = matches!(error, BadCertificate | NoCertificate);
        unusable(service, if is_certificate { certificate } else { key }, &error)
    })?;
    log::info!("{service}: {certificate} is {}", hex(&identity.fingerprint()));
    if !identity.is_chain_in_order() {
        log::warn!(
            "{service}: {certificate} has certificates that did not sign each the one before it: some clients refuse it"
        );
    }
    Ok(identity)
}

fn make<P: Platform>(context: &Context<P>, service: &'static str) -> Result<Identity, StartError> {
    let network = &context.config.network;
    let addresses: Vec<_> = network.addresses.iter().map(|cidr| cidr.address.to_string()).collect();
    let names = core::iter::once(network.hostname.as_str()).chain(["localhost"]);
    let names: Vec<_> = names.chain(addresses.iter().map(String::as_str)).collect();
    let identity =
        Identity::self_made(&names).map_err(|error| unusable(service, CERTIFICATE, &error))?;
    log::warn!(
        "{service}: there is no {CERTIFICATE} in the bundle: a self-made certificate serves, whose SHA-256 is {}",
        hex(&identity.fingerprint())
    );
    Ok(identity)
}

/// A file that is not there.
#[derive(Debug)]
struct Missing;

impl core::fmt::Display for Missing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("it is not there; a certificate and its key go together")
    }
}

impl core::error::Error for Missing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_told_thirty_days_ahead() {
        let now = 1_800_000_000;
        assert_eq!(told(now + 30 * DAY_SECONDS, now), None);
        assert_eq!(told(now + 30 * DAY_SECONDS - 1, now).unwrap(), "expires in 29 days");
        assert_eq!(told(now, now).unwrap(), "expires in 0 days");
        assert!(told(now - 1, now).unwrap().starts_with("has expired"));
    }

    #[test]
    fn a_certificate_that_has_not_begun_is_told() {
        let now = 1_800_000_000;
        assert_eq!(told_of_begin(now, now), None);
        assert_eq!(told_of_begin(now - 1, now), None);
        assert!(told_of_begin(now + 1, now).unwrap().starts_with("is not in force for 1 more"));
    }
}
