//! A web session that says who it is, dies and dawdles, as its visitor asks.

use alloc::format;
use core::time::Duration;
use web::Response;
use web::session::{Ended, Session};

/// How long it thinks when it is asked to be slow.
const SLOW: Duration = Duration::from_secs(2);

/// Says its number and how many requests it has had.
pub(crate) async fn session(mut session: Session) -> Result<(), Ended> {
    for hits in 1.. {
        let hit = session.next().await?;
        match hit.parameter_text("what").as_deref() {
            None => {}
            Some("die") => panic!("asked to by /_test/session/die"),
            Some("slow") => session.timers().clone().sleep(SLOW).await,
            Some(_) => {
                hit.reply(Response::plain(web::Status::NOT_FOUND));
                continue;
            }
        }
        let text = format!("{} {hits}\n", session.number());
        hit.reply(Response::ok("text/plain", text.into_bytes()));
    }
    Ok(())
}
