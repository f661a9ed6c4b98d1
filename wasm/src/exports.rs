//! What the page calls: functions of numbers, over one buffer in each direction in the module's memory. One instance of the
//! module is one [`Client`]. The names of exported functions are all that is unsafe here: two of a name would be one.

use crate::{Client, Schema};
use core::cell::RefCell;
use core::time::Duration;
use serde_json::{Value, json};

#[derive(Default)]
struct Page {
    client: Option<Client>,
    /// What the page writes before it calls.
    input: Vec<u8>,
    /// What it reads afterwards.
    output: Vec<u8>,
}

thread_local! {
    /// A page's module has one thread.
    static PAGE: RefCell<Page> = RefCell::default();
}

/// Room for so many bytes of input; where it is.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn reserve(bytes: usize) -> usize {
    PAGE.with_borrow_mut(|page| {
        page.input.clear();
        page.input.resize(bytes, 0);
        page.input.as_ptr().addr()
    })
}

/// Where the output of the last call is.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn output() -> usize {
    PAGE.with_borrow(|page| page.output.as_ptr().addr())
}

/// Begins with the schema in the input. The output is a problem, or nothing; its length.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn begin() -> usize {
    PAGE.with_borrow_mut(|page| {
        page.output.clear();
        match Schema::new(&page.input) {
            Ok(schema) => page.client = Some(Client::new(schema)),
            Err(problem) => page.output = problem.into_bytes(),
        }
        page.output.len()
    })
}

/// Does the request in the input; the length of the answer.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn request() -> usize {
    with_client(|client, input, output| {
        let answer = match serde_json::from_slice(input) {
            Ok(request) => client.request(&request),
            Err(error) => json!({ "error": error.to_string() }),
        };
        write(output, &answer);
    })
}

/// Takes the input as bytes of the peer.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn receive(now_milliseconds: f64) {
    with_client(|client, input, _| client.handle_input(time(now_milliseconds), input));
}

/// Puts a message for the peer into the output; how many bytes, 0 if there is none.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn transmit(now_milliseconds: f64) -> usize {
    with_client(|client, _, output| client.poll_transmit(time(now_milliseconds), output))
}

/// Puts a list of what happened into the output; its length, 0 if nothing did.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn events() -> usize {
    with_client(|client, _, output| {
        let events: Vec<Value> = core::iter::from_fn(|| client.poll_event()).collect();
        if !events.is_empty() {
            write(output, &Value::Array(events));
        }
    })
}

/// Does what is due; after how many milliseconds to be called again, or a negative number for never.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn tick(now_milliseconds: f64) -> f64 {
    let now = time(now_milliseconds);
    let mut wait = -1.0;
    with_client(|client, _, _| {
        client.handle_timeout(now);
        if let Some(deadline) = client.next_deadline(now) {
            wait = deadline.saturating_sub(now).as_secs_f64() * 1000.0;
        }
    });
    wait
}

/// The WebSocket ended, for the reason in the input.
#[expect(unsafe_code, reason = "the page knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn end() {
    with_client(|client, input, _| client.handle_end(&String::from_utf8_lossy(input)));
}

/// Calls `act` with the client, the input, and the output, which is empty; the length of the output.
fn with_client(act: impl FnOnce(&mut Client, &[u8], &mut Vec<u8>)) -> usize {
    PAGE.with_borrow_mut(|page| {
        page.output.clear();
        if let Some(client) = &mut page.client {
            act(client, &page.input, &mut page.output);
        }
        page.output.len()
    })
}

fn write(output: &mut Vec<u8>, value: &Value) {
    // Writing to memory does not fail.
    *output = value.to_string().into_bytes();
}

fn time(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
}
