//! The paths of the admin port.

use super::follow::Followers;
use super::guard::Guard;
use super::{health, looking, page};
use crate::Platform;
use crate::context::Context;
use crate::inspection::{self, tasks};
use crate::live_settings::LiveSettings;
use crate::log_modules::LOG_MODULES;
use crate::log_ring;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use flow::task::{Spawner, TaskId};
use inspect::{Inspector, Rows, json, openmetrics};
use log::LevelFilter;
use web::forms::{self, Form};
use web::session::{self, CommandError, ReplayError, SessionHost, SetError};
use web::{Reply, Request, Response, Routes, Status, sharing};

/// Rows of one answer, unless fewer are asked for, or the machine is small.
const ROWS_MAX: usize = 10_000;
/// Bytes of memory for each: an answer is whole in memory, of which it is a sixty-fourth at most.
const MEMORY_BYTES_PER_ROW: usize = 64 << 10;
/// Rows that even the smallest machine shows.
const ROWS_MIN: usize = 100;
/// Bytes of a value that a session is given.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// All paths, those of health among them.
pub(super) fn routes<P: Platform>(context: &Context<P>, guard: &Guard) -> Routes {
    let rows_max =
        (context.platform.memory_bytes() / MEMORY_BYTES_PER_ROW).clamp(ROWS_MIN, ROWS_MAX);
    let inside = Rc::new(Inside {
        inspector: context.inspector.clone(),
        spawner: context.spawner.clone(),
        sessions: context.sessions.clone(),
        followers: Followers::new(&context.timers, &context.services),
        rows_max,
        settings: context.live_settings.clone(),
        log_tasks: Box::new({
            let context = context.clone();
            move || inspection::log_tasks(&context)
        }),
    });
    let (login, logout) = (guard.clone(), guard.clone());
    looking::add(page::add(health::add(Routes::new(), context)), context)
        .get("/metrics", sharing(&inside, metrics))
        .get("/api/v1/log", sharing(&inside, log))
        .get("/api/v1/log/levels", levels)
        .get("/api/v1/log/modules", modules)
        .put("/api/v1/log/levels/:module", sharing(&inside, set_level))
        .delete("/api/v1/log/levels/:module", sharing(&inside, set_level))
        .post("/api/v1/tasks/dump", sharing(&inside, dump))
        .post("/api/v1/tasks/:id/cancel", sharing(&inside, cancel))
        .put("/api/v1/sessions/:id/values/:name", sharing(&inside, set_value))
        .post("/api/v1/sessions/:id/commands/:name", sharing(&inside, do_command))
        .post("/api/v1/sessions/:id/replay", sharing(&inside, replay))
        .get("/api/v1/:table", sharing(&inside, table))
        .post("/login", move |request| log_in(login.clone(), request))
        .post("/logout", move |_| {
            let response = logout.logout();
            async move { response }
        })
}

struct Inside {
    inspector: Inspector,
    spawner: Spawner,
    sessions: SessionHost,
    followers: Followers,
    rows_max: usize,
    log_tasks: Box<dyn Fn() -> Vec<String>>,
    settings: Rc<LiveSettings>,
}

async fn metrics(inside: Rc<Inside>, request: Request) -> Response {
    let format = openmetrics::Format::accepted(request.header("accept").unwrap_or_default());
    let mut text = String::new();
    // A string takes all there is.
    let _ = openmetrics::write(&inside.inspector, format, &mut text);
    Response::ok(format.media_type(), text)
}

/// The rows of a table, or a page of them: `?offset=` and `?limit=`. How many there are says `X-Total-Count`.
async fn table(inside: Rc<Inside>, request: Request) -> Result<Response, Response> {
    let name = request.parameter_text("table").unwrap_or_default();
    let table = inside.inspector.table(&name).ok_or_else(|| no_table(&inside.inspector))?;
    page(&inside, &*table, &query(&request)?)
}

fn page(inside: &Inside, table: &dyn Rows, query: &Form) -> Result<Response, Response> {
    let offset = number(query, "offset")?.unwrap_or(0);
    let limit = number(query, "limit")?.map_or(inside.rows_max, |limit| limit.min(inside.rows_max));
    let page = json::Page::new(table, offset, limit);
    let response = Response::json(&page);
    Ok(response.with_header("X-Total-Count", page.total().to_string()))
}

/// The lines that are kept as rows, or, with `?follow`, those from now on as an event stream, or from the number of `?from=`
/// on; with a `Last-Event-ID` those behind that one. `?level=` and `?module=` choose.
async fn log(inside: Rc<Inside>, request: Request) -> Result<Reply, Response> {
    let query = query(&request)?;
    if query.get("follow").is_none() {
        if ["level", "module", "from"].iter().any(|name| query.get(name).is_some()) {
            return Err(bad("level, module and from choose what is followed: add follow\n"));
        }
        return page(&inside, &*inside.inspector.table("log").ok_or(gone())?, &query)
            .map(Into::into);
    }
    let level = query.get("level").map(level).transpose()?.unwrap_or(LevelFilter::Trace);
    let module: String = query.get("module").unwrap_or_default().into();
    let last = request.last_event_id().and_then(|id| id.parse::<u64>().ok());
    let from = number(&query, "from")?.map_or_else(log_ring::next_number, |from| from as u64);
    let from = last.map_or(from, |last| last.saturating_add(1));
    Ok(inside
        .followers
        .follow(from, move |line| line.level <= level && line.module().starts_with(&*module)))
}

async fn levels(_: Request) -> Response {
    let (all, modules) = log_ring::levels();
    let name = |level: LevelFilter| level.as_str().to_ascii_lowercase();
    let mut rows = alloc::vec![Level { module: "*".into(), level: name(all) }];
    rows.extend(modules.into_iter().map(|(module, level)| Level { module, level: name(level) }));
    Response::json(&rows)
}

/// Modules that log: those of the tree, and whatever else is in the log.
async fn modules(_: Request) -> Response {
    let seen = log_ring::lines_from(0);
    let seen = seen.iter().map(log_ring::LogLine::module);
    let all: BTreeSet<&str> = LOG_MODULES.iter().copied().chain(seen).collect();
    Response::json(&all)
}

#[derive(serde::Serialize)]
struct Level {
    module: String,
    level: String,
}

/// `PUT` sets the level of a module, `*` for all others, by `?level=`; `DELETE` has a module logged as all others, and all
/// others as the configuration says.
async fn set_level(inside: Rc<Inside>, request: Request) -> Result<Response, Response> {
    let module = request.parameter_text("module").unwrap_or_default();
    let wanted = match request.method() {
        web::Method::Put => Some(level(query(&request)?.get("level").unwrap_or_default())?),
        _ => None,
    };
    match (&*module, wanted) {
        ("*", Some(level)) => log_ring::set_level(level),
        ("*", None) => log_ring::set_level(inside.settings.get().log.level),
        (module, level) => log_ring::set_module_level(module, level)
            .map_err(|error| Response::error(Status::CONFLICT, &error))?,
    }
    let without = if module == "*" { "as configured" } else { "as all others" };
    let said = wanted.map_or(without, |level| level.as_str());
    log::info!("log level of {module}: {said}, as the admin port was told");
    Ok(Response::new(Status::NO_CONTENT))
}

/// Writes all tasks into the log, and answers with what was written.
async fn dump(inside: Rc<Inside>, _: Request) -> Response {
    let mut lines = (inside.log_tasks)();
    lines.push(String::new());
    Response::ok("text/plain; charset=utf-8", lines.join("\n"))
}

async fn cancel(inside: Rc<Inside>, request: Request) -> Result<Response, Response> {
    let id = request.parameter_text("id").unwrap_or_default();
    let task: TaskId = id.parse().map_err(|()| bad("a task's id is two numbers, as 7.1\n"))?;
    if inside.spawner.current() == Some(task) {
        return Err(bad("this is the task that answers\n"));
    }
    if serves_all(&inside.spawner, task) {
        let text = "this task serves everybody: without it nobody else could come in\n";
        return Err(bad(text).with_status(Status::CONFLICT));
    }
    if !inside.spawner.cancel(task) {
        return Err(gone());
    }
    log::warn!("task {task} is cancelled, as the admin port was told");
    Ok(Response::new(Status::NO_CONTENT))
}

fn serves_all(spawner: &Spawner, task: TaskId) -> bool {
    let mut serves_all = false;
    spawner.visit_tasks(&mut |info| serves_all |= info.id == task && tasks::serves_all(&info));
    serves_all
}

/// Gives a value that a session lets others set what the content says.
async fn set_value(inside: Rc<Inside>, mut request: Request) -> Result<Response, Response> {
    let (id, name, text) = told_session(&mut request).await?;
    match inside.sessions.set(id, &name, &text).await {
        Ok(()) => Ok(Response::new(Status::NO_CONTENT)),
        Err(error @ (SetError::NoSession | SetError::NoValue)) => {
            Err(Response::error(Status::NOT_FOUND, &error))
        }
        Err(error @ SetError::ReadOnly) => Err(Response::error(Status::CONFLICT, &error)),
        Err(error) => Err(Response::error(Status::BAD_REQUEST, &error)),
    }
}

/// Has a session do a command that it offers, with the content as its words. The answer is the command's.
async fn do_command(inside: Rc<Inside>, mut request: Request) -> Result<Response, Response> {
    let (id, name, words) = told_session(&mut request).await?;
    match inside.sessions.command(id, &name, &words).await {
        Ok(answer) => Ok(Response::ok("text/plain; charset=utf-8", answer)),
        Err(error @ CommandError::Failed(_)) => Err(Response::error(Status::CONFLICT, &error)),
        Err(error) => Err(Response::error(Status::NOT_FOUND, &error)),
    }
}

/// Gives the requests of a session that are recorded to a copy of it, and answers with what that answered.
async fn replay(inside: Rc<Inside>, request: Request) -> Result<Response, Response> {
    let id = request.parameter_text("id").and_then(|id| id.parse().ok()).ok_or_else(gone)?;
    match inside.sessions.replay(id).await {
        Ok(replay) => Ok(Response::json(&Replay::from(replay))),
        Err(error @ ReplayError::NoSession) => Err(Response::error(Status::NOT_FOUND, &error)),
        Err(error) => Err(Response::error(Status::CONFLICT, &error)),
    }
}

#[derive(serde::Serialize)]
struct Replay {
    missing_before: u64,
    requests: Vec<Replayed>,
}

#[derive(serde::Serialize)]
struct Replayed {
    request: String,
    is_same: bool,
    recorded_status: Option<u16>,
    status: Option<u16>,
    differs_at_byte: Option<usize>,
    recorded: Option<String>,
    replayed: Option<String>,
    fault: Option<&'static str>,
}

impl From<session::Replay> for Replay {
    fn from(replay: session::Replay) -> Self {
        let requests = replay.requests.into_iter().map(Replayed::from).collect();
        Self { missing_before: replay.missing_before, requests }
    }
}

impl From<session::Replayed> for Replayed {
    fn from(replayed: session::Replayed) -> Self {
        let is_same = replayed.is_same();
        let session::Replayed { request, recorded_status, status, difference, fault } = replayed;
        let differs_at_byte = difference.as_ref().map(|difference| difference.at_byte);
        let (recorded, replayed) = difference.map(|it| (it.recorded, it.replayed)).unzip();
        Self {
            request,
            is_same,
            recorded_status,
            status,
            differs_at_byte,
            recorded,
            replayed,
            fault,
        }
    }
}

/// The session, the name and the text of a request that is for something of a session.
async fn told_session(request: &mut Request) -> Result<(u64, String, String), Response> {
    let id = request.parameter_text("id").and_then(|id| id.parse().ok()).ok_or_else(gone)?;
    let name = request.parameter_text("name").unwrap_or_default();
    let content = request.body().collect(VALUE_BYTES_MAX).await;
    let content = content.map_err(|_| Response::plain(Status::CONTENT_TOO_LARGE))?;
    let text = String::from_utf8(content).map_err(|_| bad("this takes text in UTF-8\n"))?;
    Ok((id, name, text))
}

async fn log_in(guard: Guard, mut request: Request) -> Result<Response, Response> {
    let form = request.form(&forms::Limits::default()).await?;
    Ok(guard.login(form.get("token").unwrap_or_default(), request.is_secure()))
}

pub(super) fn query(request: &Request) -> Result<Form, Response> {
    Ok(request.query_form(&forms::Limits::default())?)
}

pub(super) fn number(query: &Form, name: &str) -> Result<Option<usize>, Response> {
    let wrong = |_| bad(format!("{name} is a whole number\n"));
    query.get(name).map(|text| text.parse().map_err(wrong)).transpose()
}

fn level(text: &str) -> Result<LevelFilter, Response> {
    text.parse().map_err(|_| bad("a level is off, error, warn, info, debug or trace\n"))
}

pub(super) fn bad(text: impl Into<web::Data>) -> Response {
    Response::ok("text/plain; charset=utf-8", text).with_status(Status::BAD_REQUEST)
}

pub(super) fn gone() -> Response {
    Response::plain(Status::NOT_FOUND)
}

fn no_table(inspector: &Inspector) -> Response {
    let names: Vec<_> = inspector.tables().iter().map(|table| table.name()).collect();
    let text = format!("there are: {}\n", names.join(", "));
    Response::ok("text/plain; charset=utf-8", text).with_status(Status::NOT_FOUND)
}
