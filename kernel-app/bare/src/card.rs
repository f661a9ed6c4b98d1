//! Drivers as the network stack wants them. The drivers know smoltcp's device trait and nothing of
//! ours; this adds the rest.

use net::Card;
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant;

macro_rules! card {
    ($(#[$what:meta])* $name:ident, $driver:ident :: $device:ident) => {
        $(#[$what])*
        pub(crate) struct $name(pub(crate) $driver::$device);

        impl Device for $name {
            type RxToken<'a> = $driver::Received<'a>;
            type TxToken<'a> = $driver::Sending<'a>;

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

        impl Card for $name {
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
    };
}

card! {
    /// A virtio network card.
    VirtioCard, virtio_net::VirtioNet
}

card! {
    /// A Xen network interface.
    XenCard, xen_netfront::XenNetfront
}
