//! Splice: joins two flows, as a proxy does once it has nothing more to say.

use crate::task::wait_fn;
use crate::{Flow, FlowError};
use core::task::{Context, Poll, ready};

/// Buffers that move in one direction before other tasks have their turn.
const MOVES_MAX: usize = 16;

/// Sends on `other` what arrives on `one` and the reverse, each as fast as it is taken and until its end. Nothing is kept
/// between them. Returns when both directions have ended and have arrived.
///
/// # Errors
/// When either breaks; both are aborted then.
pub async fn splice(mut one: impl Flow, mut other: impl Flow) -> Result<(), FlowError> {
    let (mut there, mut back) = (Direction::default(), Direction::default());
    let outcome = wait_fn(|cx| {
        let there = there.poll(cx, &mut one, &mut other)?;
        let back = back.poll(cx, &mut other, &mut one)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await;
    if outcome.is_err() {
        one.abort();
        other.abort();
    }
    outcome
}

#[derive(Default)]
struct Direction {
    has_ended: bool,
}

impl Direction {
    /// Ready once all has arrived.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Flow,
        to: &mut impl Flow,
    ) -> Poll<Result<(), FlowError>> {
        // Both are asked with the one task's waker, which has to be lent twice.
        let waker = cx.waker().clone();
        for _ in 0..MOVES_MAX {
            if self.has_ended {
                return to.poll_drained(cx);
            }
            let mut written = Poll::Ready(Ok(0));
            ready!(from.poll_read_with(cx, &mut |bytes| {
                if bytes.is_empty() {
                    self.has_ended = true;
                    return 0;
                }
                written = to.poll_write(&mut Context::from_waker(&waker), bytes);
                match written {
                    Poll::Ready(Ok(count)) => count,
                    _ => 0,
                }
            }))?;
            ready!(written)?;
            if self.has_ended {
                to.finish();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FlowExt;
    use crate::memory::{self, MemoryFlow};
    use crate::task::{Executor, TaskHandle, block_on};
    use std::string::String;
    use std::vec::Vec;

    const LONG: usize = 100_000;

    struct World {
        executor: Executor,
        client: MemoryFlow,
        server: MemoryFlow,
        splice: TaskHandle<Result<(), FlowError>>,
    }

    /// A client and a server with a splice between, and buffers of 10 and 7 bytes.
    fn world() -> World {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let (client, one) = memory::pair(10);
        let (other, server) = memory::pair(7);
        let splice = executor.spawner().spawn_joinable("splice", splice(one, other));
        World { executor, client, server, splice }
    }

    async fn read_all(mut flow: MemoryFlow) -> (MemoryFlow, Vec<u8>) {
        let mut all = Vec::new();
        while flow
            .read_with(|bytes| {
                all.extend_from_slice(bytes);
                (bytes.len(), !bytes.is_empty())
            })
            .await
            .unwrap()
        {}
        (flow, all)
    }

    #[test]
    fn both_directions_go_on_to_their_ends() {
        let World { executor, mut client, server, splice } = world();
        let (sent, answer): (Vec<_>, Vec<_>) =
            ((0..LONG).map(|n| n as u8).collect(), (0..LONG).map(|n| (n >> 8) as u8).collect());
        let spawner = executor.spawner();
        let (question, expected) = (sent.clone(), answer.clone());
        let asking = spawner.spawn_joinable("client", async move {
            client.write_all(&question).await.unwrap();
            // The other direction is open still.
            client.finish();
            read_all(client).await.1
        });
        let answering = spawner.spawn_joinable("server", async move {
            let (mut server, question) = read_all(server).await;
            server.write_all(&answer).await.unwrap();
            server.finish();
            server.drained().await.unwrap();
            question
        });
        executor.run_until_stalled();
        assert!(block_on(answering).unwrap() == sent);
        assert!(block_on(asking).unwrap() == expected);
        assert_eq!(block_on(splice).unwrap(), Ok(()));
    }

    #[test]
    fn who_takes_nothing_holds_the_other_back() {
        let World { executor, mut client, mut server, splice: _splice } = world();
        let cx = &mut Context::from_waker(core::task::Waker::noop());
        let mut sent = 0;
        loop {
            while let Poll::Ready(count) = client.poll_write(cx, &[7; 100]) {
                sent += count.unwrap();
            }
            if !executor.run(100) && client.poll_write(cx, &[7]).is_pending() {
                break;
            }
            sent += 1;
        }
        assert!(sent <= 10 + 7 + 1, "{sent} bytes");
        let taken = block_on(server.read(&mut [0; 3])).unwrap();
        executor.run(100);
        assert_eq!(taken, 3);
        assert!(client.poll_write(cx, &[7]).is_ready());
    }

    #[test]
    fn a_broken_flow_breaks_the_other() {
        let World { executor, mut client, mut server, splice } = world();
        executor.run(100);
        client.abort();
        executor.run(100);
        assert!(block_on(splice).unwrap().is_err());
        assert_eq!(block_on(server.read(&mut [0; 3])), Err(FlowError::Reset));
    }
}
