//! Content from a disk: what is on one now, in place of what is served, without a restart.

use super::super::api::{bad, query};
use super::{Busy, Content, refusal, refused, serve};
use crate::Platform;
use crate::context::Context;
use crate::disk::DiskReader;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use storage::PageCache;
use web::{Handler, Request, Response, Status, sharing};

/// How long a disk may take to say what is on it.
const TIME_MAX: Duration = Duration::from_secs(60);

struct FromDisk {
    content: Rc<Content>,
    reader: DiskReader,
    cache: Rc<RefCell<Option<PageCache>>>,
}

/// What answers POST.
pub(super) fn route<P: Platform>(
    context: &Context<P>,
    content: &Rc<Content>,
) -> impl Handler + use<P> {
    let (content, cache) = (content.clone(), context.disk_cache.clone());
    let from_disk = FromDisk { content, reader: DiskReader::new(context), cache };
    sharing(&Rc::new(from_disk), post)
}

/// Serves what is on the disk `?disk=`, of its folder `?folder=`. Nothing changes unless all of it is right.
async fn post(from: Rc<FromDisk>, request: Request) -> Result<Response, Response> {
    let FromDisk { content, reader, cache } = &*from;
    let query = query(&request)?;
    let number = query.get("disk").and_then(|text| text.parse::<usize>().ok());
    let Some(number) = number.and_then(|number| number.checked_sub(1)) else {
        return Err(bad("?disk= and the number of a disk, of which 1 is the first\n"));
    };
    if number >= reader.count() {
        let text = format!(
            "a disk that the machine has, and of {} it has none (it has {})",
            number + 1,
            reader.count()
        );
        return Err(refusal(Status::NOT_FOUND, text));
    }
    if content.is_busy.replace(true) {
        return Err(refusal(Status::CONFLICT, "another bundle is coming".into()));
    }
    let _busy = Busy(content.clone());
    let live = &content.live;
    let own = live.roots().next().unwrap_or_default();
    let own = query.get("folder").unwrap_or(own).to_string();
    let folders: Vec<_> = core::iter::once(&*own).chain(live.roots().skip(1)).collect();
    let deadline = content.timers.now().saturating_add(TIME_MAX);
    let disk = content.timers.before(deadline, reader.read(number, &folders)).await;
    let disk = disk.map_err(|_| {
        let text = format!("disk {} did not say what is on it within {TIME_MAX:?}", number + 1);
        refusal(Status::GATEWAY_TIMEOUT, text)
    })?;
    let disk = disk.map_err(|text| refusal(Status::UNPROCESSABLE_CONTENT, text))?;
    let prepared = live.prepare_disk(&disk, &own, content.memory_bytes_max).await;
    let prepared = prepared.map_err(refused)?;
    cache.replace(Some(disk.site.cache().clone()));
    Ok(serve(prepared, &format!("disk {}", number + 1)).await)
}
