//! pid 1 of a sandbox: starts the program it is told to, reaps everything, reports.
//!
//! ```text
//! build -> guard -> READY -> wait for EXEC -> limits -> write files -> vfork, exec -> STARTED -> reap ... main ended
//!       -> kill and reap all others -> EXITED -> wait until the spawner closes the channel -> exit
//! ```
//!
//! It begins as root and builds the sandbox around itself (`build`). From then on it runs with the job's own ids, filter
//! and limits, without any capability, and cannot be traced or read by the job. Every wall stands before it is ready.
#![no_std]
#![no_main]

mod build;
mod kernel;
mod memory;
mod program;
mod protocol;
mod reading;

use core::arch::global_asm;

use kernel::{Errno, Fd};
use protocol::{CHANNEL, EXEC, EXITED, FAILED, MESSAGE_BYTES, READY, STARTED, message, step};

// The x86-64 psABI (3.4.1) gives the stack pointer at entry; init needs nothing of what lies there.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {start}", "ud2", start = sym start);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    kernel::exit(125)
}

/// A step that did not work.
pub(crate) struct Failure {
    step: u32,
    errno: Errno,
}

extern "C" fn start() -> ! {
    let (process, outcome) = serve();
    match outcome {
        Ok(Ended { status, wall_us }) => {
            let (low, high) = (wall_us as u32, (wall_us >> 32) as u32);
            tell([EXITED, process, status.cast_unsigned(), low, high]);
        }
        Err(failure) => tell([FAILED, process, failure.step, failure.errno.0.cast_unsigned()]),
    }
    wait_for_the_spawner()
}

/// How the program ended.
struct Ended {
    status: i32,
    wall_us: u64,
}

/// Runs one program. Gives its process number and how it ended.
fn serve() -> (u32, Result<Ended, Failure>) {
    let made_network = match build::build() {
        Ok(made_network) => made_network,
        Err(failure) => return (0, Err(failure)),
    };
    if let Err(errno) = guard() {
        return (0, Err(Failure { step: step::GUARD, errno }));
    }
    tell([READY, u32::from(made_network)]);
    let order = match receive() {
        Ok(order) => order,
        Err(errno) => return (0, Err(Failure { step: step::RECEIVE, errno })),
    };
    (order.process, run(&order))
}

/// Nobody may read or trace init, and it ends with the spawner (prctl(2)).
fn guard() -> Result<(), Errno> {
    kernel::set_not_dumpable()?;
    kernel::set_parent_death_signal()?;
    // The spawner may have ended before the signal was asked for: its end of the channel tells.
    if kernel::has_hung_up(CHANNEL)? { Err(Errno::PIPE) } else { Ok(()) }
}

struct Order {
    process: u32,
    open_files: u32,
    file_size: u64,
    program: Fd,
    files: Fd,
    stdio: [Fd; 3],
}

fn receive() -> Result<Order, Errno> {
    let mut message = [0_u8; MESSAGE_BYTES];
    let [program, files, stdin, stdout, stderr] = kernel::receive(CHANNEL, &mut message)?;
    if kernel::word(&message, 0) != Some(EXEC) {
        return Err(Errno::PROTO);
    }
    let word = |index: usize| kernel::word(&message, 4 * index).ok_or(Errno::PROTO);
    let file_size = u64::from(word(4)?) << 32 | u64::from(word(3)?);
    Ok(Order { process: word(1)?, open_files: word(2)?, file_size, program, files, stdio: [stdin, stdout, stderr] })
}

fn run(order: &Order) -> Result<Ended, Failure> {
    let at = |step| move |errno| Failure { step, errno };
    limit(order).map_err(at(step::LIMIT))?;
    let program = program::read(order.program).map_err(at(step::READ_PROGRAM))?;
    kernel::change_directory(program.directory).map_err(at(step::ENTER_DIRECTORY))?;
    program::write_files(order.files).map_err(at(step::WRITE_FILES))?;
    let begin = kernel::monotonic_us().map_err(at(step::FORK))?;
    let mut launch = Launch { stdio: order.stdio, program, failure: None };
    let child = kernel::spawn(become_the_program, &mut launch).map_err(at(step::FORK))?;
    if let Some(errno) = launch.failure {
        return Err(Failure { step: step::EXECUTE, errno });
    }
    for fd in [order.program, order.files].into_iter().chain(order.stdio) {
        kernel::close(fd);
    }
    tell([STARTED, order.process]);
    Ok(reap(child, begin))
}

/// What each job has its own of. All other limits were set before init was started.
fn limit(order: &Order) -> Result<(), Errno> {
    kernel::set_resource_limit(kernel::RLIMIT_NOFILE, u64::from(order.open_files))?;
    kernel::set_resource_limit(kernel::RLIMIT_FSIZE, order.file_size)
}

/// What the child needs, and where it says why it could not execute the program.
struct Launch {
    stdio: [Fd; 3],
    program: program::Program,
    failure: Option<Errno>,
}

/// In the child: three descriptors, a session of its own, exec.
extern "C" fn become_the_program(launch: &mut Launch) -> ! {
    launch.failure = Some(program::execute(launch.stdio, &launch.program));
    kernel::exit(127)
}

/// Waits for `main`, then ends and reaps all others. kill(2): -1 is everything in this pid namespace but init.
fn reap(main: i32, begin: u64) -> Ended {
    let mut result = Ended { status: 0, wall_us: 0 };
    loop {
        let Ok((pid, status)) = kernel::wait() else { return result };
        if pid == main {
            let end = kernel::monotonic_us().unwrap_or(begin);
            result = Ended { status, wall_us: end.wrapping_sub(begin) };
            break;
        }
    }
    loop {
        kernel::kill_all_others();
        if kernel::wait().is_err() {
            return result;
        }
    }
}

/// Where nobody hears it the spawner is gone, and everything here ends with init.
fn tell<const WORDS: usize>(words: [u32; WORDS]) {
    if kernel::send(CHANNEL, &message(words)).is_err() {
        kernel::exit(0)
    }
}

/// The counters are read while only init is left; the spawner closes the channel when it has them.
fn wait_for_the_spawner() -> ! {
    let mut nothing = [0_u8; 4];
    while matches!(kernel::read(CHANNEL, &mut nothing), Ok(1..)) {}
    kernel::exit(0)
}
