//! Builds the sandbox's init: a static program without std or libc, so that it starts in few page faults and needs no
//! file of the sandbox. Not here: what init does (`src/init`), and how it gets inside (a sealed memfd, `sys`).
use std::env;
use std::path::Path;
use std::process::Command;

/// How init is compiled: small, without unwinding, at fixed addresses.
const CODE: [&str; 8] = [
    "--edition=2024",
    "--crate-name=kiln_init",
    "--crate-type=bin",
    "-Copt-level=s",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Crelocation-model=static",
    "-Ccodegen-units=1",
];

/// How it is linked: nothing but itself, no start files, and no page that only holds headers.
const LINK: [&str; 4] = [
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,--build-id=none,-z,norelro,-z,noseparate-code",
];

/// Compiles the program whose root module is `source` to `out`.
pub(crate) fn compile(source: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let folder = source.parent().ok_or("init has a folder of its own")?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let compiler = env::var_os("RUSTC").ok_or("cargo sets RUSTC")?;
    #[expect(clippy::disallowed_methods, reason = "a build step, not the product")]
    let mut command = Command::new(compiler);
    let status = command.arg(source).arg("-o").arg(out).args(CODE).args(LINK).status()?;
    if status.success() { Ok(()) } else { Err(format!("init does not build: {status}").into()) }
}
