//! Hogs: peers of all protocols that ask for much and take nothing, on a small machine.

use command::failure::{OrSay, Result, fail};
use lab::{
    guest::Guest,
    harness::{GUEST_ADDRESS, Harness, Setup, curl},
    http_client,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use sweep::Speech;

/// For an answer of a guest that is busy with hogs, under software emulation.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How long a hog waits for room before it looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(100);
/// Rounds of small requests beside the hogs, a second apart; and in the long form.
const ROUNDS: usize = 6;
const LONG_ROUNDS: usize = 60;

/// Small requests are answered on all protocols meanwhile, and when the hogs have left, the heap is as it was, within one
/// percent.
pub(super) fn beside_small_requests(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("[rpc]\nport = 7000\n", &[])?;
    let rounds = harness.usual_or_long(ROUNDS, LONG_ROUNDS);
    let setup = Setup { memory_mib: 64, bundle: Some(bundle), ..Setup::trial() };
    let guest = harness.boot(&setup)?;
    small_requests(&guest)?;
    let (before, total) = heap(&guest)?;
    let speeches = sweep::speeches();
    let (ends, said) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    let outcome = thread::scope(|scope| {
        for (speech, said) in speeches.iter().zip(&said) {
            scope.spawn(|| hog(speech, said, &ends));
        }
        let outcome = (0..rounds).try_for_each(|_| {
            thread::sleep(Duration::from_secs(1));
            small_requests(&guest)
        });
        ends.store(true, Ordering::Relaxed);
        outcome
    });
    outcome?;
    for (speech, said) in speeches.iter().zip(&said) {
        let said = said.load(Ordering::Relaxed);
        if said < 2_000_000 {
            fail!("{}'s hog is none: it said {said} bytes", speech.name);
        }
    }
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        let (after, _) = heap(&guest)?;
        if after <= before + total / 100 {
            return Ok(());
        }
        if Instant::now() > deadline {
            fail!("{after} of {total} bytes are used, {before} were; {}", guest.tail());
        }
        thread::sleep(LOOK);
    }
}

/// Says all that it can and takes nothing, on a new connection when it is cut off.
fn hog(speech: &Speech, said: &AtomicUsize, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Ok(mut stream) = connect(speech.port) else { continue };
        let _ = stream.set_write_timeout(Some(LOOK));
        let mut at = 0_usize;
        while !ends.load(Ordering::Relaxed) {
            let rest = match at.checked_sub(speech.first.len()) {
                None => &speech.first[at..],
                // It has said all, and stays.
                Some(_) if speech.again.is_empty() => {
                    thread::sleep(LOOK);
                    continue;
                }
                Some(over) => &speech.again[over % speech.again.len()..],
            };
            match stream.write(rest) {
                Ok(count) => {
                    at += count;
                    said.fetch_add(count, Ordering::Relaxed);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
    }
}

/// A page, an object, and a word that is sent back.
fn small_requests(guest: &Guest) -> Result {
    let status = http_client::get(GUEST_ADDRESS, "/_test/memory", ANSWER_LIMIT);
    let status = status.map(|answer| answer.status);
    if status != Some(200) {
        fail!("http answers {status:?}; the last lines:\n{}", guest.tail());
    }
    for Speech { name, port, first, .. } in sweep::small_requests() {
        // A vat's first answer is longer than that, and a ZMTP peer's greeting and READY are shorter.
        let least = if name == "zmq" { 64 + 40 } else { 40 };
        let answered = connect(port).and_then(|mut stream| {
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            stream.write_all(&first)?;
            stream.read_exact(&mut vec![0; least])
        });
        answered.or_say(|| format!("{name} does not answer; the last lines:\n{}", guest.tail()))?;
    }
    Ok(())
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(GUEST_ADDRESS.ip(), port), ANSWER_LIMIT)
}

/// Bytes of the heap that are used, and all.
fn heap(guest: &Guest) -> Result<(usize, usize)> {
    let text = curl(&[&format!("http://{GUEST_ADDRESS}/_test/memory")])?;
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(used), Some(total)) => Ok((used, total)),
        _ => fail!("the gauge says {text:?}; the last lines:\n{}", guest.tail()),
    }
}
