//! The appliance as a bootable image.
#![no_std]
#![no_main]

extern crate alloc;

machine::entry!(main);

fn main() -> ! {
    machine::console::write("hello from the machine\n");
    let caught = machine::catch_panic(&mut || panic!("one {}", 1));
    machine::console::write(&alloc::format!("{caught:?} at {:?}\n", machine::clock::now()));
    machine::interrupt::wait(Some(machine::clock::now() + core::time::Duration::from_millis(20)));
    machine::console::write(&alloc::format!(
        "now {:?}, wall {:?}, heap {:?}\n",
        machine::clock::now(),
        machine::clock::wall(),
        machine::memory::usage()
    ));
    machine::power::off()
}
