use super::*;
use std::string::ToString;

const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn request(method: &str, fields: &[(&str, &str)]) -> RequestHead {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    let mut head = RequestHead::new(method, "/chat", fields);
    let names = head.header("connection").is_some_and(|value| {
        value
            .split(|byte| *byte == b',')
            .any(|option| trim(option).eq_ignore_ascii_case(b"upgrade"))
    });
    // As the HTTP core says it.
    head.parts_mut().unwrap().upgrade = names;
    head
}

const GOOD: [(&str, &str); 5] = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", SAMPLE_KEY),
    ("Sec-WebSocket-Version", "13"),
];

/// The good request, with fields replaced, added, or (where the value is empty) left out.
fn with(changes: &[(&'static str, &'static str)]) -> RequestHead {
    let is_changed = |name: &str| changes.iter().any(|(own, _)| *own == name);
    let kept = GOOD.iter().copied().filter(|(name, _)| !is_changed(name));
    let fields: Vec<_> =
        kept.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty()).collect();
    request("GET", &fields)
}

fn answer(head: &RequestHead, options: &ServerOptions) -> Response {
    match accept(head, options) {
        Ok((response, _)) | Err(response) => response,
    }
}

fn status(changes: &[(&'static str, &'static str)]) -> u16 {
    answer(&with(changes), &ServerOptions::default()).status().code()
}

#[test]
fn rfc6455_1_3_the_example() {
    let options = ServerOptions { protocols: &["superchat", "chat"], ..ServerOptions::default() };
    let head = with(&[
        ("Origin", "http://server.example.com"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
    ]);
    let (response, agreed) = accept(&head, &options).unwrap();
    assert_eq!(response.status(), Status::SWITCHING_PROTOCOLS);
    assert_eq!(response.header("upgrade"), Some(&b"websocket"[..]));
    assert_eq!(response.header(ACCEPT), Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..]));
    assert_eq!(response.header(PROTOCOL), Some(&b"chat"[..]));
    assert_eq!(agreed.protocol.as_deref(), Some("chat"));
    assert!(response.header(EXTENSIONS).is_none() && agreed.deflate.is_none());
}

#[test]
fn rfc6455_4_2_1_what_a_request_needs() {
    assert_eq!(status(&[]), 101);
    assert_eq!(status(&[("Upgrade", "h2c, WebSocket")]), 101);
    assert_eq!(status(&[("Connection", "keep-alive, UPGRADE")]), 101);
    assert_eq!(status(&[("Upgrade", "websockets")]), 426);
    assert_eq!(status(&[("Upgrade", "")]), 426);
    assert_eq!(status(&[("Connection", "keep-alive")]), 426);
    assert_eq!(status(&[("Sec-WebSocket-Key", "")]), 400);
    for key in [
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZTEy",
        "dGhlIHNhbXBsZSBub25jZ!==",
        "dGhlIHNhbXBsZSBub25jZQ==, x",
    ] {
        assert_eq!(status(&[("Sec-WebSocket-Key", key)]), 400, "{key}");
    }
    let twice = [&GOOD[..], &[("Sec-WebSocket-Key", SAMPLE_KEY)]].concat();
    assert_eq!(answer(&request("GET", &twice), &ServerOptions::default()).status().code(), 400);
    let post = answer(&request("POST", &GOOD), &ServerOptions::default());
    assert_eq!((post.status().code(), post.header("allow")), (405, Some(&b"GET"[..])));
}

#[test]
fn rfc6455_4_4_another_version_is_told_ours() {
    for version in ["", "8", "12", "14", "013", "13, 8"] {
        let response =
            answer(&with(&[("Sec-WebSocket-Version", version)]), &ServerOptions::default());
        assert_eq!(response.status(), Status::UPGRADE_REQUIRED, "{version}");
        assert_eq!(response.header(VERSION_FIELD), Some(&b"13"[..]));
        assert_eq!(response.header("upgrade"), Some(&b"websocket"[..]));
    }
}

#[test]
fn rfc6455_10_2_pages_of_others_are_refused() {
    for (origin, expected) in [
        ("", 101),
        ("http://server.example.com", 101),
        ("https://server.example.com", 101),
        ("HTTPS://Server.Example.COM:443", 101),
        ("http://server.example.com:80", 101),
        ("http://server.example.com:443", 403),
        ("http://server.example.com:8080", 403),
        ("http://evil.example.com", 403),
        ("http://server.example.com.evil.com", 403),
        ("http://server.example.co", 403),
        ("http://", 403),
        ("server.example.com", 403),
        ("null", 403),
        ("file://", 403),
    ] {
        assert_eq!(status(&[("Origin", origin)]), expected, "{origin}");
    }
    let port = [("Host", "server.example.com:8080"), ("Origin", "http://server.example.com:8080")];
    assert_eq!(status(&port), 101);
    let twice =
        [&GOOD[..], &[("Origin", "http://server.example.com"), ("Origin", "http://evil")]].concat();
    assert_eq!(answer(&request("GET", &twice), &ServerOptions::default()).status().code(), 403);
    let these = ServerOptions {
        origins: Origins::These(&["https://a.example"]),
        ..ServerOptions::default()
    };
    let code = |origin, options: &ServerOptions| {
        answer(&with(&[("Origin", origin)]), options).status().code()
    };
    assert_eq!(code("https://A.example", &these), 101);
    assert_eq!(code("http://a.example", &these), 403);
    assert_eq!(code("https://server.example.com", &these), 403);
    let more = ServerOptions {
        origins: Origins::SameHostAnd(&["https://a.example"]),
        ..ServerOptions::default()
    };
    for (origin, expected) in [
        ("https://A.example", 101),
        ("https://server.example.com", 101),
        ("https://b.example", 403),
        ("null", 403),
    ] {
        assert_eq!(code(origin, &more), expected, "{origin}");
    }
    let any = ServerOptions { origins: Origins::Any, ..ServerOptions::default() };
    assert_eq!(code("null", &any), 101);
}

#[test]
fn rfc6455_4_2_2_the_clients_favourite_among_ours_is_chosen() {
    let options = ServerOptions { protocols: &["a", "b"], ..ServerOptions::default() };
    for (offered, chosen) in
        [("b, a", Some("b")), ("x, a", Some("a")), ("x", None), ("A", None), ("", None)]
    {
        let (response, agreed) =
            accept(&with(&[("Sec-WebSocket-Protocol", offered)]), &options).unwrap();
        assert_eq!(agreed.protocol.as_deref(), chosen, "{offered}");
        assert_eq!(response.header(PROTOCOL), chosen.map(str::as_bytes));
    }
    let malformed = answer(&with(&[("Sec-WebSocket-Protocol", "a b")]), &options);
    assert_eq!(malformed.status().code(), 400);
}

#[test]
fn rfc7692_5_1_compression_is_agreed_where_both_want_it() {
    let head = with(&[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]);
    assert!(accept(&head, &ServerOptions::default()).unwrap().1.deflate.is_none());
    let options = ServerOptions { deflate: Some(Deflate::default()), ..ServerOptions::default() };
    let (response, agreed) = accept(&head, &options).unwrap();
    assert!(agreed.deflate.is_some());
    let field = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(response.header(EXTENSIONS), Some(&field[..]));
    assert!(accept(&with(&[]), &options).unwrap().1.deflate.is_none());
    let malformed = with(&[("Sec-WebSocket-Extensions", "permessage-deflate; =")]);
    assert_eq!(answer(&malformed, &options).status().code(), 400);
}

/// What a client asks for, a server of ours answers to the client's content.
#[test]
fn rfc6455_4_1_both_ends_of_a_handshake() {
    let client = ClientOptions {
        protocols: &["chat"],
        deflate: Some(Deflate::default()),
        origin: Some("http://server.example.com"),
    };
    let opening = Opening::new(*b"the sample nonce", client);
    let fields: Vec<_> = opening
        .fields()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8(value).unwrap()))
        .collect();
    assert!(fields.contains(&(KEY, SAMPLE_KEY.to_string())));
    let own: Vec<(&str, &str)> = GOOD[..3]
        .iter()
        .copied()
        .chain(fields.iter().map(|(name, value)| (*name, value.as_str())))
        .collect();
    let options = ServerOptions {
        protocols: &["chat"],
        deflate: Some(Deflate::default()),
        ..ServerOptions::default()
    };
    let (response, _) = accept(&request("GET", &own), &options).unwrap();
    let agreed =
        opening.check(response.status(), |name| response.header(name).into_iter()).unwrap();
    assert_eq!(agreed.protocol.as_deref(), Some("chat"));
    assert!(agreed.deflate.is_some());
}

#[test]
fn rfc6455_4_1_a_client_refuses_what_it_did_not_ask_for() {
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let check = |status: u16, fields: &[(&str, &str)]| {
        let opening = Opening::new(
            *b"the sample nonce",
            ClientOptions { protocols: &["a"], ..ClientOptions::default() },
        );
        let status = Status::new(status).unwrap();
        let values = |name: &'static str| {
            let same = fields.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
            same.map(|(_, value)| value.as_bytes())
        };
        opening.check(status, values).map(|agreed| agreed.protocol)
    };
    let good = [("Upgrade", "WebSocket"), (ACCEPT, accept)];
    let with = |more: (&'static str, &'static str)| check(101, &[good[0], good[1], more]);
    assert_eq!(check(101, &good), Ok(None));
    assert_eq!(check(200, &good), Err(Refused::Status(Status::OK)));
    assert_eq!(check(101, &good[..1]), Err(Refused::NoWebSocket));
    assert_eq!(check(101, &good[1..]), Err(Refused::NoWebSocket));
    assert_eq!(
        check(101, &[good[0], (ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")]),
        Err(Refused::NoWebSocket)
    );
    assert_eq!(with((ACCEPT, accept)), Err(Refused::NoWebSocket));
    assert_eq!(with((PROTOCOL, "a")), Ok(Some("a".into())));
    assert_eq!(with((PROTOCOL, "b")), Err(Refused::Protocol));
    assert_eq!(with((EXTENSIONS, "permessage-deflate")), Err(Refused::Extension));
}

#[test]
fn a_handshake_has_no_content() {
    for content_length in [ContentLength::Known(5), ContentLength::Unknown] {
        let mut head = with(&[]);
        head.parts_mut().unwrap().content_length = content_length;
        assert_eq!(answer(&head, &ServerOptions::default()).status(), Status::BAD_REQUEST);
    }
}
