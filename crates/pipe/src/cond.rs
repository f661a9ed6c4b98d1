//! Conditions: several ways, of which each item or message takes the first that its condition lets in.

use crate::fork::{PrefixSorter, Ways};
use crate::{Edge, Either, Node};
use core::marker::PhantomData;

/// Begins a node of several ways, tried from the top as the clauses of a `cond`.
///
/// ```
/// use pipe::{Fault, Next, NodeExt, Pipeline, cbor, cond, map, prepend, reject, starts_with, zlib};
///
/// // Objects, by what they are.
/// let size = cond()
///     .when(|number: &i64| *number < 0, reject(Fault::Shape("negative")))
///     .when(|number: &i64| *number < 1000, map(|_| "small"))
///     .otherwise(map(|_| "large"));
/// let mut pipeline = Pipeline::new(size);
/// pipeline.offer(7).unwrap();
/// pipeline.offer(7000).unwrap();
/// assert_eq!((pipeline.poll(), pipeline.poll()), (Next::Item("small"), Next::Item("large")));
///
/// // Messages of bytes, by how they begin.
/// let read = cond()
///     .when(starts_with("z").skipped(), zlib::inflate().then(cbor::decode::<u32>()))
///     .when(starts_with("p").skipped(), cbor::decode::<u32>())
///     .otherwise(pipe::refuse_prefix());
/// let write = cbor::encode().then(zlib::deflate(6)).then(prepend("z"));
/// let mut pipeline = Pipeline::new(write.then(read));
/// pipeline.offer(42_u32).unwrap();
/// assert_eq!(pipeline.poll(), Next::Item(42));
/// ```
///
/// Items and messages come out in the order in which they went in: one enters a way only when all others have given what they had.
pub fn cond() -> Cond<Nothing> {
    Cond { clauses: Nothing }
}

/// What may be a condition: it sees each item, and says which way that goes.
pub trait Condition<T> {
    /// Left is into the condition's own way, right past it. `None` keeps an item until what follows it decides; the next answer
    /// brings it along.
    fn sort(&mut self, item: T) -> Option<Either<T, T>>;
}

/// Of an object. A message of bytes may be several pieces, of which each would be asked for: see [`starts_with`].
impl<T, F: FnMut(&T) -> bool> Condition<T> for F {
    fn sort(&mut self, item: T) -> Option<Either<T, T>> {
        Some(if self(&item) { Either::Left(item) } else { Either::Right(item) })
    }
}

/// Messages of bytes that begin so, however they are cut into pieces. They go on whole.
pub fn starts_with(prefix: impl AsRef<[u8]>) -> StartsWith {
    StartsWith(PrefixSorter::new(prefix.as_ref(), true))
}

/// See [`starts_with`].
#[derive(Debug)]
pub struct StartsWith(PrefixSorter);

impl StartsWith {
    /// The same messages, each without the prefix.
    #[must_use]
    pub fn skipped(self) -> Self {
        Self(self.0.skipping())
    }
}

impl Condition<crate::Piece> for StartsWith {
    fn sort(&mut self, piece: crate::Piece) -> Option<Either<crate::Piece, crate::Piece>> {
        self.0.sort(piece)
    }
}

/// Clauses that wait for more, or for [`otherwise`](Self::otherwise): see [`cond`].
#[derive(Debug)]
pub struct Cond<C> {
    clauses: C,
}

impl<C> Cond<C> {
    /// What `condition` lets in goes through `node`.
    pub fn when<Q, N>(self, condition: Q, node: N) -> Cond<When<C, Q, N>> {
        Cond { clauses: When { before: self.clauses, condition, node } }
    }

    /// All else goes through `node`: where nothing else is expected, [`reject`](crate::reject) or
    /// [`refuse_prefix`](crate::refuse_prefix).
    pub fn otherwise<T, R: Node<T>>(self, node: R) -> C::Joined<R>
    where
        C: Clauses<T, R::Out>,
    {
        self.clauses.join(node)
    }
}

/// No clause.
#[derive(Debug)]
pub struct Nothing;

/// A clause after others.
#[derive(Debug)]
pub struct When<C, Q, N> {
    before: C,
    condition: Q,
    node: N,
}

/// Clauses whose nodes take and give the same.
pub trait Clauses<T, U> {
    /// The node of these, and of one for what none of them lets in.
    type Joined<R: Node<T, Out = U>>: Node<T, Out = U>;

    /// Makes it.
    fn join<R: Node<T, Out = U>>(self, rest: R) -> Self::Joined<R>;
}

impl<T, U> Clauses<T, U> for Nothing {
    type Joined<R: Node<T, Out = U>> = R;

    fn join<R: Node<T, Out = U>>(self, rest: R) -> R {
        rest
    }
}

impl<T, U, C, Q, N> Clauses<T, U> for When<C, Q, N>
where
    C: Clauses<T, U>,
    Q: Condition<T>,
    N: Node<T, Out = U>,
{
    type Joined<R: Node<T, Out = U>> = C::Joined<Fork<T, Q, N, R>>;

    fn join<R: Node<T, Out = U>>(self, rest: R) -> Self::Joined<R> {
        let Self { before, condition, node } = self;
        before.join(Fork { condition, ways: Ways::new(node, rest), item: PhantomData })
    }
}

/// One clause, with what is behind it.
pub struct Fork<T, Q, N: Node<T>, R: Node<T>> {
    condition: Q,
    ways: Ways<T, T, N, R>,
    item: PhantomData<fn(T)>,
}

impl<T, Q, N, R> Node<T> for Fork<T, Q, N, R>
where
    Q: Condition<T>,
    N: Node<T>,
    R: Node<T, Out = N::Out>,
{
    type Out = N::Out;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<N::Out>) {
        let condition = &mut self.condition;
        self.ways.run(input, output, |item| Ok(condition.sort(item)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Next, Piece, Pipeline, filter, map, refuse_prefix, reject};
    use alloc::vec::Vec;
    use bytes::Bytes;

    /// What comes out of a node for these items, up to its end or fault.
    fn all<T, N: Node<T>>(
        node: N,
        items: impl IntoIterator<Item = T>,
    ) -> (Vec<N::Out>, Option<Fault>) {
        let mut pipeline = Pipeline::new(node);
        let (mut items, mut out) = (items.into_iter(), Vec::new());
        loop {
            match pipeline.poll() {
                Next::Item(item) => out.push(item),
                Next::Starved => match items.next() {
                    Some(item) => drop(pipeline.offer(item)),
                    None => pipeline.end(),
                },
                Next::Fault(fault) => return (out, Some(fault)),
                Next::End | Next::Over => return (out, None),
            }
        }
    }

    #[test]
    fn the_first_condition_that_holds_decides() {
        let node = cond()
            .when(|number: &u32| number.is_multiple_of(15), map(|_| "fizzbuzz"))
            .when(|number: &u32| number.is_multiple_of(3), map(|_| "fizz"))
            .when(|number: &u32| number.is_multiple_of(5), map(|_| "buzz"))
            .otherwise(map(|_| "-"));
        let (out, fault) = all(node, 1..=15);
        let expected =
            "- - fizz - buzz fizz - - fizz buzz - fizz - - fizzbuzz".split(' ').collect::<Vec<_>>();
        assert_eq!((out, fault), (expected, None));
    }

    #[test]
    fn a_way_may_lose_items_and_a_fault_ends_all() {
        let node = cond()
            .when(|number: &u32| *number == 9, reject(Fault::Shape("nine")))
            .when(|number: &u32| *number > 4, filter(|number: &u32| number.is_multiple_of(2)))
            .otherwise(map(|number: u32| number * 100));
        let (out, fault) = all(node, 3..12);
        assert_eq!(out, [300, 400, 6, 8]);
        assert_eq!(fault, Some(Fault::Shape("nine")));
    }

    /// Each message is cut everywhere, and comes out whole, without what its clause skips.
    #[test]
    fn beginnings_are_found_however_messages_are_cut() {
        let mark = |mark: &'static str| {
            let mut begins = true;
            map(move |piece: Piece| {
                let head = if core::mem::replace(&mut begins, piece.last) { mark } else { "" };
                let bytes = [head.as_bytes(), &piece.bytes].concat();
                Piece { bytes: bytes.into(), last: piece.last }
            })
        };
        for (message, expected) in [
            ("abcd", "1:abcd"),
            ("abc", "1:abc"),
            ("abd", "2:d"),
            ("ab", "2:"),
            ("axe", "3:axe"),
            ("a", "3:a"),
            ("", "3:"),
        ] {
            for cuts in 0..1_usize << message.len().saturating_sub(1) {
                let node = cond()
                    .when(starts_with("abc"), mark("1:"))
                    .when(starts_with("ab").skipped(), mark("2:"))
                    .otherwise(mark("3:"));
                let mut pieces = Vec::new();
                let mut rest = Bytes::from_static(message.as_bytes());
                for at in 0..message.len().saturating_sub(1) {
                    if cuts >> at & 1 == 1 {
                        let before = rest.split_to(at + 1 - (message.len() - rest.len()));
                        pieces.push(Piece::part(before));
                    }
                }
                pieces.push(Piece::last(rest));
                // A second one sees nothing of the first.
                let twice = pieces.iter().cloned().chain(pieces.iter().cloned());
                let (out, fault) = all(node, twice.collect::<Vec<_>>());
                let mut messages = alloc::vec![Vec::new()];
                for piece in out {
                    messages.last_mut().unwrap().extend_from_slice(&piece.bytes);
                    if piece.last {
                        messages.push(Vec::new());
                    }
                }
                assert_eq!(
                    messages,
                    [expected.as_bytes(), expected.as_bytes(), b""],
                    "{message} {cuts:b}"
                );
                assert_eq!(fault, None);
            }
        }
    }

    #[test]
    fn what_no_clause_lets_in_is_refused_by_its_first_byte() {
        let node = cond()
            .when(starts_with("p"), map(|piece: Piece| piece.bytes))
            .otherwise(refuse_prefix());
        let (out, fault) = all(node, [Piece::last(Bytes::from_static(b"q"))]);
        assert_eq!((out.len(), fault), (0, Some(Fault::UnknownPrefix(Some(b'q')))));
    }
}
