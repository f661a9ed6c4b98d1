//! gzip (RFC 1952), a piece at a time.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output};

/// A member's header: no name, no time, an unknown system (RFC 1952 section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compressors, which are large: so many at most, and half of them for one client, so that slow readers leave some to others.
pub(super) struct Compressors {
    level: u8,
    max: usize,
    /// Whom those are for that are in use.
    clients: RefCell<Vec<Option<Vec<u8>>>>,
    /// One that was used, for the next.
    spare: RefCell<Option<Box<CompressorOxide>>>,
}

impl Compressors {
    pub(super) fn new(level: u8, max: usize) -> Self {
        Self { level, max, clients: RefCell::default(), spare: RefCell::default() }
    }

    /// Begins a member for a client, by its [key](super::rate_limit::client_key), if there is a compressor for it. Who has no key
    /// may have any.
    pub(super) fn begin(self: &Rc<Self>, client: Option<Vec<u8>>) -> Option<Gzip> {
        let mut clients = self.clients.borrow_mut();
        let own = clients.iter().filter(|other| **other == client).count();
        let has_share = client.is_none() || own < self.max.div_ceil(2);
        if clients.len() >= self.max || !has_share {
            return None;
        }
        clients.push(client.clone());
        drop(clients);
        let spare = self.spare.borrow_mut().take();
        let state = spare.unwrap_or_else(|| {
            let mut state = Box::<CompressorOxide>::default();
            state.set_format_and_level(DataFormat::Raw, self.level);
            state
        });
        Some(Gzip {
            compressor: Lease { state: Some(state), client, pool: self.clone() },
            checksum: crc32fast::Hasher::new(),
            length: 0,
            output: HEADER.to_vec(),
            is_flushed: false,
        })
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.clients.borrow().len()
    }
}

/// A compressor in use, which goes back when it is dropped.
struct Lease {
    state: Option<Box<CompressorOxide>>,
    client: Option<Vec<u8>>,
    pool: Rc<Compressors>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut clients = self.pool.clients.borrow_mut();
        if let Some(at) = clients.iter().position(|client| *client == self.client) {
            clients.swap_remove(at);
        }
        drop(clients);
        if let Some(mut state) = self.state.take() {
            state.reset();
            *self.pool.spare.borrow_mut() = Some(state);
        }
    }
}

/// A gzip member that is being written.
pub(super) struct Gzip {
    compressor: Lease,
    checksum: crc32fast::Hasher,
    /// Modulo 2^32 (RFC 1952 section 2.3.1).
    length: u32,
    output: Vec<u8>,
    is_flushed: bool,
}

impl Gzip {
    /// Takes more of the content.
    pub(super) fn write(&mut self, input: &[u8]) {
        self.checksum.update(input);
        self.length = self.length.wrapping_add(input.len() as u32);
        self.is_flushed = false;
        self.run(input, TDEFLFlush::None);
    }

    /// Puts everything that was written into the output, so that a reader can have it now.
    pub(super) fn flush(&mut self) {
        if !self.is_flushed {
            self.run(&[], TDEFLFlush::Sync);
            self.is_flushed = true;
        }
    }

    /// Whether there is nothing that a reader of the output does not have.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_flushed
    }

    /// Ends the member; the rest of the output.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.run(&[], TDEFLFlush::Finish);
        self.output.extend_from_slice(&self.checksum.clone().finalize().to_le_bytes());
        self.output.extend_from_slice(&self.length.to_le_bytes());
        core::mem::take(&mut self.output)
    }

    /// What there is of the output.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Bytes of the output.
    pub(super) fn output_bytes(&self) -> usize {
        self.output.len()
    }

    fn run(&mut self, input: &[u8], flush: TDEFLFlush) {
        let Some(state) = &mut self.compressor.state else { return };
        compress_to_output(state, input, flush, |bytes| {
            self.output.extend_from_slice(bytes);
            true
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::layers::rate_limit::client_key;
    use flow::Address;
    use miniz_oxide::inflate::stream::{InflateState, inflate};
    use miniz_oxide::{MZFlush, MZStatus};

    /// What a member says so far; whole if it has its end.
    pub(crate) fn decoded(member: &[u8], is_whole: bool) -> Vec<u8> {
        let body = member.strip_prefix(&HEADER).expect("a header");
        let mut state = InflateState::new(DataFormat::Raw);
        let mut text = alloc::vec![0; 1 << 20];
        let result = inflate(&mut state, body, &mut text, MZFlush::None);
        text.truncate(result.bytes_written);
        assert_eq!(result.status == Ok(MZStatus::StreamEnd), is_whole);
        if is_whole {
            let trailer = &body[result.bytes_consumed..];
            let checksum = crc32fast::hash(&text).to_le_bytes();
            assert_eq!(trailer, [checksum, (text.len() as u32).to_le_bytes()].concat());
        }
        text
    }

    #[test]
    fn rfc1952_2_3_members_say_what_was_written() {
        let pool = Rc::new(Compressors::new(6, 1));
        let text: Vec<u8> = (0..100_000_u32).map(|n| (n % 251 * (n / 1000)) as u8).collect();
        for piece in [1, 100, 99_999, 100_000] {
            let mut gzip = pool.begin(None).unwrap();
            let mut member = Vec::new();
            for piece in text.chunks(piece) {
                gzip.write(piece);
                member.extend(gzip.take_output());
            }
            member.extend(gzip.finish());
            assert!(decoded(&member, true) == text, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_was_flushed_can_be_read() {
        let pool = Rc::new(Compressors::new(1, 1));
        let mut gzip = pool.begin(None).unwrap();
        let mut member = Vec::new();
        for text in ["one", "two"] {
            gzip.write(text.as_bytes());
            assert!(!gzip.is_flushed());
            gzip.flush();
            member.extend(gzip.take_output());
            gzip.flush();
            assert_eq!(gzip.output_bytes(), 0, "nothing is flushed twice");
        }
        assert_eq!(decoded(&member, false), b"onetwo");
        member.extend(gzip.finish());
        assert_eq!(decoded(&member, true), b"onetwo");
    }

    #[test]
    fn a_client_has_half_of_them_by_whatever_ports() {
        let pool = Rc::new(Compressors::new(1, 3));
        let address = |host: u8, port| client_key(Address::Ip(([10, 0, 0, host], port).into()));
        let own = [1, 2].map(|port| pool.begin(address(1, port)).unwrap());
        assert!(pool.begin(address(1, 3)).is_none());
        let other = pool.begin(address(2, 1)).unwrap();
        drop(own);
        assert!(pool.begin(address(1, 4)).is_some());
        drop(other);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn compressors_are_bounded_and_used_again() {
        let pool = Rc::new(Compressors::new(1, 2));
        let (one, mut other) = (pool.begin(None).unwrap(), pool.begin(None).unwrap());
        assert!(pool.begin(None).is_none());
        other.write(b"given up in the middle");
        drop(other);
        let mut again = pool.begin(None).unwrap();
        again.write(b"anew");
        assert_eq!(decoded(&again.finish(), true), b"anew");
        drop(one);
        assert_eq!(pool.used(), 0);
    }
}
