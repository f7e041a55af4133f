"""Handshakes without end with all names at one data plane, each verified as a client does at that moment: chain, name, dates.

    handshakes.py IP PORT ROOTS NAMES_FILE PER_SECOND

Ends when its stdin does, and writes what it saw as JSON: {"done", "least_left" (seconds of life of the certificate that had the least),
"wrong": [[time, name, what]], "refused": [[time, name, what]]}: what a handshake said, and connections that did not come to one.
"""

import json
import select
import socket
import ssl
import sys
import time


def shake(context, at, name, seen):
    began = time.time()
    try:
        with socket.create_connection(at, timeout=5) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
            left = ssl.cert_time_to_seconds(tls.getpeercert()["notAfter"]) - time.time()
    except ssl.SSLCertVerificationError as e:
        seen["wrong"].append([began, name, str(e)])
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as e:
        seen["refused"].append([began, name, repr(e)])
    except ssl.SSLError as e:
        seen["wrong"].append([began, name, str(e)])
    except OSError as e:
        seen["refused"].append([began, name, repr(e)])
    else:
        seen["done"] += 1
        seen["least_left"] = min(seen["least_left"], left)


def main(ip, port, roots, names_file, per_second):
    names, pause = open(names_file).read().split(), 1 / float(per_second)
    context = ssl.create_default_context(cafile=roots)
    seen = {"done": 0, "least_left": 1e9, "wrong": [], "refused": []}
    n, due = 0, time.monotonic()
    while not select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
        shake(context, (ip, int(port)), names[n % len(names)], seen)
        n += 1
        due = max(due + pause, time.monotonic() - 1)
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
