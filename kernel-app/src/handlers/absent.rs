//! What stands in the table for services that a build leaves out: nothing of them is ever there.

/// No RPC.
#[cfg(not(feature = "rpc"))]
pub enum Rpc {}

#[cfg(not(feature = "rpc"))]
impl Rpc {
    /// As the real one's.
    pub fn connections(&self) -> usize {
        match *self {}
    }

    /// As the real one's.
    pub fn drain(&self) {
        match *self {}
    }
}

/// No ZeroMQ service.
#[cfg(not(feature = "zmq"))]
pub enum Service {}

#[cfg(not(feature = "zmq"))]
impl Service {
    /// As the real one's.
    pub fn peers(&self) -> usize {
        match *self {}
    }

    /// As the real one's.
    pub fn drain(&self, _: core::time::Duration) {
        match *self {}
    }
}
