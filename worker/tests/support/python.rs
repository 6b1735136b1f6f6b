//! The Python that the judges run in: a virtual environment with the packages of `tests/requirements.txt`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::{project, succeed};

/// A Python with the packages of `tests/requirements.txt`, made anew when they change.
pub static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
    let requirements = project().join("tests/requirements.txt");
    let wanted = fs::read_to_string(&requirements).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Two test binaries may want it at once, and half an environment is none.
    let lock = fs::File::create(folder.join("python.lock")).unwrap();
    lock.lock().unwrap();

    let environment = folder.join("python");
    let python = environment.join("bin/python");
    let installed = environment.join("installed.txt");
    if fs::read_to_string(&installed).ok() != Some(wanted.clone()) {
        succeed(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        );
        let install = ["-m", "pip", "install", "--quiet", "--requirement"];
        succeed(Command::new(&python).args(install).arg(&requirements));
        fs::write(&installed, wanted).unwrap();
    }
    python
});

/// Runs one of the Python programs in `tests/` that judge logmill. Fails unless its last line says that checks were made, and
/// all passed.
pub fn judge(program: &str, args: &[&Path]) {
    let mut command = Command::new(&*PYTHON);
    command.arg(project().join("tests").join(program));
    command.arg(env!("CARGO_BIN_EXE_logmill")).args(args);
    let printed = succeed(&mut command);
    print!("{printed}");
    assert!(
        printed.contains(" passed, 0 failed"),
        "{program} checked nothing"
    );
}
