//! The limits that a request asks for, each against its ceiling. 0 is never "no limit".
use std::fmt::Display;
use std::time::Duration;

use serde_json::Number;

use crate::base::size::ByteSize;
use crate::job::limits::{Limits, Policy};
use crate::job::request::LIMITS;
use crate::job::request::fields::Reader;

/// The shortest time limit: below it the timer's own slack decides.
const SHORTEST: Duration = Duration::from_millis(1);
/// The fewest thousandths of a processor: the kernel's smallest quota is 1 ms in a period of 100 ms
/// (`cpu.max`, Documentation/admin-guide/cgroup-v2.rst).
const FEWEST_MILLI_CPUS: u32 = 10;

/// Reads `timeout`, `memory_limit` and `limits`; what is absent or at fault has its default.
pub(super) fn read(reader: &mut Reader<'_, '_>, policy: &Policy) -> Limits {
    let (default, ceiling) = (&policy.default, &policy.ceiling);
    let wall = seconds(reader, "timeout", ceiling.wall).unwrap_or(default.wall);
    let memory = mebibytes(reader, "memory_limit", ceiling.memory).unwrap_or(default.memory);
    let mut inside = reader.inside("limits");
    inside.only(LIMITS);
    let reader = &mut inside;
    Limits {
        wall,
        memory,
        cpu_time: seconds(reader, "cpu_time", ceiling.cpu_time).unwrap_or_else(|| unasked_cpu_time(wall, policy)),
        milli_cpus: processors(reader, "cpus", ceiling.milli_cpus).unwrap_or(default.milli_cpus),
        processes: count(reader, "processes", ceiling.processes).unwrap_or(default.processes),
        open_files: count(reader, "open_files", ceiling.open_files).unwrap_or(default.open_files),
        file_size: mebibytes(reader, "file_size", ceiling.file_size).unwrap_or(default.file_size),
        disk: mebibytes(reader, "disk", ceiling.disk).unwrap_or_else(|| unasked_disk(memory, policy)),
        output: mebibytes(reader, "output", ceiling.output).unwrap_or(default.output),
        compile_wall: seconds(reader, "compile_timeout", ceiling.compile_wall).unwrap_or(default.compile_wall),
        compile_memory: mebibytes(reader, "compile_memory", ceiling.compile_memory).unwrap_or(default.compile_memory),
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
    let bounds = Bounds { least: SHORTEST.as_secs_f64(), most: ceiling.as_secs_f64(), unit: " s" };
    let number = bounds.check(reader, name, asked)?;
    Duration::try_from_secs_f64(number).ok()
}

fn processors(reader: &mut Reader<'_, '_>, name: &str, ceiling: u32) -> Option<u32> {
    let asked = reader.number(name)?;
    let least = f64::from(FEWEST_MILLI_CPUS) / 1000.0;
    let bounds = Bounds { least, most: f64::from(ceiling) / 1000.0, unit: "" };
    let number = bounds.check(reader, name, asked)?;
    // A Duration counts thousandths exactly, without a cast.
    let milli = Duration::try_from_secs_f64(number).ok()?.as_micros().div_ceil(1000);
    u32::try_from(milli).ok()
}

fn mebibytes(reader: &mut Reader<'_, '_>, name: &str, ceiling: ByteSize) -> Option<ByteSize> {
    whole(reader, name, ceiling.whole_mib(), " MiB").map(ByteSize::mib)
}

fn count(reader: &mut Reader<'_, '_>, name: &str, ceiling: u32) -> Option<u32> {
    let number = whole(reader, name, u64::from(ceiling), "")?;
    u32::try_from(number).ok()
}

fn whole(reader: &mut Reader<'_, '_>, name: &str, most: u64, unit: &'static str) -> Option<u64> {
    let asked = reader.number(name)?;
    let Some(number) = asked.as_u64() else {
        let negative = asked.as_f64().is_some_and(|number| number < 0.0);
        if negative {
            out_of_range(reader, name, asked, &Bounds { least: 1, most, unit });
        } else {
            reader.fault(name, format!("a whole number is expected, {asked} was asked for"));
        }
        return None;
    };
    Bounds { least: 1, most, unit }.check_number(reader, name, number, asked)
}

/// What may be asked for, both ends included.
struct Bounds<T> {
    least: T,
    most: T,
    unit: &'static str,
}

impl Bounds<f64> {
    fn check(&self, reader: &mut Reader<'_, '_>, name: &str, asked: &Number) -> Option<f64> {
        self.check_number(reader, name, asked.as_f64()?, asked)
    }
}

impl<T: PartialOrd + Display> Bounds<T> {
    fn check_number(&self, reader: &mut Reader<'_, '_>, name: &str, number: T, asked: &Number) -> Option<T> {
        let inside = self.least <= number && number <= self.most;
        if !inside {
            out_of_range(reader, name, asked, self);
        }
        inside.then_some(number)
    }
}

fn out_of_range<T: Display>(reader: &mut Reader<'_, '_>, name: &str, asked: &Number, bounds: &Bounds<T>) {
    let Bounds { least, most, unit } = bounds;
    let message = format!("{asked}{unit} was asked for, the ceiling is {most}{unit} and the least is {least}{unit}");
    reader.fault(name, message);
}
