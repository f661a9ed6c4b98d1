//! Counter: a variable of the session, which is there again after a restart.

use super::page::{field, page};
use alloc::format;
use alloc::rc::Rc;
use core::cell::RefCell;
use web::session::{Ended, Session};
use web::{Method, Response};

/// Counts up and down as the visitor says.
pub(super) async fn counter(mut session: Session) -> Result<(), Ended> {
    let count: Rc<RefCell<i64>> = Rc::new(RefCell::new(session.resumed().unwrap_or(0)));
    // Who inspects the session sees it, and may set it.
    session.watch_and_set("count", &count);
    let doubled = count.clone();
    session.command("double", "counts once more what is counted", move |_| {
        let next = doubled.borrow().saturating_mul(2);
        doubled.replace(next);
        Ok(format!("{next}"))
    });
    loop {
        let mut hit = session.next().await?;
        if hit.method() != Method::Post {
            let count = *count.borrow();
            hit.reply(page("Counter", format!("{FORM_START}{count}{FORM_END}")));
            continue;
        }
        let step = match field(&mut hit, "step").await.as_deref() {
            Some("up") => 1,
            Some("down") => -1,
            _ => 0,
        };
        let next = count.borrow().saturating_add(step);
        count.replace(next);
        session.save(&next).expect("a number is short");
        // A reload shows the page again, and counts nothing.
        hit.reply(Response::see_other("/samples/counter"));
    }
}

const FORM_START: &str = "<form method=post><p class=number><output>";
const FORM_END: &str = "</output><p><button name=step value=up>One more</button> \
                        <button name=step value=down>One less</button></form>";
