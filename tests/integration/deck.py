"""decK, Kong's declarative client, built from its Go module. Built once per version, into build/deck/."""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import ROOT

MODULE = "github.com/kong/deck"
VERSION = "v1.30.0"
GO_NEEDED = (1, 21)  # of that version's go.mod
FOLDER = ROOT / "build" / "deck"


def _version(go):
    text = subprocess.run([go, "version"], check=True, capture_output=True, text=True, timeout=60).stdout
    return tuple(int(n) for n in re.search(r"go(\d+)\.(\d+)", text).groups())


def _go():
    """Path of a Go that can build decK; skips, and says why, where there is none. Debian 12's own, 1.19, is too old for it."""
    places = [shutil.which("go"), *glob.glob("/usr/local/go/bin/go"), *glob.glob("/usr/lib/go-*/bin/go")]
    found = {_version(go): go for go in places if go}
    if not found:
        pytest.skip("decK is not tested: there is no Go here (deploy/dev/install-deps)")
    if max(found) < GO_NEEDED:
        pytest.skip(f"decK {VERSION} is not tested: it wants Go {'.'.join(map(str, GO_NEEDED))}, here is {'.'.join(map(str, max(found)))}")
    return found[max(found)]


def _download(go):
    """Folder of the module's source, which is read-only; skips where no module proxy answers."""
    r = subprocess.run([go, "mod", "download", "-json", f"{MODULE}@{VERSION}"], capture_output=True, text=True, timeout=300, cwd=FOLDER)
    if r.returncode != 0:
        why = json.loads(r.stdout or "{}").get("Error") or r.stderr
        pytest.skip(f"decK {VERSION} is not tested: its module could not be fetched: {why.strip()[-300:]}")
    return pathlib.Path(json.loads(r.stdout)["Dir"])


def binary():
    """Path of the deck command. `go install module@version` refuses a module with replace directives, so it is built in a copy of its source."""
    built = FOLDER / f"deck-{VERSION}"
    if built.exists():
        return built
    go = _go()
    FOLDER.mkdir(parents=True, exist_ok=True)
    source = FOLDER / f"source-{VERSION}"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(_download(go), source, copy_function=shutil.copyfile)
    for folder in [source, *(p for p in source.rglob("*") if p.is_dir())]:
        folder.chmod(0o755)
    fetched = subprocess.run([go, "mod", "download"], capture_output=True, text=True, timeout=600, cwd=source)
    if fetched.returncode != 0:
        pytest.skip(f"decK {VERSION} is not tested: what it needs could not be fetched: {fetched.stderr.strip()[-300:]}")
    made = subprocess.run([go, "build", "-buildvcs=false", "-p", "2", "-o", f"{built}.new", "."], capture_output=True, text=True, timeout=1200, cwd=source)
    assert made.returncode == 0, made.stderr[-3000:]
    os.rename(f"{built}.new", built)
    shutil.rmtree(source)
    return built


class Deck:
    """The deck command against one admin API."""

    def __init__(self, command, admin_url, folder):
        self.argv = [command, "--kong-addr", admin_url, "--analytics=false", "--no-color", "gateway"]
        self.folder = pathlib.Path(folder)

    def run(self, *args, ok=(0,)):
        """Exit code and output; fails on any code that is not in ok."""
        r = subprocess.run([*self.argv, *map(str, args)], capture_output=True, text=True, timeout=120, cwd=self.folder, env={**os.environ, "HOME": str(self.folder)})
        assert r.returncode in ok, f"deck {' '.join(map(str, args))}: {r.returncode}\n{r.stdout}{r.stderr}"
        return r.returncode, r.stdout + r.stderr

    def dump(self, *args):
        """What is there, as decK writes it."""
        path = self.folder / "dump.json"
        path.unlink(missing_ok=True)
        self.run("dump", "--format", "json", "-o", path, *args)
        return json.loads(path.read_text())
