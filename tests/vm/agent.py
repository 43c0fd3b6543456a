#!/usr/bin/python3 -SE
"""The guest's side of the test bed.

Reads one JSON request a line from the virtio-serial port, runs it as root, sends its output as it
comes and then its exit status. One request at a time; it serves until the guest ends.
Not here: who asks (vmbed.py), what is run (guest.sh).
"""
import base64
import json
import os
import select
import signal
import subprocess
import time

PORTS = "/sys/class/virtio-ports"
PORT_NAME = "vmbed"
ENVIRONMENT = {
    "HOME": "/root",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
# A grandchild may hold the pipes open after the command has ended.
GRACE_SECONDS = 2


def open_port():
    """Waits for the driver, which may still be loading, and opens the bed's port."""
    while True:
        for device in os.listdir(PORTS) if os.path.isdir(PORTS) else ():
            with open(f"{PORTS}/{device}/name") as name:
                wanted = name.read().strip() == PORT_NAME
            if wanted and os.path.exists(f"/dev/{device}"):
                return os.open(f"/dev/{device}", os.O_RDWR)
        time.sleep(0.02)


def send(port, message):
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(port, data):]


def forward_output(port, process, deadline):
    """Sends both streams until they end; kills the command's process group at the deadline."""
    names = {process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
    timed_out, grace_end = False, None
    while names:
        now = time.monotonic()
        if process.poll() is None and now >= deadline:
            timed_out = True
            os.killpg(process.pid, signal.SIGKILL)
        if process.poll() is not None:
            grace_end = grace_end or now + GRACE_SECONDS
        ready = select.select(list(names), [], [], 0.3)[0]
        for stream in ready:
            data = os.read(stream, 32768)
            if data:
                send(port, {"ev": names[stream], "data": base64.b64encode(data).decode()})
            else:
                del names[stream]
        if grace_end and (not ready or time.monotonic() > grace_end):
            break
    return timed_out


def run(port, request):
    deadline = time.monotonic() + request["timeout"]
    argv = request["argv"]
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/root",
            env={**ENVIRONMENT, **request["env"]},
            start_new_session=True,
        )
    except OSError as error:
        return {"rc": 127, "timed_out": False, "err": f"{argv[0]}: {error.strerror}\n"}
    timed_out = forward_output(port, process, deadline)
    status = process.wait()
    return {"rc": status if status >= 0 else 128 - status, "timed_out": timed_out, "err": ""}


def answer(port, request):
    if "clock" in request:  # a resumed guest's clock stood still
        time.clock_settime(time.CLOCK_REALTIME, request["clock"])
        send(port, {"ev": "ready"})
    else:
        send(port, {"ev": "exit", **run(port, request)})


def main():
    port = open_port()
    send(port, {"ev": "ready"})
    pending = b""
    while True:
        data = os.read(port, 65536)
        if not data:  # nobody has the host's end open
            time.sleep(0.02)
            continue
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            answer(port, json.loads(line))


main()
