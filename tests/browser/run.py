#!/usr/bin/env python3
"""Looks at the pages of a live daemon in a browser: that they work, alone, without any other host.

    tests/browser/run.py KILN

KILN is the program; kiln-spawner lies beside it. Needs root, or sudo that asks nothing, and chromium.
SCREENSHOTS names a folder for pictures of what was seen.
"""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import live  # noqa: E402


def main(kiln):
    programs = live.environment(HERE / "requirements.txt")
    with live.Daemon(kiln) as daemon:
        words = [programs / "python3", HERE / "pages.py", f"http://{daemon.address}"]
        status = subprocess.run(words, timeout=300).returncode
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
