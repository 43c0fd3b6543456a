//! Compiles a seccomp profile (OCI `LinuxSeccomp` JSON) to the bytes of a BPF program, at build time.
//!
//! The kernel runs one program; libseccomp cannot say "allowed, except with this argument" or "refused, except with
//! that one" in one filter, because there a rule without arguments swallows those with arguments. So a profile is cut
//! into three layers, each compiled by libseccomp, and joined so that whatever a layer has no answer for goes on to the
//! next:
//!
//! ```text
//! foreign ABI: kill ─► refusals with arguments ─► allowances ─► refusals without ─► default
//! ```
//!
//! It follows that a refusal with arguments beats an allowance, and an allowance beats a plain refusal. Anything odd in
//! a profile fails the build: an unknown name, a rule without a comment, a comparison that does not say how many bits
//! it reads. Not here: loading the program, which is the spawner's.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// System calls newer than libseccomp 2.5.4 (Debian 12), by their number on x86-64
/// (`arch/x86/entry/syscalls/syscall_64.tbl` of the kernel). A newer libseccomp that knows the name must agree.
const NEWER_THAN_LIBSECCOMP: [(&str, i32); 15] = [
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
    ("listns", 470),
    ("rseq_slice_yield", 471),
];

/// One instruction of classic BPF: code, jt, jf, k (`struct sock_filter`, `linux/filter.h`).
const INSTRUCTION: usize = 8;
/// The most that the kernel takes (`BPF_MAXINSNS`, `linux/bpf_common.h`).
const MOST_INSTRUCTIONS: usize = 4096;
/// The largest error number that a system call gives (`MAX_ERRNO`, `linux/err.h`).
const MOST_ERRNO: u32 = 4095;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;
/// `BPF_JMP | BPF_JA`
const JUMP: u16 = 0x05;
/// The default of a layer that is not the last. No rule can have it, since `Rule::parse` takes no tracing action.
const GO_ON: ScmpAction = ScmpAction::Trace(0x6b69);
/// How `GO_ON` looks in a return instruction: `SECCOMP_RET_TRACE | data` (`linux/seccomp.h`).
const GO_ON_RETURNED: u32 = 0x7ff0_6b69;

/// Compiles the profile at `profile` and writes its instructions, 8 bytes each in the machine's byte order, to `out`.
pub(crate) fn compile(profile: &Path, out: &Path) -> Outcome<()> {
    println!("cargo::rerun-if-changed={}", profile.display());
    let bytes = program(profile, out).map_err(|error| format!("{}: {error}", profile.display()))?;
    File::create(out)?.write_all(&bytes)?;
    Ok(())
}

fn program(profile: &Path, out: &Path) -> Outcome<Vec<u8>> {
    let text = std::fs::read_to_string(profile)?;
    require_comments(&serde_json::from_str(&text)?)?;
    let profile: LinuxSeccomp = serde_json::from_str(&text)?;
    let default = default_action(&profile)?;
    let rules = rules(&profile)?;
    require_one_meaning(&rules)?;
    require_no_repetition(default, &rules)?;
    let layers = [(GO_ON, Layer::RefusedWithArguments), (GO_ON, Layer::Allowed), (default, Layer::Refused)];
    let mut parts = Vec::new();
    for (otherwise, layer) in layers {
        let of_layer: Vec<&Rule> = rules.iter().filter(|rule| rule.layer() == layer).collect();
        parts.push(compile_layer(otherwise, &of_layer, out)?);
    }
    let joined = join(parts)?;
    if joined.len() > MOST_INSTRUCTIONS * INSTRUCTION {
        return Err(format!("more than {MOST_INSTRUCTIONS} instructions").into());
    }
    Ok(joined)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    RefusedWithArguments,
    Allowed,
    Refused,
}

#[derive(Debug)]
struct Rule {
    name: String,
    number: ScmpSyscall,
    action: ScmpAction,
    comparisons: Vec<ScmpArgCompare>,
}

impl Rule {
    fn parse(name: &str, rule: &LinuxSyscall) -> Outcome<Self> {
        let action = action(rule.action(), rule.errno_ret()).map_err(|error| format!("{name}: {error}"))?;
        let arguments = rule.args().as_deref().unwrap_or_default();
        let indexes: BTreeSet<usize> = arguments.iter().map(LinuxSeccompArg::index).collect();
        if indexes.len() != arguments.len() {
            return Err(format!("{name}: a rule compares each argument once").into());
        }
        let comparisons = arguments.iter().map(comparison).collect::<Outcome<_>>()?;
        Ok(Self { name: name.to_owned(), number: number(name)?, action, comparisons })
    }

    fn layer(&self) -> Layer {
        match (self.action == ScmpAction::Allow, self.comparisons.is_empty()) {
            (true, _) => Layer::Allowed,
            (false, false) => Layer::RefusedWithArguments,
            (false, true) => Layer::Refused,
        }
    }
}

fn rules(profile: &LinuxSeccomp) -> Outcome<Vec<Rule>> {
    let listed = profile.syscalls().iter().flatten();
    listed.flat_map(|rule| rule.names().iter().map(move |name| Rule::parse(name, rule))).collect()
}

/// Only "allow" and "refuse with this errno": the spawner prepares for nothing else.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Outcome<ScmpAction> {
    match (action, errno) {
        (LinuxSeccompAction::ScmpActAllow, None) => Ok(ScmpAction::Allow),
        (LinuxSeccompAction::ScmpActErrno, Some(errno)) if (1..=MOST_ERRNO).contains(&errno) => {
            Ok(ScmpAction::Errno(errno.try_into()?))
        }
        // The call would succeed without being done, or fail with another number than the profile names.
        (LinuxSeccompAction::ScmpActErrno, Some(errno)) => Err(format!("{errno} is no error number").into()),
        (LinuxSeccompAction::ScmpActErrno, None) => Err("a refusal names its errnoRet".into()),
        _ => Err("the action is SCMP_ACT_ALLOW, or SCMP_ACT_ERRNO with errnoRet".into()),
    }
}

fn default_action(profile: &LinuxSeccomp) -> Outcome<ScmpAction> {
    if profile.architectures().as_deref() != Some(&[Arch::ScmpArchX86_64]) {
        return Err("architectures must be SCMP_ARCH_X86_64 alone".into());
    }
    if profile.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err("flags belong to the loader, not to the program".into());
    }
    action(profile.default_action(), profile.default_errno_ret())
}

/// A profile lists what is allowed and refuses the rest, or the other way round. A plain rule that says what the default
/// says would be a mistake about which of both it is.
fn require_no_repetition(default: ScmpAction, rules: &[Rule]) -> Outcome<()> {
    match rules
        .iter()
        .find(|rule| rule.comparisons.is_empty() && default == ScmpAction::Allow && rule.action == default)
    {
        Some(rule) => Err(format!("{}: allowed, as is everything that no rule names", rule.name).into()),
        None => Ok(()),
    }
}

/// The kernel reads most integer arguments as 32 bits; a filter that compares 64 is passed by setting a high bit
/// (CVE-2019-10063). So the only comparison is the one that names the bits it reads. In OCI, `value` is the mask.
fn comparison(argument: &LinuxSeccompArg) -> Outcome<ScmpArgCompare> {
    let (LinuxSeccompOperator::ScmpCmpMaskedEq, Some(datum)) = (argument.op(), argument.value_two()) else {
        return Err("arguments are compared by SCMP_CMP_MASKED_EQ with value (the mask) and valueTwo".into());
    };
    if datum & !argument.value() != 0 {
        return Err("valueTwo has bits outside the mask: the rule could never match".into());
    }
    let index = argument.index().try_into()?;
    Ok(ScmpArgCompare::new(index, ScmpCompareOp::MaskedEqual(argument.value()), datum))
}

/// A name that is in neither list fails the build: a misspelt refusal would be no refusal.
fn number(name: &str) -> Outcome<ScmpSyscall> {
    let newer = NEWER_THAN_LIBSECCOMP.iter().find(|(known, _)| *known == name);
    let newer = newer.map(|(_, number)| ScmpSyscall::from(*number));
    // libseccomp gives calls that other machines have, and this one lacks, a negative number.
    let known = ScmpSyscall::from_name_by_arch(name, ScmpArch::X8664).ok();
    let known = known.filter(|number| i32::from(*number) >= 0);
    match (known, newer) {
        (Some(known), Some(newer)) if known != newer => {
            Err(format!("{name}: libseccomp and build/seccomp.rs disagree on the number").into())
        }
        (Some(number), _) | (None, Some(number)) => Ok(number),
        (None, None) => {
            println!("cargo::warning=seccomp: {name} is no system call of x86-64 that libseccomp knows");
            Err(format!("{name}: unknown; if it is new, add it to NEWER_THAN_LIBSECCOMP").into())
        }
    }
}

/// OCI has no comments and the parser drops them; here a rule without a reason is not accepted.
fn require_comments(profile: &Value) -> Outcome<()> {
    let rules = profile.pointer("/syscalls").and_then(Value::as_array);
    for rule in rules.ok_or("syscalls is not a list")? {
        let comment = rule.pointer("/comment").and_then(Value::as_str);
        if comment.is_none_or(|comment| comment.trim().is_empty()) {
            return Err(format!("this rule has no comment: {rule}").into());
        }
    }
    Ok(())
}

/// Each name has at most one plain rule, and a call that is allowed only with certain arguments says by a plain
/// refusal what the others get.
fn require_one_meaning(rules: &[Rule]) -> Outcome<()> {
    let mut by_name: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        by_name.entry(&rule.name).or_default().push(rule);
    }
    for (name, rules) in by_name {
        let plain = rules.iter().filter(|rule| rule.comparisons.is_empty());
        match plain.collect::<Vec<_>>()[..] {
            [only] => {
                let allowed = only.action == ScmpAction::Allow;
                let same = rules
                    .iter()
                    .any(|rule| !rule.comparisons.is_empty() && (rule.action == ScmpAction::Allow) == allowed);
                if same {
                    return Err(format!("{name}: a rule with arguments repeats the one without").into());
                }
            }
            [] => {
                return Err(format!("{name}: no rule says what happens with other arguments").into());
            }
            _ => return Err(format!("{name}: two rules without arguments").into()),
        }
    }
    Ok(())
}

/// Lets libseccomp write the program of one layer. It can only write to a descriptor (writing to memory needs 2.6).
fn compile_layer(otherwise: ScmpAction, rules: &[&Rule], out: &Path) -> Outcome<Vec<u8>> {
    let mut filter = ScmpFilterContext::new(otherwise)?;
    filter.remove_arch(ScmpArch::native())?.add_arch(ScmpArch::X8664)?;
    // Also for x32, whose numbers libseccomp counts as foreign where that ABI is not in the filter.
    filter.set_act_badarch(ScmpAction::KillProcess)?;
    filter.set_ctl_nnp(false)?;
    // A binary tree instead of a list: loading is three times faster (seccomp_attr_set(3), SCMP_FLTATR_CTL_OPTIMIZE).
    filter.set_ctl_optimize(2)?;
    // libseccomp refuses a rule that says what the default says.
    for rule in rules.iter().filter(|rule| rule.action != otherwise) {
        if rule.comparisons.is_empty() {
            filter.add_rule_exact(rule.action, rule.number)?;
        } else {
            filter.add_rule_conditional_exact(rule.action, rule.number, &rule.comparisons)?;
        }
    }
    let path = out.with_extension("layer");
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    filter.export_bpf(&file)?;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    std::fs::remove_file(&path)?;
    Ok(bytes)
}

/// Puts the layers one after another. Where one returns `GO_ON`, it jumps to the start of the next instead.
fn join(parts: Vec<Vec<u8>>) -> Outcome<Vec<u8>> {
    let mut joined = Vec::new();
    let last = parts.len().saturating_sub(1);
    for (position, part) in parts.into_iter().enumerate() {
        let (instructions, rest) = part.as_chunks::<INSTRUCTION>();
        if instructions.is_empty() || !rest.is_empty() {
            return Err("libseccomp wrote no whole program".into());
        }
        let mut went_on = false;
        for (index, instruction) in instructions.iter().enumerate() {
            let [c0, c1, _, _, k0, k1, k2, k3] = *instruction;
            let returned = u16::from_ne_bytes([c0, c1]) == RETURN;
            if returned && u32::from_ne_bytes([k0, k1, k2, k3]) == GO_ON_RETURNED {
                went_on = true;
                let distance = u32::try_from(instructions.len() - index - 1)?;
                joined.extend(JUMP.to_ne_bytes());
                joined.extend([0, 0]);
                joined.extend(distance.to_ne_bytes());
            } else {
                joined.extend(instruction);
            }
        }
        if went_on != (position != last) {
            return Err("a layer does not lead where it should".into());
        }
    }
    Ok(joined)
}
