//! Any bytes, in any pieces, to a server: no panic, and the pieces make no difference.

use http_test_server::{Outcome, serve_in_pieces};

pub(crate) fn target(data: &[u8]) {
    let [piece, room, input @ ..] = data else { return };
    // Every head comes to an end, so that a fault in it is found however it arrives.
    let input = [input, b"\r\n\r\n\r\n\r\n"].concat();
    let limits = http::Limits { header_bytes_max: 400, body_bytes_max: 300, ..Default::default() };
    let whole = serve_in_pieces(&input, usize::MAX, usize::MAX, &limits);
    let pieces = serve_in_pieces(&input, usize::from(*piece), usize::from(*room).max(1), &limits);
    assert_eq!(essence(whole), essence(pieces));
}

/// What must not depend on the pieces: all but which of several faults was found first, and whether an answer was
/// made anew or given again.
fn essence(outcome: Outcome) -> (Vec<String>, usize, http::ConnectionState) {
    let plain = |event: String| match event.strip_prefix("again ") {
        Some(again) => again.rsplitn(3, ' ').last().unwrap_or_default().to_owned(),
        None if event.starts_with("failed: ") => "failed".to_owned(),
        None => event,
    };
    let responses = outcome.output.matches("HTTP/1.1 ").count();
    (outcome.events.into_iter().map(plain).collect(), responses, outcome.state)
}
