#!/usr/bin/env python3
"""Holds a live daemon to its own OpenAPI document, by schemathesis with all its checks.

    tests/contract/run.py KILN

KILN is the program; kiln-spawner lies beside it. Needs root, or sudo that asks nothing. SEED and
EXAMPLES (examples of an operation) choose other requests than the suite's. The Python packages are
kept below $BUILD_CACHE (default /var/cache/kiln), named by what they are.
"""
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).parent
READY_SECONDS = 60
STOP_SECONDS = 30
RUN_SECONDS = 480


def environment():
    """A virtual environment with the packages of requirements.txt."""
    requirements = HERE / "requirements.txt"
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = pathlib.Path(os.environ.get("BUILD_CACHE", "/var/cache/kiln"))
    if not os.access(cache, os.W_OK):
        cache = HERE.parent.parent / "target"
    folder = cache / f"python-{key}"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "-r", requirements], check=True)
        (folder / "complete").touch()
    return folder / "bin"


class Daemon:
    """A daemon on a data directory of its own."""

    def __init__(self, kiln, data):
        root = [] if os.geteuid() == 0 else ["sudo", "-n", "--"]
        settings = {
            "KILN_DATA_DIR": data,
            "KILN_API_HOST": "127.0.0.1",
            "KILN_API_PORT": "0",
            "KILN_API_AUTH_ENABLED": "false",
            # What is found at random runs at random long.
            "KILN_API_JOB_MAX_TIMEOUT": "5",
        }
        words = [f"{name}={value}" for name, value in settings.items()]
        self.lines, self.ready = [], threading.Event()
        self.address = None
        self.root = root
        self.process = subprocess.Popen(
            [*root, "env", *words, kiln, "serve"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        if not self.ready.wait(READY_SECONDS) or self.address is None:
            self.stop()
            sys.exit("contract: the daemon was not ready\n" + self.log())

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"ready address=(\S+)", line):
                self.address = found[1]
                self.ready.set()
        self.ready.set()

    def log(self):
        return "".join(self.lines)

    def stop(self):
        subprocess.run([*self.root, "kill", "-TERM", str(self.process.pid)], check=False)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            subprocess.run([*self.root, "kill", "-KILL", str(self.process.pid)], check=False)
            return self.process.wait()
        finally:
            self.reader.join()


def faults_of(daemon, status):
    """What is wrong with how the daemon went through it."""
    if status != 0:
        yield f"the daemon ended with {status}"
    for line in daemon.lines:
        if " ERROR " in line or "panicked" in line:
            yield line.rstrip()


def main(kiln):
    programs = environment()
    with tempfile.TemporaryDirectory(prefix="kiln-contract-", ignore_cleanup_errors=True) as data:
        os.chmod(data, 0o755)
        daemon = Daemon(os.path.realpath(kiln), os.path.join(data, "data"))
        words = ["--config-file", HERE / "schemathesis.toml", "run", f"http://{daemon.address}/openapi.json"]
        words += ["--checks", "all", "--workers", "2", "--no-color"]
        words += ["--max-examples", os.environ.get("EXAMPLES", "60"), "--seed", os.environ.get("SEED", "20261121")]
        try:
            passed = subprocess.run([programs / "schemathesis", *words], cwd=data, timeout=RUN_SECONDS).returncode == 0
        finally:
            status = daemon.stop()
            subprocess.run([*daemon.root, "rm", "-rf", os.path.join(data, "data")], check=False)
    faults = list(faults_of(daemon, status))
    print("\n".join(faults))
    if not passed or faults:
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
