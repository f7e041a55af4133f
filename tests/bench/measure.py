"""Sizes, rows of the table, and what is read of processes."""

import os
import pathlib
import statistics

HOSTS = int(os.environ.get("BENCH_HOSTS", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
ONLY = [s for s in os.environ.get("BENCH_ONLY", "").split(",") if s]
SERVER_CORE, LOAD_CORE = "0", "1"

rows = []
versus = []


def row(what, value, aim=""):
    rows.append((what, value, aim))
    print(f"  {what}: {value}" + (f" (aim: {aim})" if aim else ""), flush=True)


def compare(what, figures, aim, against=("nginx", "haproxy"), more_is_better=True, unit=""):
    """figures: by server, one per round. The ratio is of Cardea to the better peer of each round, its median counts."""
    best = max if more_is_better else min
    ratio = statistics.median(c / best(peers) for c, *peers in zip(figures["cardea"], *(figures[p] for p in against)))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    text = {name: f"{m:,.0f}{unit}" if m >= 100 else f"{m:.2f}{unit}" for name, m in medians.items()}
    versus.append((what, text["cardea"], text.get("nginx", "-"), text.get("haproxy", "-"), f"{ratio:.2f}", aim))
    print(f"  {what}: cardea {text['cardea']}, nginx {text.get('nginx', '-')}, haproxy {text.get('haproxy', '-')}: {ratio:.2f} (aim: {aim})", flush=True)


def print_table():
    """As markdown, for the README."""
    if versus:
        print("\n| work | Cardea | nginx | HAProxy | ratio | aim |\n| --- | --- | --- | --- | --- | --- |")
        for r in versus:
            print("| " + " | ".join(r) + " |")
    if rows:
        print("\n| what | measured | aim |\n| --- | --- | --- |")
        for what, value, aim in rows:
            print(f"| {what.strip()} | {value} | {aim or '-'} |")


def wanted(part):
    return not ONLY or part in ONLY


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]


def cpu_seconds(pid):
    """Of all threads; /proc/PID/stat counts in steps of 10 ms only."""
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")
