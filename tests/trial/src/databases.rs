//! Questions to a database of the configuration: `GET /_test/database/NAME/WHAT`; and a session that waits for one.

use alloc::format;
use alloc::string::String;
use aqueduct::Platform;
use aqueduct::context::Context;
use endpoints::postgres::ClientError;
use web::session::{Ended, Session};
use web::{Request, Response, Status};

/// Answers what the database does; 503 if it does not, and 404 if there is none of that name.
pub(super) async fn ask<P: Platform>(context: Context<P>, request: Request) -> Response {
    let name = request.parameter_text("name").unwrap_or_default();
    let pool = match context.database(&name) {
        Ok(pool) => pool,
        Err(error) => return said(Status::NOT_FOUND, &error),
    };
    let what = request.parameter_text("what").unwrap_or_default();
    let sql = match &*what {
        "user" => {
            "select current_user || ' by ' || coalesce(version, 'no TLS') from pg_stat_ssl where pid = pg_backend_pid()"
        }
        "sleep" => "select 'awake' from pg_sleep(600)",
        "sleepers" => {
            "select count(*)::text from pg_stat_activity where query like '%pg\\_sleep(600)' and state = 'active'"
        }
        _ => return Response::plain(Status::NOT_FOUND),
    };
    let asked = async {
        let row = pool.get().await?.query_one(sql, &[]).await?;
        row.get::<String>(0).map_err(ClientError::from)
    };
    match asked.await {
        Ok(text) => said(Status::OK, &text),
        Err(error) => said(Status::SERVICE_UNAVAILABLE, &error),
    }
}

/// A session that waits for the database `main`, and then says what it says.
pub(super) async fn sleeper<P: Platform>(
    context: Context<P>,
    mut session: Session,
) -> Result<(), Ended> {
    let hit = session.next().await?;
    let asked = async {
        let pool = context.database("main").map_err(|_| ClientError::NoServer)?;
        pool.get().await?.query_one("select 'awake' from pg_sleep(600)", &[]).await
    };
    match asked.await {
        Ok(_) => hit.reply(said(Status::OK, &"awake")),
        Err(error) => hit.reply(said(Status::SERVICE_UNAVAILABLE, &error)),
    }
    Ok(())
}

fn said(status: Status, what: &impl core::fmt::Display) -> Response {
    Response::ok("text/plain; charset=utf-8", format!("{what}\n")).with_status(status)
}
