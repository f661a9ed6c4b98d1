//! Any bytes as a form with files, in any pieces: no panic, no more than the limits say, and the pieces make no difference.

use flow::Address;
use web::multipart::{Limits, MultipartError};
use web::testing::read_pieces;
use web::{Body, Request, RequestHead};

const LIMITS: Limits = Limits { bytes_max: 4000, parts_max: 5, head_bytes_max: 200 };

pub(crate) fn target(data: &[u8]) {
    let [piece, input @ ..] = data else { return };
    let whole = read(input, usize::MAX);
    let pieces = read(input, usize::from(*piece).max(1));
    assert_eq!(whole, pieces);
}

/// A part's name, file name, media type and content, as far as it came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen(String, Option<String>, Option<String>, Vec<u8>);

/// What a handler sees of a form that arrives in such pieces, and how it ends.
fn read(input: &[u8], piece: usize) -> (Vec<Seen>, Result<(), MultipartError>) {
    let fields = [("Host", &b"a"[..]), ("Content-Type", b"multipart/form-data; boundary=b")];
    let (sender, body) = Body::channel();
    let request = Request::new(RequestHead::new("POST", "/", fields), body, Address::Memory(1));
    let mut seen = Vec::new();
    let ended = read_pieces(&sender, input.chunks(piece.min(input.len().max(1))), read_parts(request, &mut seen));
    let bytes = seen.iter().map(|Seen(.., content)| content.len() as u64).sum::<u64>();
    assert!(seen.len() <= LIMITS.parts_max && bytes <= LIMITS.bytes_max);
    (seen, ended)
}

async fn read_parts(mut request: Request, seen: &mut Vec<Seen>) -> Result<(), MultipartError> {
    let mut form = request.multipart(&LIMITS)?;
    while let Some(mut part) = form.next().await? {
        let own = |text: &str| text.to_owned();
        let (file, kind) = (part.file_name().map(own), part.content_type().map(own));
        seen.push(Seen(part.name().to_owned(), file, kind, Vec::new()));
        while let Some(piece) = part.next().await? {
            assert!(!piece.is_empty());
            if let Some(Seen(.., content)) = seen.last_mut() {
                content.extend_from_slice(&piece);
            }
        }
    }
    Ok(())
}
