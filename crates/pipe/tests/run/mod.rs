//! A pipeline from its first item to its end.

use pipe::{Next, Node, Pipeline, Refused};

/// Pushes all items, ends the input, and gives what comes out and how it ended.
pub(crate) fn run<In, N: Node<In>>(
    node: N,
    items: impl IntoIterator<Item = In>,
) -> (Vec<N::Out>, Next<()>) {
    let mut pipeline = Pipeline::new(node);
    let mut out = Vec::new();
    let mut items = items.into_iter();
    let mut waiting = None;
    loop {
        if let Some(item) = waiting.take().or_else(|| items.next()) {
            match pipeline.offer(item) {
                Ok(()) | Err(Refused::Closed(_)) => {}
                Err(Refused::Full(item)) => waiting = Some(item),
            }
        } else {
            pipeline.end();
        }
        let end = match pipeline.poll() {
            Next::Item(item) => {
                out.push(item);
                continue;
            }
            Next::Starved => continue,
            Next::End => Next::End,
            Next::Fault(fault) => Next::Fault(fault),
            Next::Over => panic!("the end was not said"),
        };
        assert!(matches!(pipeline.poll(), Next::Over), "an end is said once");
        return (out, end);
    }
}
