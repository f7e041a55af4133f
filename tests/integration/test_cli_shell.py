"""What `cardea` gives to shells and readers: completion of bash and zsh, and the manual pages."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from harness import BUILD, ROOT

PAGES = ["cardea.1", "cardea-cp.8", "cardea-dp.8", "cardea.conf.5"]


def run(*argv, **kw):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, **kw)


def words_of(shell, line):
    """What the shell offers at the end of the line."""
    script = run(BUILD / "cardea", "completion", shell).stdout
    words = line.split(" ")
    if shell == "bash":
        script += f"COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; _cardea; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    else:
        # What zsh's own completion system would do with the answer is left to it.
        script = "compdef() { :; }; compadd() { shift; printf '%s\\n' \"$@\"; }; _files() { print @files; }\n" + script
        script += f"words=({' '.join(repr(w) for w in words)}); CURRENT={len(words)}; _cardea"
    r = run(shell, *(["--norc"] if shell == "bash" else ["-f"]), "-c", script, cwd="/")
    assert r.returncode == 0 and not r.stderr, r.stderr
    return {w for w in r.stdout.split("\n") if w.startswith(words[-1])} - {""}


ENTITIES = {"certificates", "snis", "ca_certificates", "services", "routes", "upstreams", "targets", "consumers", "mtls_auth_credentials", "header_cert_auth_credentials", "acme_authorities", "plugins"}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    "line,want",
    [
        ("cardea is", {"issue"}),
        ("cardea c", {"create", "completion", "cluster-cert", "config"}),
        ("cardea get ", ENTITIES),
        ("cardea get se", {"services"}),
        ("cardea -o json get se", {"services"}),
        ("cardea --server http://x get se", {"services"}),
        ("cardea get -o ", {"json", "table", "name"}),
        ("cardea get services --output j", {"json"}),
        ("cardea get services --ta", {"--tags"}),
        ("cardea issue --key-type-alt rsa", {"rsa-2048", "rsa-3072", "rsa-4096"}),
        ("cardea completion ", {"bash", "zsh"}),
        ("cardea get --server ", set()),
        ("cardea get services a", set()),
        ("cardea nonsense a", set()),
        ("cardea man", set()),
        ("cardea get services --wa", set()),
        ("cardea issue a", set()),
    ],
)
def test_completion(shell, line, want):
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    got = words_of(shell, line)
    # Commands of a table that others add to.
    assert got == want or (line == "cardea c" and got == want - {"config"}), got


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(shell):
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    usage = run(BUILD / "cardea", "-h").stdout
    commands = {tuple(c.split()) for c in re.findall(r"^  ([a-z][a-z_-]*(?: [a-z_]+)?)  ", usage, re.M)}
    assert {c[0] for c in commands} == words_of(shell, "cardea ") and len(commands) > 10
    for group, word in (c for c in commands if len(c) == 2):
        assert word in words_of(shell, f"cardea {group} ")


@pytest.mark.parametrize("line,want", [("cardea comple", "cardea completion"), ("cardea get serv", "cardea get services"), ("cardea -o js", "cardea -o json"), ("cardea token cr", "cardea token create")])
def test_in_a_real_zsh(tmp_path, line, want):
    """Installed as a file of fpath, at a prompt: what the line is after the tab key."""
    if not shutil.which("zsh"):
        pytest.skip("no zsh")
    (tmp_path / "_cardea").write_text(run(BUILD / "cardea", "completion", "zsh").stdout)
    (tmp_path / ".zshrc").write_text(
        f"PROMPT=; fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -D\n"
        "say() { print -r -- \"=<$BUFFER>=\" }; zle -N say; bindkey '^X' say; print -r -- '@ready@'\n"
    )
    master, slave = pty.openpty()
    shell = subprocess.Popen(["zsh", "-i"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={**os.environ, "TERM": "dumb", "ZDOTDIR": str(tmp_path)})
    os.close(slave)
    try:
        assert "@ready@" in read_until(master, "@ready@")
        os.write(master, f"{line}\t\x18".encode())
        said = read_until(master, ">=")
    finally:
        shell.kill()
        shell.wait()
        os.close(master)
    assert f"=<{want} >=" in said, said


def read_until(fd, mark, seconds=20):
    end, text = time.monotonic() + seconds, ""
    while mark not in text and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 4096).decode(errors="replace")
    return text


@pytest.mark.parametrize("shell", ["", "fish", "BASH"])
def test_other_shells_are_refused(shell):
    r = run(BUILD / "cardea", "completion", shell)
    assert r.returncode == 2 and "there are: bash, zsh" in r.stderr


@pytest.mark.parametrize("out,says", [("/dev/full", "cardea completion: writing the answer: No space left on device\n"), (None, "")])
def test_output_that_cannot_be_written(out, says):
    """A full disk is told; a pipe that nobody reads any more is not. Both are failures."""
    read, write = os.pipe()
    os.close(read)
    with open(out, "wb") if out else os.fdopen(write, "wb") as f:
        r = subprocess.run([BUILD / "cardea", "completion", "bash"], stdout=f, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (r.returncode, r.stderr) == (1, says)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    for page in PAGES:
        r = run(ROOT / "deploy/man/render", ROOT / f"deploy/man/{page}.in", BUILD)
        assert r.returncode == 0, r.stderr
        (folder / page).write_text(r.stdout)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_clean(pages, page):
    checked = 0
    if shutil.which("mandoc"):
        r = run("mandoc", "-T", "lint", "-W", "warning", pages / page)
        assert r.returncode == 0, r.stdout
        checked += 1
    if shutil.which("groff"):
        r = run("groff", "-mandoc", "-ww", "-z", pages / page)
        assert not r.stderr, r.stderr
        checked += 1
    assert checked, "neither mandoc nor groff is there"


def shown(path):
    r = run("man", "-l", path, env={**os.environ, "MANWIDTH": "1000", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"})
    assert r.returncode == 0, r.stderr
    return r.stdout


def test_pages_say_what_the_programs_know(pages):
    conf = shown(pages / "cardea.conf.5")
    for program in ("cardea-cp", "cardea-dp"):
        keys = re.findall(r"^  (\w+) +\S", run(BUILD / program, "-h").stdout.split("keys:")[1], re.M)
        assert len(keys) > 10
        for key in keys:
            assert re.search(rf"^ +{key} = ", conf, re.M), key
    page = shown(pages / "cardea.1")
    usage = run(BUILD / "cardea", "-h").stdout
    for word in re.findall(r"--[a-z-]+", usage) + re.findall(r"CARDEA_CLI_\w+", usage) + re.findall(r"^  ([a-z][a-z_ -]*[a-z])  ", usage, re.M):
        assert word in page, word
    assert "manual" not in usage


def test_render_fails_when_a_program_does(tmp_path):
    (tmp_path / "x.in").write_text("a\n@cardea manual nonsense@\nb\n")
    r = run(ROOT / "deploy/man/render", tmp_path / "x.in", BUILD)
    assert r.returncode == 2 and "no part nonsense" in r.stderr
