#!/usr/bin/env python3
"""Compares a language in its image with the same on the host, on a daemon that runs and has both.

    tests/bench/images.py ADDRESS LANGUAGE CODE [ROUNDS]

ADDRESS is host:port. In turns, so that what else the machine does meets both: a block of jobs in the image, a block on
the host, after some of each that are not measured, because sandboxes stand ready for what the last jobs asked for.
Prints p50 of both and the median of the ratios of the rounds.
"""
import http.client
import json
import statistics
import sys
import time

UNMEASURED, MEASURED = 40, 100


def block(connection, request, count):
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        connection.request("POST", "/v1/execute", request, {"content-type": "application/json"})
        answer = connection.getresponse()
        job = json.loads(answer.read())
        took.append(1000 * (time.perf_counter() - begin))
        if answer.status != 200 or job["termination"]["reason"] != "exited" or job["exit_code"] != 0:
            sys.exit(f"a job that failed: {answer.status} {job}")
    return statistics.median(took), job["image"], job["version"]


def main():
    address, language, code = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    connection = http.client.HTTPConnection(address)
    requests = [json.dumps({"language": language, "code": code, **more}) for more in ({}, {"image": "host"})]
    p50 = [[], []]
    for number in range(rounds):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            block(connection, requests[place], UNMEASURED)
            median, image, version = block(connection, requests[place], MEASURED)
            p50[place].append(median)
            print(f"{image:24} {version:10} p50 {median:7.2f} ms")
    ratios = [image / host for image, host in zip(*p50)]
    print(f"in the image, to that on the host: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
