//! The workspace's programs, built once per test run with the cargo that runs the tests.

use std::{
    collections::HashSet,
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
};

/// The path of program `name`, whose package is built first. `cargo test` builds no other package's binaries.
pub fn binary(package: &str, name: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if built.get_or_insert_default().insert(package.to_owned()) {
        build(package);
    }
    let path = profile_dir().join(name);
    assert!(path.exists(), "package {package} has no program {name} at {}", path.display());
    path
}

/// The directory that cargo builds into, for what a test run may keep between runs.
pub fn target_dir() -> &'static Path {
    profile_dir().parent().expect("the profile's directory is inside the target directory")
}

/// The root of the workspace.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is inside the workspace")
}

fn build(package: &str) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace_root()).args(["build", "--quiet", "--package", package]);
    command.arg("--target-dir").arg(target_dir());
    if profile_dir().ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().expect("cargo starts");
    assert!(
        output.status.success(),
        "cannot build package {package}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The test binary is in `target/debug/deps`; programs are one level up.
fn profile_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let exe = env::current_exe().expect("a test binary has a path");
        let deps = exe.parent().expect("a test binary is in a directory");
        let dir = if deps.ends_with("deps") { deps.parent().expect("deps has a parent") } else { deps };
        dir.to_owned()
    })
}
