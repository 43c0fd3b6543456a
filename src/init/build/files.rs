//! A second wall around files, where the kernel has it: Landlock (landlock(7)). The first are the mounts and their flags.
use super::order::{Directory, Order, Place};
use crate::kernel::mount::{self, NO_DEVICES, NO_EXECUTION, NO_SETUID, READ_ONLY};
use crate::kernel::{self, Errno, Fd, landlock};
use crate::protocol::CHANNEL;

/// Where the ruleset is between its making and the moment when it is put in force.
pub(super) const RULESET: Fd = CHANNEL + 1;

/// While everything is mounted and can be opened: a rule holds for a directory, whatever path leads to it.
pub(super) fn make_ruleset(order: &Order<'_>) -> Result<(), Errno> {
    let mold = &order.mold;
    if mold.restricted == 0 {
        return Ok(());
    }
    let ruleset = landlock::create(mold.restricted, mold.scopes)?;
    mold.directories.each(|Directory { rights, path }| permit_below(order.root, path, ruleset, rights))?;
    order.places.each(|Place { attributes, target }| match u64::from(attributes) & READ_ONLY {
        0 => permit_below(order.root, target, ruleset, mold.rights_in_trees),
        _ => Ok(()),
    })?;
    permit_message_queues(ruleset, mold.rights_in_trees)?;
    order.ruleset.set(Some(ruleset));
    Ok(())
}

fn permit_below(root: Fd, path: &[u8], ruleset: Fd, rights: u64) -> Result<(), Errno> {
    let directory = kernel::open_below(root, path, kernel::NAME_ONLY)?;
    let permitted = landlock::permit(ruleset, directory, rights);
    kernel::close(directory);
    permitted
}

/// They are files of a file system that is mounted nowhere (mq_overview(7)). A kernel may not have them.
fn permit_message_queues(ruleset: Fd, rights: u64) -> Result<(), Errno> {
    match mount::create(b"mqueue\0", NO_SETUID | NO_DEVICES | NO_EXECUTION) {
        Err(Errno::NO_DEVICE) => Ok(()),
        Err(errno) => Err(errno),
        Ok(queues) => {
            let permitted = landlock::permit(ruleset, queues, rights);
            kernel::close(queues);
            permitted
        }
    }
}

/// With no_new_privs, which it requires.
pub(super) fn restrict(order: &Order<'_>) -> Result<(), Errno> {
    if order.ruleset.get().is_none() {
        return Ok(());
    }
    landlock::restrict(RULESET)?;
    kernel::close(RULESET);
    Ok(())
}
