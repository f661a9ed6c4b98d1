//! JSON: `json` and `jsonb`, of anything that serde knows.

use super::{FromSql, Oid, ToSql};
use crate::ValueError;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A value that is JSON on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// In front of `jsonb`: the version of its binary form, which is text behind that.
const JSONB_VERSION: u8 = 1;

impl<T: Serialize> ToSql for Json<T> {
    fn write(&self, oid: Oid, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
        match oid {
            Oid::JSON => {}
            Oid::JSONB => bytes.push(JSONB_VERSION),
            _ => return Err(ValueError::Type(oid)),
        }
        let text = serde_json::to_vec(&self.0).map_err(|_| ValueError::Malformed)?;
        bytes.extend_from_slice(&text);
        Ok(())
    }
}

impl<'a, T: Deserialize<'a>> FromSql<'a> for Json<T> {
    fn accepts(oid: Oid) -> bool {
        matches!(oid, Oid::JSON | Oid::JSONB)
    }

    fn from_bytes(oid: Oid, bytes: &'a [u8]) -> Result<Self, ValueError> {
        let text = match bytes {
            _ if oid == Oid::JSON => bytes,
            [JSONB_VERSION, text @ ..] => text,
            _ => return Err(ValueError::Malformed),
        };
        serde_json::from_slice(text).map(Self).map_err(|_| ValueError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn json_has_a_version_in_front_where_the_server_wants_one() {
        let value = Json(json!({"a": [1, null]}));
        let mut bytes = Vec::new();
        value.write(Oid::JSONB, &mut bytes).unwrap();
        assert_eq!(bytes, b"\x01{\"a\":[1,null]}");
        assert_eq!(Json::<Value>::from_bytes(Oid::JSONB, &bytes).as_ref(), Ok(&value));
        assert_eq!(Json::<Value>::from_bytes(Oid::JSON, &bytes[1..]), Ok(value));
        assert!(Json::<Value>::from_bytes(Oid::JSONB, b"\x02{}").is_err());
        assert!(Json::<Value>::from_bytes(Oid::JSONB, b"").is_err());
        assert!(Json::<u8>::from_bytes(Oid::JSON, b"256").is_err());
    }
}
