//! The limits that a request asks for, each against its ceiling. 0 is never "no limit".
use std::fmt::Display;
use std::time::Duration;

use serde_json::Number;

use crate::base::size::ByteSize;
use crate::job::limits::{Limits, Policy};
use crate::job::request::LIMITS;
use crate::job::request::fields::Reader;
use crate::job::request::offer::{KnownLanguage, Least};
use crate::plan::ceiling::FLOOR;

/// The shortest time limit: below it the timer's own slack decides.
const SHORTEST: Duration = Duration::from_millis(1);
/// The fewest thousandths of a processor: the kernel's smallest quota is 1 ms in a period of 100 ms
/// (`cpu.max`, Documentation/admin-guide/cgroup-v2.rst).
const FEWEST_MILLI_CPUS: u32 = 10;

/// Reads `timeout`, `memory_limit` and `limits`; what is absent or at fault has its default, or what the
/// language needs where that is more.
pub(super) fn read(reader: &mut Reader<'_, '_>, policy: &Policy, language: Option<&KnownLanguage>) -> Limits {
    let (default, ceiling) = (&policy.default, &policy.ceiling);
    let least = Floor::of(language);
    least.refuse_ceilings(reader, ceiling);
    let needs = least.needs;
    let wall = seconds(reader, "timeout", ceiling.wall).unwrap_or(default.wall);
    let memory = mebibytes(reader, "memory_limit", ceiling.memory, least.memory(needs.memory))
        .unwrap_or(default.memory.max(needs.memory));
    let mut inside = reader.inside("limits");
    inside.only(LIMITS);
    let reader = &mut inside;
    let size = |reader: &mut Reader<'_, '_>, name, ceiling| mebibytes(reader, name, ceiling, Floor::ONE);
    Limits {
        wall,
        memory,
        cpu_time: seconds(reader, "cpu_time", ceiling.cpu_time).unwrap_or_else(|| unasked_cpu_time(wall, policy)),
        milli_cpus: processors(reader, "cpus", ceiling.milli_cpus).unwrap_or(default.milli_cpus),
        processes: count(reader, "processes", ceiling.processes, least.count(needs.processes))
            .unwrap_or(default.processes.max(needs.processes)),
        open_files: count(reader, "open_files", ceiling.open_files, OPEN_FILES).unwrap_or(default.open_files),
        file_size: size(reader, "file_size", ceiling.file_size).unwrap_or(default.file_size),
        disk: size(reader, "disk", ceiling.disk).unwrap_or_else(|| unasked_disk(memory, policy)),
        output: size(reader, "output", ceiling.output).unwrap_or(default.output),
        compile_wall: seconds(reader, "compile_timeout", ceiling.compile_wall).unwrap_or(default.compile_wall),
        compile_memory: mebibytes(reader, "compile_memory", ceiling.compile_memory, least.memory(needs.compile_memory))
            .unwrap_or(default.compile_memory.max(needs.compile_memory)),
    }
}

/// Init has some open before the program.
#[expect(clippy::as_conversions, reason = "widening; From is not const")]
const OPEN_FILES: AtLeast<'static> = AtLeast { number: FLOOR.open_files as u64, language: "" };

/// What a language does not start without.
struct Floor<'a> {
    language: &'a str,
    needs: Least,
}

/// The least that may be asked for, and for whom.
#[derive(Clone, Copy)]
struct AtLeast<'a> {
    number: u64,
    language: &'a str,
}

impl<'a> Floor<'a> {
    const ONE: AtLeast<'static> = AtLeast { number: 1, language: "" };

    fn of(language: Option<&'a KnownLanguage>) -> Self {
        language.map_or(Self { language: "", needs: Least::default() }, |known| Self {
            language: &known.id,
            needs: known.least,
        })
    }

    /// The spawner starts nothing in less.
    const fn memory(&self, needed: ByteSize) -> AtLeast<'a> {
        self.above(ByteSize(FLOOR.memory).whole_mib(), needed.whole_mib())
    }

    fn count(&self, needed: u32) -> AtLeast<'a> {
        self.above(1, u64::from(needed))
    }

    const fn above(&self, floor: u64, needed: u64) -> AtLeast<'a> {
        if needed > floor {
            AtLeast { number: needed, language: self.language }
        } else {
            AtLeast { number: floor, language: "" }
        }
    }

    /// What an operator does not allow at all cannot be asked for.
    fn refuse_ceilings(&self, reader: &mut Reader<'_, '_>, ceiling: &Limits) {
        let Self { language, needs } = self;
        let mut refuse = |what: &str, unit: &str, need: u64, most: u64| {
            if need > most {
                let message = format!("{language} needs a {what} of {need}{unit}, the ceiling is {most}{unit}");
                reader.fault("language", message);
            }
        };
        refuse("memory_limit", " MiB", needs.memory.whole_mib(), ceiling.memory.whole_mib());
        refuse("limits.processes", "", u64::from(needs.processes), u64::from(ceiling.processes));
        let (need, most) = (needs.compile_memory.whole_mib(), ceiling.compile_memory.whole_mib());
        refuse("limits.compile_memory", " MiB", need, most);
    }
}

/// Who asks for more wall time and says nothing of processor time wants to use it.
fn unasked_cpu_time(wall: Duration, policy: &Policy) -> Duration {
    policy.default.cpu_time.max(wall).min(policy.ceiling.cpu_time)
}

/// `/work` counts as memory: its default stays below, else a full disk would end as `memory_limit`.
fn unasked_disk(memory: ByteSize, policy: &Policy) -> ByteSize {
    policy.default.disk.min(ByteSize(memory.bytes() / 2))
}

fn seconds(reader: &mut Reader<'_, '_>, name: &str, ceiling: Duration) -> Option<Duration> {
    let asked = reader.number(name)?;
    let bounds = Bounds { least: SHORTEST.as_secs_f64(), most: ceiling.as_secs_f64(), unit: " s", language: "" };
    let number = bounds.check(reader, name, asked)?;
    Duration::try_from_secs_f64(number).ok()
}

fn processors(reader: &mut Reader<'_, '_>, name: &str, ceiling: u32) -> Option<u32> {
    let asked = reader.number(name)?;
    let least = f64::from(FEWEST_MILLI_CPUS) / 1000.0;
    let bounds = Bounds { least, most: f64::from(ceiling) / 1000.0, unit: "", language: "" };
    let number = bounds.check(reader, name, asked)?;
    // A Duration counts thousandths exactly, without a cast.
    let milli = Duration::try_from_secs_f64(number).ok()?.as_micros().div_ceil(1000);
    u32::try_from(milli).ok()
}

fn mebibytes(reader: &mut Reader<'_, '_>, name: &str, ceiling: ByteSize, least: AtLeast<'_>) -> Option<ByteSize> {
    let AtLeast { number, language } = least;
    let bounds = Bounds { least: number, most: ceiling.whole_mib(), unit: " MiB", language };
    whole(reader, name, &bounds).map(ByteSize::mib)
}

fn count(reader: &mut Reader<'_, '_>, name: &str, ceiling: u32, least: AtLeast<'_>) -> Option<u32> {
    let AtLeast { number, language } = least;
    let number = whole(reader, name, &Bounds { least: number, most: u64::from(ceiling), unit: "", language })?;
    u32::try_from(number).ok()
}

fn whole(reader: &mut Reader<'_, '_>, name: &str, bounds: &Bounds<'_, u64>) -> Option<u64> {
    let asked = reader.number(name)?;
    let Some(number) = asked.as_u64() else {
        let negative = asked.as_f64().is_some_and(|number| number < 0.0);
        if negative {
            out_of_range(reader, name, asked, bounds);
        } else {
            reader.fault(name, format!("a whole number is expected, {asked} was asked for"));
        }
        return None;
    };
    bounds.check_number(reader, name, number, asked)
}

/// What may be asked for, both ends included.
struct Bounds<'a, T> {
    least: T,
    most: T,
    unit: &'static str,
    /// Who makes the least what it is; empty where it is the same for everybody.
    language: &'a str,
}

impl Bounds<'_, f64> {
    fn check(&self, reader: &mut Reader<'_, '_>, name: &str, asked: &Number) -> Option<f64> {
        self.check_number(reader, name, asked.as_f64()?, asked)
    }
}

impl<T: PartialOrd + Display> Bounds<'_, T> {
    fn check_number(&self, reader: &mut Reader<'_, '_>, name: &str, number: T, asked: &Number) -> Option<T> {
        let inside = self.least <= number && number <= self.most;
        if !inside {
            out_of_range(reader, name, asked, self);
        }
        inside.then_some(number)
    }
}

fn out_of_range<T: Display>(reader: &mut Reader<'_, '_>, name: &str, asked: &Number, bounds: &Bounds<'_, T>) {
    let Bounds { least, most, unit, language } = bounds;
    let whose = if language.is_empty() { String::new() } else { format!(" of {language}") };
    let message =
        format!("{asked}{unit} was asked for, the ceiling is {most}{unit} and the least{whose} is {least}{unit}");
    reader.fault(name, message);
}
