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
