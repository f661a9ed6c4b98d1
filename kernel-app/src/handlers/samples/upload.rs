//! Upload: one session takes a long upload and tells another page's requests how far it is, both by turns in one loop.

use super::page::page;
use alloc::format;
use embassy_futures::select::{Either, select};
use web::event_stream::{EventWriter, KeepAlive};
use web::session::{Ended, Hit, Session, StreamWriter};
use web::{Method, Response, Status};

/// Bytes between two reports.
const REPORT_BYTES: u64 = 256 << 10;

/// Takes uploads, one after the other.
pub(super) async fn upload(mut session: Session) -> Result<(), Ended> {
    let mut progress = None;
    loop {
        let hit = session.next().await?;
        let what = hit.parameter_text("what");
        match (what.as_deref(), hit.method()) {
            (None, Method::Get) => hit.reply(page("Upload", FORM)),
            (Some("progress"), Method::Get) => {
                progress = Some(hit.events(KeepAlive::new(session.timers())));
            }
            (Some("file"), Method::Put) => receive(&mut session, hit, &mut progress).await?,
            _ => hit.reply(Response::plain(Status::NOT_FOUND)),
        }
    }
}

/// The page that is told how far an upload is.
type Progress = Option<EventWriter<StreamWriter>>;

/// Takes one upload, and answers what else comes meanwhile.
async fn receive(
    session: &mut Session,
    mut hit: Hit,
    progress: &mut Progress,
) -> Result<(), Ended> {
    let (mut received, mut reported) = (0, 0);
    loop {
        match select(hit.body().next(), session.next()).await {
            Either::First(Ok(Some(piece))) => {
                received += piece.len() as u64;
                if received >= reported + REPORT_BYTES {
                    reported = received;
                    report(progress, received).await;
                }
            }
            Either::First(Ok(None)) => {
                report(progress, received).await;
                hit.reply(Response::ok("text/plain; charset=utf-8", format!("{received} bytes\n")));
                return Ok(());
            }
            Either::First(Err(error)) => {
                log::info!("session {}: an upload broke off: {error}", session.number());
                return Ok(());
            }
            Either::Second(other) => {
                let other = other?;
                if other.parameter_text("what").as_deref() == Some("progress") {
                    *progress = Some(other.events(KeepAlive::new(session.timers())));
                } else {
                    other.reply(page("Upload", format!("<p>{received} bytes of one are here.")));
                }
            }
        }
    }
}

async fn report(progress: &mut Progress, received: u64) {
    if let Some(page) = progress
        && page.send(format!("{received}")).await.is_err()
    {
        *progress = None;
    }
}

const FORM: &str = "<form id=form><label>A file <input type=file name=file required></label><button>Send</button>\
<progress id=bar max=1 value=0 aria-label=Progress></progress><output id=said role=status></output></form>\
<noscript><p>This sample needs JavaScript.</noscript>
<script>
const form = document.getElementById('form'), bar = document.getElementById('bar'), said = document.getElementById('said');
let total = 1;
new EventSource('/samples/upload/progress').onmessage = event => {
  bar.value = event.data / total;
  said.value = event.data + ' of ' + total + ' bytes have arrived';
};
form.addEventListener('submit', async event => {
  event.preventDefault();
  const file = form.file.files[0];
  total = file.size || 1;
  const answer = await fetch('/samples/upload/file', { method: 'PUT', body: file });
  said.value = answer.ok ? 'All has arrived: ' + await answer.text() : 'Refused: ' + answer.status;
  bar.value = answer.ok ? 1 : 0;
});
</script>";
