//! With 64 MiB, hogs of all protocols at once, for some seconds: small requests on all protocols are answered, what is
//! held stays within its limit, and when they leave the memory is back.
//!
//! `HOG_SECONDS=60` is the long form.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use sweep::{CONVERSATIONS, HOGS, World};

/// Hogs of each kind.
const OF_EACH: usize = 8;
/// What a flow holds: as a socket's buffer does.
const CAPACITY_BYTES: usize = 64 << 10;
const MEMORY_BYTES: usize = 64 << 20;

/// The system's allocator, which counts what the appliance's turns have taken and given back.
struct Counting;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static HELD_MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    if IS_ON.get() {
        HELD.set(HELD.get() + bytes);
        HELD_MOST.set(HELD_MOST.get().max(HELD.get()));
    }
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory that is allocated, and
// thread-locals without destructors allocate none.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps `dealloc`'s contract, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted(turn: &mut dyn FnMut()) {
    IS_ON.set(true);
    turn();
    IS_ON.set(false);
}

/// What each service holds.
fn held(world: &World) -> String {
    let held =
        ["http", "rpc", "zmq"].map(|name| format!("{:?}", world.context().service_ledger(name)));
    format!("{}, all {} bytes", held.join(", "), world.context().ledger.held_bytes())
}

#[test]
fn small_requests_are_answered_beside_hogs_and_memory_comes_back() {
    sweep::say_only_own_panics();
    let seconds = std::env::var("HOG_SECONDS").map_or(8, |text| text.parse().expect("a number"));
    let world = World::with_flows(&config::Config::default(), CAPACITY_BYTES);
    let talk = |one| world.converse(one, &counted).expect("an end");
    let expected: Vec<_> = CONVERSATIONS.iter().map(talk).collect();
    assert!(expected.iter().all(Result::is_ok), "{expected:#?}");
    let at_rest = world.rest(&counted);
    let held_at_rest = HELD.get();
    let limit = world.context().ledger.limit_bytes();
    let mut hogs: Vec<_> = (0..OF_EACH * HOGS.len())
        .map(|at| (&HOGS[at % HOGS.len()], HOGS[at % HOGS.len()].start(world.handle())))
        .collect();
    HELD_MOST.set(HELD.get());
    let mut most = 0;
    for second in 0..seconds {
        for _ in 0..20 {
            for (_, push) in &mut hogs {
                push();
                world.run(&counted);
            }
            most = most.max(world.context().ledger.held_bytes());
        }
        for (one, expected) in CONVERSATIONS.iter().zip(&expected) {
            let seen = talk(one);
            assert_eq!(seen, *expected, "{} in second {second}: {}", one.name, held(&world));
        }
        world.second(&counted);
    }
    println!(
        "held at most {} of {limit} by the ledger, {} by the allocator",
        most,
        HELD_MOST.get()
    );
    assert!(most > limit / 4, "the hogs are no hogs: {most} bytes");
    assert!(most <= limit, "{most} bytes are held, {limit} may be");
    let really = usize::try_from(HELD_MOST.get() - held_at_rest).unwrap_or_default();
    assert!(really < MEMORY_BYTES / 4 * 3, "{really} bytes are really held");
    drop(hogs);
    assert_eq!(world.rest(&counted), at_rest);
    let left = HELD.get() - held_at_rest;
    assert!(left < (MEMORY_BYTES / 100) as isize, "{left} bytes are left");
}
