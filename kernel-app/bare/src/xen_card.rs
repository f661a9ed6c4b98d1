//! The Xen driver as the network stack wants it.

use net::Card;
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant;
use xen_netfront::XenNetfront;

/// A Xen network interface.
pub(crate) struct XenCard(pub(crate) XenNetfront);

impl Device for XenCard {
    type RxToken<'a> = xen_netfront::Received<'a>;
    type TxToken<'a> = xen_netfront::Sending<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(now)
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

impl Card for XenCard {
    fn flush(&mut self) {
        self.0.flush();
    }

    fn prepare_to_wait(&mut self) -> bool {
        self.0.prepare_to_wait()
    }

    fn link_up(&self) -> bool {
        self.0.link_up()
    }
}
