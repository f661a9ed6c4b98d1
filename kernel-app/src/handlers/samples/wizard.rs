//! Wizard: several forms, one after the other. What was typed is in the coroutine's variables; a form that does not fit is shown
//! again, with what is wrong.

use super::page::{page, shown};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use web::html::Escaped;
use web::session::{Ended, Hit, Session};
use web::{Form, Method, forms};

/// Asks for a name, a size and toppings, and shows the order.
pub(super) async fn wizard(mut session: Session) -> Result<(), Ended> {
    let hit = session.next().await?;
    let (name, hit) = ask(&mut session, hit, Step { number: 1, fields: NAME, check: name }).await?;
    let (size, hit) = ask(&mut session, hit, Step { number: 2, fields: SIZE, check: size }).await?;
    let (toppings, hit) =
        ask(&mut session, hit, Step { number: 3, fields: TOPPINGS, check: toppings }).await?;
    let hit = shown(&mut session, hit).await?;
    let (name, toppings) = (Escaped(&name), Escaped(&toppings));
    hit.reply(page(
        "Thank you",
        format!("<p>{name}, your {size} pizza with {toppings} is on its way.<p><a href=/samples/wizard>Another</a>"),
    ));
    Ok(())
}

/// One form.
struct Step {
    number: u32,
    /// As HTML.
    fields: &'static str,
    /// What the form says, or what is wrong with it.
    check: fn(&Form) -> Result<String, &'static str>,
}

const NAME: &str =
    "<label>Your name <input name=name required maxlength=40 autocomplete=name></label>";
const SIZE: &str = "<fieldset><legend>Size</legend>\
    <label class=choice><input type=radio name=size value=small> small</label>\
    <label class=choice><input type=radio name=size value=large> large</label></fieldset>";
const TOPPINGS: &str = "<fieldset><legend>Toppings</legend>\
    <label class=choice><input type=checkbox name=topping value=olives> olives</label>\
    <label class=choice><input type=checkbox name=topping value=capers> capers</label>\
    <label class=choice><input type=checkbox name=topping value=basil> basil</label></fieldset>";

fn name(form: &Form) -> Result<String, &'static str> {
    let name = form.get("name").unwrap_or_default().trim();
    match name.chars().count() {
        0 => Err("Please say your name."),
        1..=40 => Ok(name.to_owned()),
        _ => Err("Please say a shorter name."),
    }
}

fn size(form: &Form) -> Result<String, &'static str> {
    match form.get("size") {
        Some(size @ ("small" | "large")) => Ok(size.to_owned()),
        _ => Err("Please choose a size."),
    }
}

fn toppings(form: &Form) -> Result<String, &'static str> {
    let known = |topping: &&str| ["olives", "capers", "basil"].contains(topping);
    let chosen: alloc::vec::Vec<_> = form.get_all("topping").filter(known).collect();
    Ok(if chosen.is_empty() { "nothing".to_owned() } else { chosen.join(" and ") })
}

/// Shows a step's form until what comes back fits.
async fn ask(session: &mut Session, hit: Hit, step: Step) -> Result<(String, Hit), Ended> {
    let Step { number, fields, check } = step;
    let (mut hit, mut wrong) = (hit, "");
    loop {
        let body = format!(
            "<form method=post><p>Step {number} of 3<p class=bad role=alert>{wrong}</p>\
             <input type=hidden name=step value={number}>{fields}<button>Go on</button></form>"
        );
        hit = shown(session, hit).await?;
        hit.reply(page("Order a pizza", body));
        hit = session.next().await?;
        wrong = "";
        if hit.method() != Method::Post {
            continue;
        }
        let Ok(form) = hit.form(&forms::Limits::default()).await else { continue };
        // From a page of before: the browser's button went back.
        if form.get("step").and_then(|text| text.parse().ok()) != Some(number) {
            wrong = "You have been further already: here it goes on.";
            continue;
        }
        match check(&form) {
            Ok(answer) => return Ok((answer, hit)),
            Err(text) => wrong = text,
        }
    }
}
