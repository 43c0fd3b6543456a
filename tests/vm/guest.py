"""One guest of the test bed: a qemu process, its disks, the agent inside it.

A Guest ends with its `with` block, and with this process, however that ends. What went wrong with
the guest itself is a BedError with the end of its logs; what went wrong with the command in it is
the command's exit status.
Not here: images and saved states (vmbed.py), the agent's own side (agent.py).
"""
import base64
import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

QEMU = os.environ.get("TEST_VM_QEMU", "qemu-system-x86_64")
# Size of the /share and /out disks (sparse files). A saved state knows it.
DISK_MB = int(os.environ.get("TEST_VM_SHARE_MB", "512"))
BOOT_SECONDS = 180
CONNECT_SECONDS = 30
SHUTDOWN_SECONDS = 180
# For a command of the bed's own.
MUST_SECONDS = 120
# How much later than its own time limit a command may be silent.
SILENCE_SECONDS = 60
# q35, like a real server.
MACHINE = [
    "-M", "q35,smm=off,hpet=off,vmport=off",
    "-accel", "tcg,thread=multi,tb-size=512",
    "-cpu", "max,la57=off",
    "-smp", "2",
]
# norandmaps: exec of dynamic programs is 3 to 5 times faster under TCG (a test of ASLR switches it
# on again by sysctl kernel.randomize_va_space=2). panic=-1: a panic ends qemu, the bed sees it.
KERNEL = (
    "console=ttyS0 quiet loglevel=3 mitigations=off nokaslr norandmaps tsc=reliable no_timer_check"
    " random.trust_cpu=on audit=0 selinux=0 apparmor=0 net.ifnames=0 systemd.show_status=false"
    " panic=-1 reboot=t"
)
PR_SET_PDEATHSIG = 1


class BedError(Exception):
    """The test bed failed, not the command under test."""


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Guest:
    """A running guest: cold-booted from `disk`, or resumed from `state`."""

    def __init__(self, image, disk, memory, share=None, state=None, keep_writes=False):
        self.dir = tempfile.mkdtemp(prefix="vmbed.")
        self.qemu = None
        self.agent = None
        self.monitor = None
        self.received = b""
        try:
            self._make_disks(share)
            self._start(self._arguments(image, disk, memory, state, keep_writes), state)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.qemu:
            self.qemu.kill()
            self.qemu.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, argv, seconds=600, environment=None, out=None, err=None):
        """Runs a command, its output to `out` and `err` as it comes. -> (exit status, timed out)"""
        if isinstance(argv, str):
            argv = ["/bin/bash", "-c", argv]
        self._send({"argv": argv, "timeout": seconds, "env": environment or {}})
        sinks = {"out": out, "err": err}
        while True:
            message = self._receive(seconds + SILENCE_SECONDS)
            if message["ev"] == "ready":
                raise BedError("the agent was restarted under the command")
            if message["ev"] == "exit":
                break
            if sink := sinks[message["ev"]]:
                sink.write(base64.b64decode(message["data"]))
                sink.flush()
        if err:
            err.write(message["err"].encode())
        return message["rc"], message["timed_out"]

    def must(self, what, command):
        """Runs a command of the bed's own; its failure is the bed's."""
        with tempfile.TemporaryFile() as errors:
            status, timed_out = self.run(command, MUST_SECONDS, err=errors)
            if status:
                errors.seek(0)
                text = errors.read().decode(errors="replace").strip()
                what += f" took more than {MUST_SECONDS} s" if timed_out else f": exit {status}"
                raise BedError(f"{what}: {text}")

    def save(self, path):
        """Stops the guest and writes its memory and devices to `path`."""
        self._open_monitor()
        self._command("stop")
        self._command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self._command("migrate", uri="exec:cat >" + shlex.quote(path))
        while (status := self._command("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise BedError("the state could not be saved")
            time.sleep(0.02)

    def shut_down(self):
        """Ends the guest as an operator would, so that its disk can be booted again."""
        self._send({"argv": ["systemctl", "poweroff"], "timeout": MUST_SECONDS, "env": {}})
        try:
            self.qemu.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            raise BedError("the guest does not shut down: " + self._logs()) from None

    # --- the start

    def _make_disks(self, share):
        with open(f"{self.dir}/out.img", "wb") as out:
            out.truncate(DISK_MB << 20)
        if not share:
            share = f"{self.dir}/empty"
            os.mkdir(share)
        image = f"{self.dir}/share.img"
        pack = ["mkfs.erofs", "--quiet", image, share]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
        if os.path.getsize(image) > DISK_MB << 20:
            raise BedError(f"{share} needs more than TEST_VM_SHARE_MB={DISK_MB}")
        # Always one size: a resumed guest finds the disk that it knew.
        os.truncate(image, DISK_MB << 20)

    def _arguments(self, image, disk, memory, state, keep_writes):
        self.ssh_port = free_port()
        snapshot = "off" if keep_writes else "on"
        drive = "if=none,format=raw,cache=unsafe,aio=threads"
        arguments = [
            QEMU, *MACHINE, "-m", str(memory),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd.cpio.gz", "-append", KERNEL,
            "-serial", f"file:{self.dir}/serial.log",
            "-drive", f"{drive},id=root,file={disk},discard=unmap,snapshot={snapshot}",
            "-device", "virtio-blk-pci,drive=root",
            "-drive", f"{drive},id=share,file={self.dir}/share.img,readonly=on",
            "-device", "virtio-blk-pci,drive=share,serial=share",
            "-drive", f"{drive},id=out,file={self.dir}/out.img",
            "-device", "virtio-blk-pci,drive=out,serial=out",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={self.dir}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=vmbed",
            "-device", "virtio-rng-pci",
            "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off",
            "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22",
            "-device", "virtio-net-pci,netdev=net",
        ]
        if state:
            arguments += ["-incoming", "exec:cat " + shlex.quote(state)]
        return arguments

    def _start(self, arguments, state):
        with open(f"{self.dir}/qemu.log", "w") as log:
            self.qemu = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        self.agent = self._connect("agent")
        if state:
            self._resume()
        if self._receive(BOOT_SECONDS)["ev"] != "ready":
            raise BedError("the agent did not say ready")

    def _resume(self):
        self._open_monitor()
        while (status := self._command("query-status")["status"]) != "running":
            if status in ("paused", "postmigrate"):
                self._command("cont")
            time.sleep(0.01)
        self._send({"clock": time.time()})

    # --- the agent's socket

    def _connect(self, name):
        connection = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                connection.connect(f"{self.dir}/{name}")
                return connection
            except OSError:
                self._check_alive()
                if time.monotonic() > deadline:
                    raise BedError(f"qemu opens no {name}") from None
                time.sleep(0.01)

    def _check_alive(self):
        if self.qemu.poll() is not None:
            raise BedError("the guest ended: " + self._logs())

    def _logs(self):
        text = ""
        for name in ("qemu.log", "serial.log"):
            if os.path.exists(f"{self.dir}/{name}"):
                with open(f"{self.dir}/{name}", errors="replace") as log:
                    text += log.read()[-2000:]
        return text

    def _send(self, request):
        self.agent.sendall(json.dumps(request).encode() + b"\n")

    def _receive(self, seconds):
        self.agent.settimeout(1)
        deadline = time.monotonic() + seconds
        while b"\n" not in self.received:
            try:
                data = self.agent.recv(1 << 16)
            except socket.timeout:
                self._check_alive()
                if time.monotonic() > deadline:
                    raise BedError("the guest is silent: " + self._logs()) from None
                continue
            if not data:
                self.qemu.wait(10)
                self._check_alive()
            self.received += data
        line, self.received = self.received.split(b"\n", 1)
        return json.loads(line)

    # --- qemu's monitor

    def _open_monitor(self):
        self.monitor = self._connect("qmp").makefile("rw")
        self.monitor.readline()
        self._command("qmp_capabilities")

    def _command(self, name, **arguments):
        self.monitor.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:  # events come in between
            line = self.monitor.readline()
            if not line:
                self.qemu.wait(10)
                self._check_alive()
            reply = json.loads(line)
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise BedError(f"qmp {name}: {reply['error']}")
