//! Console ring, which dom0's xenconsoled empties (Xen, public/io/console.h).

use super::super::Transmitter;
use super::event::Port;
use super::parameter::{self, Parameter};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use hermit_sync::OneShotMutex;

/// The domain's.
pub(super) static CONSOLE: XenConsole = XenConsole(OneShotMutex::new(None));

/// A console that may have been found. Only tried to lock: who reports a fault does not wait.
pub(super) struct XenConsole(OneShotMutex<Option<Console>>);

impl Transmitter for XenConsole {
    fn start(&self) {
        *self.0.lock() = Console::find();
    }

    /// Its event channel is open from the start.
    fn start_interrupt(&self) {}

    fn send(&self, bytes: &mut dyn Iterator<Item = u8>) -> usize {
        let mut console = self.0.try_lock();
        console.as_deref_mut().and_then(Option::as_mut).map_or(0, |console| console.send(bytes))
    }

    /// Also forgets what was typed: nobody reads it here.
    fn acknowledge(&self) {
        if let Some(console) = self.0.try_lock().as_deref_mut().and_then(Option::as_mut) {
            console.acknowledge();
        }
    }

    /// There always is one when the other side has emptied a ring that was full.
    fn want_interrupt(&self, _wanted: bool) {}
}

/// `xencons_interface`.
#[repr(C)]
struct Ring {
    _input: [AtomicU8; 1024],
    output: [AtomicU8; OUTPUT_BYTES as usize],
    input_consumer: AtomicU32,
    input_producer: AtomicU32,
    output_consumer: AtomicU32,
    output_producer: AtomicU32,
}

const OUTPUT_BYTES: u32 = 2048;

struct Console {
    ring: &'static Ring,
    port: Port,
}

impl Console {
    fn find() -> Option<Self> {
        let page = parameter::get_page(Parameter::ConsolePage)?;
        let port = Port::of_toolstack(parameter::get(Parameter::ConsolePort)?)?;
        // SAFETY: Xen put the ring's page there for this domain's life, and all of it is atomic.
        Some(Self { ring: unsafe { &*(page as *const Ring) }, port })
    }

    fn send(&mut self, bytes: &mut dyn Iterator<Item = u8>) -> usize {
        let count = self.ring.push(bytes);
        if count > 0 {
            self.port.notify();
        }
        count
    }

    fn acknowledge(&mut self) {
        self.port.take();
        let typed = self.ring.input_producer.load(Ordering::Acquire);
        self.ring.input_consumer.store(typed, Ordering::Release);
    }
}

impl Ring {
    /// Adds bytes while there is room; how many. Indices that make no sense mean no room.
    fn push(&self, mut bytes: impl Iterator<Item = u8>) -> usize {
        let consumer = self.output_consumer.load(Ordering::Acquire);
        let producer = self.output_producer.load(Ordering::Relaxed);
        let used = producer.wrapping_sub(consumer);
        let room = OUTPUT_BYTES.saturating_sub(used);
        let mut count = 0;
        while count < room
            && let Some(byte) = bytes.next()
        {
            let at = producer.wrapping_add(count) % OUTPUT_BYTES;
            self.output[at as usize].store(byte, Ordering::Relaxed);
            count += 1;
        }
        self.output_producer.store(producer.wrapping_add(count), Ordering::Release);
        count as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::xen::event;
    use std::boxed::Box;

    fn ring() -> Box<Ring> {
        Box::new(Ring {
            _input: [const { AtomicU8::new(0) }; 1024],
            output: [const { AtomicU8::new(0) }; OUTPUT_BYTES as usize],
            input_consumer: AtomicU32::new(0),
            input_producer: AtomicU32::new(0),
            output_consumer: AtomicU32::new(u32::MAX - 2),
            output_producer: AtomicU32::new(u32::MAX - 2),
        })
    }

    #[test]
    fn bytes_wrap_and_stop_at_a_full_ring() {
        let ring = ring();
        assert_eq!(ring.push(b"hello".iter().copied()), 5);
        assert_eq!(ring.output_producer.load(Ordering::Relaxed), 2);
        assert_eq!(ring.output[OUTPUT_BYTES as usize - 1].load(Ordering::Relaxed), b'l');
        assert_eq!(ring.output[0].load(Ordering::Relaxed), b'l');
        assert_eq!(ring.push(std::iter::repeat(b'x')), OUTPUT_BYTES as usize - 5);
        assert_eq!(ring.push(std::iter::repeat(b'x')), 0);
    }

    #[test]
    fn a_consumer_that_lies_gets_nothing() {
        let ring = ring();
        for consumer in [7, u32::MAX, 1 << 31, u32::MAX - 2 - OUTPUT_BYTES] {
            ring.output_consumer.store(consumer, Ordering::Relaxed);
            assert_eq!(ring.push(b"x".iter().copied()), 0, "{consumer:#x}");
        }
    }

    #[test]
    fn a_console_that_is_there_takes_text_and_forgets_what_was_typed() {
        let ring: &'static Ring = Box::leak(ring());
        ring.input_producer.store(9, Ordering::Relaxed);
        let console = XenConsole(OneShotMutex::new(None));
        let send = |text: &[u8]| console.send(&mut text.iter().copied());
        console.acknowledge();
        assert_eq!(send(b"nowhere"), 0);
        let _alone = event::restoring();
        let port = Port::allocate(0).unwrap();
        let daemon = Port::bind(0, port.number()).unwrap();
        *console.0.lock() = Some(Console { ring, port });
        assert!(send(b"") == 0 && !daemon.take(), "there is nothing to tell of");
        assert!(send(b"text") == 4 && daemon.take());
        assert_eq!(ring.output_producer.load(Ordering::Relaxed), 1);
        let held = console.0.lock();
        assert_eq!(send(b"while somebody else writes"), 0);
        drop(held);
        daemon.notify();
        console.acknowledge();
        assert_eq!(ring.input_consumer.load(Ordering::Relaxed), 9);
        assert!(console.0.lock().as_ref().is_some_and(|console| !console.port.take()));
    }
}
