//! Real-time clock: the CMOS clock (MC146818), which is taken as UTC.

use super::port;

/// Seconds since 1970; 0 if there is no clock, or one that shows no time.
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
    last.seconds().unwrap_or(0)
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
    century: u8,
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
            // Where firmware and hypervisors keep it by custom; 0 or anything else where they do not.
            century: read(0x32),
            format: read(0x0b),
        }
    }

    /// None if that is no time: without a clock all registers read as ones.
    fn seconds(&self) -> Option<u64> {
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
        let century = match value(self.century) {
            century @ 19..=21 => century,
            _ => 20,
        };
        let (month, day) = (value(self.month), value(self.day));
        let (year, minute, second) = (value(self.year), value(self.minute), value(self.second));
        let is_time = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && year < 100
            && hour < 24
            && minute < 60
            && second <= 60;
        if !is_time {
            return None;
        }
        let days = Date { year: century * 100 + year, month, day }.days_since_1970()?;
        Some(days * 86_400 + hour * 3600 + minute * 60 + second)
    }
}

/// A day of the proleptic Gregorian calendar.
struct Date {
    year: u64,
    month: u64,
    day: u64,
}

impl Date {
    /// None before 1970.
    fn days_since_1970(&self) -> Option<u64> {
        // Counted from 1 March, so that leap days come last in their year.
        let year = self.year - u64::from(self.month <= 2);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)
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
            let date = Date { year, month, day };
            assert_eq!(date.days_since_1970(), Some(days), "{year}-{month}-{day}");
        }
        assert_eq!(Date { year: 1969, month: 12, day: 31 }.days_since_1970(), None);
    }

    #[test]
    fn every_format_of_the_clock_is_understood() {
        const DAY: u64 = 20_777 * 86_400;
        let shows = |format, hour, others: [u8; 5]| {
            let [second, minute, day, month, year] = others;
            let century = if format & 4 == 0 { 0x20 } else { 20 };
            let shown = Registers { second, minute, hour, day, month, year, century, format };
            shown.seconds().unwrap() - DAY
        };
        let (decimal, binary) = ([0x59, 0x30, 0x20, 0x11, 0x26], [59, 30, 20, 11, 26]);
        assert_eq!(shows(2, 0x23, decimal), 23 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(6, 23, binary), 23 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(0, 0x91, decimal), 23 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(4, 0x80 | 12, binary), 12 * 3600 + 30 * 60 + 59);
        assert_eq!(shows(0, 0x12, decimal), 30 * 60 + 59);
    }

    /// A decimal clock of 24 hours at midnight.
    fn shows(century: u8, year: u8, month: u8, day: u8) -> Registers {
        Registers { second: 0, minute: 0, hour: 0, day, month, year, century, format: 2 }
    }

    #[test]
    fn the_century_counts_where_it_is_kept() {
        const DAY: u64 = 86_400;
        assert_eq!(shows(0x19, 0x70, 1, 1).seconds(), Some(0));
        assert_eq!(shows(0x19, 0x99, 0x12, 0x31).seconds(), Some(10_956 * DAY));
        assert_eq!(shows(0x20, 0x26, 0x11, 0x20).seconds(), Some(20_777 * DAY));
        for elsewhere in [0, 0x99, 0xff, 0x18, 0x22] {
            assert_eq!(shows(elsewhere, 0x26, 0x11, 0x20).seconds(), Some(20_777 * DAY));
        }
    }

    #[test]
    fn what_shows_no_time_is_no_clock() {
        let ones = Registers {
            second: 0xff,
            minute: 0xff,
            hour: 0xff,
            day: 0xff,
            month: 0xff,
            year: 0xff,
            century: 0xff,
            format: 0xff,
        };
        assert_eq!(ones.seconds(), None);
        assert_eq!(shows(0x20, 0, 0, 1).seconds(), None);
        assert_eq!(shows(0x20, 0, 0x13, 1).seconds(), None);
        assert_eq!(shows(0x20, 0, 1, 0).seconds(), None);
        assert_eq!(shows(0x20, 0, 1, 0x32).seconds(), None);
        assert_eq!(shows(0x20, 0xa0, 1, 1).seconds(), None);
        assert_eq!(shows(0x19, 0x69, 0x12, 0x31).seconds(), None);
        let wrong = |hour, minute, second| {
            Registers { hour, minute, second, ..shows(0x20, 0x26, 1, 1) }.seconds()
        };
        assert!(wrong(0x23, 0x59, 0x59).is_some());
        assert_eq!((wrong(0x24, 0, 0), wrong(0, 0x60, 0), wrong(0, 0, 0x61)), (None, None, None));
    }
}
