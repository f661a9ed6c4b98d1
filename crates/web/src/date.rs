//! HTTP dates (RFC 9110 section 5.6.7).

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
/// First second of the year 10000, which no HTTP date can name.
const SECONDS_END: u64 = 253_402_300_800;

/// A date in the preferred format: `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The date of a time in seconds since 1970-01-01T00:00:00Z; the last second of the year
    /// 9999 for anything later.
    pub fn from_unix_seconds(seconds: u64) -> HttpDate {
        let seconds = seconds.min(SECONDS_END - 1);
        let days = seconds / 86_400;
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        copy_name(&mut text, 0, DAYS, (days % 7) as usize);
        put_two(&mut text, 5, day);
        copy_name(&mut text, 8, MONTHS, month as usize - 1);
        put_two(&mut text, 12, year / 100);
        put_two(&mut text, 14, year % 100);
        put_two(&mut text, 17, seconds / 3_600 % 24);
        put_two(&mut text, 20, seconds / 60 % 60);
        put_two(&mut text, 23, seconds % 60);
        HttpDate(text)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8; 29] {
        &self.0
    }
}

/// Writes a time since 1970-01-01T00:00:00Z as RFC 3339 has it, with microseconds: `1994-11-06T08:49:37.000000Z`; the last second
/// of the year 9999 for anything later.
pub fn write_rfc3339(text: &mut String, time: Duration) {
    let seconds = time.as_secs().min(SECONDS_END - 1);
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = time.subsec_micros();
    // A string takes all there is.
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
    );
}

/// Remembers the text of the current second, which thousands of responses share.
#[derive(Clone, Debug, Default)]
pub struct DateCache(Option<(u64, HttpDate)>);

impl DateCache {
    /// The date of this second.
    pub fn at(&mut self, unix_seconds: u64) -> &HttpDate {
        match self.0 {
            Some((second, _)) if second == unix_seconds => {}
            _ => self.0 = None,
        }
        &self.0.get_or_insert_with(|| (unix_seconds, HttpDate::from_unix_seconds(unix_seconds))).1
    }
}

/// Seconds since 1970-01-01T00:00:00Z of a date in any of the three formats; `None` if it is none of
/// them or before 1970. `now` decides the century of the two-digit year of the second format.
pub fn parse(text: &[u8], now_unix_seconds: u64) -> Option<u64> {
    match text.iter().position(|&byte| byte == b',') {
        Some(3) => parse_imf(text),
        Some(_) => parse_rfc850(text, now_unix_seconds),
        None => parse_asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn parse_imf(text: &[u8]) -> Option<u64> {
    let text: &[u8; 29] = text.try_into().ok()?;
    let [
        _,
        _,
        _,
        b',',
        b' ',
        d1,
        d2,
        b' ',
        m1,
        m2,
        m3,
        b' ',
        y1,
        y2,
        y3,
        y4,
        b' ',
        clock @ ..,
        b' ',
        b'G',
        b'M',
        b'T',
    ] = text
    else {
        return None;
    };
    is_day_name(text.get(..3)?).then_some(())?;
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    seconds(year, month([*m1, *m2, *m3])?, two(*d1, *d2)?, clock)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn parse_rfc850(text: &[u8], now: u64) -> Option<u64> {
    let comma = text.iter().position(|&byte| byte == b',')?;
    let (day_name, rest) = text.split_at(comma);
    is_long_day_name(day_name).then_some(())?;
    let rest: &[u8; 24] = rest.try_into().ok()?;
    let [
        b',',
        b' ',
        d1,
        d2,
        b'-',
        m1,
        m2,
        m3,
        b'-',
        y1,
        y2,
        b' ',
        clock @ ..,
        b' ',
        b'G',
        b'M',
        b'T',
    ] = rest
    else {
        return None;
    };
    let this_year = civil_from_days(now.min(SECONDS_END - 1) / 86_400).0;
    let mut year = this_year / 100 * 100 + two(*y1, *y2)?;
    // RFC 9110 section 5.6.7: more than 50 years in the future means the past.
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month([*m1, *m2, *m3])?, two(*d1, *d2)?, clock)
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(text: &[u8]) -> Option<u64> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let [_, _, _, b' ', m1, m2, m3, b' ', d1, d2, b' ', clock @ .., b' ', y1, y2, y3, y4] = text
    else {
        return None;
    };
    is_day_name(text.get(..3)?).then_some(())?;
    let d1 = if *d1 == b' ' { b'0' } else { *d1 };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    seconds(year, month([*m1, *m2, *m3])?, two(d1, *d2)?, clock)
}

fn seconds(year: u64, month: u64, day: u64, clock: &[u8]) -> Option<u64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let (hour, minute, second) = (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?);
    // A leap second is the next second; no calendar here knows which ones were.
    if hour > 23 || minute > 59 || second > 60 || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn is_day_name(name: &[u8]) -> bool {
    DAYS.chunks(3).any(|day| day == name)
}

fn is_long_day_name(name: &[u8]) -> bool {
    matches!(
        name,
        b"Monday" | b"Tuesday" | b"Wednesday" | b"Thursday" | b"Friday" | b"Saturday" | b"Sunday"
    )
}

fn month(name: [u8; 3]) -> Option<u64> {
    MONTHS.chunks(3).position(|month| month == name).map(|index| index as u64 + 1)
}

fn two(tens: u8, ones: u8) -> Option<u64> {
    let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    digits.then(|| u64::from(tens - b'0') * 10 + u64::from(ones - b'0'))
}

fn put_two(text: &mut [u8; 29], at: usize, number: u64) {
    if let Some([tens, ones]) = text.get_mut(at..at + 2) {
        *tens = b'0' + (number / 10 % 10) as u8;
        *ones = b'0' + (number % 10) as u8;
    }
}

fn copy_name(text: &mut [u8; 29], at: usize, names: &[u8], index: usize) {
    if let (Some(place), Some(name)) =
        (text.get_mut(at..at + 3), names.get(index * 3..index * 3 + 3))
    {
        place.copy_from_slice(name);
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a number of days since 1970-01-01. Counts in years that begin in
/// March, so that the leap day is a year's last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`]; `None` before 1970.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn rfc3339_5_8_a_time_has_its_date_and_its_parts_of_seconds() {
        let written = |time| {
            let mut text = String::new();
            write_rfc3339(&mut text, time);
            text
        };
        assert_eq!(written(Duration::ZERO), "1970-01-01T00:00:00.000000Z");
        let time = Duration::from_secs(784_111_777) + Duration::from_nanos(12_345_999);
        assert_eq!(written(time), "1994-11-06T08:49:37.012345Z");
        assert_eq!(written(Duration::from_secs(u64::MAX)), "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn rfc9110_5_6_7_three_formats_name_the_same_second() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(784_111_777), "{text}");
        }
        assert_eq!(
            HttpDate::from_unix_seconds(784_111_777).as_bytes(),
            b"Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }

    #[test]
    fn two_digit_years_are_at_most_50_years_ahead() {
        let year = |seconds: u64| civil_from_days(seconds / 86_400).0;
        assert_eq!(parse(b"Sunday, 06-Nov-73 08:49:37 GMT", NOW).map(year), Some(2073));
        assert_eq!(parse(b"Sunday, 06-Nov-74 08:49:37 GMT", NOW).map(year), Some(1974));
    }

    #[test]
    fn every_day_of_four_centuries_and_the_last_second_come_back() {
        for day in (0..SECONDS_END / 86_400).step_by(13).chain([SECONDS_END / 86_400 - 1]) {
            let second = day * 86_400 + day % 86_400;
            let text = HttpDate::from_unix_seconds(second);
            assert_eq!(
                parse(text.as_bytes(), NOW),
                Some(second),
                "{}",
                text.as_bytes().escape_ascii()
            );
        }
        assert_eq!(
            HttpDate::from_unix_seconds(u64::MAX).as_bytes(),
            b"Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            ",",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37",
            "Sun Nov 06  08:49:37 1994x",
            "Sun, 06 Nov 0000 00:00:00 GMT",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
        }
    }

    #[test]
    fn the_cache_follows_the_second() {
        let mut cache = DateCache::default();
        for second in [0, 0, 1, 784_111_777, 1] {
            assert_eq!(*cache.at(second), HttpDate::from_unix_seconds(second));
        }
    }
}
