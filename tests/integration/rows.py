"""Rows of the admin table (rows/README.md): reading them, what their texts stand for, and comparing answers with them."""

import base64
import collections
import contextlib
import functools
import http.client
import json
import pathlib
import random
import re
import string
import time
import urllib.parse

import yaml

import pems

FOLDER = pathlib.Path(__file__).parent / "rows"
BOUNDARY = "row-boundary"
CREATED_AT = 1700000000
KINDS = {
    "certificates": "certificate", "snis": "sni", "ca_certificates": "ca_certificate", "services": "service", "routes": "route",
    "upstreams": "upstream", "targets": "target", "consumers": "consumer", "plugins": "plugin",
}  # fmt: skip
CODES = {
    1: "invalid primary key", 2: "schema violation", 3: "primary key violation", 4: "foreign key violation", 5: "unique constraint violation",
    6: "not found", 7: "invalid offset", 9: "invalid size", 10: "invalid unique name", 11: "invalid options", 12: "operation unsupported",
    13: "foreign keys unresolved", 14: "invalid declarative configuration", 19: "referenced by others",
}  # fmt: skip
PLACEHOLDERS = ("<id>", "<time>", "<precise time>")

Row = collections.namedtuple("Row", "name spec")
Answer = collections.namedtuple("Answer", "status headers body")


def _read(name):
    return yaml.load((FOLDER / name).read_text(), yaml.CSafeLoader)


_ids = {
    name: f"{k:08x}-0000-4000-8000-{n:012x}"
    for k, members in enumerate(_read("world.yaml").values(), 1)
    for n, name in enumerate(members, 1)
}  # fmt: skip

_TOKEN = re.compile(r"<(?:times (?P<text>.+?) (?P<n>\d+)|(?P<what>cert|key|digest) (?P<pair>[\w-]+)|random (?P<random>\d+)|offset (?P<last>[\w-]+)|(?P<id>[a-z][\w-]*))>", re.DOTALL)


def _token(match):
    if match["text"]:
        return match["text"] * int(match["n"])
    if match["what"]:
        return pems.digest(match["pair"]) if match["what"] == "digest" else pems.pair(match["pair"])[match["what"] == "key"]
    if match["random"]:
        return "".join(random.Random(1).choices(string.ascii_letters, k=int(match["random"])))
    if match["last"]:
        return _offset(match["last"])
    return match[0] if match[0] in PLACEHOLDERS else _ids[match["id"]]


def _offset(name):
    """That of a page which ends with this entity: unpadded base64url of its key, which for targets begins with the time."""
    time_made = [f"{world()['targets'][name]['created_at']:.3f}"] if name in world()["targets"] else []
    key = json.dumps([*time_made, _ids[name]], separators=(",", ":"))
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def expand(value):
    """What the texts of a value stand for."""
    if isinstance(value, dict):
        return {expand(k): expand(v) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v) for v in value]
    if not isinstance(value, str):
        return value
    tags = re.fullmatch(r"<tags (\d+)>", value)
    return [f"tag-{i}" for i in range(int(tags[1]))] if tags else _TOKEN.sub(_token, value)


# --- the world ---


@functools.cache
def world():
    """Kind to (name to what is sent to make it)."""
    return {
        kind: {name: {"id": _ids[name], "created_at": CREATED_AT, **expand(fields)} for name, fields in members.items()}
        for kind, members in _read("world.yaml").items()
    }  # fmt: skip


@functools.cache
def _shapes():
    return expand(_read("shapes.yaml"))


def _merged(base, own):
    """Records merge, lists and everything else are replaced."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return {**base, **{k: _merged(base.get(k), v) for k, v in own.items()}}


def _full(singular):
    when = "<precise time>" if singular == "target" else "<time>"
    return {"id": "<id>", "created_at": when, "updated_at": when, **_shapes()[singular]}


def shown(kind, name):
    """An entity of the world as the API shows it."""
    own = world()[kind][name]
    if kind == "certificates":
        own = {**own, "snis": sorted(s["name"] for s in world()["snis"].values() if s["certificate"]["id"] == own["id"])}
    if kind == "ca_certificates":
        own = {**own, "cert_digest": pems.digest(name)}
    return _merged(_full(KINDS[kind]), own)


def _answer(value):
    """An expected answer in full."""
    if isinstance(value, list):
        return [_answer(v) for v in value]
    if not isinstance(value, dict):
        return value
    own = {k: _answer(v) for k, v in value.items() if k not in ("as", "world")}
    if "world" in value:
        kind = next(k for k, members in world().items() if value["world"] in members)
        return _merged(shown(kind, value["world"]), own)
    return _merged(_full(value["as"]), own) if "as" in value else own


# --- expectations ---


def _texts(path, node):
    if isinstance(node, str):
        yield f"{path}: {node}"
    elif isinstance(node, dict):
        for key in sorted(node):
            yield from _texts(f"{path}.{key}", node[key])
    else:
        for i, one in enumerate(node or [], 1):
            yield from _texts(f"{path}.{i}", one)


def violation(tree):
    """The body of code 2 for a tree of texts: those of the whole entity first, then fields by name, lists counted from 1."""
    texts = list(tree.get("@entity", []))
    for key in sorted(tree):
        if key != "@entity":
            texts += _texts(key, tree[key])
    head = "schema violation" if len(texts) == 1 else f"{len(texts)} schema violations"
    return {"code": 2, "name": "schema violation", "message": f"{head} ({'; '.join(texts)})", "fields": tree}


def wanted(spec):
    """The body that must come back; None: an empty one."""
    if spec.get("empty"):
        return None
    if "message" in spec:
        return {"message": expand(spec["message"])}
    if "violation" in spec:
        return violation(expand(spec["violation"]))
    if "fault" in spec:
        fault = expand(spec["fault"])
        return {"name": CODES[fault["code"]], **fault}
    return _answer(expand(spec["answer"]))


def _is_placeholder_for(want, got):
    if want == "<id>":
        return isinstance(got, str) and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", got)
    if want == "<time>":
        return type(got) is int and 1600000000 < got <= time.time() + 5
    if want == "<precise time>":
        return type(got) in (int, float) and 1600000000 < got <= time.time() + 5 and round(got, 3) == got
    return False


def fill(want, got):
    """want, with what got has where want holds a placeholder that fits it."""
    if _is_placeholder_for(want, got):
        return got
    if isinstance(want, dict) and isinstance(got, dict):
        return {k: fill(v, got.get(k)) for k, v in want.items()}
    if isinstance(want, list) and isinstance(got, list):
        return [fill(v, got[i] if i < len(got) else None) for i, v in enumerate(want)]
    return want


def text(value):
    """For comparing: 1, 1.0 and true are three texts."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)


# --- requests ---


def _part(line):
    name, _, value = line.partition("=")
    name, at, file = name.partition("@")
    where = f'name="{name}"' + (f'; filename="{file}"' if at else "")
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {where}\r\n\r\n{value}\r\n"


def _body(spec):
    """(content type, bytes)"""
    if "json" in spec:
        return "application/json", json.dumps(expand(spec["json"])).encode()
    if "form" in spec:
        pairs = [expand(line).partition("=")[::2] for line in spec["form"]]
        return "application/x-www-form-urlencoded", urllib.parse.urlencode(pairs).encode()
    if "multipart" in spec:
        parts = "".join(_part(expand(line)) for line in spec["multipart"]) + f"--{BOUNDARY}--\r\n"
        return f"multipart/form-data; boundary={BOUNDARY}", parts.encode()
    if "bytes" in spec:
        return None, expand(spec["bytes"]).encode("latin-1")
    return None, expand(spec["body"]).encode() if "body" in spec else None


def send(ip, port, spec):
    """Sends a row's request and returns its Answer. The path goes out as it stands."""
    method, path = expand(spec["request"]).split(" ", 1)
    kind, body = _body(spec)
    headers = {**({"Content-Type": kind} if kind else {}), **spec.get("headers", {})}
    connection = http.client.HTTPConnection(ip, port, timeout=20)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer may come before all is sent
            connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


# --- reading ---


def _of_table(table):
    method, path = table["request"].split(" ", 1)
    for sent, tree in table["violations"]:
        whole = {k: v for k, v in {**table.get("base", {}), **sent}.items() if v != "<absent>"}
        entity = re.sub(r"^/(?:.*/)?", "", path)
        check = None if table.get("only_here") else f"POST /schemas/{entity}/validate"
        yield {"request": f"{method} {path}", "json": whole, "status": 400, "violation": tree, "also": check}


def load():
    """All rows of all files."""
    rows = []
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name in ("world.yaml", "shapes.yaml"):
            continue
        n = 0
        for spec in _read(path.name):
            for one in _of_table(spec) if "violations" in spec else [spec]:
                n += 1
                rows.append(Row(f"{path.stem}-{n}: {one['request']}"[:80], one))
    return rows


def holds_with_database(spec):
    return spec.get("without_database") != "only"


def holds_without_database(spec):
    method, path = spec["request"].split(" ", 1)
    reads = method in ("GET", "HEAD", "OPTIONS") or path.endswith("/validate")
    return "given" not in spec and bool(spec.get("without_database", reads))


def document():
    """The world as a declarative document: references are texts."""

    def refer(entity):
        return {k: v["id"] if isinstance(v, dict) and set(v) == {"id"} else v for k, v in entity.items()}

    return {"_format_version": "3.0", **{kind: [refer(e) for e in members.values()] for kind, members in world().items()}}


def checks():
    """What rows of tables say of validation without a write."""
    for name, spec in load():
        if spec.get("also"):
            yield Row(name.replace(": ", " validated: "), {**spec, "request": spec["also"]})
