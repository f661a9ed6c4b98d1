//! The guest's clocks against ours.

use command::failure::{Failure, OrSay, Result, fail};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, contains, curl},
    qemu::Machine,
};
use std::time::{Duration, Instant, SystemTime};

const SPAN: Duration = Duration::from_secs(2);
/// Of a hundred, how much the monotonic clock may be off.
const ERROR_PERCENT: u128 = 1;
/// The guest knows whole seconds, and a busy machine boots slowly.
const WALL_ERROR: Duration = Duration::from_secs(10);

pub(super) fn microvm(harness: &mut Harness) -> Result {
    keeps_time(harness, Machine::Microvm)
}

pub(super) fn q35(harness: &mut Harness) -> Result {
    keeps_time(harness, Machine::Q35)
}

/// RFC 9110 section 6.6.1: without a clock, or with one whose battery is empty, answers have no date.
pub(super) fn no_date(harness: &mut Harness) -> Result {
    for more in [["-machine", "rtc=off"], ["-rtc", "base=1970-01-01"], ["-rtc", "base=1999-12-31"]]
    {
        let more = more.map(Into::into).into();
        let bundle = harness.bundle("[tls]\nport = 443\n", &[])?;
        let guest = harness.boot(&Setup { bundle: Some(bundle), more, ..Setup::trial() })?;
        let head = curl(&["-i", &format!("http://{GUEST_ADDRESS}/_test/clock")])?.to_lowercase();
        if !head.starts_with("http/1.1 200") || head.contains("\ndate:") {
            fail!("a machine without a clock answers {head}");
        }
        contains("the log", &guest.serial(), "this machine has no clock")?;
    }
    Ok(())
}

fn keeps_time(harness: &mut Harness, machine: Machine) -> Result {
    let bundle = harness.bundle("", &[])?;
    let _guest = harness.boot(&Setup { machine, bundle: Some(bundle), ..Setup::trial() })?;
    let (first, second) = (Reading::take()?, {
        std::thread::sleep(SPAN);
        Reading::take()?
    });
    let guest = second.now.saturating_sub(first.now);
    // What the questions took, we do not know when the guest looked at its clock.
    let least = second.asked - first.answered;
    let most = second.answered - first.asked;
    let slack =
        |host: Duration| Duration::from_nanos((host.as_nanos() * ERROR_PERCENT / 100) as u64);
    if guest + slack(least) < least || guest > most + slack(most) {
        fail!("{guest:?} passed in the guest while {least:?} to {most:?} passed here");
    }
    let ours = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .or_say(|| "this machine's clock is before 1970".into())?;
    match ours.abs_diff(second.wall) {
        difference if difference > WALL_ERROR => fail!("the guest's date is off by {difference:?}"),
        _ if first.steps_back + second.steps_back > 0 => fail!("the monotonic clock went back"),
        _ => Ok(()),
    }
}

/// The guest's clocks, and when they were asked for.
struct Reading {
    asked: Instant,
    answered: Instant,
    now: Duration,
    wall: Duration,
    steps_back: u64,
}

impl Reading {
    fn take() -> Result<Self> {
        let asked = Instant::now();
        let answer = curl(&[&format!("http://{GUEST_ADDRESS}/_test/clock")])?;
        let answered = Instant::now();
        let words: Vec<&str> = answer.split_whitespace().collect();
        let ["now", now, "wall", wall, "back", back] = words[..] else {
            fail!("the guest's clock says `{answer}`");
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| Failure::new(answer.clone()));
        Ok(Self {
            asked,
            answered,
            now: Duration::from_nanos(number(now)?),
            wall: Duration::from_nanos(number(wall)?),
            steps_back: number(back)?,
        })
    }
}
