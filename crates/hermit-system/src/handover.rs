//! Handover: what the loader says to the application, in the words after `--` of the kernel's command line.
//!
//! Hermit's boot information has no place for a boot module, and its kernel does not look at the power button. So both go
//! by the first word; the second is the command line as the hypervisor gave it.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

/// What the application is to know of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Where the boot module is; empty where there is none.
    pub module: Range<u64>,
    /// Bytes of memory that the kernel was given.
    pub memory_bytes: u64,
    /// Where the power button is, and how to switch off.
    pub power: Power,
}

/// Power management by ports (ACPI 6.5, section 4.8.3); a port is 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// The status register that shows the press of the button, which is enabled.
    pub status_port: u16,
    /// The control register that switches off.
    pub off_port: u16,
    /// What is to be written there.
    pub off_value: u16,
}

impl Handover {
    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(word: &str) -> Option<Self> {
        let mut numbers = word.split(',').map(|number| u64::from_str_radix(number, 16).ok());
        let mut next = || numbers.next().flatten();
        let (module, memory_bytes) = (next()?..next()?, next()?);
        let mut port = || u16::try_from(next()?).ok();
        let power = Power { status_port: port()?, off_port: port()?, off_value: port()? };
        let handover = Self { module, memory_bytes, power };
        numbers.next().is_none().then_some(handover)
    }

    /// The kernel's command line, for this and the application's own: the kernel takes it apart as a shell does.
    pub fn kernel_words(&self, command_line: &str) -> String {
        format!("-- {self} {}", quoted(command_line))
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { module, memory_bytes, power } = self;
        let Power { status_port, off_port, off_value } = power;
        write!(f, "{:x},{:x},{memory_bytes:x},", module.start, module.end)?;
        write!(f, "{status_port:x},{off_port:x},{off_value:x}")
    }
}

/// As one word of a shell: between single quotes, which end for each of the text's own.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDOVER: Handover = Handover {
        module: 0x20_0000..0x20_1234,
        memory_bytes: 0x1000_0000,
        power: Power { status_port: 0x600, off_port: 0x604, off_value: 0x2000 },
    };

    #[test]
    fn what_is_said_is_read() {
        let word = format!("{HANDOVER}");
        assert_eq!(Handover::parse(&word), Some(HANDOVER));
        for end in 0..word.rfind(',').unwrap() {
            assert_eq!(Handover::parse(&word[..end]), None, "cut at {end}");
        }
        assert_eq!(Handover::parse(&format!("{word},0")), None);
        assert_eq!(Handover::parse("0,0,0,0,0,10000"), None, "no register has this value");
    }

    #[test]
    fn the_command_line_is_one_word_whatever_is_in_it() {
        let words = HANDOVER.kernel_words("ip=dhcp it's \"$x");
        assert_eq!(words, r#"-- 200000,201234,10000000,600,604,2000 'ip=dhcp it'\''s "$x'"#);
    }
}
