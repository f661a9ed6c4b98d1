//! Address monitor: tells the operator where the appliance is: the addresses of an interface, as they come and go.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use net::Stack;

/// At most this often are addresses looked at: they come with packets, and a busy machine has many.
const PAUSE: Duration = Duration::from_millis(100);

/// What was told about one interface.
pub(crate) struct AddressMonitor {
    addresses: Vec<(IpAddr, u8)>,
    next: Duration,
}

/// What a look at an interface led to.
pub(crate) enum Look {
    /// It is too early for one: look then.
    Later(Duration),
    Same,
    Changed,
}

impl AddressMonitor {
    /// Nothing yet. The first look comes a pause after the start: whoever waits for an answer comes
    /// first.
    pub(crate) fn new(now: Duration) -> Self {
        Self { addresses: Vec::new(), next: now + PAUSE }
    }

    /// Looks at the addresses, if the time has come.
    pub(crate) fn look(&mut self, now: Duration, number: usize, stack: &Stack) -> Look {
        if now < self.next {
            return Look::Later(self.next);
        }
        self.next = now + PAUSE;
        if stack.addresses().eq(self.addresses.iter().copied()) {
            return Look::Same;
        }
        let addresses: Vec<_> = stack.addresses().collect();
        for (address, prefix) in addresses.iter().filter(|&new| !self.addresses.contains(new)) {
            log::info!("address {address}/{prefix} on card {number}");
        }
        for (address, prefix) in self.addresses.iter().filter(|&old| !addresses.contains(old)) {
            log::info!("address {address}/{prefix} on card {number} is gone");
        }
        self.addresses = addresses;
        Look::Changed
    }

    /// The addresses as they were last told.
    pub(crate) fn addresses(&self) -> &[(IpAddr, u8)] {
        &self.addresses
    }
}
