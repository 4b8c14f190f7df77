//! Where the broker's data lies, and what a crash does to it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{
    random::Random,
    trouble::{Doing, Trouble},
};

/// The kernel's own flushing, in hundredths of a second between two rounds.
const WRITEBACK: &str = "/proc/sys/vm/dirty_writeback_centisecs";

/// Longer than any campaign: nothing is flushed while an image is copied.
const WRITEBACK_NEVER: &str = "8640000";

/// Where a broker keeps its files.
#[derive(Debug)]
pub enum Ground {
    /// A directory: the kernel keeps what a killed process has written.
    Directory(PathBuf),
    /// A file system in a file: a crash takes what was not synced.
    Image(Image),
    /// A small file system in memory.
    Small(Mount),
}

impl Ground {
    pub fn data_dir(&self) -> PathBuf {
        match self {
            Ground::Directory(dir) => dir.clone(),
            Ground::Image(image) => image.mount.point.join("data"),
            Ground::Small(mount) => mount.point.join("data"),
        }
    }

    /// The broker is dead; now the power goes, too, where there is any to go.
    pub fn crash(&mut self, random: &mut Random) -> Result<(), Trouble> {
        match self {
            Ground::Image(image) => image.cut(random),
            Ground::Directory(_) | Ground::Small(_) => Ok(()),
        }
    }

    /// What is wrong with the file system itself; empty if nothing is.
    pub fn complaints(&mut self) -> String {
        match self {
            Ground::Image(image) => image.complaints(),
            Ground::Directory(_) | Ground::Small(_) => String::new(),
        }
    }
}

/// An ext4 file system in a file, mounted.
#[derive(Debug)]
pub struct Image {
    dir: PathBuf,
    number: u32,
    mount: Mount,
    _writeback: Writeback,
}

impl Image {
    /// Makes and mounts one of so many MiB in a directory, which had best be in memory.
    pub fn make(dir: &Path, size_mib: u64) -> Result<Image, Trouble> {
        require_root("mounting an image")?;
        let path = image_path(dir, 0);
        let file = File::create(&path).doing("making an image")?;
        file.set_len(size_mib << 20).doing("making an image")?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&path))?;
        let writeback = Writeback::hold()?;
        let mount = Mount::new(&path, &dir.join("mounted"), &["-o", "loop,commit=300"])?;
        fs::create_dir(mount.point.join("data")).doing("making the data directory")?;
        // The directory itself is not what is tested.
        run(Command::new("sync").arg("-f").arg(&mount.point))?;
        Ok(Image { dir: dir.to_owned(), number: 0, mount, _writeback: writeback })
    }

    /// Copies the image as it is, without a word to the file system in it, and mounts the copy: whatever was not
    /// synced is not in it.
    fn cut(&mut self, random: &mut Random) -> Result<(), Trouble> {
        self.stir(random);
        let (old, new) = (image_path(&self.dir, self.number), image_path(&self.dir, self.number + 1));
        run(Command::new("cp").arg("--sparse=always").arg(&old).arg(&new))?;
        self.mount.end();
        fs::remove_file(&old).doing("removing the old image")?;
        self.number += 1;
        let options = random.pick(&["loop,commit=300", "loop,commit=300,data=writeback"]);
        self.mount = Mount::new(&new, &self.dir.join("mounted"), &["-o", options])?;
        Ok(())
    }

    /// Syncs some files, as the kernel might have by itself: so that a file may be newer than another.
    fn stir(&self, random: &mut Random) {
        let percent = random.pick(&[0, 0, 10, 50]);
        for file in files(&self.mount.point) {
            if random.chance(percent) {
                // A file that has gone meanwhile needs no sync.
                File::open(file).and_then(|file| file.sync_data()).ok();
            }
        }
    }

    fn complaints(&mut self) -> String {
        self.mount.end();
        let path = image_path(&self.dir, self.number);
        let checked = Command::new("e2fsck").arg("-fn").arg(path).output();
        checked.map_or_else(
            |error| format!("e2fsck: {error}"),
            |checked| match checked.status.success() {
                true => String::new(),
                false => String::from_utf8_lossy(&checked.stdout).into_owned(),
            },
        )
    }
}

/// A mounted file system. Unmounted with the value, or at the latest when this process ends.
#[derive(Debug)]
pub struct Mount {
    pub point: PathBuf,
    /// Unmounts if this process ends first. None once unmounted: the place may be another's then.
    guard: Option<Child>,
}

impl Mount {
    /// A file system in memory, of so many MiB.
    pub fn in_memory(point: &Path, size_mib: u64) -> Result<Mount, Trouble> {
        require_root("mounting a small file system")?;
        let size = format!("size={size_mib}m");
        let mount = Mount::new(Path::new("tmpfs"), point, &["-t", "tmpfs", "-o", &size])?;
        fs::create_dir(mount.point.join("data")).doing("making the data directory")?;
        Ok(mount)
    }

    fn new(what: &Path, point: &Path, options: &[&str]) -> Result<Mount, Trouble> {
        fs::create_dir_all(point).doing("making a mount point")?;
        run(Command::new("mount").args(options).arg(what).arg(point))?;
        let guard = when_this_process_ends("umount -l \"$1\"", point.as_os_str())?;
        Ok(Mount { point: point.to_owned(), guard: Some(guard) })
    }

    fn end(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        end_guard(&mut guard);
        if let Err(trouble) = run(Command::new("umount").arg(&self.point)) {
            eprintln!("note: {trouble}");
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps the kernel from flushing by itself, as long as the value lives.
#[derive(Debug)]
struct Writeback {
    before: String,
    guard: Child,
}

impl Writeback {
    fn hold() -> Result<Writeback, Trouble> {
        let before = fs::read_to_string(WRITEBACK).doing(WRITEBACK)?.trim().to_owned();
        fs::write(WRITEBACK, WRITEBACK_NEVER).doing(WRITEBACK)?;
        let guard = when_this_process_ends(&format!("echo \"$1\" > {WRITEBACK}"), before.as_ref())?;
        Ok(Writeback { before, guard })
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        end_guard(&mut self.guard);
        if fs::write(WRITEBACK, &self.before).is_err() {
            eprintln!("note: {WRITEBACK} was {} before the campaign, and is not again", self.before);
        }
    }
}

/// A shell that waits until this process ends, however it ends, and then runs a command.
fn when_this_process_ends(command: &str, argument: &std::ffi::OsStr) -> Result<Child, Trouble> {
    Command::new("sh")
        .args(["-c", &format!("read _; {command}"), "guard"])
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing("starting a shell")
}

/// The guard's work is done by its owner.
fn end_guard(guard: &mut Child) {
    guard.kill().ok();
    guard.wait().ok();
}

fn require_root(what: &str) -> Result<(), Trouble> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Trouble::new(format!("{what} needs root: run this campaign as root")))
}

fn run(command: &mut Command) -> Result<(), Trouble> {
    let output = command.output().doing(format_args!("{command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Trouble::new(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn image_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("image-{number}"))
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}
