//! Forms: urlencoded ones, and those with files.

use crate::{input, pieces, shown, word};
use flow::Address;
use serde_json::Value;
use web::multipart::{self, MultipartError};
use web::testing::read_pieces;
use web::{Body, Form, Request, RequestHead, cookies, forms};

const FILES: multipart::Limits =
    multipart::Limits { bytes_max: 2000, parts_max: 4, head_bytes_max: 200 };
const PAIRS: forms::Limits = forms::Limits { bytes_max: 300, pairs_max: 5 };

pub(crate) fn run(case: &Value, piece: usize) -> Vec<String> {
    match word(case, "of") {
        "urlencoded" => match Form::parse(&input(case), &PAIRS) {
            Ok(form) => form.pairs().map(|(name, value)| format!("{name} = {value}")).collect(),
            Err(error) => vec![format!("{error}: {}", error.status().code())],
        },
        "cookies" => cookies::parse(&input(case))
            .map(|(name, value)| format!("{} = {}", shown(name), shown(value)))
            .collect(),
        "multipart" => read(word(case, "content_type"), &input(case), piece),
        other => panic!("no {other}"),
    }
}

/// What a handler sees of a form that arrives in such pieces, and how it ends.
fn read(content_type: &str, input: &[u8], piece: usize) -> Vec<String> {
    let fields = [("Host", &b"a"[..]), ("Content-Type", content_type.as_bytes())];
    let (sender, body) = Body::channel();
    let request = Request::new(RequestHead::new("POST", "/", fields), body, Address::Memory(1));
    let mut gives = Vec::new();
    let ended = read_pieces(&sender, pieces(input, piece), read_parts(request, &mut gives));
    match ended {
        Ok(()) => gives.push("end".to_owned()),
        Err(error) => gives.push(format!("{error}: {}", error.status().code())),
    }
    gives
}

async fn read_parts(mut request: Request, gives: &mut Vec<String>) -> Result<(), MultipartError> {
    let mut form = request.multipart(&FILES)?;
    while let Some(mut part) = form.next().await? {
        let mut text = format!("{:?}", part.name());
        text += &part.file_name().map(|name| format!(" file {name:?}")).unwrap_or_default();
        text += &part.content_type().map(|kind| format!(" of {kind}")).unwrap_or_default();
        let mut content = Vec::new();
        while let Some(piece) = part.next().await? {
            content.extend_from_slice(&piece);
        }
        gives.push(format!("{text}: {}", shown(&content)));
    }
    Ok(())
}
