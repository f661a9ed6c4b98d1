//! Profiler: the machine's samples, with the names that the image has.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use aqueduct::platform::{Profiling, SampledStack};
use aqueduct::profile::Stacks;
use core::task::Poll;
use machine::profile::{self, Sampling};
use machine::symbols::Location;

/// Begins, if the machine can.
pub(crate) fn start(hertz: u32) -> Option<Box<dyn Profiling>> {
    let sampling = Some(profile::start(hertz)?);
    Some(Box::new(Profiler { sampling, stacks: Stacks::default() }))
}

struct Profiler {
    sampling: Option<Sampling>,
    stacks: Stacks,
}

impl Profiling for Profiler {
    fn collect(&mut self) {
        let Self { sampling, stacks } = self;
        if let Some(sampling) = sampling {
            let lost = sampling.take(&mut |addresses| stacks.add(addresses));
            stacks.lose(lost);
        }
    }

    fn poll_stack(&mut self) -> Poll<Option<SampledStack>> {
        self.collect();
        self.sampling = None;
        self.stacks.poll_pop(name)
    }
}

/// The function that an address is in; the address where that is not known.
fn name(address: u64, is_return: bool) -> String {
    let location = if is_return { Location::of_return(address) } else { Location::of(address) };
    location.name().map_or_else(|| alloc::format!("{address:#x}"), |name| name.to_string())
}
