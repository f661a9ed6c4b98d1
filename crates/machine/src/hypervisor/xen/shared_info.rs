//! Shared info: the page that Xen shares with a domain: events that are pending, and the time
//! (Xen, public/xen.h, `struct shared_info` of x86-64).

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// Words of the bit maps of event channels.
pub(crate) const PORT_WORDS: usize = 64;

/// The page, as far as one virtual CPU needs it.
#[repr(C, align(4096))]
pub(crate) struct SharedInfo {
    _upcall: [u64; 4],
    /// The clock of this CPU.
    pub(crate) time: VcpuTime,
    _other_cpus: [[u64; 8]; 31],
    /// Bit N: event channel N has had an event.
    pub(crate) pending: [AtomicU64; PORT_WORDS],
    /// Bit N: event channel N must not interrupt, which none may: see [`super::event`].
    pub(crate) mask: [AtomicU64; PORT_WORDS],
    /// The time of day at system time 0.
    pub(crate) wall: WallClock,
    _rest: [u64; 126],
}

/// `vcpu_time_info`: system time as a line through a point.
#[repr(C)]
pub(crate) struct VcpuTime {
    /// Odd while Xen changes the rest.
    pub(crate) version: AtomicU32,
    _pad: u32,
    /// The time stamp counter at the point.
    pub(crate) ticks: AtomicU64,
    /// Nanoseconds at the point.
    pub(crate) nanos: AtomicU64,
    /// Nanoseconds per shifted tick, times 2^32.
    pub(crate) multiplier: AtomicU32,
    /// By how much ticks are shifted left; right if negative.
    pub(crate) shift: AtomicU8,
    _flags: [u8; 3],
}

/// The wall clock.
#[repr(C)]
pub(crate) struct WallClock {
    /// Odd while Xen changes the rest.
    pub(crate) version: AtomicU32,
    /// Seconds since 1970, the low part.
    pub(crate) seconds: AtomicU32,
    /// Nanoseconds in the second.
    pub(crate) nanos: AtomicU32,
    /// Seconds since 1970, the high part.
    pub(crate) seconds_high: AtomicU32,
}

const _: () = {
    assert!(size_of::<SharedInfo>() == 4096);
    assert!(core::mem::offset_of!(SharedInfo, time) == 32);
    assert!(core::mem::offset_of!(SharedInfo, pending) == 2048);
    assert!(core::mem::offset_of!(SharedInfo, wall) == 3072);
};

/// All of it is zero until Xen's page takes its place: no events, and no time.
pub(crate) static SHARED: SharedInfo = SharedInfo {
    _upcall: [0; 4],
    time: VcpuTime {
        version: AtomicU32::new(0),
        _pad: 0,
        ticks: AtomicU64::new(0),
        nanos: AtomicU64::new(0),
        multiplier: AtomicU32::new(0),
        shift: AtomicU8::new(0),
        _flags: [0; 3],
    },
    _other_cpus: [[0; 8]; 31],
    pending: [const { AtomicU64::new(0) }; PORT_WORDS],
    mask: [const { AtomicU64::new(0) }; PORT_WORDS],
    wall: WallClock {
        version: AtomicU32::new(0),
        seconds: AtomicU32::new(0),
        nanos: AtomicU32::new(0),
        seconds_high: AtomicU32::new(0),
    },
    _rest: [0; 126],
};

/// Puts Xen's page in the place of the static one; in a restored domain, in the place of what was saved of it.
pub(super) fn start() {
    const SHARED_INFO: u32 = 0;
    let page = (&raw const SHARED) as u64;
    // SAFETY: the page is static, and all its fields are atomic or never read.
    let mapped = unsafe { super::hypercall::add_to_physmap(SHARED_INFO, 0, page) };
    mapped.expect("Xen's shared page");
    for word in &SHARED.mask {
        word.store(u64::MAX, core::sync::atomic::Ordering::Relaxed);
    }
}
