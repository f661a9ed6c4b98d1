//! A web session that says who it is, dies and dawdles, as its visitor asks.

use alloc::format;
use core::time::Duration;
use web::Response;
use web::session::{Ended, Session};

/// How long it thinks when it is asked to be slow.
const SLOW: Duration = Duration::from_secs(2);

/// Says its number and how many requests it has had, those of before a restart among them.
pub(crate) async fn session(mut session: Session) -> Result<(), Ended> {
    let before: u64 = session.resumed().unwrap_or(0);
    for hits in before + 1.. {
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
        session.save(&hits).expect("a number is short");
        let text = format!("{} {hits}\n", session.number());
        hit.reply(Response::ok("text/plain", text.into_bytes()));
    }
    Ok(())
}

/// Says its number and how many requests it has had, by whichever protocol, and from whom the last one is.
pub(crate) async fn named(mut session: Session) -> Result<(), Ended> {
    for hits in 1.. {
        let hit = session.next().await?;
        let who = hit.peer().ip().map_or("nobody".into(), |address| format!("{address}"));
        let text = format!("{} {hits} {who}\n", session.number());
        hit.reply(Response::ok("text/plain", text.into_bytes()));
    }
    Ok(())
}
