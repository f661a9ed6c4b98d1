//! The vat's key: what follows from it, and the connections of those who have keys, too.

use super::{NETWORK, Vat, place_of};
use crate::Platform;
use crate::context::Context;
use crate::service::StartError;
use crate::settings::rpc::RpcSettings;
use crate::settings::tls::TlsSettings;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use capnp::capability::FromClientHook;
use config::{Bundle, Config, RpcEpoch};
use endpoints::rpc::{Fingerprint, Peer, SecureVat, SturdyRef, VatPlace};
use endpoints::tls::TlsConfig;
use tls::SecretKey;

/// The secure side of a vat.
pub(crate) struct Secure {
    pub(crate) vat: SecureVat,
}

impl Vat {
    /// The side of the vat that has a key: made when something first wants it.
    ///
    /// # Errors
    /// The key is not usable.
    pub(crate) fn secure<P: Platform>(
        self: &alloc::rc::Rc<Self>,
        context: &Context<P>,
    ) -> Result<&SecureVat, StartError> {
        if let Some(secure) = self.secure.get() {
            return Ok(&secure.vat);
        }
        let settings = RpcSettings::new(&context.config.rpc);
        let key = key(&context.bundle, &settings)?;
        let place = place_of(context, settings.secure_port, "vats");
        let tokens = place.map(|place| Tokens::new(key.clone(), place, &settings));
        let tls = TlsSettings::new(&context.config.tls);
        let ledger = context.service_ledger("vats");
        let config = TlsConfig {
            handshake_timeout: tls.handshake_timeout,
            handshakes_max: tls.handshakes_max,
            wall_clock_start: None,
            ledger: Some(ledger.clone()),
        };
        let rpc = self.rpc.apart().weighed(ledger);
        let offering = alloc::rc::Rc::downgrade(self);
        let offered =
            move |peer: &Peer| offering.upgrade().map(|vat| vat.directory(peer).into_client_hook());
        let made = SecureVat::new(&rpc, key, config, offered);
        let vat = made.map_err(|error| unusable(&settings.key, &error))?;
        log::info!("this vat is {}", vat.fingerprint());
        if let Some(tokens) = tokens {
            self.grant_all(&tokens);
            let _ = self.addresses.tokens.set(tokens);
        }
        Ok(&self.secure.get_or_init(|| Secure { vat }).vat)
    }

    /// Each service is had by its token.
    fn grant_all(&self, tokens: &Tokens) {
        for service in &self.services {
            let (addresses, name) = (self.addresses.clone(), service.name);
            let Some(token) = tokens.token(name) else { continue };
            self.grants.insert(&token, &*service.hook, move || addresses.reference(name));
        }
    }
}

/// Makes tokens of services: each follows from the vat's key, the service's name and its epoch, so that it is the same in
/// each run, and nobody without the key can tell it.
pub(crate) struct Tokens {
    key: SecretKey,
    place: VatPlace,
    epochs: Vec<RpcEpoch>,
}

impl Tokens {
    fn new(key: SecretKey, place: VatPlace, settings: &RpcSettings) -> Self {
        Self { key, place, epochs: settings.epochs.clone() }
    }

    pub(super) fn reference(&self, service: &str) -> SturdyRef {
        SturdyRef {
            fingerprint: Some(Fingerprint(self.key.fingerprint())),
            place: self.place.clone(),
            service: self.token(service).map_or_else(Vec::new, Vec::from),
        }
    }

    /// None of the service that is had by the directory alone, to which a reference without a token leads.
    fn token(&self, service: &str) -> Option<[u8; 32]> {
        if service == NETWORK {
            return None;
        }
        let epoch = self.epochs.iter().rev().find(|it| it.service == service);
        let epoch = epoch.map_or(0, |it| it.epoch);
        let parts = [b"token of a service", &epoch.to_be_bytes()[..], service.as_bytes()];
        Some(self.key.derive(&parts))
    }
}

/// The reference of a service, as an appliance with this bundle has it at an address, without running one.
///
/// # Errors
/// The bundle has no key, or one that is not usable; there is no such service; or the address is none.
pub fn reference(
    config: &Config,
    bundle: &Bundle<'_>,
    service: &str,
    address: &str,
) -> Result<SturdyRef, String> {
    let settings = RpcSettings::new(&config.rpc);
    if bundle.get(&settings.key).is_none() {
        return Err(format!(
            "{} is not in the bundle: without it each run has a key, and references, of its own",
            settings.key
        ));
    }
    let known = [&crate::handlers::rpc::NAMES[..], &[NETWORK]].concat();
    if !known.contains(&service) {
        return Err(format!("there is no service `{service}`, but {}", known.join(", ")));
    }
    let place =
        place(address).ok_or_else(|| format!("`{address}` is no HOST:PORT, and no path"))?;
    let key = key(bundle, &settings).map_err(|error| error.to_string())?;
    Ok(Tokens::new(key, place, &settings).reference(service))
}

/// What a reference says before its token.
fn place(address: &str) -> Option<VatPlace> {
    let is_path = address.starts_with('/');
    let end = if is_path { "/" } else { "" };
    let bootstrap = format!("capnp://insecure@{address}{end}").parse::<SturdyRef>().ok()?;
    (is_path || !address.contains('/')).then_some(bootstrap.place)
}

fn key(bundle: &Bundle<'_>, settings: &RpcSettings) -> Result<SecretKey, StartError> {
    match bundle.get(&settings.key) {
        Some(file) => {
            SecretKey::from_pem(file.bytes).map_err(|error| unusable(&settings.key, &error))
        }
        None => {
            let made = SecretKey::generate().map_err(|error| unusable(&settings.key, &error))?;
            log::warn!(
                "there is no {} in the bundle: this vat's key is made now, and its references end with this run",
                settings.key
            );
            Ok(made)
        }
    }
}

fn unusable(path: &str, error: &dyn core::error::Error) -> StartError {
    StartError::Bundle { service: "vats", path: path.into(), reason: error.to_string() }
}
