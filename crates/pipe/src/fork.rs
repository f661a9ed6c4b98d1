//! Branch and merge nodes: where the way parts, and where ways meet.

use crate::{Edge, Fault, Node, Piece, Taken};
use bytes::Bytes;
use core::marker::PhantomData;

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the name says it")]
pub enum Either<L, R> {
    Left(L),
    Right(R),
}

/// Sends each object into one of two nodes, translated by `route` on its way in; what they give
/// comes out in the order in which it went in.
pub fn branch<T, L, R, F, A, B>(route: F, left: A, right: B) -> Branch<T, L, R, F, A, B>
where
    F: FnMut(T) -> Either<L, R>,
    A: Node<L>,
    B: Node<R, Out = A::Out>,
{
    Branch { route, ways: Ways::new(left, right), item: PhantomData }
}

/// See [`branch`].
pub struct Branch<T, L, R, F, A: Node<L>, B: Node<R>> {
    route: F,
    ways: Ways<L, R, A, B>,
    item: PhantomData<fn(T)>,
}

impl<T, L, R, F, A, B> Node<T> for Branch<T, L, R, F, A, B>
where
    F: FnMut(T) -> Either<L, R>,
    A: Node<L>,
    B: Node<R, Out = A::Out>,
{
    type Out = A::Out;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<A::Out>) {
        let route = &mut self.route;
        self.ways.run(input, output, |item| Ok(Some(route(item))));
    }
}

/// Joins two kinds of items: those on the left go through one node, those on the right through
/// the other, and what the two give comes out of one edge.
pub fn merge<L, R, A, B>(left: A, right: B) -> Merge<L, R, A, B>
where
    A: Node<L>,
    B: Node<R, Out = A::Out>,
{
    Merge { ways: Ways::new(left, right) }
}

/// See [`merge`].
pub struct Merge<L, R, A: Node<L>, B: Node<R>> {
    ways: Ways<L, R, A, B>,
}

impl<L, R, A: Node<L>, B: Node<R, Out = A::Out>> Node<Either<L, R>> for Merge<L, R, A, B> {
    type Out = A::Out;

    fn run(&mut self, input: &mut Edge<Either<L, R>>, output: &mut Edge<A::Out>) {
        self.ways.run(input, output, |item| Ok(Some(item)));
    }
}

/// Messages that start with `prefix` go through `matching`, without it; others through `other`,
/// whole. Where no other is expected, let that be [`reject`](crate::reject).
pub fn branch_prefix<A, B>(prefix: impl AsRef<[u8]>, matching: A, other: B) -> PrefixBranch<A, B>
where
    A: Node<Piece>,
    B: Node<Piece, Out = A::Out>,
{
    let sorter = PrefixSorter::new(prefix.as_ref(), false);
    PrefixBranch { sorter, ways: Ways::new(matching, other) }
}

/// See [`branch_prefix`].
pub struct PrefixBranch<A: Node<Piece>, B: Node<Piece>> {
    sorter: PrefixSorter,
    ways: Ways<Piece, Piece, A, B>,
}

impl<A, B> Node<Piece> for PrefixBranch<A, B>
where
    A: Node<Piece>,
    B: Node<Piece, Out = A::Out>,
{
    type Out = A::Out;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<A::Out>) {
        let sorter = &mut self.sorter;
        self.ways.run(input, output, |piece| Ok(sorter.sort(piece)));
    }
}

/// Decides for each message by its first bytes.
#[derive(Debug)]
pub(crate) struct PrefixSorter {
    prefix: Bytes,
    /// Whether a message that matches keeps the prefix.
    keeps: bool,
    matched: usize,
    // Of the message under way: whether it starts with the prefix.
    decided: Option<bool>,
}

impl PrefixSorter {
    pub(crate) fn new(prefix: &[u8], keeps: bool) -> Self {
        Self { prefix: Bytes::copy_from_slice(prefix), keeps, matched: 0, decided: None }
    }

    pub(crate) fn skipping(self) -> Self {
        Self { keeps: false, ..self }
    }

    /// Where a piece goes; `None` while the message is shorter than the prefix.
    pub(crate) fn sort(&mut self, mut piece: Piece) -> Option<Either<Piece, Piece>> {
        let matching = match self.decided {
            Some(matching) => matching,
            None => {
                let wanted = &self.prefix[self.matched..];
                let here = wanted.len().min(piece.bytes.len());
                let matching = piece.bytes[..here] == wanted[..here];
                let whole = here == wanted.len();
                if matching && !whole && !piece.last {
                    self.matched += here;
                    return None;
                }
                let matching = matching && whole;
                if matching && !self.keeps {
                    let _ = piece.bytes.split_to(here);
                } else if self.matched > 0 {
                    // What matched before must go with the rest after all.
                    let head = [&self.prefix[..self.matched], &piece.bytes].concat();
                    piece.bytes = head.into();
                }
                matching
            }
        };
        self.matched = 0;
        self.decided = (!piece.last).then_some(matching);
        Some(if matching { Either::Left(piece) } else { Either::Right(piece) })
    }
}

/// Two nodes side by side. An item enters one only when the other has given all it had, so
/// order is kept and the messages of the two never mix.
pub(crate) struct Ways<L, R, A: Node<L>, B: Node<R>> {
    left: Way<L, A>,
    right: Way<R, B>,
    on_right: bool,
    // The item that waits until the other way is silent or its own has room.
    waiting: Option<(Either<L, R>, usize)>,
}

struct Way<In, N: Node<In>> {
    input: Edge<In>,
    node: N,
    output: Edge<N::Out>,
}

impl<In, N: Node<In>> Way<In, N> {
    fn new(node: N) -> Self {
        Self { input: Edge::default(), node, output: Edge::default() }
    }

    /// Moves what can move; whether nothing is left in it that could come out.
    fn run(&mut self, output: &mut Edge<N::Out>) -> Result<bool, Fault> {
        loop {
            let before = self.output.moves();
            self.node.run(&mut self.input, &mut self.output);
            self.output.pour(output);
            if self.output.moves() == before {
                break;
            }
        }
        if self.output.is_empty()
            && let Some(Err(fault)) = self.output.take_end()
        {
            return Err(fault);
        }
        // Its node had room, then, and has taken all that it was given.
        Ok(self.output.is_empty())
    }
}

impl<L, R, A: Node<L>, B: Node<R, Out = A::Out>> Ways<L, R, A, B> {
    pub(crate) fn new(left: A, right: B) -> Self {
        Self { left: Way::new(left), right: Way::new(right), on_right: false, waiting: None }
    }

    pub(crate) fn run<T>(
        &mut self,
        input: &mut Edge<T>,
        output: &mut Edge<A::Out>,
        mut route: impl FnMut(T) -> Result<Option<Either<L, R>>, Fault>,
    ) {
        loop {
            if output.is_closed() {
                input.cancel();
                return;
            }
            match self.step(input, output, &mut route) {
                Ok(true) => {}
                Ok(false) => return,
                Err(fault) => output.fail(fault),
            }
        }
    }

    /// One step; whether another may follow.
    fn step<T>(
        &mut self,
        input: &mut Edge<T>,
        output: &mut Edge<A::Out>,
        route: &mut impl FnMut(T) -> Result<Option<Either<L, R>>, Fault>,
    ) -> Result<bool, Fault> {
        let silent = if self.on_right { self.right.run(output)? } else { self.left.run(output)? };
        let (item, weight_bytes) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match input.take() {
                Taken::Item(item, weight_bytes) => match route(item)? {
                    Some(item) => (item, weight_bytes),
                    None => return Ok(true),
                },
                Taken::Empty => return Ok(false),
                Taken::AtEnd => return self.finish(silent, input, output),
            },
        };
        let to_right = matches!(item, Either::Right(_));
        let entry_has_room =
            if to_right { self.right.input.has_room() } else { self.left.input.has_room() };
        if !entry_has_room || to_right != self.on_right && !silent {
            self.waiting = Some((item, weight_bytes));
            return Ok(false);
        }
        self.on_right = to_right;
        match item {
            Either::Left(item) => self.left.input.put(item, weight_bytes),
            Either::Right(item) => self.right.input.put(item, weight_bytes),
        }
        Ok(true)
    }

    /// The input has ended: so do the ways, first the one in use.
    fn finish<T>(
        &mut self,
        silent: bool,
        input: &mut Edge<T>,
        output: &mut Edge<A::Out>,
    ) -> Result<bool, Fault> {
        if !silent {
            return Ok(false);
        }
        if let Some(fault) = input.fault_ahead() {
            return Err(fault);
        }
        self.left.input.end();
        self.right.input.end();
        for right in [self.on_right, !self.on_right] {
            // What a way gives at its end must go out before the other's.
            let done = if right { self.right.run(output)? } else { self.left.run(output)? };
            if !done {
                return Ok(false);
            }
        }
        let _ = input.take_end();
        output.end();
        Ok(true)
    }
}
