//! A counter for each visitor, on one thread as the appliance has: `axum-sessions ADDRESS`.

use axum::{Router, routing::get};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).expect("an address");
    let layer = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
    let routes = Router::new().route("/_test/session", get(count)).layer(layer);
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, routes).await
}

async fn count(session: Session) -> String {
    let count: u64 = session.get("count").await.expect("memory").unwrap_or(0) + 1;
    session.insert("count", count).await.expect("memory");
    format!("x {count}\n")
}
