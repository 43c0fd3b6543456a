# What the programs beside it attempt by: calls by their numbers on x86-64, and names of errors. A word that is told is
# what the kernel said: OK, or the name of an error.
import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
KEPT = []


def word(argument):
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    if isinstance(argument, str):
        argument = argument.encode()
    return argument


def call(number, *arguments):
    """The result of a system call, or the name of its error."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(word, arguments))
    return errno.errorcode[ctypes.get_errno()] if result == -1 else result


def outcome(action, *arguments):
    """OK, or the name of the error."""
    try:
        KEPT.append(action(*arguments))
        return "OK"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def tell(name, value):
    print(f"{name}: {value}", flush=True)


def opened(path, flags=os.O_RDONLY):
    return outcome(os.open, path, flags | os.O_NONBLOCK)
