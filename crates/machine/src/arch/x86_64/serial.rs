//! Serial port: a 16550 whose transmitter is fed by interrupts (National Semiconductor PC16550D data
//! sheet).

use super::port;
use crate::hypervisor::Transmitter;
use crate::interrupt::Line;
use core::sync::atomic::{AtomicBool, Ordering};
use hermit_sync::OneShotMutex;

/// Its first port.
pub(crate) const BASE: u16 = 0x3f8;
const PIN: u32 = 4;
/// What the transmitter takes at once when it is empty.
const FIFO_BYTES: usize = 16;

/// The first of a PC.
pub(crate) static FIRST: Serial =
    Serial { is_present: AtomicBool::new(false), line: OneShotMutex::new(None) };

/// A serial port. What is sent where there is none goes nowhere.
pub(crate) struct Serial {
    is_present: AtomicBool,
    /// Its interrupts, once there are any. Only tried to lock: who reports a fault does not wait.
    line: OneShotMutex<Option<Line>>,
}

impl Transmitter for Serial {
    fn start(&self) {
        // SAFETY: the scratch register keeps what is written to it, if there is a serial port.
        unsafe { port::write8(BASE + 7, 0x5a) }
        // SAFETY: as above.
        let is_present = unsafe { port::read8(BASE + 7) } == 0x5a;
        self.is_present.store(is_present, Ordering::Relaxed);
        // No interrupts; 115,200 baud, 8 bits, no parity; FIFO on and cleared; OUT2 and ready.
        for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 0xb)] {
            // SAFETY: the registers of the serial port, which only this module drives.
            unsafe { port::write8(BASE + register, value) }
        }
    }

    fn start_interrupt(&self) {
        let line = Line::allocate().filter(|line| line.route(PIN));
        *self.line.lock() = line.filter(|_| self.is_present.load(Ordering::Relaxed));
    }

    fn send(&self, bytes: &mut dyn Iterator<Item = u8>) -> usize {
        if !self.is_present.load(Ordering::Relaxed) {
            return bytes.count();
        }
        if !self.is_empty() {
            return 0;
        }
        let mut count = 0;
        for byte in bytes.take(FIFO_BYTES) {
            // SAFETY: the transmit register of the serial port, which only this module drives.
            unsafe { port::write8(BASE, byte) }
            count += 1;
        }
        count
    }

    fn acknowledge(&self) {
        if let Some(line) = self.line.try_lock().as_deref().and_then(Option::as_ref) {
            line.take();
        }
    }

    fn want_interrupt(&self, wanted: bool) {
        if self.line.try_lock().is_some_and(|line| line.is_some()) {
            // SAFETY: the interrupt enable register of the serial port.
            unsafe { port::write8(BASE + 1, if wanted { 2 } else { 0 }) }
        }
    }
}

impl Serial {
    fn is_empty(&self) -> bool {
        // SAFETY: reads the line status of the serial port.
        unsafe { port::read8(BASE + 5) & 0x20 != 0 }
    }
}
