//! Who the processes of the sandbox are: ids of a block that nobody else has, no capability.
use super::order::Order;
use crate::kernel::{self, Errno, namespace, privilege};
use crate::protocol::{CHANNEL, MAP, MAPPED, message};

/// Enters a new user namespace, and waits until the spawner has mapped its ids: only who is privileged outside may
/// (user_namespaces(7)).
///
/// It is made as an id of the block that nobody has inside. What its processes hold of message queues, inotify instances
/// and queued signals counts for its creator as well: were that root, one job could use up what root itself may have. A
/// host that lets only root make user namespaces looks at capabilities, which a change of ids would take away.
pub(super) fn enter_user_namespace(order: &Order<'_>) -> Result<(), Errno> {
    COUNTED.iter().try_for_each(|&resource| unbounded(resource))?;
    privilege::keep_capabilities()?;
    let permitted = privilege::capabilities()?.permitted;
    privilege::set_group(order.first_id)?;
    privilege::set_user(order.first_id)?;
    privilege::set_capabilities(permitted)?;
    namespace::unshare(namespace::USER)?;
    kernel::send(CHANNEL, &message([MAP]))?;
    if kernel::receive_message(CHANNEL)? == message([MAPPED]) { Ok(()) } else { Err(Errno::PROTO) }
}

/// What the owner may have at most is written down with the namespace. An ipc namespace is taken away some time after its
/// last process, and what was in it counts for the owner until then: it must not be lacking in the next sandbox, whose
/// programs have limits of their own.
const COUNTED: [usize; 3] = [kernel::RLIMIT_MSGQUEUE, kernel::RLIMIT_MEMLOCK, kernel::RLIMIT_SIGPENDING];

/// Where a host withholds the capability for it, the limit stays as it is (getrlimit(2)).
fn unbounded(resource: usize) -> Result<(), Errno> {
    match kernel::set_resource_limits(resource, u64::MAX, u64::MAX) {
        Err(Errno::NOT_PERMITTED) => Ok(()),
        other => other,
    }
}

pub(super) fn become_user(order: &Order<'_>) -> Result<(), Errno> {
    privilege::leave_all_groups()?;
    privilege::set_group(order.mold.job_id)?;
    privilege::set_user(order.mold.job_id)
}

/// The three sets are read back. What is neither permitted nor inheritable is not ambient, and the bounding set was emptied
/// before, one checked call for each capability (capabilities(7)).
pub(super) fn drop_capabilities(_: &Order<'_>) -> Result<(), Errno> {
    privilege::empty_ambient_set()?;
    privilege::set_capabilities(0)?;
    if privilege::capabilities()?.is_empty() { Ok(()) } else { Err(Errno::NOT_PERMITTED) }
}
