//! Map, filter and tee: nodes on whole items.

use crate::{Edge, Fault, Node, Progress, Stage, run_stage};
use core::convert::Infallible;
use core::marker::PhantomData;

/// Changes each item.
pub fn map<T, U, F: FnMut(T) -> U>(change: F) -> Map<T, F> {
    Map { change, item: PhantomData }
}

/// See [`map`].
#[derive(Debug)]
pub struct Map<T, F> {
    change: F,
    item: PhantomData<fn(T)>,
}

impl<T, U, F: FnMut(T) -> U> Node<T> for Map<T, F> {
    type Out = U;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<U>) {
        run_stage(self, input, output);
    }
}

impl<T, U, F: FnMut(T) -> U> Stage<T> for Map<T, F> {
    type Out = U;

    fn accept(&mut self, item: T, weight_bytes: usize, output: &mut Edge<U>) -> Result<(), Fault> {
        output.put((self.change)(item), weight_bytes);
        Ok(())
    }
}

/// Changes each item, or ends the pipeline with a fault.
pub fn try_map<T, U, F: FnMut(T) -> Result<U, Fault>>(change: F) -> TryMap<T, F> {
    TryMap { change, item: PhantomData }
}

/// See [`try_map`].
#[derive(Debug)]
pub struct TryMap<T, F> {
    change: F,
    item: PhantomData<fn(T)>,
}

impl<T, U, F: FnMut(T) -> Result<U, Fault>> Node<T> for TryMap<T, F> {
    type Out = U;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<U>) {
        run_stage(self, input, output);
    }
}

impl<T, U, F: FnMut(T) -> Result<U, Fault>> Stage<T> for TryMap<T, F> {
    type Out = U;

    fn accept(&mut self, item: T, weight_bytes: usize, output: &mut Edge<U>) -> Result<(), Fault> {
        output.put((self.change)(item)?, weight_bytes);
        Ok(())
    }
}

/// Lets through the items that `keep` approves. On [`Piece`](crate::Piece)s it would tear
/// messages apart: filter objects.
pub fn filter<T, F: FnMut(&T) -> bool>(keep: F) -> Filter<T, F> {
    Filter { keep, item: PhantomData }
}

/// See [`filter`].
#[derive(Debug)]
pub struct Filter<T, F> {
    keep: F,
    item: PhantomData<fn(T)>,
}

impl<T, F: FnMut(&T) -> bool> Node<T> for Filter<T, F> {
    type Out = T;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<T>) {
        run_stage(self, input, output);
    }
}

impl<T, F: FnMut(&T) -> bool> Stage<T> for Filter<T, F> {
    type Out = T;

    fn accept(&mut self, item: T, weight_bytes: usize, output: &mut Edge<T>) -> Result<(), Fault> {
        if (self.keep)(&item) {
            output.put(item, weight_bytes);
        }
        Ok(())
    }
}

/// Consumes each item: the end of a side branch.
pub fn sink<T, F: FnMut(T)>(consume: F) -> Sink<T, F> {
    Sink { consume, item: PhantomData }
}

/// See [`sink`].
#[derive(Debug)]
pub struct Sink<T, F> {
    consume: F,
    item: PhantomData<fn(T)>,
}

impl<T, F: FnMut(T)> Node<T> for Sink<T, F> {
    type Out = Infallible;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<Infallible>) {
        run_stage(self, input, output);
    }
}

impl<T, F: FnMut(T)> Stage<T> for Sink<T, F> {
    type Out = Infallible;

    fn accept(&mut self, item: T, _: usize, _: &mut Edge<Infallible>) -> Result<(), Fault> {
        (self.consume)(item);
        Ok(())
    }
}

/// Refuses every item with this fault.
pub fn reject<U>(fault: Fault) -> Reject<U> {
    Reject { fault, item: PhantomData }
}

/// See [`reject`].
#[derive(Debug)]
pub struct Reject<U> {
    fault: Fault,
    item: PhantomData<fn() -> U>,
}

impl<T, U> Node<T> for Reject<U> {
    type Out = U;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<U>) {
        run_stage(self, input, output);
    }
}

impl<T, U> Stage<T> for Reject<U> {
    type Out = U;

    fn accept(&mut self, _: T, _: usize, _: &mut Edge<U>) -> Result<(), Fault> {
        Err(self.fault)
    }
}

/// Passes each item on and a copy of it into `side`, which ends in a [`sink`]. What the side
/// has no room for holds the whole back; a fault in the side ends both.
pub fn tee<T: Clone, S: Node<T, Out = Infallible>>(side: S) -> Tee<T, S> {
    Tee { side, into_side: Edge::default(), from_side: Edge::default() }
}

/// See [`tee`].
#[derive(Debug)]
pub struct Tee<T, S> {
    side: S,
    into_side: Edge<T>,
    from_side: Edge<Infallible>,
}

impl<T: Clone, S: Node<T, Out = Infallible>> Node<T> for Tee<T, S> {
    type Out = T;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<T>) {
        run_stage(self, input, output);
    }
}

impl<T: Clone, S: Node<T, Out = Infallible>> Stage<T> for Tee<T, S> {
    type Out = T;

    fn accept(&mut self, item: T, weight_bytes: usize, output: &mut Edge<T>) -> Result<(), Fault> {
        self.into_side.put(item.clone(), weight_bytes);
        output.put(item, weight_bytes);
        Ok(())
    }

    fn resume(&mut self, _: &mut Edge<T>) -> Result<Progress, Fault> {
        self.side.run(&mut self.into_side, &mut self.from_side);
        if let Some(Err(fault)) = self.from_side.take_end() {
            return Err(fault);
        }
        Ok(if self.into_side.has_room() { Progress::Done } else { Progress::Blocked })
    }

    fn finish(&mut self, _: &mut Edge<T>) -> Result<(), Fault> {
        self.into_side.end();
        self.side.run(&mut self.into_side, &mut self.from_side);
        self.from_side.take_end().unwrap_or(Ok(()))
    }
}
