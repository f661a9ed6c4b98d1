//! What an image serves of its run.

use crate::{RunState, Stage};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use load::Report;
use web::{Request, Response, Routes, Status, sharing};

/// `/` is a page, which is the results once they are there; `/results.json` and `/results.txt` are the same in other forms,
/// and 503 until then.
pub(crate) fn routes(run: &Rc<RunState>) -> Routes {
    Routes::new()
        .get("/", sharing(run, page))
        .get("/results.json", sharing(run, json))
        .get("/results.txt", sharing(run, text))
}

async fn page(run: Rc<RunState>, _: Request) -> Response {
    let html = "text/html; charset=utf-8";
    match &*run.stage.borrow() {
        Stage::Over(report) => Response::ok(html, report.to_html()),
        stage => {
            let said = said(stage).replace('&', "&amp;").replace('<', "&lt;");
            let page = format!(
                "<!doctype html><html lang=en><meta charset=utf-8><title>Load</title><p>{said}</p></html>\n"
            );
            // It looks again by itself.
            Response::ok(html, page).with_header("Refresh", "1")
        }
    }
}

async fn json(run: Rc<RunState>, _: Request) -> Response {
    results(&run, "application/json", |report| report.to_json() + "\n")
}

async fn text(run: Rc<RunState>, _: Request) -> Response {
    results(&run, "text/plain; charset=utf-8", Report::to_text)
}

fn results(
    run: &RunState,
    content_type: &'static str,
    write: impl Fn(&Report) -> String,
) -> Response {
    match &*run.stage.borrow() {
        Stage::Over(report) => Response::ok(content_type, write(report)),
        stage => Response::ok("text/plain; charset=utf-8", said(stage) + "\n")
            .with_status(Status::SERVICE_UNAVAILABLE)
            .with_header("Retry-After", "1"),
    }
}

fn said(stage: &Stage) -> String {
    match stage {
        Stage::Waiting => "the server does not answer yet".to_string(),
        Stage::Running(line) => line.clone(),
        Stage::Over(_) => "the run is over".to_string(),
        Stage::NotMade(reason) => format!("no run: {reason}"),
    }
}
