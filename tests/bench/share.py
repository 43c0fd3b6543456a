#!/usr/bin/env python3
"""Measures the server's share of a job: a spawner that makes nothing stands in, and jobs follow each other.

    tests/bench/share.py STANDIN KILN...

STANDIN is target/release/examples/standin-spawner. Several programs are measured in turns, so that what else
the machine does meets all of them alike. Needs root. Figures are for people.
"""
import contextlib
import json
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import live  # noqa: E402

TURNS, JOBS, WARM = 20, 50, 200
BODY = json.dumps({"image": "host", "command": ["/bin/true"]}).encode()
REQUEST = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


class Measured:
    """One program, what its jobs took, and what they cost."""

    def __init__(self, kiln, daemon):
        self.kiln, self.process = kiln, daemon.process.pid
        host, port = daemon.address.rsplit(":", 1)
        self.connection = socket.create_connection((host, int(port)))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.times, self.switches, self.processor = [], 0, 0
        for _ in range(WARM):
            self.job()

    def job(self):
        begin = time.perf_counter()
        self.connection.sendall(REQUEST)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.connection.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < int(length.split(b":")[1]):
            body += self.connection.recv(65536)
        took = (time.perf_counter() - begin) * 1e6
        if json.loads(body).get("exit_code") != 0:
            sys.exit(f"{self.kiln}: {head} {body}")
        return took

    def cost(self):
        switches = 0
        for task in pathlib.Path(f"/proc/{self.process}/task").iterdir():
            lines = (task / "status").read_text().splitlines()
            switches += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        words = pathlib.Path(f"/proc/{self.process}/stat").read_text().rsplit(")", 1)[1].split()
        return switches, int(words[11]) + int(words[12])

    def turn(self):
        before = self.cost()
        self.times += [self.job() for _ in range(JOBS)]
        after = self.cost()
        self.switches += after[0] - before[0]
        self.processor += after[1] - before[1]

    def show(self):
        times, jobs = sorted(self.times), len(self.times)
        cuts = ", ".join(f"p{part} {times[jobs * part // 100]:.0f}" for part in (10, 50, 95, 99))
        processor = self.processor * 10_000 / jobs
        print(f"{self.kiln}: {cuts} us; {self.switches / jobs:.1f} switches, {processor:.0f} us of processor a job")


def main(standin, kilns):
    settings = {"KILN_SANDBOX_SPAWNER_PATH": str(pathlib.Path(standin).resolve()), "KILN_API_SOCKET": "null"}
    with contextlib.ExitStack() as stack:
        measured = [Measured(kiln, stack.enter_context(live.Daemon(kiln, settings))) for kiln in kilns]
        for _ in range(TURNS):
            for one in measured:
                one.turn()
        for one in measured:
            one.show()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
