//! A caller that sends what no client of ours would.

use crate::zmq::tests::target;
use alloc::vec;
use alloc::vec::Vec;
use flow::memory::MemoryNetwork;
use flow::{Connector, Flow, FlowExt};

/// A flow on which a handshake was done.
pub(super) struct RawCaller<F>(F);

/// Connects as this socket type.
pub(super) async fn raw_caller(
    network: &MemoryNetwork,
    socket_type: &[u8],
) -> RawCaller<impl Flow + use<>> {
    let mut raw = RawCaller(network.connect(&target("a:1")).await.unwrap());
    raw.0.write_all(&hello(socket_type)).await.unwrap();
    raw.read_exactly(64).await;
    let ready = raw.frame().await;
    assert!(ready.1.starts_with(b"\x05READY"));
    raw
}

/// A greeting and READY of this socket type.
pub(super) fn hello(socket_type: &[u8]) -> Vec<u8> {
    let mut hello = vec![0; 64];
    (hello[0], hello[9], hello[10], hello[11]) = (0xFF, 0x7F, 3, 1);
    hello[12..16].copy_from_slice(b"NULL");
    hello.extend_from_slice(&[4, 22 + socket_type.len() as u8]);
    hello.extend_from_slice(b"\x05READY\x0bSocket-Type\0\0\0");
    hello.push(socket_type.len() as u8);
    hello.extend_from_slice(socket_type);
    hello
}

impl<F: Flow> RawCaller<F> {
    /// Sends a request as a REQ does; the body of its reply.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        let len = (request.len() as u64).to_be_bytes();
        self.0.write_all(&[&b"\x01\0\x02"[..], &len, request].concat()).await.unwrap();
        assert_eq!(self.frame().await, (1, vec![]), "the delimiter");
        let (flags, body) = self.frame().await;
        assert_eq!(flags & 1, 0);
        body
    }

    /// Sends bytes as they are.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), flow::FlowError> {
        self.0.write_all(bytes).await
    }

    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read_exactly(2).await;
        let mut len = usize::from(head[1]);
        if head[0] & 2 != 0 {
            let rest = self.read_exactly(7).await;
            len = rest.iter().fold(len, |len, byte| len << 8 | usize::from(*byte));
        }
        (head[0], self.read_exactly(len).await)
    }

    async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut have = 0;
        while have < count {
            let read = self.0.read(&mut bytes[have..]).await.unwrap();
            assert!(read > 0, "the connection ended after {:?}", &bytes[..have]);
            have += read;
        }
        bytes
    }
}
