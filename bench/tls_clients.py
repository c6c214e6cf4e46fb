"""Holds TLS connections to a server on loopback, each of which made one request. Arguments: PORT COUNT SECONDS

It opens COUNT of them, or as many as the server takes in SECONDS, and says how many it has. For each line that it
reads it asks again on one in a hundred and says how many did not answer. At the end of its input it lets all go.
"""

import socket
import ssl
import sys
import time

REQUEST = "GET /small.bin HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"
BODY = 1024
SAMPLE = 100


def context():
    made = ssl.create_default_context()
    # The certificate is of this run, and known to nobody.
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made


def ask(stream):
    stream.sendall((REQUEST % stream.getpeername()[1]).encode())
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < BODY:
        piece = stream.recv(16384)
        if not piece:
            raise OSError("the connection ended within an answer")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise OSError("not a 200")


def connect(port, tls):
    stream = tls.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
    ask(stream)
    return stream


def answers(stream):
    try:
        ask(stream)
    except OSError:
        return False
    return True


def hold(port, count, seconds):
    tls, held, deadline = context(), [], time.monotonic() + seconds
    while len(held) < count and time.monotonic() < deadline:
        try:
            held.append(connect(port, tls))
        except OSError:
            break
    return held


held = hold(*map(int, sys.argv[1:4]))
print(len(held), flush=True)
for _ in sys.stdin:
    print(sum(not answers(stream) for stream in held[::SAMPLE]), flush=True)
