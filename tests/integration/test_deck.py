"""decK against Cardea: ping, validate, sync, diff, dump and reset of a state file with every kind of entity."""

import copy
import json

import pytest
import yaml

import rows
from deck import Deck, binary
from harness import ROOT

NOTHING = {"_format_version": "3.0"}


@pytest.fixture(scope="module")
def cp(bare_cluster):
    return bare_cluster.add_control_plane().start()


@pytest.fixture(scope="module")
def command():
    return binary()


@pytest.fixture
def deck(command, cp, tmp_path):
    """Begins and ends with an empty gateway."""
    d = Deck(command, cp.admin_url, tmp_path)
    d.run("reset", "--force")
    yield d
    d.run("reset", "--force")


def state():
    return rows.expand(yaml.load((ROOT / "tests/integration/deck_state.yaml").read_text(), yaml.CSafeLoader))


def write(deck, content, name="state.json"):
    path = deck.folder / name
    path.write_text(json.dumps(content))
    return path


def in_order(value):
    """Lists of entities, of tags and of SNIs have no order of their own; all other lists do."""
    if isinstance(value, dict):
        return {k: sorted(map(in_order, v), key=lambda one: json.dumps(one, sort_keys=True)) if is_unordered(k, v) else in_order(v) for k, v in value.items()}
    return [in_order(v) for v in value] if isinstance(value, list) else value


def is_unordered(key, value):
    kinds = ("certificates", "ca_certificates", "consumers", "plugins", "services", "routes", "upstreams", "targets", "snis", "tags")
    return key in kinds and isinstance(value, list) and (key == "tags" or isinstance((value or [None])[0], dict))


def text(value):
    return json.dumps(in_order(value), sort_keys=True, indent=1)


def summary(created=0, updated=0, deleted=0):
    return f"Created: {created}\n  Updated: {updated}\n  Deleted: {deleted}\n"


def count(content):
    """Entities of a state file, nested ones too."""
    n = 0
    for key, value in content.items():
        if is_unordered(key, value) and key != "tags":
            n += len(value) + sum(count(v) for v in value)
    return n


def test_ping(deck):
    assert "Kong version:  3.9.1" in deck.run("ping")[1]


def test_validate(deck):
    deck.run("validate", write(deck, state()))


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda s: s["services"][0].update(port=70000), "port: value should be between 0 and 65535"),
        (lambda s: s["services"][0].update(host="a b"), "host: invalid value: a b"),
        (lambda s: s["services"][0]["routes"][0].update(paths=["~/("]), "paths.1: invalid regex: "),
        (lambda s: s["upstreams"][0].update(name="1.2.3.4"), "no ip addresses allowed"),
        (lambda s: s["certificates"][0].update(key="garbage"), "key: invalid key: no PEM block with a private key"),
        (lambda s: s["plugins"][0]["config"].update(garbage=1), "config.garbage: unknown field"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_validate_says_what_is_wrong(deck, change, message):
    bad = copy.deepcopy(state())
    change(bad)
    assert message in deck.run("validate", write(deck, bad), ok=(1,))[1]


def test_the_whole_way(deck):
    """sync makes it, diff then sees nothing, dump gives the file back, reset takes all of it away."""
    want = state()
    path = write(deck, want)
    assert deck.run("diff", path, "--non-zero-exit-code", ok=(2,))[1].count("creating ") == count(want)
    assert summary(created=count(want)) in deck.run("sync", path)[1]
    for _ in range(2):
        assert summary() in deck.run("diff", path, "--non-zero-exit-code")[1]
        assert text(deck.dump()) == text(want)
        assert summary() in deck.run("sync", path)[1]
    assert summary(deleted=count(want)) in deck.run("reset", "--force")[1]
    assert deck.dump() == NOTHING


def test_its_own_dump_changes_nothing(deck):
    deck.run("sync", write(deck, state()))
    dumped = deck.dump("--with-id")
    assert summary() in deck.run("sync", write(deck, dumped, "again.json"))[1]
    deck.run("reset", "--force")
    deck.run("sync", write(deck, dumped, "again.json"))
    assert text(deck.dump("--with-id")) == text(dumped)


def test_a_terse_file_gets_the_same_defaults_on_both_sides(deck):
    terse = {
        **NOTHING,
        "services": [{"name": "terse", "url": "http://a.example.com", "routes": [{"name": "r", "paths": ["/a"]}]}],
        "upstreams": [{"name": "u.example.com", "targets": [{"target": "10.0.0.1:80"}]}],
        "plugins": [{"name": "request-termination"}],
        "consumers": [{"username": "c"}],
    }
    deck.run("sync", write(deck, terse))
    assert summary() in deck.run("diff", write(deck, terse), "--non-zero-exit-code")[1]


def test_changes_are_updates(deck):
    want = state()
    deck.run("sync", write(deck, want))
    want["services"][0]["retries"] = 9
    want["services"][0]["routes"][0]["paths"] = ["/other"]
    want["upstreams"][0]["healthchecks"]["active"]["healthy"]["interval"] = 6
    want["upstreams"][0]["targets"][0]["weight"] = 1
    want["consumers"][0]["custom_id"] = "alice-2"
    want["plugins"][0]["config"]["status_code"] = 404
    want["certificates"][0]["tags"] = ["other"]
    want["certificates"][0]["snis"][0]["tags"] = ["other"]
    path = write(deck, want)
    assert summary(updated=8) in deck.run("sync", path)[1]
    assert summary() in deck.run("diff", path, "--non-zero-exit-code")[1]
    assert text(deck.dump()) == text(want)


def test_a_name_moves_to_another_certificate(deck):
    want = state()
    deck.run("sync", write(deck, want))
    want["certificates"][1]["snis"].append(want["certificates"][0]["snis"].pop(0))
    path = write(deck, want)
    deck.run("sync", path)
    assert summary() in deck.run("diff", path, "--non-zero-exit-code")[1]
    assert text(deck.dump()) == text(want)


def tagged(content, tag):
    """The same with the tag on every entity."""
    out = copy.deepcopy(content)

    def walk(entity):
        entity["tags"] = [*entity.get("tags", []), tag]
        for key, value in entity.items():
            if is_unordered(key, value) and key != "tags":
                for one in value:
                    walk(one)

    for key, value in out.items():
        if is_unordered(key, value):
            for one in value:
                walk(one)
    return out


def test_select_tag(deck, cp):
    """Two teams share a gateway: each sees, changes and resets its own entities only."""
    other = {**NOTHING, "services": [{"name": "other", "host": "other.example.com", "routes": [{"name": "other", "paths": ["/other"]}]}], "consumers": [{"username": "carol"}]}
    mine = state()
    deck.run("sync", write(deck, other, "other.json"), "--select-tag", "other-team")
    path = write(deck, mine)
    assert summary(created=count(mine)) in deck.run("sync", path, "--select-tag", "my-team")[1]
    assert summary() in deck.run("diff", path, "--select-tag", "my-team", "--non-zero-exit-code")[1]
    assert text(deck.dump("--select-tag", "my-team")) == text({**mine, "_info": {"defaults": {}, "select_tags": ["my-team"]}})
    assert summary() in deck.run("diff", write(deck, other, "other.json"), "--select-tag", "other-team", "--non-zero-exit-code")[1]
    everything = deck.dump()
    assert {s["name"] for s in everything["services"]} == {"secure", "stream", "other"}
    assert text({**everything, "services": [s for s in everything["services"] if s["name"] != "other"], "consumers": [c for c in everything["consumers"] if c["username"] != "carol"]}) == text(tagged(mine, "my-team"))
    assert summary(deleted=count(mine)) in deck.run("reset", "--force", "--select-tag", "my-team")[1]
    assert [s["name"] for s in deck.dump()["services"]] == ["other"] and cp.get("/routes/other").status_code == 200
