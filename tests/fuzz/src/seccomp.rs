//! Seccomp profiles as the build reads them: what is accepted becomes a program that the kernel takes, and that answers
//! each call as the rules say. An input that begins with `{` is a profile; any other chooses one.
#[path = "../../../build/seccomp.rs"]
mod compiler;

use std::collections::BTreeSet;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libseccomp::{ScmpArch, ScmpSyscall};
use serde_json::{Value, json};

use crate::scratch;

/// `AUDIT_ARCH_X86_64` (`linux/audit.h`).
const X86_64: u32 = 0xc000_003e;
const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
/// Largest error number that a system call gives (`MAX_ERRNO`, `linux/err.h`).
const MOST_ERRNO: u64 = 4095;

pub(crate) fn profile(bytes: &[u8]) {
    let text = if bytes.starts_with(b"{") {
        bytes.to_vec()
    } else {
        let Ok(chosen) = chosen(&mut Unstructured::new(bytes)) else { return };
        chosen.to_string().into_bytes()
    };
    let (path, out) = (scratch::file("profile.json", &text), scratch::folder().join("profile.bpf"));
    if compiler::compile(&path, &out).is_err() {
        return;
    }
    let program = std::fs::read(&out).expect("the program was written");
    let program = instructions(&program);
    let profile: Value = serde_json::from_slice(&text).expect("it was read before");
    judge(&profile, &program);
}

/// A profile of some calls that are often told apart by arguments.
fn chosen(from: &mut Unstructured<'_>) -> Result<Value> {
    const NAMES: [&str; 8] = ["read", "ioctl", "clone", "socket", "prctl", "mmap", "statmount", "exit_group"];
    let action = |from: &mut Unstructured<'_>| -> Result<(&'static str, Option<u32>)> {
        let errno = *from.choose(&[1_u32, 38, 13, 0, 4095, 4096, 65_537, u32::MAX])?;
        Ok(if from.arbitrary()? { ("SCMP_ACT_ALLOW", None) } else { ("SCMP_ACT_ERRNO", Some(errno)) })
    };
    let (default, errno) = action(from)?;
    let mut rules = Vec::new();
    for _ in 0..from.int_in_range(0..=8)? {
        let names: Vec<_> = (0..from.int_in_range(1..=3)?).map(|_| from.choose(&NAMES)).collect::<Result<_>>()?;
        let (action, errno) = action(from)?;
        let mut args = Vec::new();
        for _ in 0..from.int_in_range(0..=2)? {
            let mask = *from.choose(&[u64::MAX, u64::from(u32::MAX), 0xff, 0x7e02_0000, 1 << 63])?;
            let datum = *from.choose(&[0, 1, 0xff, 0x1000_0000, u64::MAX])? & mask;
            args.push(json!({"index": from.int_in_range(0..=6)?, "value": mask, "valueTwo": datum, "op": "SCMP_CMP_MASKED_EQ"}));
        }
        rules.push(json!({"comment": "chosen", "names": names, "action": action, "errnoRet": errno, "args": args}));
    }
    Ok(
        json!({"defaultAction": default, "defaultErrnoRet": errno, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}),
    )
}

/// Code, jt, jf, k.
type Instruction = (u16, u8, u8, u32);

/// Takes it apart, and checks it as the kernel does (`bpf_check_classic`, `seccomp_check_filter`).
fn instructions(bytes: &[u8]) -> Vec<Instruction> {
    let (parts, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty() && (1..=4096).contains(&parts.len()));
    let read =
        |&[a, b, jt, jf, e, f, g, h]: &[u8; 8]| (u16::from_ne_bytes([a, b]), jt, jf, u32::from_ne_bytes([e, f, g, h]));
    let program: Vec<_> = parts.iter().map(read).collect();
    for (at, &(code, jt, jf, k)) in program.iter().enumerate() {
        let furthest = match code {
            0x05 => usize::try_from(k).expect("64 bits"),
            0x15 | 0x25 | 0x35 | 0x45 => usize::from(jt.max(jf)),
            0x20 => {
                assert!(k < 64 && k % 4 == 0, "reads outside of seccomp_data");
                0
            }
            0x54 | 0x06 => 0,
            other => panic!("an instruction {other:#x} that libseccomp does not write"),
        };
        assert!(at + furthest + usize::from(code != 0x06) < program.len(), "leads outside the program");
    }
    program
}

/// What the program says of a call (`struct seccomp_data`, seccomp(2)).
fn answer(program: &[Instruction], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        0 => number,
        4 => arch,
        8 | 12 => 0,
        _ => {
            let (argument, half) = ((offset - 16) / 8, (offset - 16) % 8);
            (arguments[argument as usize] >> (8 * half)) as u32
        }
    };
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let (code, jt, jf, k) = program[at];
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        at += 1 + match code {
            0x06 => return k,
            0x05 => k as usize,
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x45 => jump(accumulator & k != 0),
            0x20 => {
                accumulator = word(k);
                0
            }
            0x54 => {
                accumulator &= k;
                0
            }
            other => unreachable!("{other:#x} was checked"),
        };
    }
}

struct Rule {
    number: u32,
    answer: u32,
    comparisons: Vec<(usize, u64, u64)>,
}

impl Rule {
    fn holds(&self, arguments: &[u64; 6]) -> bool {
        self.comparisons.iter().all(|&(index, mask, datum)| arguments[index] & mask == datum)
    }
}

/// Compares the program with the rules, on calls that each rule is about and on their neighbours.
fn judge(profile: &Value, program: &[Instruction]) {
    let default = meant(&profile["defaultAction"], &profile["defaultErrnoRet"]);
    let rules = rules(profile);
    let mut numbers: BTreeSet<u32> = rules.iter().map(|rule| rule.number).collect();
    numbers.extend([0, 231, 400, 999]);
    for &number in &numbers {
        let mut calls = vec![[0; 6], [u64::MAX; 6]];
        for rule in rules.iter().filter(|rule| rule.number == number) {
            let mut exact = [0; 6];
            rule.comparisons.iter().for_each(|&(index, _, datum)| exact[index] = datum);
            let mut beside = exact;
            rule.comparisons.iter().for_each(|&(index, mask, _)| beside[index] |= !mask);
            let flip = |&(index, mask, _): &(usize, u64, u64)| {
                let mut other = exact;
                other[index] ^= mask & mask.wrapping_neg();
                other
            };
            calls.extend(rule.comparisons.iter().map(flip).chain([exact, beside]));
        }
        for arguments in calls {
            let said = answer(program, X86_64, number, arguments);
            let expected = expected(&rules, default, number, &arguments);
            assert!(expected.contains(&said), "call {number} {arguments:x?}: {said:#x}, not one of {expected:x?}");
        }
        assert_eq!(answer(program, X86_64, number | 0x4000_0000, [0; 6]), KILL, "x32");
        assert_eq!(answer(program, 0x4000_0003, number, [0; 6]), KILL, "i386");
    }
}

/// A refusal with arguments beats an allowance, and that a plain refusal. Of several refusals any may count.
fn expected(rules: &[Rule], default: u32, number: u32, arguments: &[u64; 6]) -> Vec<u32> {
    let of = |layer: fn(&Rule) -> bool| -> Vec<u32> {
        let those = rules.iter().filter(|rule| rule.number == number && layer(rule) && rule.holds(arguments));
        those.map(|rule| rule.answer).collect()
    };
    let narrow = of(|rule| rule.answer != ALLOW && !rule.comparisons.is_empty());
    let allowed = of(|rule| rule.answer == ALLOW);
    let plain = of(|rule| rule.answer != ALLOW && rule.comparisons.is_empty());
    [narrow, allowed, plain, vec![default]].into_iter().find(|answers| !answers.is_empty()).unwrap_or_default()
}

fn rules(profile: &Value) -> Vec<Rule> {
    let mut rules = Vec::new();
    for rule in profile["syscalls"].as_array().expect("a list") {
        let comparison = |argument: &Value| {
            let number = |name: &str| argument[name].as_u64().expect("a number");
            (usize::try_from(number("index")).expect("small"), number("value"), number("valueTwo"))
        };
        let arguments = rule["args"].as_array().map(Vec::as_slice).unwrap_or_default();
        for name in rule["names"].as_array().expect("a list") {
            let number = match name.as_str().expect("a name") {
                "statmount" => 457,
                // A call that is newer than libseccomp has its number in the compiler alone.
                name => match ScmpSyscall::from_name_by_arch(name, ScmpArch::X8664) {
                    Ok(number) => i32::from(number).cast_unsigned(),
                    Err(_newer) => continue,
                },
            };
            let comparisons = arguments.iter().map(comparison).collect();
            rules.push(Rule { number, answer: meant(&rule["action"], &rule["errnoRet"]), comparisons });
        }
    }
    rules
}

/// What an action returns. An error number of 0 would be success, and one that is too large another one.
fn meant(action: &Value, errno: &Value) -> u32 {
    if action == "SCMP_ACT_ALLOW" {
        return ALLOW;
    }
    let errno = errno.as_u64().expect("a refusal has an errno");
    assert!((1..=MOST_ERRNO).contains(&errno), "errno {errno} was accepted");
    ERRNO | u32::try_from(errno).expect("small")
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"comment": "a", "action": "SCMP_ACT_ALLOW", "names": ["read", "socket"]},
            {"comment": "b", "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "names": ["socket"],
                "args": [{"index": 0, "value": 0xffff_ffff_u32, "valueTwo": 16, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"comment": "c", "action": "SCMP_ACT_ALLOW", "names": ["clone"],
                "args": [{"index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"comment": "d", "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "names": ["clone"]},
        ],
    });
    // As if it were refused: the call would succeed, or fail with another number.
    let number =
        |errno: u32| profile.to_string().replace("\"errnoRet\":1", &format!("\"errnoRet\":{errno}")).into_bytes();
    vec![number(1), number(0), number(65_537), b"{}".to_vec(), vec![1; 64], (0..=255).collect()]
}
