"""Drives the Autobahn cases against an echo server; see autobahn.sh."""

import asyncio
import subprocess
import sys

from kosoku import FailureError, run_fuzzingclient

CASES = 301
SECONDS_MAX = 180
COMPRESSION = ["12.*", "13.*"]
STRICT = {"OK", "INFORMATIONAL"}


async def run(address):
    """The result of every case, passed or not."""
    try:
        return await run_fuzzingclient(address, None, COMPRESSION, concurrency=4)
    except FailureError as failure:
        print(failure, file=sys.stderr)
        return failure.results


def main():
    server = subprocess.Popen([sys.argv[1], "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        if not address:
            sys.exit("the echo server printed no address")
        results = asyncio.run(asyncio.wait_for(run(address), SECONDS_MAX))
    finally:
        server.kill()
        server.wait()
    bad = [
        case
        for case in results
        if case.behavior.value not in STRICT or case.behavior_close.value not in STRICT
    ]
    for case in bad:
        verdict = f"{case.behavior.value}, close {case.behavior_close.value}"
        print(f"{case.case_id}: {verdict}: {case.result} {case.result_close}", file=sys.stderr)
    passed = len(results) - len(bad)
    # A case that gave no result at all has failed too.
    print(f"{passed} passed, {CASES - passed} failed")
    return 0 if passed == CASES and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
