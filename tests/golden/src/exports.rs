//! What `node.mjs` calls: functions of numbers, over one buffer in each direction in the module's memory. The names of
//! exported functions are all that is unsafe here: two of a name would be one.

use core::cell::RefCell;
use serde_json::Value;

#[derive(Default)]
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Room for so many bytes of input; where it is.
#[expect(unsafe_code, reason = "the caller knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn reserve(bytes: usize) -> usize {
    BUFFERS.with_borrow_mut(|buffers| {
        buffers.input.clear();
        buffers.input.resize(bytes, 0);
        buffers.input.as_ptr().addr()
    })
}

/// Where the output of the last call is.
#[expect(unsafe_code, reason = "the caller knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn output() -> usize {
    BUFFERS.with_borrow(|buffers| buffers.output.as_ptr().addr())
}

/// Runs the case of the input, `{"core": "http", "piece": 1, "case": {...}}`; the length of what comes of it, as JSON.
#[expect(unsafe_code, reason = "the caller knows it by this name")]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn run() -> usize {
    BUFFERS.with_borrow_mut(|buffers| {
        let asked: Value = serde_json::from_slice(&buffers.input).expect("JSON");
        let piece = asked["piece"].as_u64().and_then(|piece| usize::try_from(piece).ok());
        let core = asked["core"].as_str().expect("a core");
        let gives = crate::run(core, &asked["case"], piece.expect("a number of bytes"));
        buffers.output = serde_json::to_vec(&gives).expect("texts");
        buffers.output.len()
    })
}
