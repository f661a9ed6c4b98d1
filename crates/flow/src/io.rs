//! Flows for code written against `embedded-io-async`.

use crate::{Flow, FlowError, FlowExt};

/// A flow as `embedded_io_async::Read + Write`; `flush` waits for nothing, since every flow sends
/// what is written by itself.
#[derive(Debug)]
pub struct Io<F>(pub F);

impl<F: Flow> embedded_io_async::ErrorType for Io<F> {
    type Error = FlowError;
}

impl<F: Flow> embedded_io_async::Read for Io<F> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FlowError> {
        self.0.read(buffer).await
    }
}

impl<F: Flow> embedded_io_async::Write for Io<F> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, FlowError> {
        let fill = |space: &mut [u8]| {
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            (count, count)
        };
        self.0.write_with(fill).await
    }

    async fn flush(&mut self) -> Result<(), FlowError> {
        Ok(())
    }
}
