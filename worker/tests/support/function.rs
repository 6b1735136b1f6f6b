//! The function, `lambda-dispatch`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use super::{project, succeed};

/// The function, built with the features of the whole workspace: those that it has got if everything is tested, so that
/// nothing is built twice.
pub static BOOTSTRAP: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_logmill"));
    let folder = built.parent().unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        profile => profile,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--workspace"]);
    cargo.args(["--bin", "lambda-dispatch", "--profile", profile]);
    cargo.arg("--target-dir").arg(folder.parent().unwrap());
    // What cargo tells a test of its package would look like changed settings to build scripts.
    let told = std::env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        cargo.env_remove(name);
    }
    cargo.env_remove("CARGO_MANIFEST_DIR");
    cargo.env_remove("CARGO_MANIFEST_PATH");
    succeed(cargo.current_dir(project()));
    folder.join("lambda-dispatch")
});
