//! Files as disks: a few threads read them, so that the loop never waits for one.

use aqueduct::disk::{self, AtStart};
use bytes::Bytes;
use mio::{Registry, Token, Waker as PollWaker};
use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use storage::{BlockDevice, DiskError, Geometry, Pending};

/// Reads at a time.
const THREADS: usize = 8;
/// What disks count in.
const BLOCK_BYTES: u64 = 512;

/// The disks that the command line names.
#[derive(Default)]
pub(crate) struct FileDisks {
    disks: Vec<Rc<FileDisk>>,
    news: Arc<News>,
    /// How many reads there had been when the last wait at the start was over.
    reads_seen: Cell<u64>,
}

/// A file, or a block device of this machine, as a disk.
struct FileDisk {
    file: Arc<File>,
    /// Without the rest of the last block.
    bytes: u64,
    jobs: Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

/// That something was read, for whoever waits for that alone or for all that may happen.
#[derive(Default)]
struct News {
    reads: Mutex<u64>,
    changed: Condvar,
    poll: OnceLock<PollWaker>,
}

/// Where a read leaves its outcome.
#[derive(Default)]
struct Reply(Mutex<ReplyState>);

#[derive(Default)]
struct ReplyState {
    outcome: Option<Result<Bytes, DiskError>>,
    waiting: Option<Waker>,
}

impl FileDisks {
    /// Opens the files, in this order.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, String> {
        let news = Arc::<News>::default();
        if paths.is_empty() {
            return Ok(Self::default());
        }
        let jobs = threads(&news).map_err(|error| format!("no thread to read disks: {error}"))?;
        let open = |path: &PathBuf| match FileDisk::open(path, &jobs) {
            Ok(disk) => Ok(Rc::new(disk)),
            Err(error) => Err(format!("disk {}: {error}", path.display())),
        };
        let disks = paths.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { disks, news, reads_seen: Cell::default() })
    }

    /// Ends waits of the registry's poll from now on, whenever something was read.
    pub(crate) fn end_waits_of(&self, registry: &Registry) -> io::Result<()> {
        const TOKEN: Token = Token(usize::MAX - 1);
        if !self.disks.is_empty() {
            // Asked once, when the process starts.
            let _ = self.news.poll.set(PollWaker::new(registry, TOKEN)?);
        }
        Ok(())
    }
}

impl AtStart for FileDisks {
    fn devices(&self) -> disk::Disks {
        self.disks.iter().map(|disk| disk.clone() as Rc<dyn BlockDevice>).collect()
    }

    fn now(&self) -> Duration {
        crate::process::now()
    }

    fn wait(&self, deadline: Option<Duration>) {
        self.reads_seen.set(self.news.wait_for_more_than(self.reads_seen.get(), deadline));
    }
}

impl FileDisk {
    fn open(path: &Path, jobs: &Sender<Job>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        // A block device has no length but the place where it ends.
        let bytes = file.seek(SeekFrom::End(0))?;
        Ok(Self { file: Arc::new(file), bytes, jobs: jobs.clone() })
    }
}

impl BlockDevice for FileDisk {
    fn driver(&self) -> &'static str {
        "file"
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            capacity_bytes: self.bytes.next_multiple_of(BLOCK_BYTES),
            block_bytes: BLOCK_BYTES as usize,
            request_bytes_max: storage::PAGE_BYTES,
            is_read_only: true,
        }
    }

    fn read(&self, at: u64, bytes: usize) -> Pending<Bytes> {
        let reply = Arc::<Reply>::default();
        let begun = self.geometry().check(at, bytes).and_then(|()| {
            let (file, file_bytes, told) = (self.file.clone(), self.bytes, reply.clone());
            let job = move || told.set(read(&file, file_bytes, at, bytes));
            self.jobs.send(Box::new(job)).map_err(|_| DiskError::Gone)
        });
        Box::pin(async move {
            begun?;
            poll_fn(|cx| reply.poll(cx)).await
        })
    }

    fn write(&self, _: u64, _: Bytes) -> Pending<()> {
        Box::pin(async { Err(DiskError::ReadOnly) })
    }

    fn flush(&self) -> Pending<()> {
        Box::pin(async { Ok(()) })
    }
}

impl News {
    /// Nothing that is done under the lock can fail half-way.
    fn reads(&self) -> MutexGuard<'_, u64> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        *self.reads() += 1;
        self.changed.notify_all();
        if let Some(Err(error)) = self.poll.get().map(PollWaker::wake) {
            log::error!("a disk was read, and the loop cannot be told: {error}");
        }
    }

    /// Waits until there were more reads than `before`, or the deadline; how many there were.
    fn wait_for_more_than(&self, before: u64, deadline: Option<Duration>) -> u64 {
        /// Longer than anything at the start takes; asked again after it.
        const LONG: Duration = Duration::from_secs(60);
        let now = crate::process::now();
        let timeout = deadline.map_or(LONG, |deadline| deadline.saturating_sub(now));
        let waited =
            self.changed.wait_timeout_while(self.reads(), timeout, |reads| *reads == before);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Reply {
    fn set(&self, outcome: Result<Bytes, DiskError>) {
        let waker = {
            let mut reply = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            reply.outcome = Some(outcome);
            reply.waiting.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Bytes, DiskError>> {
        let mut reply = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match reply.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                reply.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Starts the threads, which end with the last disk.
fn threads(news: &Arc<News>) -> io::Result<Sender<Job>> {
    let (jobs, queue) = mpsc::channel();
    let queue = Arc::new(Mutex::new(queue));
    for number in 0..THREADS {
        let (queue, news) = (queue.clone(), news.clone());
        let thread = thread::Builder::new().name(format!("disk {number}"));
        thread.spawn(move || {
            while let Some(job) = next(&queue) {
                job();
                news.tell();
            }
        })?;
    }
    Ok(jobs)
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Reads a part of a file that had `file_bytes` when it was opened; zeros follow up to the end of the last block.
fn read(file: &File, file_bytes: u64, at: u64, bytes: usize) -> Result<Bytes, DiskError> {
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).map_err(|_| DiskError::OutOfMemory)?;
    data.resize(bytes, 0);
    let there = file_bytes.saturating_sub(at).min(bytes as u64) as usize;
    match file.read_exact_at(&mut data[..there], at) {
        Ok(()) => Ok(data.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(DiskError::Short),
        Err(error) => {
            log::error!("a disk cannot be read: {error}");
            Err(DiskError::Failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::task::Executor;
    use flow::time::Timers;
    use std::fs;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, content: &[u8]) -> Self {
            let name = format!("aqueduct-disk-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, content).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// What comes of reads that are all asked for before the first is waited for.
    fn reads(disks: &FileDisks, wanted: &[(u64, usize)]) -> Vec<Result<Bytes, DiskError>> {
        let executor = Executor::new(crate::process::catch_panic);
        let disk = disks.devices().remove(0);
        let pending: Vec<_> = wanted.iter().map(|&(at, bytes)| disk.read(at, bytes)).collect();
        let all = async move {
            let mut outcomes = Vec::new();
            for read in pending {
                outcomes.push(read.await);
            }
            Ok(outcomes)
        };
        disks.run(&executor, &Timers::new(), all).unwrap()
    }

    #[test]
    fn a_file_is_a_disk_of_whole_blocks() {
        let content: Vec<u8> = (0..100_700).map(|at: u32| (at / 512) as u8).collect();
        let file = Scratch::new("whole", &content);
        let disks = FileDisks::open(std::slice::from_ref(&file.0)).unwrap();
        assert_eq!(disks.disks[0].geometry().capacity_bytes, 100_864);
        let wanted: Vec<_> = (0..197).map(|block| (block * 512, 512)).collect();
        let read: Vec<u8> = reads(&disks, &wanted).into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(read[..100_700], content);
        assert_eq!(read[100_700..], [0; 164]);
        assert_eq!(reads(&disks, &[(100_864, 512)]), [Err(DiskError::OutOfRange)]);
    }

    #[test]
    fn a_file_that_was_cut_is_short() {
        let file = Scratch::new("cut", &[1; 4096]);
        let disks = FileDisks::open(std::slice::from_ref(&file.0)).unwrap();
        fs::write(&file.0, [1; 1000]).unwrap();
        let outcomes = reads(&disks, &[(0, 512), (512, 512), (2048, 512)]);
        assert_eq!(
            outcomes,
            [Ok(vec![1; 512].into()), Err(DiskError::Short), Err(DiskError::Short)]
        );
    }

    #[test]
    fn a_disk_that_is_not_there_is_named() {
        let refusal = FileDisks::open(&["/no/such/disk".into()]).err().unwrap();
        assert!(refusal.contains("/no/such/disk"), "{refusal}");
    }
}
