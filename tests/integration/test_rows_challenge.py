"""Rows CH-01 to CH-05 of the reliability goals: what a data plane answers below /.well-known/acme-challenge/."""

import contextlib
import uuid

import psycopg2
import pytest

from harness import wait_until
from wire import at_rest, connect, exchange, read_all, read_answer

PREFIX = b"/.well-known/acme-challenge/"
TOKEN, HOST = b"tOkEn-_09", b"ch.example.com"
AUTHORIZATION = b"tOkEn-_09.thumbprint"


def sql(dsn, statement, *args):
    with contextlib.closing(psycopg2.connect(dsn)) as db, db, db.cursor() as cur:
        cur.execute(statement, args)


def put_challenge(dsn, host, token, authorization):
    ident = str(uuid.uuid4())
    sql(dsn, "INSERT INTO acme_challenges (id, host, token, key_authorization) VALUES (%s, %s, %s, %s)",
        ident, host.decode(), token.decode(), authorization.decode())
    return ident


def get(plane, host=HOST, token=TOKEN, method=b"GET", version=b"HTTP/1.1", tls=None, behind=b""):
    request = method + b" " + PREFIX + token + behind + b" " + version + b"\r\nHost: " + host + b"\r\n\r\n"
    return exchange(plane, request, tls, method.decode())


@pytest.fixture(scope="module")
def plane(pair_of_planes, database):
    put_challenge(database, HOST, TOKEN, AUTHORIZATION)
    put_challenge(database, b"other.example.com", b"other-token", b"other-token.print")
    for p in pair_of_planes.data_planes:
        wait_until(lambda: p.metric("cardea_dp_challenges") == 2, 20, "challenges are there")
    return pair_of_planes.data_planes[0]


@pytest.mark.parametrize("host", [HOST, b"CH.Example.COM", HOST + b".", HOST + b":80", HOST + b":5002", b"Ch.example.com.:80"])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_ch_01_live(plane, host, version, method):
    answer, closed = get(plane, host=host, version=version, method=method)
    assert answer.status == 200 and answer.body == (AUTHORIZATION if method == b"GET" else b"")
    assert answer.fields["content-type"] == "text/plain"
    assert answer.fields["content-length"] == str(len(AUTHORIZATION))
    assert closed == (version == b"HTTP/1.0")


def test_ch_01_pipelined_and_absolute_form(plane):
    with connect(plane) as s:
        one = b"GET " + PREFIX + TOKEN + b" HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n"
        s.sendall(one * 50 + b"GET http://" + HOST + PREFIX + TOKEN + b" HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n")
        rest = b""
        for _ in range(51):
            answer, rest = read_answer(s, rest)
            assert (answer.status, answer.body) == (200, AUTHORIZATION)
        assert rest == b""


def test_ch_01_byte_by_byte(plane):
    with connect(plane) as s:
        for b in b"GET " + PREFIX + TOKEN + b" HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n":
            s.sendall(bytes([b]))
        answer, _ = read_answer(s)
        assert (answer.status, answer.body) == (200, AUTHORIZATION)


def test_ch_03_query_is_ignored(plane):
    assert get(plane, behind=b"?a=b/../c%00"[:-3])[0].body == AUTHORIZATION


NOT_LIVE = {
    "unknown token": dict(token=b"nothing"),
    "no token": dict(token=b""),
    "prefix of the token": dict(token=TOKEN[:-1]),
    "token and more": dict(token=TOKEN + b"x"),
    "other case": dict(token=TOKEN.upper()),
    "slash behind": dict(token=TOKEN + b"/"),
    "slash before": dict(token=b"/" + TOKEN),
    "dot segment": dict(token=b"../acme-challenge/" + TOKEN),
    "percent-encoded letter": dict(token=b"%74OkEn-_09"),
    "percent-encoded slash": dict(token=b"x%2f" + TOKEN),
    "semicolon": dict(token=TOKEN + b";a"),
    "129 bytes": dict(token=b"a" * 129),
    "4,000 bytes": dict(token=b"a" * 4000),
    "POST": dict(method=b"POST"),
    "PUT": dict(method=b"PUT"),
    "get": dict(method=b"get"),
    "token of another host": dict(token=b"other-token"),
    "host of another token": dict(host=b"other.example.com"),
    "unknown host": dict(host=b"nobody.example.com"),
    "host below": dict(host=b"x." + HOST),
    "host above": dict(host=b"example.com"),
}


@pytest.mark.parametrize("name", NOT_LIVE)
def test_ch_02_03_04_ordinary_request(plane, name):
    answer, closed = get(plane, **NOT_LIVE[name])
    assert answer.status == 404 and b"no Route matched with those values" in answer.body and not closed


@pytest.mark.parametrize("token", [b"a%00b", b"a\x00b", b"a%", b"a%zz", b"a\x80", b"a#b", b'a"b', b"a b"])
def test_ch_03_malformed_is_refused(plane, token):
    answer, closed = get(plane, token=token)
    assert answer.status == 400 and closed


def test_ch_03_post_with_a_body_keeps_its_framing(plane):
    with connect(plane) as s:
        body = b"GET " + PREFIX + TOKEN + b" HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n"
        s.sendall(b"POST " + PREFIX + TOKEN + b" HTTP/1.1\r\nHost: " + HOST + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert read_answer(s)[0].status == 404
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert read_all(s).count(b"HTTP/1.1 404") == 1


def test_ch_05_deleted_everywhere_and_no_growth(plane, pair_of_planes, database):
    ident = put_challenge(database, b"gone.example.com", b"gone", b"gone.print")
    for p in pair_of_planes.data_planes:
        wait_until(lambda: get(p, b"gone.example.com", b"gone")[0].body == b"gone.print", 10, "live")
    sql(database, "UPDATE acme_challenges SET key_authorization = 'gone.other', version = version + 1 WHERE id = %s", ident)
    for p in pair_of_planes.data_planes:
        wait_until(lambda: get(p, b"gone.example.com", b"gone")[0].body == b"gone.other", 10, "replaced")
    sql(database, "DELETE FROM acme_challenges WHERE id = %s", ident)
    for p in pair_of_planes.data_planes:
        wait_until(lambda: get(p, b"gone.example.com", b"gone")[0].status == 404, 10, "gone")
    sql(database, "INSERT INTO acme_challenges (id, host, token, key_authorization) "
        "SELECT gen_random_uuid(), 'h' || i || '.example.com', 'abandoned' || i, 'k' || i FROM generate_series(1, 10000) i")
    for p in pair_of_planes.data_planes:
        wait_until(lambda: p.metric("cardea_dp_challenges") == 10002, 30, "10,000 more")
        assert get(p, b"h9999.example.com", b"abandoned9999")[0].body == b"k9999"
    sql(database, "DELETE FROM acme_challenges WHERE token LIKE 'abandoned%%'")
    for p in pair_of_planes.data_planes:
        wait_until(lambda: p.metric("cardea_dp_challenges") == 2, 30, "none left")
        assert get(p, b"h9999.example.com", b"abandoned9999")[0].status == 404
        at_rest(p)
