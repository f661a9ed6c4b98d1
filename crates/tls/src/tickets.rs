//! Session tickets (RFC 8446 section 4.6.1, RFC 5077): what a server would keep of a session, sealed and given to the
//! client. Keys change every six hours and open tickets for as long again.

use crate::Clock;
use alloc::vec::Vec;
use core::fmt;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use spinning_top::Spinlock;
use zeroize::Zeroize;

/// Seconds for which a key seals tickets.
const PERIOD_SECONDS: u64 = 6 * 3600;

/// Bytes of a ticket in front of what is sealed: its period, and a nonce.
const PREFIX_BYTES: usize = 8 + NONCE_LEN;

/// The secret that the ticket keys of several servers are derived from, so that each opens the others' tickets.
#[derive(Clone)]
pub struct TicketKey([u8; 32]);

impl TicketKey {
    /// From 32 random bytes, which must be kept secret: who has them can read all that its tickets protect.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }
}

impl Drop for TicketKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey")
    }
}

/// Seals and opens tickets.
pub(crate) struct Tickets {
    clock: Clock,
    /// None: each period's key is random, and gone afterwards.
    shared: Option<TicketKey>,
    /// The keys that were used last, the youngest first: two at most.
    keys: Spinlock<Vec<PeriodKey>>,
}

struct PeriodKey {
    period: u64,
    key: LessSafeKey,
}

impl Tickets {
    pub(crate) fn new(clock: Clock, shared: Option<TicketKey>) -> Self {
        Self { clock, shared, keys: Spinlock::new(Vec::new()) }
    }

    fn period(&self) -> u64 {
        self.clock.raw_seconds() / PERIOD_SECONDS
    }

    /// Does something with the key of a period: makes it if it may be made and there is none.
    fn with_key<T>(
        &self,
        period: u64,
        may_make: bool,
        work: impl FnOnce(&LessSafeKey) -> Option<T>,
    ) -> Option<T> {
        let mut keys = self.keys.lock();
        // The oldest key that is of use is that of the period before.
        let oldest = self.period().saturating_sub(1);
        keys.retain(|key| key.period >= oldest);
        if let Some(found) = keys.iter().find(|key| key.period == period) {
            return work(&found.key);
        }
        if !may_make || period < oldest {
            return None;
        }
        let key = self.make(period)?;
        keys.insert(0, PeriodKey { period, key });
        keys.first().and_then(|key| work(&key.key))
    }

    fn make(&self, period: u64) -> Option<LessSafeKey> {
        let mut bytes = [0; 32];
        match &self.shared {
            None => SystemRandom::new().fill(&mut bytes).ok()?,
            Some(TicketKey(secret)) => {
                let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
                let info = [b"aqueduct session tickets", &period.to_be_bytes()[..]];
                secret.expand(&info, &AES_256_GCM).ok()?.fill(&mut bytes).ok()?;
            }
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new);
        bytes.zeroize();
        key
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD_SECONDS as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let period = self.period();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(PREFIX_BYTES + plain.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&period.to_be_bytes());
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(period.to_be_bytes());
        let body = ticket.get_mut(PREFIX_BYTES..)?;
        let tag = self
            .with_key(period, true, |key| key.seal_in_place_separate_tag(nonce, aad, body).ok())?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (prefix, sealed) = ticket.split_at_checked(PREFIX_BYTES)?;
        let (period, nonce) = prefix.split_first_chunk::<8>()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let number = u64::from_be_bytes(*period);
        // A key that others share can be made for their tickets; clocks differ by less than a period.
        let may_make = self.shared.is_some() && number <= self.period() + 1;
        let mut body = sealed.to_vec();
        self.with_key(number, may_make, |key| {
            let opened = key.open_in_place(nonce, Aad::from(*period), &mut body).ok()?.len();
            body.truncate(opened);
            Some(())
        })?;
        Some(body)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}
