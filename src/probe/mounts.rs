//! What is mounted where is the wall of the sandbox: the calls that could change it, old and new.
use crate::kernel::{CREATE, call, open, text};
use crate::outcome::Outcome;
use crate::{Attempt, attempt};

const HERE: usize = -100_isize as usize;

pub(crate) static ATTEMPTS: [Attempt; 19] = [
    attempt(c"mount", || mount(c"none", c"tmpfs", 0)),
    attempt(c"mount-bind", || mount(c"/usr", c"none", 4096)), // MS_BIND
    attempt(c"mount-proc", || mount(c"proc", c"proc", 0)),
    attempt(c"remount-writable", || mount_to(c"none", c"/usr", 32 | 4096)), // MS_REMOUNT MS_BIND
    attempt(c"umount", || call(166, [text(c"/tmp"), 2, 0, 0, 0, 0]).into()),
    attempt(c"fsopen", || call(430, [text(c"tmpfs"), 0, 0, 0, 0, 0]).into()),
    attempt(c"fsmount", || call(432, [0; 6]).into()),
    attempt(c"open-tree", || call(428, [HERE, text(c"/"), 1, 0, 0, 0]).into()), // OPEN_TREE_CLONE
    attempt(c"move-mount", || call(429, [HERE, text(c"/tmp"), HERE, text(c"/work"), 0, 0]).into()),
    attempt(c"mount-setattr", mount_setattr),
    attempt(c"pivot-root", || call(155, [text(c"/tmp"), text(c"/tmp"), 0, 0, 0, 0]).into()),
    attempt(c"chroot", || call(161, [text(c"/tmp"), 0, 0, 0, 0, 0]).into()),
    attempt(c"open-by-handle", || by_handle(304)),
    attempt(c"name-to-handle", || by_handle(303)),
    attempt(c"fanotify", || call(300, [0; 6]).into()),
    attempt(c"write-usr", || open(c"/usr/bin/kiln-probe", CREATE).into()),
    attempt(c"write-etc", || open(c"/etc/kiln-probe", CREATE).into()),
    attempt(c"write-root", || open(c"/kiln-probe", CREATE).into()),
    attempt(c"write-dev", || open(c"/dev/kiln-probe", CREATE).into()),
];

fn mount(source: &core::ffi::CStr, kind: &core::ffi::CStr, flags: usize) -> Outcome {
    call(165, [text(source), text(c"/tmp"), text(kind), flags, 0, 0]).into()
}

fn mount_to(source: &core::ffi::CStr, target: &core::ffi::CStr, flags: usize) -> Outcome {
    call(165, [text(source), text(target), 0, flags, 0, 0]).into()
}

/// Clears MOUNT_ATTR_RDONLY of /usr (mount_setattr(2)).
fn mount_setattr() -> Outcome {
    let change = [0_u64, 1, 0, 0];
    call(442, [HERE, text(c"/usr"), 0, change.as_ptr() as usize, size_of_val(&change), 0]).into()
}

/// A `struct file_handle` without room, and room for the number of a mount (open_by_handle_at(2)).
fn by_handle(number: usize) -> Outcome {
    let mut handle = [0_u32; 4];
    let mut mount = 0_i32;
    let room = &raw mut handle as usize;
    match number {
        303 => call(number, [HERE, text(c"/"), room, &raw mut mount as usize, 0, 0]).into(),
        _ => call(number, [HERE, room, 0, 0, 0, 0]).into(),
    }
}
