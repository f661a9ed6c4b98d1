//! A menu, and a search that says what it was asked.

use alloc::format;
use web::menu::{ItemType, Menu};
use web::{Request, Response, Status, forms};

/// An item of each kind.
pub(crate) async fn menu(_request: Request) -> Response {
    Menu::new()
        .info("A menu for tests")
        .item(ItemType::Text, "A search for nothing", "/_test/search")
        .item(ItemType::Search, "A search", "/_test/search")
        .item_at(ItemType::Menu, "Elsewhere", "/", "gopher.example", 70)
        .link("The web", "https://web.example/")
        .into()
}

/// Says what the query's `q` is.
pub(crate) async fn search(request: Request) -> Response {
    match request.query_form(&forms::Limits::default()) {
        Ok(form) => {
            let words = form.get("q").unwrap_or("nothing");
            Response::ok("text/plain; charset=utf-8", format!("searched for {words}\n"))
        }
        Err(_) => Response::plain(Status::BAD_REQUEST),
    }
}
