//! Times: instants, days, and times of a day.

use super::{FromSql, Oid, ToSql, exact, expect};
use crate::ValueError;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A `timestamp` or a `timestamptz`: microseconds since 2000-01-01 00:00 (UTC, of the latter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A `date`: days since 2000-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// A `time`: microseconds since midnight, up to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// From 1970-01-01 to 2000-01-01.
const EPOCHS_APART_DAYS: i64 = 10_957;

impl Timestamp {
    /// Later than all others.
    pub const INFINITY: Self = Self(i64::MAX);
    /// Earlier than all others.
    pub const NEGATIVE_INFINITY: Self = Self(i64::MIN);

    /// So long after 1970-01-01 00:00 UTC, to the microsecond; none beyond the server's range.
    pub fn from_unix(since_1970: Duration) -> Option<Self> {
        let microseconds = i64::try_from(since_1970.as_micros()).ok()?;
        Some(Self(microseconds - EPOCHS_APART_DAYS * MICROSECONDS_PER_DAY))
    }

    /// How long after 1970-01-01 00:00 UTC; none before, and at infinity.
    pub fn to_unix(self) -> Option<Duration> {
        if self == Self::INFINITY {
            return None;
        }
        let microseconds = self.0.checked_add(EPOCHS_APART_DAYS * MICROSECONDS_PER_DAY)?;
        u64::try_from(microseconds).ok().map(Duration::from_micros)
    }
}

impl Date {
    /// Later than all others.
    pub const INFINITY: Self = Self(i32::MAX);
    /// Earlier than all others.
    pub const NEGATIVE_INFINITY: Self = Self(i32::MIN);
}

impl fmt::Display for Timestamp {
    /// As the server writes a `timestamp` in ISO style.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INFINITY => return f.write_str("infinity"),
            Self::NEGATIVE_INFINITY => return f.write_str("-infinity"),
            Self(_) => {}
        }
        let days = self.0.div_euclid(MICROSECONDS_PER_DAY);
        let time = Time(self.0.rem_euclid(MICROSECONDS_PER_DAY));
        write_day(f, days, format_args!(" {time}"))
    }
}

impl fmt::Display for Date {
    /// As the server writes it in ISO style.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INFINITY => f.write_str("infinity"),
            Self::NEGATIVE_INFINITY => f.write_str("-infinity"),
            Self(days) => write_day(f, days.into(), format_args!("")),
        }
    }
}

impl fmt::Display for Time {
    /// As the server writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, fraction) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if fraction == 0 {
            return Ok(());
        }
        let (mut shown, mut width) = (fraction, 6);
        while shown % 10 == 0 {
            (shown, width) = (shown / 10, width - 1);
        }
        write!(f, ".{shown:0width$}")
    }
}

/// A day since 2000-01-01 by the Gregorian calendar, with what follows; before the year 1 with `BC` at the end.
fn write_day(f: &mut fmt::Formatter<'_>, days: i64, rest: fmt::Arguments<'_>) -> fmt::Result {
    const DAYS_PER_ERA: i64 = 146_097;
    /// From 0000-03-01, where a leap day is the last of its year, to 2000-01-01.
    const MARCH_OF_YEAR_0_DAYS: i64 = 730_425;
    let days = days + MARCH_OF_YEAR_0_DAYS;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    if year > 0 {
        write!(f, "{year:04}-{month:02}-{day:02}{rest}")
    } else {
        write!(f, "{:04}-{month:02}-{day:02}{rest} BC", 1 - year)
    }
}

impl ToSql for Timestamp {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, Self::accepts(oid))?;
        bytes.extend(self.0.to_be_bytes());
        Ok(())
    }
}

impl FromSql<'_> for Timestamp {
    fn accepts(oid: Oid) -> bool {
        matches!(oid, Oid::TIMESTAMP | Oid::TIMESTAMPTZ)
    }

    fn from_bytes(_: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        exact(bytes).map(i64::from_be_bytes).map(Self)
    }
}

impl ToSql for Date {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, Self::accepts(oid))?;
        bytes.extend(self.0.to_be_bytes());
        Ok(())
    }
}

impl FromSql<'_> for Date {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::DATE
    }

    fn from_bytes(_: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        exact(bytes).map(i32::from_be_bytes).map(Self)
    }
}

impl ToSql for Time {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        expect(oid, Self::accepts(oid))?;
        bytes.extend(self.0.to_be_bytes());
        Ok(())
    }
}

impl FromSql<'_> for Time {
    fn accepts(oid: Oid) -> bool {
        oid == Oid::TIME
    }

    fn from_bytes(_: Oid, bytes: &[u8]) -> Result<Self, ValueError> {
        let microseconds = i64::from_be_bytes(exact(bytes)?);
        if (0..=MICROSECONDS_PER_DAY).contains(&microseconds) {
            Ok(Self(microseconds))
        } else {
            Err(ValueError::Range)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn days_have_the_names_of_the_gregorian_calendar() {
        for (days, text) in [
            (0, "2000-01-01"),
            (-1, "1999-12-31"),
            (59, "2000-02-29"),
            (60, "2000-03-01"),
            (366, "2001-01-01"),
            (36_525 + 59, "2100-03-01"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (-730_426, "0001-02-29 BC"),
            (-2_451_507, "4713-01-01 BC"),
            (2_921_939, "9999-12-31"),
            (2_921_940, "10000-01-01"),
        ] {
            assert_eq!(Date(days).to_string(), text);
        }
        assert_eq!(Date(i32::MAX).to_string(), "infinity");
        assert_eq!(Timestamp(i64::MIN).to_string(), "-infinity");
        // The extremes of either type have no other text than some.
        assert!(Date(i32::MIN + 1).to_string().ends_with("BC"));
        assert!(Timestamp(i64::MAX - 1).to_string().len() > 20);
    }

    #[test]
    fn times_show_the_fraction_that_they_have() {
        assert_eq!(Timestamp(-1).to_string(), "1999-12-31 23:59:59.999999");
        assert_eq!(Timestamp(1_500_000).to_string(), "2000-01-01 00:00:01.5");
        assert_eq!(Time(86_400_000_000).to_string(), "24:00:00");
        assert_eq!(
            Time::from_bytes(Oid::TIME, &86_400_000_001_i64.to_be_bytes()),
            Err(ValueError::Range)
        );
        assert!(Time::from_bytes(Oid::TIME, &(-1_i64).to_be_bytes()).is_err());
    }

    #[test]
    fn the_two_epochs_are_thirty_years_apart() {
        let epoch = Duration::from_secs(946_684_800);
        assert_eq!(Timestamp::from_unix(epoch), Some(Timestamp(0)));
        assert_eq!(Timestamp(0).to_unix(), Some(epoch));
        let instant = epoch + Duration::from_micros(7);
        assert_eq!(Timestamp::from_unix(instant).unwrap().to_unix(), Some(instant));
        assert_eq!(Timestamp(-946_684_800_000_001).to_unix(), None);
        assert_eq!(
            (Timestamp::INFINITY.to_unix(), Timestamp::NEGATIVE_INFINITY.to_unix()),
            (None, None)
        );
        assert_eq!(Timestamp::from_unix(Duration::MAX), None);
    }
}
