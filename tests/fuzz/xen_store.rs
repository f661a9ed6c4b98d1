//! A xenstore daemon that does anything: no panic, and requests come to an end once it is sane.

use std::pin::pin;
use std::task::{Context, Waker};
use xen_store::fake;

pub(crate) fn target(data: &[u8]) {
    let (store, mut daemon) = fake::connect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut read = Box::pin(store.read("some/path"));
    let mut watch = Box::pin(store.watch("some"));
    let (mut read_done, mut watch_done) = (false, false);
    for step in data.as_chunks::<6>().0 {
        let [verb, low, high, rest @ ..] = *step;
        let word = u32::from_le_bytes([low, high, rest[0], rest[1]]);
        match verb % 6 {
            0 => daemon.set_answer_producer(word),
            1 => daemon.set_request_consumer(word),
            2 => daemon.send_message(u32::from(low % 32), u32::from(high % 4), &rest),
            3 => daemon.send_raw(step),
            4 => daemon.set("some/path", "value"),
            _ => drop(daemon.step()),
        }
        store.poll();
        read_done = read_done || read.as_mut().poll(&mut cx).is_ready();
        watch_done = watch_done || watch.as_mut().poll(&mut cx).is_ready();
    }
    drop((read, watch));
    let mut last = pin!(store.read("nothing"));
    for _ in 0..200 {
        if last.as_mut().poll(&mut cx).is_ready() {
            return;
        }
        store.poll();
        daemon.step();
    }
}
