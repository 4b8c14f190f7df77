//! Python with pika, in a virtual environment that is made once and kept in the target directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::binaries::{target_dir, workspace_root};

/// The client library, pinned so that a test fails because of the broker alone.
const PIKA: &str = "pika==1.4.4";

/// A command that runs a script of `tutorials/python`, its output unbuffered.
pub fn tutorial(script: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg("-u").arg(workspace_root().join("tutorials/python").join(script));
    command
}

/// The interpreter that has pika.
fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        let dir = target_dir().join("python-test");
        let interpreter = dir.join("bin/python");
        // The stamp is written last, so that a run that was stopped half way starts over.
        let stamp = dir.join(PIKA);
        if !stamp.exists() {
            fs::remove_dir_all(&dir).ok();
            run(
                Command::new("python3").args(["-m", "venv"]).arg(&dir),
                "python3 with its venv module is needed for the tests of the Python tutorials",
            );
            run(
                Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", PIKA]),
                "pip must be able to install pika for the tests of the Python tutorials",
            );
            fs::write(&stamp, "").expect("the target directory is writable");
        }
        interpreter
    })
}

fn run(command: &mut Command, need: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{need}: {error}"));
    assert!(output.status.success(), "{need}:\n{}", String::from_utf8_lossy(&output.stderr));
}
