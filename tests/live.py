"""A live daemon for tests, and Python packages for them. Imported by the tests beside this file."""
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

READY_SECONDS = 60
STOP_SECONDS = 30


def environment(requirements):
    """A virtual environment with these packages; gives the folder of its programs.

    It is kept below $BUILD_CACHE (default /var/cache/kiln), named by what is in it.
    """
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = pathlib.Path(os.environ.get("BUILD_CACHE", "/var/cache/kiln"))
    if not os.access(cache, os.W_OK):
        cache = pathlib.Path(__file__).parent.parent / "target"
    folder = cache / f"python-{key}"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "-r", requirements], check=True)
        (folder / "complete").touch()
    return folder / "bin"


class Daemon:
    """A daemon on a data directory of its own, as a context. Ends the program if it did not go well."""

    def __init__(self, kiln, settings=None):
        self.folder = tempfile.TemporaryDirectory(prefix="kiln-live-", ignore_cleanup_errors=True)
        os.chmod(self.folder.name, 0o755)
        self.data = os.path.join(self.folder.name, "data")
        root = [] if os.geteuid() == 0 else ["sudo", "-n", "--"]
        settings = {
            "KILN_DATA_DIR": self.data,
            "KILN_API_HOST": "127.0.0.1",
            "KILN_API_PORT": "0",
            "KILN_API_AUTH_ENABLED": "false",
            **(settings or {}),
        }
        words = [f"{name}={value}" for name, value in settings.items()]
        self.lines, self.ready = [], threading.Event()
        self.address = None
        self.root = root
        command = [*root, "env", *words, os.path.realpath(kiln), "serve"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        if not self.ready.wait(READY_SECONDS) or self.address is None:
            self.stop()
            sys.exit("the daemon was not ready\n" + self.log())

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

    def faults(self, status):
        """What is wrong with how it went through the tests."""
        if status != 0:
            yield f"the daemon ended with {status}"
        for line in self.lines:
            if " ERROR " in line or "panicked" in line:
                yield line.rstrip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        status = self.stop()
        subprocess.run([*self.root, "rm", "-rf", self.data], check=False)
        self.folder.cleanup()
        if faults := list(self.faults(status)):
            sys.exit("\n".join(faults))
