//! Real-time clock: the CMOS clock (MC146818), which is taken as UTC.

use super::port;

/// Seconds since 1970.
pub(crate) fn seconds_since_1970() -> u64 {
    const TRIES: usize = 10;
    // Read until it is the same twice: the clock may go on in between.
    let mut last = Registers::read();
    for _ in 0..TRIES {
        let next = Registers::read();
        if next == last {
            break;
        }
        last = next;
    }
    last.seconds()
}

/// What the clock shows, in its own encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registers {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    format: u8,
}

impl Registers {
    fn read() -> Self {
        const STATUS: u8 = 0x0a;
        const UPDATING: u8 = 0x80;
        const TRIES: usize = 10_000;
        let read = |register: u8| {
            // SAFETY: selects a register of the clock; nothing else uses it.
            unsafe { port::write8(0x70, register) }
            // SAFETY: reads the selected register.
            unsafe { port::read8(0x71) }
        };
        let mut tries = 0;
        while read(STATUS) & UPDATING != 0 && tries < TRIES {
            tries += 1;
        }
        Self {
            second: read(0),
            minute: read(2),
            hour: read(4),
            day: read(7),
            month: read(8),
            year: read(9),
            format: read(0x0b),
        }
    }

    fn seconds(&self) -> u64 {
        const BINARY: u8 = 4;
        const HOURS_24: u8 = 2;
        const AFTERNOON: u8 = 0x80;
        let value = |raw: u8| match self.format & BINARY {
            0 => u64::from(raw >> 4) * 10 + u64::from(raw & 15),
            _ => raw.into(),
        };
        let hour = if self.format & HOURS_24 != 0 {
            value(self.hour)
        } else {
            let noon = if self.hour & AFTERNOON == 0 { 0 } else { 12 };
            value(self.hour & !AFTERNOON) % 12 + noon
        };
        let date =
            Date { year: 2000 + value(self.year), month: value(self.month), day: value(self.day) };
        date.days_since_1970() * 86_400 + hour * 3600 + value(self.minute) * 60 + value(self.second)
    }
}

/// A day of the proleptic Gregorian calendar.
struct Date {
    year: u64,
    month: u64,
    day: u64,
}

impl Date {
    /// A clock that was never set may show no date at all: the nearest one counts.
    fn days_since_1970(&self) -> u64 {
        let month = self.month.clamp(1, 12);
        // Counted from 1 March, so that leap days come last in their year.
        let year = self.year - u64::from(month <= 2);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + self.day.max(1) - 1;
        year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_across_leap_years() {
        for (year, month, day, days) in [
            (1970, 1, 1, 0),
            (2000, 2, 29, 11_016),
            (2000, 3, 1, 11_017),
            (2024, 12, 31, 20_088),
            (2026, 11, 20, 20_777),
        ] {
            assert_eq!(Date { year, month, day }.days_since_1970(), days, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn every_format_of_the_clock_is_understood() {
        const DAY: u64 = 20_777 * 86_400;
        let shows = |format, hour, others: [u8; 5]| {
            let [second, minute, day, month, year] = others;
            Registers { second, minute, hour, day, month, year, format }.seconds() - DAY
        };
        let (decimal, binary) = ([0x59, 0x30, 0x20, 0x11, 0x26], [59, 30, 20, 11, 26]);
        assert_eq!(shows(2, 0x23, decimal), 23 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(6, 23, binary), 23 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(0, 0x91, decimal), 23 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(4, 0x80 | 12, binary), 12 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(0, 0x12, decimal), 30 * 60 + 59);
    }

    #[test]
    fn a_clock_that_was_never_set_shows_some_date() {
        let zero =
            Registers { second: 0, minute: 0, hour: 0, day: 0, month: 0, year: 0, format: 2 };
        assert_eq!(zero.seconds(), 946_684_800);
    }
}
