#!/usr/bin/python3
"""HTTP/1 requests, and what a parser has to make of them: a reference written straight from the grammars (RFC 9110, 9112, 3986) and the rows
of the reliability goals, without regard to speed or to how common/http does it.

    http1.py COUNT SEED    writes COUNT generated inputs and their verdicts, for tests/unit/common/test_h1_model.c:
                           "<bytes of input> <bytes of verdict>\\n" <input> <verdict>

A verdict is the messages as far as they came, then how it ends: "END more" when more may come, or "END" and the statuses of which one has to
be given. Several, where an input has several faults."""

import ipaddress
import random
import re
import sys

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
VALUE = rb"[\t \x21-\x7e\x80-\xff]*"
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
EXTENSION = rb";[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?"
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})((?:" + EXTENSION + rb")(?:[ \t]*" + EXTENSION + rb")*)?")
FIELD = re.compile(rb"(" + TOKEN + rb"):(" + VALUE + rb")")
TARGET = re.compile(rb"(?:[\x21\x24\x26-\x7e]|%(?!00)[0-9A-Fa-f]{2})+")
LABEL = rb"[0-9A-Za-z_\-]+"
AUTHORITY = re.compile(rb"(" + LABEL + rb"(?:\." + LABEL + rb")*)\.?(?::([1-9][0-9]{0,4}))?|(\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?")
LARGEST = 2**63 - 1

OWN = [b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"te", b"keep-alive", b"proxy-connection",
       b"trailer", b"http2-settings"]  # fmt: skip
HOP_BY_HOP = [b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"]
PROTECTED = re.compile(
    rb"host|content-length|transfer-encoding|cookie|forwarded|authorization|x-forwarded-.*|x-real-ip|via|client-cert|client-cert-.*"
    rb"|x-client-cert.*|ssl-client-.*"
)
ALIASED = re.compile(
    rb"content-length|transfer-encoding|keep-alive|proxy-connection|http2-settings|x-forwarded-.*|x-real-ip|x-kong-.*|client-cert"
    rb"|client-cert-.*|x-client-cert.*|ssl-client-.*|proxy-authorization|x-consumer-.*|x-credential-.*|x-authenticated-.*"
    rb"|x-anonymous-consumer"
)
NO_TRAILER = re.compile(
    rb"host|content-.*|cookie|set-cookie|authorization|proxy-auth.*|www-authenticate|authentication-info|x-forwarded-.*|forwarded"
    rb"|x-real-ip|via|expect|max-forwards|range|if-.*|cache-control|pragma|age|date|expires|location|retry-after|vary|client-cert"
    rb"|client-cert-.*|x-client-cert.*|ssl-client-.*"
)


class Ends(Exception):
    """What came is all that can be said: more may come (no statuses), or it is refused."""

    def __init__(self, *statuses):
        self.statuses = set(statuses)


def is_alias(name):
    return b"_" in name and ALIASED.fullmatch(name.replace(b"_", b"-"))


def host_of(authority):
    """The host of an authority without a dot at its end; None: it is none."""
    m = AUTHORITY.fullmatch(authority)
    if not m or int(m[2] or m[4] or 1) > 65535 or len((m[1] or m[3])) + authority.count(b".:") > 255:
        return None
    if m[3]:
        try:
            ipaddress.IPv6Address(m[3][1:-1].decode())
        except ValueError:
            return None
    host = m[1] or m[3]
    return None if len(authority.split(b":")[0] if m[1] else m[3]) > 255 else host.lower()


class Reader:
    def __init__(self, data):
        self.data, self.at, self.out = data, 0, []

    def line(self):
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise Ends()
        line, self.at = self.data[self.at : end + 1], end + 1
        if not line.endswith(b"\r\n"):
            raise Ends(400)
        return line[:-2]

    def first_byte(self):
        """H1-38: what can begin no message is refused before its line ends."""
        first = self.data[self.at : self.at + 1]
        if first and first not in b"\r\n" and not re.fullmatch(TOKEN, first):
            raise Ends(400)

    def start_line(self):
        self.first_byte()
        line = self.line()
        if not line:  # H1-13
            self.first_byte()
            line = self.line()
            if not line:
                raise Ends(400)
        return line

    def fields(self, refuse):
        out = []
        while line := self.line():
            m = FIELD.fullmatch(line)
            if not m:
                raise Ends(refuse)
            out.append((m[1].lower(), m[2].strip(b" \t")))
        return out

    def bytes(self, n):
        """As many of n as are there; they are part of the verdict."""
        part = self.data[self.at : self.at + n]
        self.at += len(part)
        self.body += part
        if len(part) < n:
            raise Ends()

    def messages(self):
        while True:
            self.head = None
            self.body = b""
            self.message()

    def message(self):
        request = Request(self.start_line(), self)
        self.head = request.text()
        if request.chunked:
            self.chunks()
            trailers = self.fields(400)
        else:
            self.bytes(request.length)
            trailers = []
        self.out.append(self.head + b"BODY %d\n%s\n" % (len(self.body), self.body))
        self.out += [n + b": " + v + b"\n" for n, v in trailers if n not in HOP_BY_HOP and not is_alias(n) and not NO_TRAILER.fullmatch(n)]
        self.out.append(b"DONE\n")
        self.head = None

    def chunks(self):
        while True:
            m = CHUNK.fullmatch(self.line())
            if not m or int(m[1], 16) > LARGEST - len(self.body):
                raise Ends(400)
            size = int(m[1], 16)
            if size == 0:
                return
            self.bytes(size)
            end = self.data[self.at : self.at + 2]
            if not b"\r\n".startswith(end):
                raise Ends(400)
            if len(end) < 2:
                raise Ends()
            self.at += 2


class Request:
    def __init__(self, line, reader):
        self.absolute = None
        self.start(line)
        all_fields = reader.fields(400)
        self.named = {n: [v for m, v in all_fields if m == n] for n in OWN}
        self.faults = set()
        self.framing()
        self.hosts()
        self.expectation()
        self.connection()
        if self.faults:
            raise Ends(*self.faults)
        self.rest = [
            (n, v) for n, v in all_fields if n not in OWN and not is_alias(n) and (n not in self.options or PROTECTED.fullmatch(n))
        ]

    def start(self, line):
        parts = line.split(b" ")
        if len(parts) != 3 or not all(parts) or b"\t" in line:
            raise Ends(400)
        self.method, target, version = parts
        faults = set()
        if not re.fullmatch(TOKEN, self.method):
            faults.add(400)
        if len(self.method) > 32:
            faults.add(501)
        if not re.fullmatch(rb"HTTP/[0-9]\.[0-9]", version):
            faults.add(400)
        elif version[5:6] != b"1":
            faults.add(505)
        self.old = version == b"HTTP/1.0"
        if self.method == b"CONNECT":
            faults.add(405)
        if not TARGET.fullmatch(target) or not self.form(target):
            faults.add(400)
        if faults:
            raise Ends(*faults)

    def form(self, target):
        """H1-18, H1-19: origin-form, absolute-form, or * of OPTIONS."""
        m = re.fullmatch(rb"(?i:https?://)([^/?]*)(.*)", target, re.DOTALL)
        if m:
            self.absolute = m[1]
            empty = b"*" if self.method == b"OPTIONS" else b"/"
            self.target = m[2] if m[2].startswith(b"/") else b"/" + m[2] if m[2] else empty
            return True
        self.target = target
        return target.startswith(b"/") or (target == b"*" and self.method == b"OPTIONS")

    def framing(self):
        lengths, codings = self.named[b"content-length"], self.named[b"transfer-encoding"]
        self.length, self.chunked = 0, bool(codings)
        if lengths and codings:
            self.faults.add(400)
        elif lengths:
            if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]) or int(lengths[0]) > LARGEST:
                self.faults.add(400)
            else:
                self.length = int(lengths[0])
        elif codings:
            if self.old or len(codings) > 1:
                self.faults.add(400)
            elif codings[0].lower() != b"chunked":
                self.faults.add(self.other_coding(codings[0]))

    @staticmethod
    def other_coding(value):
        """H1-05: 501 for a well-formed list in which chunked stands last or not at all."""
        codings = [c.strip(b" \t").lower() for c in value.split(b",")]
        well_formed = all(re.fullmatch(TOKEN, c) for c in codings)
        return 501 if well_formed and b"chunked" not in codings[:-1] and b"identity" not in codings else 400

    def hosts(self):
        hosts = self.named[b"host"]
        self.authority = self.host = None
        if len(hosts) > 1 or (not hosts and not self.old):
            self.faults.add(400)
            return
        for authority in [*hosts, *([self.absolute] if self.absolute is not None else [])]:
            self.authority, self.host = authority, host_of(authority)
            if self.host is None:
                self.faults.add(400)
        if hosts and self.absolute is not None and hosts[0].lower() != self.absolute.lower():
            self.faults.add(400)

    def expectation(self):
        expected = self.named[b"expect"]
        self.expects = False
        if not expected or self.old:
            return
        if len(expected) > 1 or expected[0].lower() != b"100-continue":
            self.faults.add(417)
        self.expects = self.chunked or self.length > 0

    def connection(self):
        elements = [e.strip(b" \t") for v in self.named[b"connection"] for e in v.split(b",")]
        self.options = [e.lower() for e in elements if e]
        if not all(re.fullmatch(TOKEN, e) for e in self.options):
            self.faults.add(400)
        self.close = b"close" in self.options or (self.old and b"keep-alive" not in self.options)
        upgrades = self.named[b"upgrade"]
        self.upgrade = (
            b"upgrade" in self.options and b"close" not in self.options and not self.old and self.method == b"GET"
            and not self.chunked and self.length == 0 and [u.lower() for u in upgrades] == [b"websocket"]
        )  # fmt: skip

    def text(self):
        return b"HEAD %s %s %s %s 1.%d expects=%d close=%d upgrade=%d\n" % (
            self.method, self.target, self.authority or b"-", self.host or b"-", not self.old, self.expects, self.close, self.upgrade,
        ) + b"".join(n + b": " + v + b"\n" for n, v in self.rest)  # fmt: skip


def verdict(data):
    r = Reader(data)
    try:
        r.messages()
    except Ends as e:
        if r.head:
            r.out.append(r.head + b"BODY %d\n%s\n" % (len(r.body), r.body))
        statuses = b" ".join(b"%d" % s for s in sorted(e.statuses)) or b"more"
        return b"".join(r.out) + b"END " + statuses


# --- inputs ---


class Generator:
    """Mostly good requests with now and then a part that is not, and bytes that were changed behind that."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, good, odd, chance=0.06):
        return self.random.choice(odd if self.random.random() < chance else good)

    def start_line(self):
        method = self.pick([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"M-SEARCH"],
                           [b"CONNECT", b"G(T", b"get", b"A" * 32, b"A" * 33, b"", b"G\tT", b"\x80"])  # fmt: skip
        target = self.pick([b"/", b"/a/b?c=d", b"/%41", b"/a;b=c", b"/?", b"http://a.example/x", b"HTTPS://a.example", b"http://a.example?q"],
                           [b"*", b"a/b", b"/a#b", b'/"', b"/%4", b"/%00", b"/\x80", b"/\x7f", b"ftp://a/", b"http:///a", b"http://u@a.example/",
                            b"//a.example/", b"a.example:80", b"", b"http://b.example/", b"/{}|\\^`"])  # fmt: skip
        version = self.pick([b"HTTP/1.1"] * 5 + [b"HTTP/1.0"], [b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b"HTTP/1", b"HTTP/0.9", b""])
        space = self.pick([b" "], [b"  ", b"\t", b""], 0.02)
        return method + space + target + self.pick([b" "], [b"  ", b"\t", b""], 0.02) + version

    def body(self):
        """Fields of the framing, and what they frame."""
        kind = self.random.random()
        content = self.random.choice([b"", b"abc", b"GET / HTTP/1.1\r\n\r\n", bytes(self.random.randrange(256) for _ in range(9))])
        if kind < 0.45:
            return [], b""
        if kind < 0.7:
            n = len(content)
            value = self.pick([b"%d" % n], [b"+%d" % n, b"0%d" % n, b"%d, %d" % (n, n), b"0x%d" % n, b"-%d" % n, b"", b"%d " % n, b"%d.0" % n,
                                            b"9223372036854775807", b"9223372036854775808", b"1_0"], 0.15)  # fmt: skip
            name = self.pick([b"Content-Length"], [b"Content_Length", b"content-length", b"Content-Length "], 0.15)
            fields = [name + b": " + value]
            if self.random.random() < 0.05:
                fields.append(self.random.choice([b"Content-Length: %d" % n, b"Transfer-Encoding: chunked", b"Content-Length: 0"]))
            return fields, content
        value = self.pick([b"chunked", b"Chunked", b"chunked "], [b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"gzip", b"identity",
                                                                  b"", b"\x0bchunked", b",chunked", b"chunked;a=b", b'"chunked"', b"xchunked"], 0.15)  # fmt: skip
        name = self.pick([b"Transfer-Encoding"], [b"Transfer_Encoding", b"transfer-encoding", b"Transfer-Encoding "], 0.1)
        return [name + b": " + value], self.chunks(content)

    def chunks(self, content):
        out = b""
        while content:
            n = self.random.randint(1, len(content))
            size = self.pick([b"%x" % n, b"%X" % n, b"0%x" % n], [b"+%x" % n, b"0x%x" % n, b" %x" % n, b"%x " % n, b"", b"%x" % (n + 1), b"%017x" % n,
                                                                  b"%016x" % n, b"ffffffffffffffff", b"7fffffffffffffff", b"-1", b"1_0"], 0.05)  # fmt: skip
            extension = self.pick([b""] * 3 + [b";a", b";a=b", b'; a="x;\\"y"', b";a ;b = c"], [b";", b" ;a", b";a ", b";a=", b';a="b', b";a\x01", b";a=b\x80"], 0.05)
            out += size + extension + self.pick([b"\r\n"], [b"\n", b"\r"], 0.02) + content[:n] + self.pick([b"\r\n"], [b"\n", b"", b"\r\r\n", b"x\r\n"], 0.03)
            content = content[n:]
        trailers = self.pick([b""] * 4 + [b"X-T: y\r\n", b"Content-Length: 5\r\n", b"X_Forwarded_For: a\r\nB: c\r\n"],
                             [b"A: b\r\n c\r\n", b"A\r\n", b"A: b\n", b"A : b\r\n"], 0.1)  # fmt: skip
        return out + self.pick([b"0", b"000", b"0;a=b"], [b"", b"00000000000000000"], 0.03) + b"\r\n" + trailers + self.pick([b"\r\n"], [b"\n", b""], 0.03)

    def host(self):
        return self.pick([b"Host: a.example", b"host:A.Example", b"Host: a.example.:80", b"Host: [::1]:8443", b"HOST:\ta.example "],
                         [b"Host:", b"Host: a, b", b"Host: u@a", b"Host: a/b", b"Host: a:0", b"Host: a:65536", b"Host: ::1", b"Host: [::1", b"Host: [1.2.3.4]",
                          b"Host: a..b", b"Host: .a", b"Host: a b", b"Host: \xe4", b"X: no host", b"Host: a.example\r\nHost: a.example", b"Host: a:",
                          b"Host: " + b"a" * 255, b"Host: " + b"a" * 256, b"Host: a.example..", b"Host: [fe80::1%25a]"])  # fmt: skip

    def others(self):
        good = [b"A: b", b"a:  x\ty \t", b"X-Long: " + b"v" * 60, b"Accept: */*", b"B: \xe4\xff", b"C:", b"Cookie: a=b", b"X_Own: y", b"Via: x",
                b"Connection: close", b"Connection: keep-alive, X-Own, a", b"Connection: cookie, via ,,", b"Keep-Alive: 5", b"TE: trailers",
                b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: Upgrade", b"Upgrade: h2c", b"X-Forwarded-For: a"]  # fmt: skip
        odd = [b"A : b", b": b", b"A", b" A: b", b"A: b\r\n c", b"A: b\rc", b"A: b\x00c", b"A: b\x7f", b"A\x80: b", b"A: b\nC: d", b"(: b", b"Expect: x",
               b"Expect: 100-Continue", b"Connection: a b", b"X_Forwarded_For: a", b"X-Kong_A: b", b"Client_Cert: c", b"TE: x", b"\tA: b", b"A:\x0bb"]  # fmt: skip
        return [self.pick(good, odd, 0.08) for _ in range(self.random.randrange(4))]

    def request(self):
        fields, body = self.body()
        fields += self.others() + [self.host()]
        self.random.shuffle(fields)
        before = self.pick([b""] * 9 + [b"\r\n"], [b"\r\n\r\n", b"\n", b" ", b"\x16\x03"], 0.02)
        end = self.pick([b"\r\n"], [b"\n", b"\r"], 0.01)
        return before + self.start_line() + end + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body

    def input(self):
        data = b"".join(self.request() for _ in range(self.random.choice([1, 1, 1, 2, 3])))
        while self.random.random() < 0.15:
            at, what = self.random.randrange(len(data) + 1), self.random.randrange(4)
            byte = self.random.choice([b"\r", b"\n", b" ", b":", b"\x00", b"\t", b"0", b"a", b"\xff", b"%", b";", b'"', b","])
            if what == 0:
                data = data[:at] + byte + data[at:]
            elif what == 1:
                data = data[:at] + byte + data[at + 1 :]
            elif what == 2:
                data = data[:at] + data[at + 1 :]
            else:
                data = data[:at]
        return data


def main():
    generator = Generator(int(sys.argv[2]))
    for _ in range(int(sys.argv[1])):
        data = generator.input()
        said = verdict(data)
        sys.stdout.buffer.write(b"%d %d\n" % (len(data), len(said)) + data + said)


if __name__ == "__main__":
    main()
