//! Media that firmware boots: a file that is a CD and a disk at once, with the image, a bundle and GRUB, which starts the image by
//! Multiboot2. BIOS boots it by the MBR or El Torito, UEFI by the EFI system partition in it.

use command::{
    failure::{OrSay, Result, fail},
    files,
    paths::Scratch,
    programs::{self, Install, Program},
};
use std::path::Path;

/// Makes media of a folder and of GRUB's modules.
pub const GRUB: Program = Program { name: "grub-mkrescue", package: "grub-common" };
/// GRUB for BIOS.
pub const GRUB_BIOS: Program =
    Program { name: "/usr/lib/grub/i386-pc/moddep.lst", package: "grub-pc-bin" };
/// GRUB for UEFI.
pub const GRUB_UEFI: Program =
    Program { name: "/usr/lib/grub/x86_64-efi/moddep.lst", package: "grub-efi-amd64-bin" };
/// Writes file systems of CDs; GRUB calls it.
pub const XORRISO: Program = Program { name: "xorriso", package: "xorriso" };
/// Writes FAT, which UEFI reads; GRUB calls it.
pub const MTOOLS: Program = Program { name: "mformat", package: "mtools" };
/// What the script needs, and the kinds of partitions that GRUB looks for first.
const MODULES: &str = "multiboot2 normal serial terminal iso9660 part_gpt part_msdos part_apple part_acorn part_amiga part_bsd \
     part_dfly part_dvh part_plan part_sun part_sunpc";
/// Disks of clouds are whole MiB.
const DISK_UNIT_BYTES: u64 = 1 << 20;
/// Longest command line, in bytes: the image keeps no more.
const WORDS_BYTES_MAX: usize = 2047;

/// What is on the media.
pub struct Media<'a> {
    /// The bootable ELF.
    pub image: &'a Path,
    /// Configuration and content.
    pub bundle: &'a [u8],
    /// Words of the kernel command line.
    pub words: &'a str,
}

/// What the file is for. The content is the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A CD's image.
    Iso,
    /// A raw disk's, of whole MiB.
    Disk,
}

/// Writes a file that firmware boots.
///
/// # Errors
///
/// A program is missing, words cannot be on a command line, or the file cannot be written.
pub fn write(media: &Media<'_>, form: Form, out: &Path, install: Install) -> Result {
    // GRUB's modules are compressed, by a program that a small Debian does not have.
    let needed = [&GRUB, &GRUB_BIOS, &GRUB_UEFI, &XORRISO, &MTOOLS, &programs::XZ];
    programs::need(&needed, install)?;
    let scratch = Scratch::new()?;
    let boot = scratch.path("boot");
    let grub = boot.join("grub");
    files::make_folder(&grub)?;
    files::write(&boot.join("aqueduct.elf"), files::read(media.image)?)?;
    files::write(&boot.join("bundle.cpio"), media.bundle)?;
    files::write(&grub.join("grub.cfg"), menu(media.words)?)?;
    let made = scratch.path("media");
    let mut command = programs::command(&GRUB)?;
    command.arg("--output").arg(&made);
    // No themes and languages, and only the modules that are used.
    command.args(["--compress=xz", "--locales=", "--themes=", "--fonts="]);
    command.arg(format!("--install-modules={MODULES}"));
    command.arg(format!("/boot={}", boot.display()));
    command.args(["--", "-volid", "AQUEDUCT"]);
    programs::output(&mut command)?;
    if form == Form::Disk {
        let file = std::fs::OpenOptions::new().append(true).open(&made);
        let file = file.or_say(|| format!("cannot open {}", made.display()))?;
        let bytes = file.metadata().map_or(0, |found| found.len());
        file.set_len(bytes.next_multiple_of(DISK_UNIT_BYTES))
            .or_say(|| format!("cannot write {}", made.display()))?;
    }
    std::fs::copy(&made, out).or_say(|| format!("cannot write {}", out.display())).map(drop)
}

/// GRUB's script: it waits for nobody, and says on the serial line what is wrong.
fn menu(words: &str) -> Result<String> {
    if words.len() > WORDS_BYTES_MAX {
        fail!("--append: {} bytes; allowed: at most {WORDS_BYTES_MAX}", words.len());
    }
    // What has a meaning to GRUB's script.
    if let Some(bad) = words
        .chars()
        .find(|it| !(it.is_ascii_graphic() || *it == ' ') || "'\"\\$`;&|<>{}".contains(*it))
    {
        fail!("--append: found `{}`; allowed: words such as ip=10.0.0.2/24", bad.escape_default());
    }
    Ok(format!(
        "set timeout=0\n\
         serial --unit=0 --speed=115200\n\
         terminal_input serial console\n\
         terminal_output serial console\n\
         multiboot2 /boot/aqueduct.elf {words}\n\
         module2 /boot/bundle.cpio\n\
         boot\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_image_or_are_refused() {
        assert!(
            menu("ip=10.0.0.2/24 log=debug").unwrap().contains("elf ip=10.0.0.2/24 log=debug\n")
        );
        assert!(menu("").unwrap().contains("multiboot2 /boot/aqueduct.elf \n"));
        for bad in ["a\nb", "$x", "a;reboot", "é", "'"] {
            assert!(menu(bad).unwrap_err().to_string().contains("--append: found"), "{bad}");
        }
        assert!(menu(&"a".repeat(2048)).unwrap_err().to_string().contains("at most 2047"));
    }
}
