//! HVM parameters: by them the toolstack tells a guest where its things are
//! (Xen, public/hvm/params.h).

use super::hypercall::{self, DOMID_SELF, Errno};

/// A parameter's number.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Parameter {
    /// How event channels interrupt; 0: not at all.
    CallbackIrq = 0,
    /// The page number of xenstore's ring.
    StorePage = 1,
    /// The event channel of xenstore's ring.
    StorePort = 2,
    /// The page number of the console's ring.
    ConsolePage = 17,
    /// The event channel of the console's ring.
    ConsolePort = 18,
}

/// `xen_hvm_param`.
#[repr(C)]
struct Argument {
    domain: u16,
    _pad: u16,
    index: u32,
    value: u64,
}

/// Reads a parameter; `None` where it is refused, zero or all ones, which both mean "not there".
pub(crate) fn get(parameter: Parameter) -> Option<u64> {
    let mut argument = Argument { domain: DOMID_SELF, _pad: 0, index: parameter as u32, value: 0 };
    // SAFETY: HVMOP_get_param reads and writes this structure.
    unsafe { hypercall::hvm_op(hypercall::HVMOP_GET_PARAM, (&raw mut argument).cast()) }.ok()?;
    given(argument.value)
}

fn given(value: u64) -> Option<u64> {
    (value != 0 && value != u64::MAX).then_some(value)
}

/// Writes a parameter.
pub(crate) fn set(parameter: Parameter, value: u64) -> Result<(), Errno> {
    let mut argument = Argument { domain: DOMID_SELF, _pad: 0, index: parameter as u32, value };
    // SAFETY: HVMOP_set_param reads this structure; callers write what the parameter takes.
    unsafe { hypercall::hvm_op(hypercall::HVMOP_SET_PARAM, (&raw mut argument).cast()) }.map(drop)
}

/// The page of a parameter, if it is one that the guest may use: below 4 GiB, where all that is
/// not RAM is mapped uncached and all that is, is not the toolstack's to give.
pub(crate) fn get_page(parameter: Parameter) -> Option<u64> {
    page_address(get(parameter)?)
}

fn page_address(page: u64) -> Option<u64> {
    (page < 1 << 20).then_some(page << 12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::Transmitter;
    use crate::hypervisor::xen::console::CONSOLE;
    use crate::hypervisor::xen::event;
    use crate::hypervisor::xen::store_ring::StoreRing;
    use crate::memory::dma::host;

    /// public/hvm/params.h: xenstore has parameters 1 and 2, the console 17 and 18. HVMOP_get_param is 1, of hvm_op (34).
    #[test]
    fn the_rings_of_the_console_and_of_xenstore_are_where_the_toolstack_says() {
        const DOMID_SELF: u16 = 0x7ff0;
        let _alone = event::restoring();
        let [console, store] = [host::low(4096), host::low(4096)];
        let [console_page, store_page] =
            [&*console, &*store].map(|page| page.as_ptr() as u64 >> 12);
        hypercall::fake::answer_by(move |[number, command, argument, _]| {
            if number != 34 {
                return Ok(0);
            }
            // SAFETY: the command's argument is this structure.
            let argument = unsafe { &mut *(argument as *mut Argument) };
            assert_eq!((command, argument.domain), (1, DOMID_SELF));
            argument.value = match argument.index {
                1 => store_page,
                2 => 4001,
                17 => console_page,
                18 => 4002,
                other => return Err(Errno(other)),
            };
            Ok(0)
        });
        CONSOLE.start();
        assert_eq!(CONSOLE.send(&mut b"text".iter().copied()), 4);
        assert_eq!(console[1024..1028], *b"text");
        let ring = StoreRing::find().expect("a ring");
        assert_eq!(ring.send(&mut b"asked".to_vec()), Ok(true));
        assert_eq!(store[..5], *b"asked");
        hypercall::fake::answer_by(|_| Err(Errno(38)));
        CONSOLE.start();
        assert_eq!(CONSOLE.send(&mut b"text".iter().copied()), 0);
        assert!(StoreRing::find().is_none());
    }

    #[test]
    fn what_the_toolstack_left_out_is_not_there() {
        let values = [0, 1, u64::MAX - 1, u64::MAX].map(given);
        assert_eq!(values, [None, Some(1), Some(u64::MAX - 1), None]);
        let pages = [1, 0xf_ffff, 0x10_0000, u64::MAX >> 12].map(page_address);
        assert_eq!(pages, [Some(0x1000), Some(0xffff_f000), None, None]);
        assert_eq!((get(Parameter::StorePort), get_page(Parameter::StorePage)), (None, None));
        assert_eq!(set(Parameter::CallbackIrq, 0), Err(Errno(38)), "there is no Xen");
    }
}
