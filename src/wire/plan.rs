//! The form of a [`Plan`] in a message.
use crate::base::digest::Digest;
use crate::base::id::TreeId;
use crate::plan::limits::Limits;
use crate::plan::mount::{BoxPath, Mount, MountAccess, MountSource, Root};
use crate::plan::{Class, Lifetime, Network, Plan, Profile, Stdio};
use crate::wire::codec::{Malformed, Reader, Writer};

/// The values of an enum without data, each with its number.
macro_rules! numbers {
    ($put:ident, $take:ident, $kind:ident, $field:literal, $($value:ident = $number:literal),+) => {
        fn $put(writer: &mut Writer, value: $kind) {
            writer.u8(match value { $($kind::$value => $number),+ });
        }

        fn $take(reader: &mut Reader<'_>) -> Result<$kind, Malformed> {
            match reader.u8()? {
                $($number => Ok($kind::$value),)+
                other => Err(Malformed::Unknown { field: $field, value: other.into() }),
            }
        }
    };
}

numbers!(put_class, take_class, Class, "class", Job = 1, Batch = 2, Container = 3, Workspace = 4, System = 5);
numbers!(put_lifetime, take_lifetime, Lifetime, "lifetime", WithMain = 1, UntilEnded = 2);
numbers!(put_stdio, take_stdio, Stdio, "stdio", Pipes = 1, Terminal = 2);
numbers!(put_network, take_network, Network, "network", Isolated = 1, Egress = 2, Attached = 3);
numbers!(put_profile, take_profile, Profile, "profile", Job = 1);
numbers!(put_access, take_access, MountAccess, "mount access", ReadWrite = 1, ReadOnly = 2);

/// Puts a plan into a message.
pub(super) fn put(writer: &mut Writer, plan: &Plan) {
    put_class(writer, plan.class);
    put_lifetime(writer, plan.lifetime);
    put_stdio(writer, plan.stdio);
    put_network(writer, plan.network);
    put_profile(writer, plan.profile);
    put_root(writer, plan.root);
    put_limits(writer, &plan.limits);
    writer.u8(u8::try_from(plan.mounts.len()).unwrap_or(u8::MAX));
    for mount in &plan.mounts {
        put_mount(writer, mount);
    }
}

/// Takes a plan off a message.
pub(super) fn take(reader: &mut Reader<'_>) -> Result<Plan, Malformed> {
    Ok(Plan {
        class: take_class(reader)?,
        lifetime: take_lifetime(reader)?,
        stdio: take_stdio(reader)?,
        network: take_network(reader)?,
        profile: take_profile(reader)?,
        root: take_root(reader)?,
        limits: take_limits(reader)?,
        mounts: (0..reader.u8()?).map(|_| take_mount(reader)).collect::<Result<_, _>>()?,
    })
}

/// Puts what is mounted at `/` into a message.
pub(super) fn put_root(writer: &mut Writer, root: Root) {
    match root {
        Root::Host => writer.u8(1),
        Root::Image { digest } => {
            writer.u8(2);
            writer.bytes(&digest.0);
        }
    }
}

/// Takes it off a message.
pub(super) fn take_root(reader: &mut Reader<'_>) -> Result<Root, Malformed> {
    match reader.u8()? {
        1 => Ok(Root::Host),
        2 => Ok(Root::Image { digest: Digest(reader.array()?) }),
        other => Err(Malformed::Unknown { field: "root", value: other.into() }),
    }
}

fn put_limits(writer: &mut Writer, limits: &Limits) {
    writer.u64(limits.wall_us);
    writer.u64(limits.cpu_time_us);
    writer.u32(limits.milli_cpus);
    writer.u64(limits.memory);
    writer.u32(limits.processes);
    writer.u32(limits.open_files);
    writer.u64(limits.file_size);
    writer.u64(limits.temporary);
    writer.u64(limits.temporary_inodes);
}

fn take_limits(reader: &mut Reader<'_>) -> Result<Limits, Malformed> {
    Ok(Limits {
        wall_us: reader.u64()?,
        cpu_time_us: reader.u64()?,
        milli_cpus: reader.u32()?,
        memory: reader.u64()?,
        processes: reader.u32()?,
        open_files: reader.u32()?,
        file_size: reader.u64()?,
        temporary: reader.u64()?,
        temporary_inodes: reader.u64()?,
    })
}

fn put_mount(writer: &mut Writer, mount: &Mount) {
    match &mount.source {
        MountSource::Image { digest } => {
            writer.u8(1);
            writer.bytes(&digest.0);
        }
        MountSource::Temporary { bytes, inodes } => {
            writer.u8(2);
            writer.u64(*bytes);
            writer.u64(*inodes);
        }
        MountSource::Tree { tree } => {
            writer.u8(3);
            writer.u64(tree.0);
        }
        MountSource::HostRoot { index } => {
            writer.u8(4);
            writer.u32(*index);
        }
        MountSource::Descriptor { index } => {
            writer.u8(5);
            writer.u32(*index);
        }
    }
    writer.text(mount.target.as_str());
    put_access(writer, mount.access);
}

fn take_mount(reader: &mut Reader<'_>) -> Result<Mount, Malformed> {
    let source = match reader.u8()? {
        1 => MountSource::Image { digest: Digest(reader.array()?) },
        2 => MountSource::Temporary { bytes: reader.u64()?, inodes: reader.u64()? },
        3 => MountSource::Tree { tree: TreeId(reader.u64()?) },
        4 => MountSource::HostRoot { index: reader.u32()? },
        5 => MountSource::Descriptor { index: reader.u32()? },
        other => return Err(Malformed::Unknown { field: "mount source", value: other.into() }),
    };
    let target = BoxPath::try_from(reader.text()?)
        .map_err(|_path| Malformed::Unknown { field: "path inside a sandbox", value: 0 })?;
    Ok(Mount { source, target, access: take_access(reader)? })
}
