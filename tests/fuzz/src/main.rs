//! Fuzz targets: every reader of bytes that somebody else wrote, with what must hold of whatever it reads.
//!
//! One program for all, linked with libFuzzer; `TARGET` names the one that runs (`run.sh`). With `SEEDS` it writes the
//! first inputs of each into that folder instead. Readers that the library keeps to itself are compiled in here from their
//! own files: those of init, of the seccomp profiles and of the journal. They name their surroundings by `crate::`, which
//! is why these names stand at the root.
#![no_main]

mod build;
mod configuration;
mod image;
mod init;
mod kernel;
mod memory;
mod output;
#[path = "../../../src/init/program.rs"]
mod program;
#[expect(dead_code, reason = "a target does not use all of it")]
#[path = "../../../src/init/protocol.rs"]
mod protocol;
#[path = "../../../src/init/reading.rs"]
mod reading;
mod request;
mod scratch;
mod seccomp;
mod store;
mod wire;

use std::path::Path;
use std::sync::OnceLock;

/// For the files that are brought in.
use kiln::{base, job};

/// One target.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

const TARGETS: &[Target] = &[
    Target { name: "wire-request", run: wire::request, seeds: wire::request_seeds },
    Target { name: "wire-reply", run: wire::reply, seeds: wire::reply_seeds },
    Target { name: "init-build", run: build::order_and_mold, seeds: build::seeds },
    Target { name: "init-program", run: init::program, seeds: init::program_seeds },
    Target { name: "init-files", run: init::files, seeds: init::files_seeds },
    Target { name: "seccomp-profile", run: seccomp::profile, seeds: seccomp::seeds },
    Target { name: "request-json", run: request::json, seeds: request::json_seeds },
    Target { name: "request-form", run: request::form, seeds: request::form_seeds },
    Target { name: "config-file", run: configuration::file, seeds: configuration::file_seeds },
    Target { name: "config-layers", run: configuration::layers, seeds: configuration::layers_seeds },
    Target { name: "config-languages", run: configuration::languages, seeds: configuration::languages_seeds },
    Target { name: "image-archive", run: image::archive, seeds: image::archive_seeds },
    Target { name: "image-compressed", run: image::compressed, seeds: image::compressed_seeds },
    Target { name: "output-raw", run: output::raw, seeds: output::raw_seeds },
    Target { name: "output-damage", run: output::damage, seeds: output::damage_seeds },
    Target { name: "store-journal", run: store::journal, seeds: store::journal_seeds },
    Target { name: "store-change", run: store::change, seeds: store::change_seeds },
    Target { name: "store-record", run: store::record, seeds: store::record_seeds },
];

static CHOSEN: OnceLock<&Target> = OnceLock::new();

/// Before libFuzzer begins: which target, or only the seeds.
fn begin() {
    if let Some(folder) = std::env::var_os("SEEDS") {
        write_seeds(Path::new(&folder));
        std::process::exit(0);
    }
    let name = std::env::var("TARGET").unwrap_or_default();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => drop(CHOSEN.set(target)),
        None => {
            eprintln!("TARGET is none of: {}", TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(" "));
            std::process::exit(2);
        }
    }
}

fn write_seeds(folder: &Path) {
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).expect("a folder for seeds");
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:02}")), seed).expect("a seed");
        }
    }
}

libfuzzer_sys::fuzz_target!(init: begin(), |bytes: &[u8]| {
    let target = CHOSEN.get().expect("chosen at the beginning");
    (target.run)(bytes);
});
