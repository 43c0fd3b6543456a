#!/usr/bin/env python3
"""Compares a job with network with the same without, on a daemon that runs and has `network.egress` on.

    tests/bench/network.py ADDRESS [ROUNDS]

ADDRESS is host:port. In turns, so that what else the machine does meets both: one job of each kind after the other.
Prints p50 of both for each round, and the median of the differences.
"""
import http.client
import json
import statistics
import sys

from images import block

UNMEASURED, MEASURED = 10, 100


def main():
    address = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    connection = http.client.HTTPConnection(address)
    job = {"language": "bash", "code": "exit 0"}
    requests = [json.dumps({**job, **more}) for more in ({"network_access": True}, {})]
    for request in requests * UNMEASURED:
        block(connection, request, 1)
    differences = []
    for _ in range(rounds):
        took = [[block(connection, request, 1)[0] for request in requests] for _ in range(MEASURED)]
        network, without = map(statistics.median, zip(*took))
        differences.append(network - without)
        print(f"p50 with network {network:6.2f} ms, without {without:6.2f} ms")
    print(f"more with network: {statistics.median(differences):.2f} ms")


if __name__ == "__main__":
    main()
