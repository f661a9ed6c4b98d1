//! Guess: a loop of questions, in straight-line code. Where there is a database it keeps the scores.

use super::page::{field, page, shown};
use super::scores::Scores;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::cmp::Ordering;
use core::pin::Pin;
use web::session::{Ended, Hit, Session};

type Running = Pin<Box<dyn Future<Output = Result<(), Ended>>>>;

/// A game whose sessions share their scores.
pub(super) fn game(scores: Scores) -> impl Fn(Session) -> Running {
    move |session| Box::pin(guess(session, scores.clone()))
}

/// Lets the visitor guess a number.
async fn guess(mut session: Session, scores: Scores) -> Result<(), Ended> {
    let secret = session.random(1..=100);
    let mut hit = session.next().await?;
    let mut hint = String::from("I think of a number from 1 to 100.");
    for tries in 1.. {
        let guessed;
        (guessed, hit) = ask(&mut session, hit, &hint).await?;
        hint = match guessed.cmp(&secret) {
            Ordering::Less => format!("{guessed} is too small."),
            Ordering::Greater => format!("{guessed} is too large."),
            Ordering::Equal => {
                let all = scores.add(tries).await;
                let text = format!(
                    "<p class=number>{secret}<p>is right, after {tries} tries.{all}\
                     <p><a href=/samples/guess>Again</a>"
                );
                shown(&mut session, hit).await?.reply(page("Guess", text));
                return Ok(());
            }
        };
    }
    Ok(())
}

/// Shows the question until it is answered by a number; gives that, and the request that is to be answered next.
async fn ask(session: &mut Session, hit: Hit, hint: &str) -> Result<(u64, Hit), Ended> {
    let form = "<form method=post class=row><label>Your guess \
                <input name=guess type=number min=1 max=100 required autofocus></label>\
                <button>Guess</button></form>";
    let mut hit = hit;
    loop {
        hit = shown(session, hit).await?;
        hit.reply(page("Guess", format!("<p role=status>{hint}{form}")));
        hit = session.next().await?;
        if let Some(number) = field(&mut hit, "guess").await.and_then(|text| text.parse().ok()) {
            return Ok((number, hit));
        }
    }
}
