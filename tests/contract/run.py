#!/usr/bin/env python3
"""Holds a live daemon to its own OpenAPI document, by schemathesis with all its checks.

    tests/contract/run.py KILN

KILN is the program; kiln-spawner lies beside it. Needs root, or sudo that asks nothing. SEED and
EXAMPLES (examples of an operation) choose other requests than the suite's.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import live  # noqa: E402

RUN_SECONDS = 480


def main(kiln):
    programs = live.environment(HERE / "requirements.txt")
    # What is found at random runs at random long.
    with live.Daemon(kiln, {"KILN_API_JOB_MAX_TIMEOUT": "5"}) as daemon, tempfile.TemporaryDirectory() as folder:
        words = ["--config-file", HERE / "schemathesis.toml", "run", f"http://{daemon.address}/openapi.json"]
        words += ["--checks", "all", "--workers", "2", "--no-color"]
        words += ["--max-examples", os.environ.get("EXAMPLES", "60"), "--seed", os.environ.get("SEED", "20261121")]
        status = subprocess.run([programs / "schemathesis", *words], cwd=folder, timeout=RUN_SECONDS).returncode
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
