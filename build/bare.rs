//! Builds a program without std or libc: static, so that it needs no file of the sandbox, and small, so that it starts in
//! few page faults. Not here: what the programs do (`src/init`, `src/probe`), and how they get inside.
use std::env;
use std::path::Path;
use std::process::Command;

/// How it is compiled: small, without unwinding, at fixed addresses.
const CODE: [&str; 7] = [
    "--edition=2024",
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

/// Compiles `src/<name>/main.rs` to `kiln-<name>` in the folder `out`.
pub(crate) fn compile(name: &str, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/{name}");
    let compiler = env::var_os("RUSTC").ok_or("cargo sets RUSTC")?;
    #[expect(clippy::disallowed_methods, reason = "a build step, not the product")]
    let mut command = Command::new(compiler);
    command.arg(format!("src/{name}/main.rs")).arg(format!("--crate-name=kiln_{name}"));
    command.arg("-o").arg(out.join(format!("kiln-{name}")));
    let status = command.args(CODE).args(LINK).status()?;
    if status.success() { Ok(()) } else { Err(format!("{name} does not build: {status}").into()) }
}
