//! How init builds the sandbox around itself: one named step after another.
//!
//! It begins as root in a new pid namespace, enters all others and ends as an unprivileged user in a user namespace that
//! owns none of them, so that no capability in it reaches any of them. The order is the security argument
//! (docs/SECURITY.md). A step that fails ends init: nothing is skipped. Each wall stands before a program starts.
mod files;
mod identity;
mod mounts;
mod network;
mod order;

use crate::Failure;
use crate::kernel::{self, Errno, mount, namespace, privilege};
use crate::protocol::{BUILD_BYTES, BUILD_DESCRIPTORS, CHANNEL, step};
use order::{Limit, Order};

/// A step, by its number in [`step`].
type Step = (u32, fn(&Order<'_>) -> Result<(), Errno>);

const STEPS: &[Step] = &[
    (step::JOIN_CGROUP, join_cgroup),
    (step::UNSHARE_CGROUP, unshare_cgroup),
    (step::ENTER_NETWORK, network::enter),
    (step::UNSHARE_OTHERS, unshare_others),
    (step::LEAVE_SESSION, leave_session),
    (step::PREFER_AS_VICTIM, prefer_as_victim),
    (step::NAME_HOST, name_host),
    (step::MOUNT_ROOT, mounts::put_root),
    (step::MOUNT_PROC, mounts::make_proc),
    (step::MASK_PROC, mounts::mask_proc),
    (step::MOUNT_DEVICE, mounts::put_device),
    (step::MOUNT_TEMPORARY, mounts::put_temporary),
    (step::MOUNT_TREES, mounts::put_trees),
    (step::MAKE_RULESET, files::make_ruleset),
    (step::PIVOT, pivot),
    (step::ARRANGE_DESCRIPTORS, arrange_descriptors),
    (step::ENTER_USER_NAMESPACE, identity::enter_user_namespace),
    (step::EMPTY_BOUNDING_SET, empty_bounding_set),
    (step::SET_RESOURCE_LIMITS, set_resource_limits),
    (step::BECOME_USER, identity::become_user),
    (step::DROP_CAPABILITIES, identity::drop_capabilities),
    (step::GIVE_UP_PRIVILEGES, give_up_privileges),
    (step::RESTRICT_FILES, files::restrict),
    (step::RESTORE_SIGNALS, restore_signals),
    (step::LOAD_FILTER, load_filter),
];

/// Receives the order and takes every step. Tells whether the network namespace is a new one.
pub(crate) fn build() -> Result<bool, Failure> {
    let mut packet = [0_u8; BUILD_BYTES];
    let mut descriptors = [-1; BUILD_DESCRIPTORS];
    let order = kernel::receive_packet(CHANNEL, &mut packet, &mut descriptors)
        .and_then(|length| packet.get(..length).ok_or(Errno::PROTO))
        .and_then(|packet| Order::read(packet, &descriptors));
    let order = order.map_err(|errno| Failure { step: step::RECEIVE_BUILD, errno })?;
    for &(step, run) in STEPS {
        run(&order).map_err(|errno| Failure { step, errno })?;
    }
    Ok(order.made_network.get())
}

fn join_cgroup(order: &Order<'_>) -> Result<(), Errno> {
    order.join.iter().try_for_each(|&file| kernel::write_whole(file, b"0"))
}

/// After joining: the group of the job is then the root of what it could see.
fn unshare_cgroup(_: &Order<'_>) -> Result<(), Errno> {
    namespace::unshare(namespace::CGROUP)
}

/// Here and not by the spawner's clone3(2): what takes time is taken by init, and not by the loop.
fn unshare_others(_: &Order<'_>) -> Result<(), Errno> {
    namespace::unshare(namespace::MOUNT | namespace::IPC | namespace::UTS)
}

fn leave_session(order: &Order<'_>) -> Result<(), Errno> {
    kernel::set_umask(order.mold.umask);
    kernel::set_session()
}

/// A job goes before any service of the host (proc_pid_oom_score_adj(5)).
fn prefer_as_victim(order: &Order<'_>) -> Result<(), Errno> {
    let score = order.mold.oom_score.strip_suffix(b"\0").ok_or(Errno::PROTO)?;
    kernel::write_to(b"/proc/self/oom_score_adj\0", score)
}

fn name_host(order: &Order<'_>) -> Result<(), Errno> {
    namespace::set_host_name(order.mold.host_name.strip_suffix(b"\0").ok_or(Errno::PROTO)?)
}

/// The old root is stacked below the new one and taken away (pivot_root(2), notes on ".").
fn pivot(order: &Order<'_>) -> Result<(), Errno> {
    kernel::enter(order.root)?;
    mount::pivot_root(b".\0", b".\0")?;
    mount::detach(b".\0")?;
    kernel::change_directory(b"/\0")
}

/// 0, 1, 2: the sandbox's own /dev/null. 3: the channel. 4: the ruleset, until it is in force. Nothing else is open from
/// here on.
fn arrange_descriptors(order: &Order<'_>) -> Result<(), Errno> {
    let null = kernel::open(b"/dev/null\0", kernel::READ_WRITE)?;
    for number in 0..CHANNEL {
        kernel::duplicate(null, number)?;
    }
    match order.ruleset.get() {
        None => kernel::close_from(CHANNEL + 1),
        Some(ruleset) => {
            kernel::duplicate(ruleset, files::RULESET)?;
            kernel::close_from(files::RULESET + 1)
        }
    }
}

/// While the capability for it is held: it goes with the change of ids. Entering the user namespace had filled the set.
fn empty_bounding_set(_: &Order<'_>) -> Result<(), Errno> {
    privilege::empty_bounding_set()
}

fn set_resource_limits(order: &Order<'_>) -> Result<(), Errno> {
    order.mold.limits.each(|Limit { resource, soft, hard }| kernel::set_resource_limits(resource as usize, soft, hard))
}

fn give_up_privileges(_: &Order<'_>) -> Result<(), Errno> {
    privilege::set_no_new_privileges()
}

fn restore_signals(_: &Order<'_>) -> Result<(), Errno> {
    kernel::restore_signals()
}

fn load_filter(order: &Order<'_>) -> Result<(), Errno> {
    privilege::load_filter(order.mold.filter)
}
