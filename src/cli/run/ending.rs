//! What the end of a job means for `kiln run`: its exit code, and what is said about it. Pure.
use std::str::FromStr as _;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cli::exit::Exit;

/// The program was not compiled.
pub(super) const NOT_COMPILED: u8 = 123;
/// A time limit ended it (as timeout(1) has it).
pub(super) const OUT_OF_TIME: u8 = 124;
/// kiln failed, the daemon could not be asked, or it refused.
pub(super) const KILN_FAILED: u8 = 125;
/// Another limit or rule ended it.
pub(super) const FORBIDDEN: u8 = 126;
/// A signal ended the program; its number is added.
const SIGNALLED: u8 = 128;
/// The number of the first real-time signal as the C library has it (signal(7)).
const FIRST_REAL_TIME: i32 = 34;

/// How the command ends, and lines for stderr. No line means that the code is the program's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) exit: Exit,
    pub(super) lines: Vec<String>,
}

/// The code that a shell shows for a signal.
pub(super) fn signal_code(number: i32) -> u8 {
    u8::try_from(number).ok().and_then(|number| SIGNALLED.checked_add(number)).unwrap_or(KILN_FAILED)
}

/// Of a job that has ended.
pub(super) fn of(job: &Value) -> Ending {
    let end = job.get("termination").unwrap_or(&Value::Null);
    let text = |name: &str| end.get(name).and_then(Value::as_str).unwrap_or_default();
    let (reason, signal) = (text("reason"), text("signal"));
    let code = end.get("exit_code").and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok());
    let by = match limit(end) {
        Some(limit) => format!("ended by {reason} ({limit})"),
        None => format!("ended by {reason}"),
    };
    let (code, line) = match (reason, code) {
        ("exited", Some(code)) => (code, None),
        ("signaled", _) => (signal_code(signal_number(signal)), Some(format!("ended by {signal}"))),
        ("cpu_time_limit" | "wall_time_limit", _) => (OUT_OF_TIME, Some(by)),
        ("memory_limit" | "output_limit" | "seccomp_denied", _) => (FORBIDDEN, Some(by)),
        ("compile_failed", _) => (NOT_COMPILED, Some(String::from("not compiled"))),
        ("cancelled", _) => (signal_code(crate::sys::signal::SIGINT), Some(String::from("cancelled"))),
        (_, _) => (KILN_FAILED, Some(by)),
    };
    let with_message = |line: String| match text("message") {
        "" => line,
        message => format!("{line}: {message}"),
    };
    let is_well = code == 0 && line.is_none();
    let hit = hits(end).filter(|_| !is_well);
    Ending { exit: Exit::Program(code), lines: line.map(with_message).into_iter().chain(hit).collect() }
}

/// The limit that ended it, in the unit in which it is asked for.
fn limit(end: &Value) -> Option<String> {
    let limit = end.get("limit")?;
    let name = limit.get("name").and_then(Value::as_str)?;
    let unit = if name.contains("time") { "s" } else { "MiB" };
    let amount = limit.get("limit").filter(|amount| amount.is_number())?;
    Some(format!("{amount} {unit}"))
}

/// What made calls fail may be why the program ended as it did.
fn hits(end: &Value) -> Option<String> {
    let hits = end.get("limits_hit").and_then(Value::as_array)?;
    let names: Vec<&str> = hits.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| format!("limits hit: {}", names.join(", ")))
}

/// `SIGSEGV`, `SIGRTMIN+1` or a bare number.
fn signal_number(name: &str) -> i32 {
    let real_time = || {
        let offset = name.strip_prefix("SIGRTMIN")?;
        let offset: i32 = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse().ok()? };
        Some(FIRST_REAL_TIME + offset)
    };
    let named = Signal::from_str(name).ok().map(number_of);
    named.or_else(real_time).or_else(|| name.parse().ok()).unwrap_or_default()
}

#[expect(clippy::as_conversions, reason = "the enum is the numbers; there is no other conversion")]
const fn number_of(signal: Signal) -> i32 {
    signal as i32
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(end: &Value, code: u8, lines: &[&str]) {
        let ending = of(&json!({"termination": end}));
        assert_eq!(
            (ending.exit.number(), ending.lines),
            (code, lines.iter().map(|l| (*l).to_owned()).collect()),
            "{end}"
        );
    }

    #[test]
    fn the_programs_own_code_is_passed_on_without_a_word() {
        check(&json!({"reason": "exited", "exit_code": 0, "limits_hit": ["processes"]}), 0, &[]);
        check(&json!({"reason": "exited", "exit_code": 125, "limits_hit": []}), 125, &[]);
        check(
            &json!({"reason": "exited", "exit_code": 1, "limits_hit": ["processes", "memory"]}),
            1,
            &["limits hit: processes, memory"],
        );
    }

    #[test]
    fn a_signal_is_added_to_128() {
        check(&json!({"reason": "signaled", "signal": "SIGSEGV"}), 139, &["ended by SIGSEGV"]);
        check(&json!({"reason": "signaled", "signal": "SIGRTMIN+1"}), 163, &["ended by SIGRTMIN+1"]);
        check(&json!({"reason": "signaled", "signal": "33"}), 161, &["ended by 33"]);
    }

    #[test]
    fn a_limit_is_named_with_its_amount() {
        let memory = json!({"name": "memory_limit", "limit": 64, "observed": 64});
        check(
            &json!({"reason": "memory_limit", "signal": "SIGKILL", "limit": memory}),
            126,
            &["ended by memory_limit (64 MiB)"],
        );
        let time = json!({"name": "limits.cpu_time", "limit": 1.5, "observed": null});
        check(&json!({"reason": "cpu_time_limit", "limit": time}), 124, &["ended by cpu_time_limit (1.5 s)"]);
        check(&json!({"reason": "output_limit"}), 126, &["ended by output_limit"]);
        check(&json!({"reason": "seccomp_denied", "signal": "SIGSYS"}), 126, &["ended by seccomp_denied"]);
    }

    #[test]
    fn what_is_not_the_programs_doing_has_codes_of_its_own() {
        check(&json!({"reason": "compile_failed", "message": "exit 1"}), 123, &["not compiled: exit 1"]);
        check(&json!({"reason": "cancelled"}), 130, &["cancelled"]);
        for reason in ["setup_failed", "daemon_restart", "queue_timeout", "preempted", "of_a_later_version"] {
            check(&json!({"reason": reason, "message": "why"}), 125, &[&format!("ended by {reason}: why")]);
        }
    }
}
