"""Measures the spine and the traffic, and prints two tables.

Servers run on core 0 and load on core 1; what is counted is per second of the server's CPU time (all threads of the process that serves),
so that the load generator is never the limit. Peers run in the same rounds, in turn; ratios are medians over the rounds.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from bed import Bench  # noqa: E402
from issuance import managed, orders, orders_pebble, single_orders  # noqa: E402
from measure import HOSTS, ONLY, print_table, wanted  # noqa: E402
from spine import acme, imports, memory, propagation, writes  # noqa: E402
from traffic import PARTS, traffic  # noqa: E402


ISSUANCE = (acme, orders, orders_pebble, single_orders, managed)
SPINE = (propagation, memory, writes, imports, *ISSUANCE)


def main():
    names = {p.__name__ for p in (*SPINE, traffic, *PARTS)}
    if not set(ONLY) <= names:
        sys.exit(f"BENCH_ONLY takes: {', '.join(sorted(names))}")
    b = Bench()
    try:
        if not ONLY or not set(ONLY) <= {p.__name__ for p in ISSUANCE}:
            b.make_hosts(HOSTS)
        for part in SPINE:
            if wanted(part.__name__):
                part(b)
        if any(wanted(p.__name__) for p in (traffic, *PARTS)):
            traffic(b)
    finally:
        b.close()
        print_table()


main()
