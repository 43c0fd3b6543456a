//! What the sandbox sees as its files. Nothing here follows a name that a job could have written.
use super::order::{Order, Place};
use crate::kernel::mount::{self, NO_DEVICES, NO_EXECUTION, NO_SETUID, READ_ONLY};
use crate::kernel::{self, Errno, Fd};

pub(super) fn put_root(order: &Order<'_>) -> Result<(), Errno> {
    mount::attach(order.root, kernel::WORKING_DIRECTORY, order.mold.place)
}

pub(super) fn make_proc(order: &Order<'_>) -> Result<(), Errno> {
    let proc = mount::create(b"proc\0", NO_SETUID | NO_DEVICES | NO_EXECUTION)?;
    mount::attach(proc, order.root, b"proc\0")
}

/// What becomes read-only comes first: a copy of it would not have what hides parts of it.
pub(super) fn mask_proc(order: &Order<'_>) -> Result<(), Errno> {
    let mold = &order.mold;
    mold.read_only.each(|path| if_there(make_read_only(order.root, path)))?;
    mold.hidden_files.each(|path| if_there(mount::bind(mold.hiding_file, path)))?;
    mold.hidden_folders.each(|path| if_there(mount::bind(mold.hiding_folder, path)))
}

fn make_read_only(root: Fd, path: &[u8]) -> Result<(), Errno> {
    let copy = mount::copy(root, path)?;
    mount::restrict(copy, READ_ONLY)?;
    mount::attach(copy, root, path)
}

/// What this kernel does not have is hidden already.
fn if_there(outcome: Result<(), Errno>) -> Result<(), Errno> {
    match outcome {
        Err(Errno::NO_ENTRY) => Ok(()),
        other => other,
    }
}

pub(super) fn put_device(order: &Order<'_>) -> Result<(), Errno> {
    mount::attach(order.device, order.root, b"dev\0")
}

/// One tmpfs, and so one limit, for both. It is attached first, because only what is attached can be copied.
pub(super) fn put_temporary(order: &Order<'_>) -> Result<(), Errno> {
    mount::attach(order.temporary, order.root, b"tmp\0")?;
    let shared_memory = mount::copy(order.temporary, b"shm\0")?;
    let temporary = mount::copy(order.temporary, b"tmp\0")?;
    mount::attach(shared_memory, order.root, b"dev/shm\0")?;
    mount::attach(temporary, order.root, b"tmp\0")
}

pub(super) fn put_trees(order: &Order<'_>) -> Result<(), Errno> {
    let mut trees = order.trees.iter();
    order.places.each(|Place { attributes, target }| {
        let tree = *trees.next().ok_or(Errno::PROTO)?;
        mount::restrict(tree, u64::from(attributes))?;
        mount::attach(tree, order.root, target)
    })
}
