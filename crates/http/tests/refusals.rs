//! Every form of a request that must be refused, each under the rule that says so.

use http::ConnectionState;
use http::Limits;
use http_test_server::serve_every_way;

/// Refused with this status, once, and nothing after it is read as a request.
fn assert_refused(name: &str, input: &[u8], status: u16) {
    let smuggled = [input, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let outcome = serve_every_way(&smuggled, &Limits::default());
    let last = outcome.output.rsplit("HTTP/1.1 ").next().unwrap();
    assert!(last.starts_with(&format!("{status} ")), "{name}: {}", outcome.output);
    assert!(last.contains("\r\nConnection: close\r\n"), "{name}: {}", outcome.output);
    assert_eq!(outcome.output.matches("HTTP/1.1 ").count(), 1, "{name}: {}", outcome.output);
    assert!(outcome.events.last().unwrap().starts_with("failed: "), "{name}: {:?}", outcome.events);
    assert!(
        !outcome.events.iter().any(|event| event.contains("smuggled")),
        "{name}: {:?}",
        outcome.events
    );
    assert_eq!(outcome.state, ConnectionState::EndOutput, "{name}");
    assert_eq!(outcome.unread, "", "{name}");
}

/// A refused field section after a good request line.
fn assert_fields_refused(name: &str, fields: &[u8], status: u16) {
    assert_refused(name, &[b"POST / HTTP/1.1\r\n", fields, b"\r\n"].concat(), status);
}

#[test]
fn rfc9112_6_1_both_length_headers() {
    assert_fields_refused(
        "cl te",
        b"Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        400,
    );
    assert_fields_refused(
        "te cl",
        b"Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        400,
    );
    assert_fields_refused(
        "te gzip cl",
        b"Host: a\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n",
        400,
    );
}

#[test]
fn rfc9112_6_3_repeated_lengths() {
    assert_fields_refused(
        "differing",
        b"Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        400,
    );
    assert_fields_refused("equal", b"Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n", 400);
    assert_fields_refused("list", b"Host: a\r\nContent-Length: 5, 5\r\n", 400);
}

#[test]
fn rfc9110_8_6_malformed_lengths() {
    for value in [
        "",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5;",
        "5.0",
        "\u{665}",
        "18446744073709551616",
        "99999999999999999999",
    ] {
        assert_fields_refused(
            value,
            format!("Host: a\r\nContent-Length: {value}\r\n").as_bytes(),
            400,
        );
    }
}

#[test]
fn rfc9112_6_1_transfer_codings() {
    for (value, status) in [
        ("chunked, chunked", 400),
        ("chunked, gzip", 400),
        ("", 400),
        (",chunked", 400),
        ("chunked,", 400),
        ("gzip", 501),
        ("gzip, chunked", 501),
        ("identity", 501),
        ("xchunked", 501),
        ("chunked;q=1", 501),
        ("\"chunked\"", 501),
        ("\u{b}chunked", 400),
    ] {
        assert_fields_refused(
            value,
            format!("Host: a\r\nTransfer-Encoding: {value}\r\n").as_bytes(),
            status,
        );
    }
    assert_fields_refused(
        "twice",
        b"Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        400,
    );
    assert_fields_refused(
        "hidden",
        b"Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        400,
    );
    // In HTTP/1.0 also where body and what follows would be well-formed: nothing behind the head is a request.
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    for (name, rest) in [
        ("in HTTP/1.0", ""),
        ("in HTTP/1.0, kept open", "Connection: keep-alive\r\n"),
        ("in HTTP/1.0, with a length", "Content-Length: 26\r\n"),
    ] {
        let body = "1\r\na\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_refused(name, format!("{old}{rest}\r\n{body}").as_bytes(), 400);
        assert_refused(name, format!("{old}{rest}\r\n").as_bytes(), 400);
    }
}

#[test]
fn rfc9112_2_2_bare_lf_and_bare_cr() {
    assert_refused("lf after request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400);
    assert_fields_refused("lf after field", b"Host: a\nX: b\r\n", 400);
    assert_fields_refused("lf ends head", b"Host: a\r\n\nX: b\r\n", 400);
    assert_fields_refused("lf lf", b"Host: a\n", 400);
    assert_fields_refused("cr in value", b"Host: a\r\nX: b\rc\r\n", 400);
    assert_fields_refused("cr cr lf", b"Host: a\r\r\n", 400);
    assert_fields_refused("cr in name", b"Host: a\r\nX\r: b\r\n", 400);
    assert_refused("cr after request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400);
    assert_refused("cr for space", b"GET /\rHTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

#[test]
fn rfc9112_5_2_obs_fold() {
    assert_fields_refused("space", b"Host: a\r\nX: b\r\n c\r\n", 400);
    assert_fields_refused("tab", b"Host: a\r\nX: b\r\n\tc\r\n", 400);
    assert_fields_refused("before the first field", b" Host: a\r\nHost: a\r\n", 400);
}

#[test]
fn rfc9112_5_1_whitespace_before_the_colon() {
    assert_fields_refused("space", b"Host: a\r\nContent-Length : 5\r\n", 400);
    assert_fields_refused("tab", b"Host: a\r\nTransfer-Encoding\t: chunked\r\n", 400);
    assert_fields_refused("inside", b"Host: a\r\nTransfer Encoding: chunked\r\n", 400);
}

#[test]
fn rfc9110_5_5_control_bytes() {
    for byte in (0..=8).chain(11..=12).chain(14..=31).chain([127]) {
        let name = format!("{byte:#x}");
        assert_fields_refused(&name, &[b"Host: a\r\nX: b", &[byte][..], b"c\r\n"].concat(), 400);
        assert_fields_refused(&name, &[b"Host: a\r\nX", &[byte][..], b": c\r\n"].concat(), 400);
        assert_refused(
            &name,
            &[b"GET /", &[byte][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            400,
        );
        assert_refused(
            &name,
            &[b"G", &[byte][..], b"T / HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            400,
        );
    }
}

#[test]
fn rfc9112_5_field_lines_need_a_name_and_a_colon() {
    assert_fields_refused("no name", b"Host: a\r\n: b\r\n", 400);
    assert_fields_refused("no colon", b"Host: a\r\nX\r\n", 400);
    assert_fields_refused("obs-text name", b"Host: a\r\n\xc3\xa9: b\r\n", 400);
    assert_fields_refused("delimiter name", b"Host: a\r\nX(): b\r\n", 400);
}

#[test]
fn rfc9112_3_2_host() {
    assert_fields_refused("missing", b"X: a\r\n", 400);
    assert_fields_refused("twice", b"Host: a\r\nHost: a\r\n", 400);
    assert_fields_refused("twice, other case", b"Host: a\r\nhOST: b\r\n", 400);
    for value in ["a b", "a/b", "user@a", "a:b", "a:80:80", "[::1", "a,b c", "a\\b", "http://a"] {
        assert_fields_refused(value, format!("Host: {value}\r\n").as_bytes(), 400);
    }
    assert_refused("missing with absolute-form", b"GET http://a/ HTTP/1.1\r\n\r\n", 400);
}

#[test]
fn rfc9112_3_request_lines() {
    for line in [
        " GET / HTTP/1.1",
        " / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1\t",
        "GET /",
        "GET",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTP/1,1",
        "GET / HTTPS/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /#x HTTP/1.1",
        "G(T / HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        assert_refused(line, format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), 400);
    }
}

#[test]
fn rfc9112_3_2_targets_fit_their_method() {
    for line in [
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://:80/ HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "GET http://a:b/ HTTP/1.1",
        "OPTIONS ** HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "CONNECT a HTTP/1.1",
        "CONNECT a: HTTP/1.1",
        "CONNECT http://a:80/ HTTP/1.1",
        "GET http:/a HTTP/1.1",
    ] {
        assert_refused(line, format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), 400);
    }
}

#[test]
fn rfc9110_15_6_6_other_major_versions() {
    for version in ["0.9", "2.0", "3.0", "9.9"] {
        assert_refused(version, format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes(), 505);
    }
    assert_refused("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

#[test]
fn rfc9110_10_1_1_unknown_expectations() {
    for value in ["", "100", "200-ok", "100-continue, x", "100-continue;x"] {
        assert_fields_refused(value, format!("Host: a\r\nExpect: {value}\r\n").as_bytes(), 417);
    }
    assert_fields_refused(
        "known after unknown",
        b"Host: a\r\nExpect: x\r\nExpect: 100-continue\r\n",
        417,
    );
}

#[test]
fn rfc9112_7_1_bad_chunks() {
    for chunks in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\na\r\n",
        "1\r\na\n",
        "1\r\nab\r\n",
        "1\r\na",
        "2\r\na\r\n0\r\n\r\n",
        "1\r\ra\r\n",
        "1\r\na\r\r",
        "10000000000000001\r\n",
        "fffffffffffffffff\r\n",
        "00000000000000001\r\na\r\n",
        "1;a\nb\r\na\r\n",
        "1;a\rb\r\na\r\n",
        "1;\"\r\n\"\r\na\r\n",
        "1;a\0\r\na\r\n",
        "1 a\r\na\r\n",
        "1;\r\na\r\n",
        "1; \r\na\r\n",
        "1;;a\r\na\r\n",
        "1;=b\r\na\r\n",
        "1;a=\r\na\r\n",
        "1;a==b\r\na\r\n",
        "1;a=b=c\r\na\r\n",
        "1;a b\r\na\r\n",
        "1;a=b c\r\na\r\n",
        "1;a \r\na\r\n",
        "1;a=\"b\"c\r\na\r\n",
        "1;a=\"b\r\na\r\n",
        "1;\"a\"=b\r\na\r\n",
        "1;a,b\r\na\r\n",
        "1;a\u{e9}\r\na\r\n",
        "0\r\nX: 1\n\r\n",
        "0\r\n X: 1\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n\n",
    ] {
        let input =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_refused(chunks, input.as_bytes(), 400);
        // Nor is it passed over, as one that the content can end after.
        assert_refused(chunks, format!("{input}0\r\n\r\n").as_bytes(), 400);
    }
}

#[test]
fn rfc9112_7_1_1_extensions_are_read_over() {
    for extension in [
        "",
        ";a",
        " ; a",
        ";a=b",
        "\t;\ta\t=\tb",
        ";a;b;c=d",
        ";a = b ; c",
        ";a=\"\"",
        ";a=\"b;c=d\"",
        ";a=\"\\\"\t\u{e9} \\\\\";b",
        ";!#$%&'*+-.^_`|~=1",
    ] {
        let input = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1{extension}\r\nx\r\n0{extension}\r\n\r\n"
        );
        let outcome = serve_every_way(input.as_bytes(), &Limits::default());
        assert_eq!(outcome.events, ["POST /echo ...", "body x"], "{extension}");
    }
}

#[test]
fn rfc9112_7_1_a_chunk_size_of_64_bits_does_not_overflow() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_refused("largest", format!("{head}ffffffffffffffff\r\n").as_bytes(), 413);
    assert_refused("in sum", format!("{head}1\r\na\r\nffffffffffffffff\r\n").as_bytes(), 413);
}

#[test]
fn rfc9110_6_5_1_trailers_that_frame_or_route() {
    for field in [
        "Content-Length: 1",
        "Transfer-Encoding: chunked",
        "Host: b",
        "host: b",
        "Connection: close",
        "Cookie: a",
        "Content-Type: a/b",
        "Trailer: x",
    ] {
        let input = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{field}\r\n\r\n"
        );
        assert_refused(field, input.as_bytes(), 400);
    }
}
