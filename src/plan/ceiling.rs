//! The spawner's own table: what each class may have at most, whatever the server says.
use crate::plan::limits::Limits;
use crate::plan::mount::MountSource;
use crate::plan::{Class, Lifetime, Network, Plan, Stdio};

const HOUR_US: u64 = 3_600_000_000;
const GIB: u64 = 1 << 30;

/// What a sandbox of class `job` may have at most.
pub const JOB: Limits = Limits {
    wall_us: HOUR_US,
    cpu_time_us: 64 * HOUR_US,
    milli_cpus: 64_000,
    memory: 64 * GIB,
    processes: 4096,
    open_files: 65_536,
    file_size: 64 * GIB,
    temporary: 64 * GIB,
    temporary_inodes: 1 << 24,
};

/// Less would not even let a program start: init has a dozen descriptors open before it, and it and a small program
/// need 4 MiB of memory.
pub const FLOOR: Limits = Limits {
    wall_us: 1,
    cpu_time_us: 1,
    milli_cpus: 10,
    memory: 4 << 20,
    processes: 1,
    open_files: 16,
    file_size: 0,
    temporary: 4096,
    temporary_inodes: 16,
};

/// Sandboxes that stand before anybody asks. Each takes some memory and a block of user ids.
pub const READY: u32 = 128;

/// Mounts beside the fixed ones.
pub const MOUNTS: usize = 16;

/// Something that is above a ceiling, below a floor, or not built yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What.
    pub what: String,
    /// How much was asked for; 0 where there is no amount.
    pub asked: u64,
    /// How much may be had; 0 where there is nothing to be had.
    pub ceiling: u64,
}

impl Refusal {
    /// Something that no version so far can do.
    pub fn not_built(what: &str) -> Self {
        Self { what: format!("{what} (not built yet)"), asked: 0, ceiling: 0 }
    }
}

/// Checks a plan against the table.
///
/// # Errors
/// Names the first thing that the class may not have.
pub fn check(plan: &Plan) -> Result<(), Refusal> {
    check_kind(plan)?;
    check_limits(&plan.limits)?;
    if plan.mounts.len() > MOUNTS {
        return Err(Refusal {
            what: String::from("mounts"),
            asked: amount(plan.mounts.len()),
            ceiling: amount(MOUNTS),
        });
    }
    plan.mounts.iter().try_for_each(|mount| match &mount.source {
        MountSource::Tree { .. } => Ok(()),
        MountSource::Image { .. } => Err(Refusal::not_built("mount of an image layer")),
        MountSource::Temporary { .. } => Err(Refusal::not_built("mount of a further tmpfs")),
        MountSource::HostRoot { .. } => Err(Refusal::not_built("mount of a host directory")),
        MountSource::Descriptor { .. } => Err(Refusal::not_built("mount of a descriptor")),
    })
}

fn check_kind(plan: &Plan) -> Result<(), Refusal> {
    let refused = match plan.class {
        Class::Job => None,
        Class::Batch => Some("class batch"),
        Class::Container => Some("class container"),
        Class::Workspace => Some("class workspace"),
        Class::System => Some("class system"),
    };
    let refused = refused
        .or(match plan.lifetime {
            Lifetime::WithMain => None,
            Lifetime::UntilEnded => Some("a long-lived sandbox"),
        })
        .or(match plan.stdio {
            Stdio::Pipes => None,
            Stdio::Terminal => Some("a terminal"),
        })
        .or(match plan.network {
            Network::Isolated | Network::Egress => None,
            Network::Attached => Some("an attached network"),
        });
    refused.map_or(Ok(()), |what| Err(Refusal::not_built(what)))
}

fn check_limits(limits: &Limits) -> Result<(), Refusal> {
    let rows = limits.named().into_iter().zip(JOB.named()).zip(FLOOR.named());
    for (((name, asked), (_, ceiling)), (_, floor)) in rows {
        if asked > ceiling {
            return Err(Refusal { what: name.to_owned(), asked, ceiling });
        }
        if asked < floor {
            let what = format!("{name} below the least that works");
            return Err(Refusal { what, asked, ceiling: floor });
        }
    }
    Ok(())
}

fn amount(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::plan::Profile;
    use crate::plan::mount::Root;

    fn plan() -> Plan {
        Plan {
            class: Class::Job,
            lifetime: Lifetime::WithMain,
            stdio: Stdio::Pipes,
            network: Network::Isolated,
            profile: Profile::Job,
            root: Root::Host,
            mounts: Vec::new(),
            limits: JOB,
        }
    }

    #[test]
    fn the_ceiling_itself_may_be_had() {
        assert_eq!(check(&plan()), Ok(()));
    }

    #[test]
    fn one_more_than_the_ceiling_is_refused_by_name() {
        let mut plan = plan();
        plan.limits.memory += 1;
        let refusal = check(&plan).unwrap_err();
        assert_eq!((refusal.asked, refusal.ceiling), (JOB.memory + 1, JOB.memory));
        assert!(refusal.what.contains("memory"));
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        let mut plan = plan();
        plan.limits.processes = 0;
        assert!(check(&plan).is_err());
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        let check_one = |change: fn(&mut Plan), what: &str| {
            let mut plan = plan();
            change(&mut plan);
            assert!(check(&plan).unwrap_err().what.contains(what), "{what}");
        };
        check_one(|plan| plan.class = Class::Container, "container");
        check_one(|plan| plan.network = Network::Attached, "attached network");
        check_one(|plan| plan.stdio = Stdio::Terminal, "terminal");
        check_one(|plan| plan.lifetime = Lifetime::UntilEnded, "long-lived");
    }
}
