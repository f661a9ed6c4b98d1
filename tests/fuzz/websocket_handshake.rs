//! Any fields of a request, and of a response, to the opening handshake: no panic, and what is agreed is what was offered.

use web::{RequestHead, Status};
use websocket::Deflate;
use websocket::handshake::{ClientOptions, Opening, ServerOptions, accept};

pub(crate) fn target(data: &[u8]) {
    let mut values = data.split(|byte| *byte == b'\n');
    let mut value = || values.next().unwrap_or(&[]);
    let fields = [
        ("Host", value()),
        ("Origin", value()),
        ("Sec-WebSocket-Protocol", value()),
        ("Sec-WebSocket-Extensions", value()),
        ("Sec-WebSocket-Extensions", value()),
        ("Sec-WebSocket-Key", &b"dGhlIHNhbXBsZSBub25jZQ=="[..]),
        ("Sec-WebSocket-Version", b"13"),
        ("Upgrade", b"websocket"),
    ];
    let mut head = RequestHead::new("GET", "/", fields);
    head.parts_mut().expect("nobody else has it").upgrade = true;
    let deflate = Some(Deflate::default());
    let options = ServerOptions { protocols: &["a", "b"], deflate, ..ServerOptions::default() };
    if let Ok((response, agreed)) = accept(&head, &options) {
        assert_eq!(response.status(), Status::SWITCHING_PROTOCOLS);
        assert!(agreed.protocol.is_none_or(|protocol| ["a", "b"].contains(&protocol.as_str())));
        let bits = agreed.deflate.map(|agreed| agreed.own_window_bits);
        assert!(bits.is_none_or(|bits| (8..=15).contains(&bits)));
    }
    let opening = Opening::new(
        *b"the sample nonce",
        ClientOptions { protocols: &["a"], deflate, origin: None },
    );
    let accepted = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let answer = |name: &'static str| {
        let value = match name.to_ascii_lowercase().as_str() {
            "upgrade" => &b"websocket"[..],
            "sec-websocket-accept" => accepted,
            "sec-websocket-protocol" => fields[2].1,
            _ => fields[3].1,
        };
        Some(value).filter(|value| !value.is_empty()).into_iter()
    };
    let _ = opening.check(Status::SWITCHING_PROTOCOLS, answer);
}
