//! Makes what the programs carry inside themselves and writes it to `OUT_DIR`: `kiln-init`, the first process of every
//! sandbox, `kiln-probe`, which tries to get out of one, and one `<name>.bpf` for each `seccomp-profiles/<name>.json`.
#[path = "build/bare.rs"]
mod bare;
#[path = "build/seccomp.rs"]
mod seccomp;

use std::env;
use std::error::Error;
use std::path::PathBuf;

const PROFILES: &str = "seccomp-profiles";
/// Folders of `src` that are programs of their own.
const BARE: [&str; 2] = ["init", "probe"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={PROFILES}");
    require_x86_64()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for profile in profiles()? {
        let name = profile.file_stem().ok_or("a profile has a name")?;
        seccomp::compile(&profile, &out.join(name).with_extension("bpf"))?;
    }
    BARE.iter().try_for_each(|name| bare::compile(name, &out))
}

/// Numbers of system calls, the assembly of init and the profiles are those of one machine.
fn require_x86_64() -> Result<(), Box<dyn Error>> {
    match env::var_os("CARGO_CFG_TARGET_ARCH") {
        Some(target) if target == "x86_64" => Ok(()),
        other => Err(format!("kiln is built for x86_64 only, not for {other:?}").into()),
    }
}

fn profiles() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(PROFILES)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
