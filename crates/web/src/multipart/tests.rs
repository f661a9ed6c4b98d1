//! Forms, whole and split at every byte.

use super::*;
use crate::BodySender;
use crate::request::parsed;
use alloc::format;
use alloc::vec;
use flow::Address;
use flow::task::block_on;

const FORM: &str = "multipart/form-data; boundary=AaB03x";

/// A part as its reader has it: name, file name, media type, content.
type Read = (String, Option<String>, Option<String>, String);

fn request(content_type: &str, content: &[u8], piece: usize) -> (BodySender, Request) {
    let (sender, body) = Body::channel();
    content.chunks(piece).for_each(|piece| sender.push(piece));
    sender.end(Ok(None));
    let head = parsed("POST", "/", &[("Content-Type", content_type)]);
    (sender, Request::new(head, body, Address::Memory(0)))
}

async fn read_all(request: &mut Request, limits: &Limits) -> Result<Vec<Read>, MultipartError> {
    let mut form = request.multipart(limits)?;
    let mut parts = Vec::new();
    while let Some(mut part) = form.next().await? {
        let text = part.text(1 << 20).await?;
        let owned = |text: Option<&str>| text.map(String::from);
        let (file_name, content_type) = (owned(part.file_name()), owned(part.content_type()));
        parts.push((part.name().into(), file_name, content_type, text));
    }
    Ok(parts)
}

fn read(content: &str) -> Result<Vec<Read>, MultipartError> {
    let (_sender, mut request) = request(FORM, content.as_bytes(), usize::MAX);
    block_on(read_all(&mut request, &Limits::default()))
}

fn field(name: &str, value: &str) -> Read {
    (name.into(), None, None, value.into())
}

/// One part, with this head.
fn part(head: &str) -> String {
    format!("--AaB03x\r\n{head}\r\n\r\nx\r\n--AaB03x--\r\n")
}

#[test]
fn rfc7578_forms_are_read_whatever_their_pieces() {
    let content = "preamble\r\n--AaB03x\r\ncontent-disposition: form-data; name=\"field1\"\r\n\r\nJoe \
                   Blow\r\n--AaB03x \t\r\nContent-Disposition: form-data; name=\"pics\"; filename=\"file1.txt\"\r\n\
                   Content-Type: text/plain\r\n\r\n\r\n--AaB03\r\n\r\r\n-\r\n--AaB03x\r\n\
                   Content-Disposition: form-data; name=empty\r\n\r\n\r\n--AaB03x--epilogue\r\n--AaB03x\r\n";
    let expected = vec![
        field("field1", "Joe Blow"),
        (
            "pics".into(),
            Some("file1.txt".into()),
            Some("text/plain".into()),
            "\r\n--AaB03\r\n\r\r\n-".into(),
        ),
        field("empty", ""),
    ];
    for split in 1..=content.len() {
        let (one, other) = content.as_bytes().split_at(split);
        let mut parser = Parser::new(b"AaB03x", 100);
        let mut parts = Vec::new();
        let mut is_whole = false;
        for piece in [one, other] {
            parser.push(piece);
            while let Some(step) = parser.poll().unwrap() {
                match step {
                    Step::Head(PartHead { name, file_name, content_type }) => {
                        parts.push((name, file_name, content_type, String::new()));
                    }
                    Step::Data(data) => {
                        assert!(!data.is_empty());
                        parts.last_mut().unwrap().3 += core::str::from_utf8(&data).unwrap();
                    }
                    Step::PartEnd => {}
                    Step::End => {
                        is_whole = true;
                        break;
                    }
                }
            }
        }
        assert!(is_whole && parts == expected, "split at {split}: {parts:?}");
    }
    for piece in [1, 2, 7, 1000] {
        let mut parser = Parser::new(b"AaB03x", 100);
        let mut text = Vec::new();
        for piece in content.as_bytes().chunks(piece) {
            parser.push(piece);
            while let Some(Step::Data(_) | Step::Head(_) | Step::PartEnd) =
                parser.poll().unwrap().inspect(|step| {
                    if let Step::Data(data) = step {
                        text.extend_from_slice(data);
                    }
                })
            {}
        }
        assert_eq!(text, b"Joe Blow\r\n--AaB03\r\n\r\r\n-", "in pieces of {piece}");
    }
    assert_eq!(read(content), Ok(expected));
}

#[test]
fn what_is_not_read_of_a_part_is_dropped() {
    let content = format!(
        "--AaB03x\r\nContent-Disposition: form-data; name=a\r\n\r\n{}\r\n{}",
        "y".repeat(100_000),
        part("Content-Disposition: form-data; name=b")
    );
    let (_sender, mut request) = request(FORM, content.as_bytes(), 1000);
    let mut form = request.multipart(&Limits::default()).unwrap();
    assert_eq!(block_on(form.next()).unwrap().unwrap().name(), "a");
    let mut last = block_on(form.next()).unwrap().unwrap();
    assert_eq!(last.name(), "b");
    assert_eq!(block_on(last.text(1)), Ok("x".into()));
    assert_eq!(block_on(last.next()), Ok(None));
    assert_eq!(block_on(last.next()), Ok(None), "asked again it says the same");
    assert!(block_on(form.next()).unwrap().is_none() && block_on(form.next()).unwrap().is_none());
}

#[test]
fn rfc7578_4_2_names() {
    for (disposition, name, file_name) in [
        ("form-data; name=a", "a", None),
        ("Form-Data ;NAME=\"a b\" ; x=\"name=c;\"", "a b", None),
        ("form-data; name=\"\"", "", None),
        ("form-data; name=\"a\\\"b;c\\\\\"; filename=x", "a\"b;c\\", Some("x")),
        ("form-data; name=\"%22a%0D%0A%41\"", "\"a\r\n%41", None),
        (
            "form-data; name=\"\u{20ac}\"; filename=\"\u{20ac}.txt\"",
            "\u{20ac}",
            Some("\u{20ac}.txt"),
        ),
        ("form-data; name=a; filename=\"../../etc/passwd\"", "a", Some("passwd")),
        ("form-data; name=a; filename=\"C:\\dir\\new.txt\"", "a", Some("new.txt")),
        ("form-data; name=a; filename=\"\"", "a", Some("")),
    ] {
        let expected = (name.into(), file_name.map(String::from), None, "x".into());
        let content = part(&format!("Content-Disposition: {disposition}"));
        assert_eq!(read(&content), Ok(vec![expected]), "{disposition}");
    }
    for head in [
        "",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; filename=a",
        "Content-Disposition: attachment; name=a",
        "Content-Type: text/plain",
        "no field",
    ] {
        assert_eq!(read(&part(head)), Err(MultipartError::Malformed), "{head}");
    }
    let latin = b"--AaB03x\r\nContent-Disposition: form-data; name=\xe9\r\n\r\nx\r\n--AaB03x--";
    let (_sender, mut request) = request(FORM, latin, 100);
    let error = block_on(read_all(&mut request, &Limits::default()));
    assert_eq!(error, Err(MultipartError::Malformed));
}

#[test]
fn rfc2046_5_1_1_boundaries() {
    let longest = "b".repeat(70);
    for (parameter, boundary) in [
        ("boundary=x", "x"),
        ("BOUNDARY=\"a;b\"", "a;b"),
        ("charset=utf-8; boundary=\"x y\"", "x y"),
        (&format!("boundary={longest}"), &*longest),
    ] {
        let found = parser::boundary(format!("Multipart/Form-Data; {parameter}").as_bytes());
        assert_eq!(found, Ok(boundary.into()), "{parameter}");
    }
    for parameter in ["", "boundary", "boundary=", "boundary=\"\"", &format!("boundary=b{longest}")]
    {
        let found = parser::boundary(format!("multipart/form-data; {parameter}").as_bytes());
        assert_eq!(found, Err(MultipartError::Malformed), "{parameter}");
    }
    for other in ["", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded"] {
        assert_eq!(parser::boundary(other.as_bytes()), Err(MultipartError::MediaType), "{other}");
    }
}

#[test]
fn rfc2046_5_1_1_a_delimiter_has_its_line_to_itself() {
    let head = "Content-Disposition: form-data; name=a\r\n\r\nx";
    for content in [
        format!("--AaB03xy\r\n{head}\r\n--AaB03x--"),
        format!("--AaB03x\r\n{head}\r\n--AaB03x-\r\n"),
        format!("--AaB03x\n{head}\r\n--AaB03x--"),
        format!("--AaB03x{}\r\n{head}\r\n--AaB03x--", " ".repeat(65)),
    ] {
        assert_eq!(read(&content), Err(MultipartError::Malformed), "{content}");
    }
    let padded = format!("--AaB03x{}\r\n{head}\r\n--AaB03x--", " ".repeat(64));
    assert_eq!(read(&padded), Ok(vec![field("a", "x")]));
    // Without a part there is nothing wrong.
    assert_eq!(read("--AaB03x--"), Ok(vec![]));
}

#[test]
fn what_does_not_arrive_whole_is_an_error() {
    let whole = part("Content-Disposition: form-data; name=a");
    let end = whole.len() - "\r\n".len();
    assert!(read(&whole[..end]).is_ok());
    for cut in 0..end {
        assert_eq!(read(&whole[..cut]), Err(MultipartError::Incomplete), "cut at {cut}");
    }
}

#[test]
fn limits_are_kept_to_the_byte() {
    let head = "Content-Disposition: form-data; name=a";
    let content = part(head);
    let read = |limits: &Limits| {
        let (_sender, mut request) = request(FORM, content.as_bytes(), 7);
        block_on(read_all(&mut request, limits)).map(|parts| parts.len())
    };
    let whole = content.len() as u64;
    let exact = Limits { bytes_max: whole, parts_max: 1, head_bytes_max: head.len() + 4 };
    assert_eq!(read(&exact), Ok(1));
    for limits in [
        Limits { bytes_max: whole - 1, ..exact },
        Limits { parts_max: 0, ..exact },
        Limits { head_bytes_max: head.len() + 3, ..exact },
    ] {
        assert_eq!(read(&limits), Err(MultipartError::TooLarge), "{limits:?}");
    }
    let (_sender, mut request) = request(FORM, content.as_bytes(), 7);
    let mut form = request.multipart(&exact).unwrap();
    let mut part = block_on(form.next()).unwrap().unwrap();
    assert_eq!(block_on(part.collect(0)), Err(MultipartError::TooLarge));
}

#[test]
fn what_is_held_is_weighed() {
    let (sender, body) = Body::channel();
    let head = parsed("POST", "/", &[("Content-Type", FORM)]);
    let mut request = Request::new(head, body, Address::Memory(0));
    sender.push(b"--AaB03x\r\nContent-Disposition: form-data; name=a\r\n\r\n");
    sender.push(&[b'y'; 50_000]);
    sender.push(b"\r\n--AaB03x--");
    let mut form = request.multipart(&Limits::default()).unwrap();
    let mut part = block_on(form.next()).unwrap().unwrap();
    assert!(sender.held_bytes() >= 50_000, "{}", sender.held_bytes());
    let whole = block_on(part.collect(50_000)).unwrap();
    assert_eq!(whole.len(), 50_000);
    assert!(sender.held_bytes() >= 50_000, "{}", sender.held_bytes());
}
