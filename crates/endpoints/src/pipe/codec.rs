//! Message codec: a pipeline that is used message by message.

use super::transfer::MessageAssembler;
use ::pipe::{Bytes, Fault, Next, Node, Piece, Pipeline};
use alloc::boxed::Box;

/// A node whose type is of no interest.
pub type BoxedNode<In, Out> = Box<dyn Node<In, Out = Out>>;

/// Puts one item through a pipeline at a time. A fault, or a panic, costs that item only, for the
/// pipeline is made anew: what a socket with many peers needs, where [`transfer`](super::transfer())
/// would end at one peer's bad message.
pub struct Codec<In, Out> {
    make: Box<dyn Fn() -> BoxedNode<In, Out>>,
    // Made when it is first needed: a compressor is large.
    pipeline: Option<Pipeline<In, BoxedNode<In, Out>>>,
}

impl<In, Out> Codec<In, Out> {
    /// Through pipelines that `make` makes.
    pub fn new(make: impl Fn() -> BoxedNode<In, Out> + 'static) -> Self {
        Self { make: Box::new(make), pipeline: None }
    }

    /// Puts an item in and hands each that comes out to `take`.
    fn pass(&mut self, item: In, mut take: impl FnMut(Out)) -> Result<(), Fault> {
        // Taken out while it works, and put back on success only: a node may run foreign code, and
        // after a panic in it half a message would stand in front of the next.
        let mut pipeline = self.pipeline.take().unwrap_or_else(|| Pipeline::new((self.make)()));
        // It starved after the item before, so it has room.
        drop(pipeline.offer(item));
        loop {
            match pipeline.poll() {
                Next::Item(item) => take(item),
                Next::Starved => break,
                Next::Fault(fault) => return Err(fault),
                Next::End | Next::Over => return Err(Fault::Truncated),
            }
        }
        self.pipeline = Some(pipeline);
        Ok(())
    }
}

impl<Out> Codec<Piece, Out> {
    /// The object in a message.
    pub fn read(&mut self, message: Bytes) -> Result<Out, Fault> {
        let mut object = None;
        self.pass(Piece::last(message), |item| object = Some(item))?;
        object.ok_or(Fault::Truncated)
    }
}

impl<In> Codec<In, Piece> {
    /// The message for an object.
    pub fn write(&mut self, object: In) -> Result<Bytes, Fault> {
        let mut assembler = MessageAssembler::default();
        let mut message = None;
        self.pass(object, |piece| {
            if let Some(whole) = assembler.add(piece) {
                message = Some(whole);
            }
        })?;
        message.ok_or(Fault::Truncated)
    }
}
