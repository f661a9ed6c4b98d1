//! Archive format (newc cpio): what boot loaders hand over as one module, read in place.
//!
//! An archive is a row of members: a header of 110 ASCII bytes (`070701`, then 13 numbers of 8 hexadecimal digits), the
//! name with a final NUL, the bytes; name and bytes padded so that the next part begins at a multiple of 4. The member
//! `TRAILER!!!` ends it. (Linux: Documentation/driver-api/early-userspace/buffer-format.rst.)

use alloc::vec::Vec;
use core::fmt;

/// Longest path of a member, in bytes: what web servers and file systems take.
pub const PATH_BYTES_MAX: usize = 1024;
/// Most members of an archive: far above any site that fits in memory, far below what would make the index a burden.
pub const MEMBERS_MAX: usize = 65_536;

const HEADER_BYTES: usize = 110;
/// Says that the inode number is a hash of the content. No device has this number, and no other tool gives a regular
/// file one.
const HASHED: u32 = u32::from_be_bytes(*b"FNV1");
const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";
const MODE_TYPE: u32 = 0o170_000;
const MODE_FILE: u32 = 0o100_000;
const MODE_FOLDER: u32 = 0o040_000;

/// A regular file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Relative, without a leading `./`, no empty and no dotted parts.
    pub path: &'a str,
    /// The content, in place.
    pub bytes: &'a [u8],
    /// Modification time in seconds since 1970.
    pub mtime: u32,
    /// A hash of the content, if [`Writer`] made the archive. Other tools' archives have none.
    pub content_hash: Option<u32>,
}

/// Why an archive was refused, and at which byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpioError {
    /// Where the member begins.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No `070701`, or a number that is not hexadecimal: not newc, or damaged.
    NotNewc,
    /// The archive ends before its `TRAILER!!!`.
    Truncated,
    /// A path that is none inside the bundle.
    Path(PathFault),
    /// A symbolic link, a device, a pipe or a socket.
    NotAFile,
    /// A file of several names, whose content stands with the last of them.
    HardLink,
    /// More than `MEMBERS_MAX`.
    TooMany,
    /// A path that was there before.
    Duplicate,
    /// A file of 4 GiB or more, which the format has no room for.
    TooLarge,
    /// Something else than zeros behind the trailer, as another archive.
    AfterEnd,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// None at all, or an empty part of it.
    Empty,
    /// Longer than [`PATH_BYTES_MAX`].
    TooLong,
    /// Not UTF-8.
    NotUtf8,
    /// A control character.
    Control,
    /// A slash at its start.
    Absolute,
    /// A part that is `.` or `..`.
    Dots,
}

impl PathFault {
    fn text(self) -> &'static str {
        match self {
            Self::Empty => "a path without a name, or with an empty part, as `a//b`",
            Self::TooLong => "a path of more than 1024 bytes",
            Self::NotUtf8 => "a path that is not UTF-8",
            Self::Control => "a path with a control character",
            Self::Absolute => "an absolute path; paths are relative, as `site/index.html`",
            Self::Dots => "a path with a part `.` or `..`",
        }
    }
}

impl fmt::Display for CpioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.fault {
            Fault::NotNewc => {
                "not a newc cpio archive; make it with `cargo xtask bundle DIR --out FILE`"
            }
            Fault::Truncated => "the archive ends before its trailer; was it copied whole?",
            Fault::Path(fault) => fault.text(),
            Fault::NotAFile => "a link or a device; only files and folders are served",
            Fault::HardLink => {
                "a file of several names (hard link), whose content stands with another; archive copies"
            }
            Fault::TooMany => "more than 65536 members",
            Fault::Duplicate => "the same path twice",
            Fault::TooLarge => "a file of 4 GiB or more",
            Fault::AfterEnd => {
                "something behind the end of the archive, where only zeros may be; one archive is a bundle, not several in a row"
            }
        };
        write!(f, "bundle, byte {}: {text}", self.offset)
    }
}

impl core::error::Error for CpioError {}

/// The files of an archive, one after the other; folders are skipped. Ends after the first error.
pub struct Reader<'a> {
    archive: &'a [u8],
    offset: usize,
    members: usize,
    done: bool,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `archive`. Only zeros may follow the trailer.
    #[must_use]
    pub fn new(archive: &'a [u8]) -> Self {
        Self { archive, offset: 0, members: 0, done: false }
    }

    /// One member: `None` at the trailer, `Some(None)` for a folder.
    fn member(&mut self) -> Result<Option<Option<Member<'a>>>, Fault> {
        let rest = self.archive.get(self.offset..).ok_or(Fault::Truncated)?;
        let Head { entry, next } = Head::parse(rest)?;
        let next = usize::try_from(next).map_err(|_| Fault::Truncated)?;
        let member = match entry {
            Entry::End => {
                // The padding of the trailer itself may be missing.
                let after = rest.get(next..).unwrap_or_default();
                let Some(place) = after.iter().position(|byte| *byte != 0) else { return Ok(None) };
                self.offset += next + place;
                return Err(Fault::AfterEnd);
            }
            Entry::Folder => None,
            Entry::File { path, content_at, content_bytes, mtime, content_hash } => {
                let (start, bytes) = (content_at as usize, content_bytes as usize);
                let end = start.checked_add(bytes).ok_or(Fault::Truncated)?;
                let bytes = rest.get(start..end).ok_or(Fault::Truncated)?;
                Some(Member { path, bytes, mtime, content_hash })
            }
        };
        self.members += 1;
        if self.members > MEMBERS_MAX {
            return Err(Fault::TooMany);
        }
        self.offset = self.offset.checked_add(next).ok_or(Fault::Truncated)?;
        Ok(Some(member))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Member<'a>, CpioError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.member() {
                Ok(Some(Some(member))) => return Some(Ok(member)),
                Ok(Some(None)) => {}
                Ok(None) => self.done = true,
                Err(fault) => {
                    self.done = true;
                    return Some(Err(CpioError { offset: self.offset, fault }));
                }
            }
        }
        None
    }
}

/// What stands before a member's content: for archives that are not in memory, and so are read head by head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// What the member is.
    pub entry: Entry<'a>,
    /// Where the next head begins, counted from this one.
    pub next: u64,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A regular file, as a [`Member`] whose content is elsewhere.
    File {
        /// As [`Member::path`].
        path: &'a str,
        /// Where the content begins, counted from the head.
        content_at: u64,
        /// How long it is.
        content_bytes: u64,
        /// As [`Member::mtime`].
        mtime: u32,
        /// As [`Member::content_hash`].
        content_hash: Option<u32>,
    },
    /// A folder, which has no content.
    Folder,
    /// The archive ends here.
    End,
}

impl<'a> Head<'a> {
    /// Bytes that are enough for any head.
    pub const BYTES_MAX: usize = HEADER_BYTES + PATH_BYTES_MAX + 3;

    /// Reads the head at the start of `bytes`, which are [`BYTES_MAX`](Self::BYTES_MAX) or all that there are.
    ///
    /// # Errors
    /// It is none, or of a member that is neither file nor folder.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let header = Header::parse(bytes)?;
        let name_end = HEADER_BYTES + header.name_bytes;
        let name = bytes.get(HEADER_BYTES..name_end).ok_or(Fault::Truncated)?;
        let name = name.strip_suffix(&[0]).ok_or(Fault::Path(PathFault::Control))?;
        let content_at = name_end.next_multiple_of(4) as u64;
        let content_bytes = u64::from(header.file_bytes);
        let next = (content_at + content_bytes).next_multiple_of(4);
        let entry = match header.mode & MODE_TYPE {
            // One with content would hide that from whoever looks for files.
            _ if name == TRAILER && content_bytes > 0 => return Err(Fault::AfterEnd),
            _ if name == TRAILER => Entry::End,
            MODE_FOLDER => {
                folder_path(name).map_err(Fault::Path)?;
                Entry::Folder
            }
            MODE_FILE => {
                let path = path(name).map_err(Fault::Path)?;
                if header.links > 1 && content_bytes == 0 {
                    return Err(Fault::HardLink);
                }
                let Header { mtime, content_hash, .. } = header;
                Entry::File { path, content_at, content_bytes, mtime, content_hash }
            }
            _ => return Err(Fault::NotAFile),
        };
        Ok(Self { entry, next })
    }
}

struct Header {
    content_hash: Option<u32>,
    mode: u32,
    links: u32,
    mtime: u32,
    file_bytes: u32,
    name_bytes: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if !bytes.iter().zip(MAGIC).all(|(found, expected)| found == expected) {
            return Err(Fault::NotNewc);
        }
        let header = bytes.get(..HEADER_BYTES).ok_or(Fault::Truncated)?;
        let numbers = header.strip_prefix(MAGIC).ok_or(Fault::NotNewc)?;
        let number = |index: usize| hexadecimal(numbers, index).ok_or(Fault::NotNewc);
        let name_bytes = number(11)? as usize;
        // The final NUL counts; a leading "./" is allowed on top.
        if name_bytes == 0 {
            return Err(Fault::Path(PathFault::Empty));
        }
        if name_bytes > PATH_BYTES_MAX + 3 {
            return Err(Fault::Path(PathFault::TooLong));
        }
        Ok(Self {
            content_hash: (number(9)? == HASHED).then_some(number(0)?),
            mode: number(1)?,
            links: number(4)?,
            mtime: number(5)?,
            file_bytes: number(6)?,
            name_bytes,
        })
    }
}

/// The `index`-th number of eight digits.
fn hexadecimal(numbers: &[u8], index: usize) -> Option<u32> {
    let digits = numbers.get(index * 8..)?.get(..8)?;
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

fn path(name: &[u8]) -> Result<&str, PathFault> {
    let name = core::str::from_utf8(name).map_err(|_| PathFault::NotUtf8)?;
    let name = name.strip_prefix("./").unwrap_or(name);
    if name.len() > PATH_BYTES_MAX {
        return Err(PathFault::TooLong);
    }
    if name.contains(char::is_control) {
        return Err(PathFault::Control);
    }
    if name.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    for part in name.split('/') {
        match part {
            "" => return Err(PathFault::Empty),
            "." | ".." => return Err(PathFault::Dots),
            _ => {}
        }
    }
    Ok(name)
}

/// Folders' names are looked at, too, but for that of the whole, which `find . | cpio` gives.
fn folder_path(name: &[u8]) -> Result<(), PathFault> {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    if name == b"." { Ok(()) } else { path(name).map(drop) }
}

/// Makes an archive: the same files in the same order give the same bytes.
#[derive(Default)]
pub struct Writer {
    archive: Vec<u8>,
    members: usize,
}

impl Writer {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file. Its inode number becomes a hash of the content, and the device that it stands for, which files have
    /// none of, says so: servers can then build an ETag without reading the file.
    ///
    /// # Errors
    /// A path or a size that `Reader` would refuse.
    pub fn file(&mut self, path: &str, bytes: &[u8], mtime: u32) -> Result<(), CpioError> {
        let refuse = |fault| Err(CpioError { offset: self.archive.len(), fault });
        match self::path(path.as_bytes()) {
            Ok(plain) if plain == path => {}
            Ok(_) => return refuse(Fault::Path(PathFault::Dots)),
            Err(fault) => return refuse(Fault::Path(fault)),
        }
        // A file of that name would be the end.
        if path.as_bytes() == TRAILER {
            return refuse(Fault::AfterEnd);
        }
        let Ok(file_bytes) = u32::try_from(bytes.len()) else {
            return refuse(Fault::TooLarge);
        };
        if self.members == MEMBERS_MAX {
            return refuse(Fault::TooMany);
        }
        self.members += 1;
        let numbers = [hash(bytes), MODE_FILE | 0o644, 0, 0, 1, mtime, file_bytes];
        self.header(&numbers, HASHED, path.as_bytes());
        self.archive.extend_from_slice(bytes);
        self.pad();
        Ok(())
    }

    /// Ends the archive and gives its bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.header(&[0, 0, 0, 0, 1, 0, 0], 0, TRAILER);
        self.archive
    }

    /// `numbers`: inode, mode, user, group, links, time, size. `device` is the major number of the device that the file
    /// stands for; the three device numbers beside it are zero.
    fn header(&mut self, numbers: &[u32; 7], device: u32, name: &[u8]) {
        let name_bytes = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        self.archive.extend_from_slice(MAGIC);
        for number in numbers.iter().copied().chain([0, 0, device, 0, name_bytes, 0]) {
            for shift in (0..32).step_by(4).rev() {
                let digit = char::from_digit(number >> shift & 15, 16).unwrap_or('0');
                self.archive.push(digit as u8);
            }
        }
        self.archive.extend_from_slice(name);
        self.archive.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}

/// FNV-1a, 32 bits: enough to tell two versions of one file of the same length and time apart.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec, vec::Vec};

    fn sample() -> Vec<u8> {
        let mut writer = Writer::new();
        for (path, bytes) in
            [("a", &b""[..]), ("bc", b"1"), ("def/ghij", b"12345"), ("klmno", &[7; 300])]
        {
            writer.file(path, bytes, 0x6500_0000).unwrap();
        }
        writer.finish()
    }

    fn all(archive: &[u8]) -> Result<Vec<Member<'_>>, CpioError> {
        Reader::new(archive).collect()
    }

    fn fault(archive: &[u8]) -> Fault {
        all(archive).unwrap_err().fault
    }

    /// One member with a chosen mode and name.
    fn one(mode: &str, name: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        let numbers = [0, u32::from_str_radix(mode, 8).unwrap(), 0, 0, 1, 0, 0];
        writer.header(&numbers, 0, name.as_bytes());
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read_in_place() {
        let archive = sample();
        let members = all(&archive).unwrap();
        let paths: Vec<_> = members.iter().map(|member| member.path).collect();
        assert_eq!(paths, ["a", "bc", "def/ghij", "klmno"]);
        assert_eq!(members[2].bytes, b"12345");
        assert_eq!(members[3].bytes, [7; 300]);
        assert_eq!(members[0].mtime, 0x6500_0000);
        assert!(archive.as_ptr_range().contains(&members[3].bytes.as_ptr()));
        assert_eq!(archive, sample());
    }

    #[test]
    fn the_hash_follows_the_content_and_is_ours_only() {
        let hash = |bytes: &[u8]| {
            let mut writer = Writer::new();
            writer.file("a", bytes, 0).unwrap();
            all(&writer.finish()).unwrap()[0].content_hash
        };
        assert_eq!(hash(b"same"), hash(b"same"));
        assert_ne!(hash(b"same"), hash(b"sane"));
        assert_eq!(hash(b"a"), Some(0xe40c_292c), "FNV-1a's published value");
        // As other tools write it, with the number that the file system gave the file.
        let mut other = Writer::new();
        other.header(&[4711, MODE_FILE | 0o644, 1000, 1000, 1, 0, 0], 0, b"a");
        assert_eq!(all(&other.finish()).unwrap()[0].content_hash, None);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let archive = sample();
        for length in 0..archive.len() - 3 {
            assert_eq!(fault(&archive[..length]), Fault::Truncated, "{length}");
        }
    }

    #[test]
    fn a_damaged_byte_never_panics() {
        let archive = sample();
        for index in 0..archive.len() {
            for value in [0, b'0', b'f', b'/', b'.', 0xff] {
                let mut damaged = archive.clone();
                damaged[index] = value;
                let _ = all(&damaged);
            }
        }
    }

    #[test]
    fn folders_are_skipped() {
        for name in ["site", "site/", ".", "./site", "./"] {
            assert_eq!(all(&one("40755", name)).unwrap(), vec![], "{name}");
        }
        assert_eq!(fault(&one("40755", "../etc")), Fault::Path(PathFault::Dots));
        assert_eq!(all(&one("100644", "./a")).unwrap()[0].path, "a");
    }

    #[test]
    fn only_zeros_follow_the_trailer() {
        let archive = sample();
        let padded = [&archive[..], &[0; 511]].concat();
        assert_eq!(all(&padded).unwrap(), all(&archive).unwrap());
        for (after, place) in [(&b"x"[..], 0), (b"\0\0\0x\0", 3), (&archive, 0)] {
            let error = all(&[&archive, after].concat()).unwrap_err();
            let offset = archive.len() + place;
            assert_eq!(error, CpioError { offset, fault: Fault::AfterEnd });
        }
        // The size of the trailer, whose head is the last 124 bytes.
        let mut hiding = archive.clone();
        hiding[archive.len() - 124 + 61] = b'4';
        assert_eq!(fault(&hiding), Fault::AfterEnd);
        assert_eq!(Writer::new().file("TRAILER!!!", b"", 0).unwrap_err().fault, Fault::AfterEnd);
    }

    /// Other tools put the content of a file of several names behind the last of them (cpio(5), newc).
    #[test]
    fn a_name_whose_content_stands_with_another_is_refused() {
        let with = |links: &[u8; 8], content: &[u8]| {
            let mut writer = Writer::new();
            writer.file("a", content, 0).unwrap();
            let mut archive = writer.finish();
            archive[6 + 4 * 8..6 + 5 * 8].copy_from_slice(links);
            Reader::new(&archive).next().unwrap().map(|member| member.bytes.to_vec())
        };
        assert_eq!(with(b"00000002", b"").unwrap_err().fault, Fault::HardLink);
        assert_eq!(with(b"00000002", b"x").unwrap(), b"x");
        assert_eq!(with(b"00000001", b"").unwrap(), b"");
    }

    #[test]
    fn links_and_devices_are_refused() {
        for mode in ["120777", "60644", "20644", "10644", "140644"] {
            assert_eq!(fault(&one(mode, "a")), Fault::NotAFile);
        }
    }

    #[test]
    fn paths_stay_inside() {
        use PathFault::{Absolute, Control, Dots, Empty, NotUtf8, TooLong};
        for (name, expected) in [
            ("", Empty),
            ("/a", Absolute),
            ("../a", Dots),
            ("a/../b", Dots),
            ("a//b", Empty),
            ("a/", Empty),
            (".", Dots),
            ("./", Empty),
            ("././a", Dots),
            ("a\0b", Control),
            ("a\nb", Control),
            ("a\x1b[2J", Control),
            ("a\u{85}", Control),
        ] {
            assert_eq!(fault(&one("100644", name)), Fault::Path(expected), "{name:?}");
            let error = Writer::new().file(name, b"", 0).unwrap_err();
            assert_eq!(error.fault, Fault::Path(expected), "{name:?}");
        }
        // It is read as `a`, and would not be the path that was asked for.
        let error = Writer::new().file("./a", b"", 0).unwrap_err();
        assert_eq!(error.fault, Fault::Path(Dots));
        let mut archive = one("100644", "ab");
        archive[111] = 0xff;
        assert_eq!(fault(&archive), Fault::Path(NotUtf8));
        let longest = "x".repeat(PATH_BYTES_MAX);
        assert_eq!(all(&one("100644", &longest)).unwrap()[0].path, longest);
        for more in ["x", "xxxx"] {
            let too_long = one("100644", &format!("{longest}{more}"));
            assert_eq!(fault(&too_long), Fault::Path(TooLong));
        }
    }

    #[test]
    fn lengths_are_compared_before_they_are_used() {
        let mut archive = sample();
        archive[54..62].copy_from_slice(b"ffffffff");
        assert_eq!(fault(&archive), Fault::Truncated);
        let mut archive = sample();
        archive[94..102].copy_from_slice(b"ffffffff");
        assert_eq!(fault(&archive), Fault::Path(PathFault::TooLong));
        assert_eq!(fault(String::from("070702").repeat(20).as_bytes()), Fault::NotNewc);
    }

    #[test]
    fn what_is_shorter_than_a_header_and_does_not_begin_as_one_is_no_archive() {
        for other in ["<!doctype html><p>hello", "070702", "0707x", "x"] {
            assert_eq!(fault(other.as_bytes()), Fault::NotNewc, "{other}");
        }
        for cut in ["070701", "0707", "0"] {
            assert_eq!(fault(cut.as_bytes()), Fault::Truncated, "{cut}");
        }
    }

    #[test]
    fn the_number_of_members_is_limited() {
        let mut writer = Writer::new();
        for _ in 0..MEMBERS_MAX {
            writer.file("a", b"", 0).unwrap();
        }
        assert_eq!(writer.file("a", b"", 0).unwrap_err().fault, Fault::TooMany);
        writer.members = 0;
        let full = Writer { archive: writer.archive.clone(), members: 0 }.finish();
        assert_eq!(all(&full).unwrap().len(), 65_536);
        writer.file("a", b"", 0).unwrap();
        assert_eq!(fault(&writer.finish()), Fault::TooMany);
    }

    #[test]
    fn every_fault_says_what_is_wrong_and_where() {
        use PathFault::{Absolute, Control, Dots, Empty, NotUtf8, TooLong};
        for (fault, said) in [
            (Fault::NotNewc, "not a newc cpio archive; make it with `cargo xtask bundle"),
            (Fault::Truncated, "the archive ends before its trailer"),
            (Fault::Path(Empty), "a path without a name, or with an empty part"),
            (Fault::Path(TooLong), "a path of more than 1024 bytes"),
            (Fault::Path(NotUtf8), "a path that is not UTF-8"),
            (Fault::Path(Control), "a path with a control character"),
            (Fault::Path(Absolute), "an absolute path; paths are relative"),
            (Fault::Path(Dots), "a path with a part `.` or `..`"),
            (Fault::NotAFile, "a link or a device"),
            (Fault::HardLink, "a file of several names (hard link)"),
            (Fault::TooMany, "more than 65536 members"),
            (Fault::Duplicate, "the same path twice"),
            (Fault::TooLarge, "a file of 4 GiB or more"),
            (Fault::AfterEnd, "something behind the end of the archive"),
        ] {
            let text = format!("{}", CpioError { offset: 124, fault });
            assert!(text.starts_with(&format!("bundle, byte 124: {said}")), "{text}");
        }
    }

    /// 1024 bytes of a path, `./` in front of it and the NUL behind it are 1027.
    #[test]
    fn a_head_with_a_longer_name_is_refused_before_the_name_is_there() {
        let longest = format!("./{}", "x".repeat(1024));
        let archive = one("100644", &longest);
        assert_eq!(Head::BYTES_MAX, 110 + 1027);
        assert!(Head::parse(&archive[..Head::BYTES_MAX]).is_ok());
        assert_eq!(all(&one("100644", &longest)).unwrap()[0].path, &longest[2..]);
        for (digits, fault) in
            [(b"00000403", Fault::Truncated), (b"00000404", Fault::Path(PathFault::TooLong))]
        {
            let mut head = one("100644", "a");
            head[94..102].copy_from_slice(digits);
            assert_eq!(Head::parse(&head[..110]), Err(fault));
        }
    }
}
