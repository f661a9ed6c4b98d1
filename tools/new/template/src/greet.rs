//! `GET /greet/NAME`

use alloc::format;
use web::{Request, Response, Status};

/// Greets whoever is named in the path.
pub(crate) async fn greet(request: Request) -> Response {
    match request.parameter_text("name") {
        Some(name) => Response::ok("text/plain; charset=utf-8", format!("hello {name}\n")),
        // Not percent-encoded text.
        None => Response::plain(Status::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::{Routes, testing};

    #[test]
    fn a_name_is_greeted() {
        let routes = Routes::new().get("/greet/:name", greet);
        let seen = testing::get("/greet/J%C3%BCrgen").ask(&routes);
        assert_eq!((seen.status(), seen.text()), (Status::OK, "hello Jürgen\n"));
        let seen = testing::get("/greet/%ff").ask(&routes);
        assert_eq!(seen.status(), Status::BAD_REQUEST);
    }
}
