"""Reads requests with h11 and says what it made of each, for the test `differential`.

Standard input: the length of a request in four bytes, big end first, and its bytes, again and again.
Standard output: for each a line. `ok METHOD TARGET VERSION CONSUMED BODY NAME VALUE ...` in hexadecimal, `more`, or
`bad` and the reason.
"""

import struct
import sys

import h11

# No bound of its own: sizes are not what is compared.
LARGEST = 1 << 24


def main():
    source, sink = sys.stdin.buffer, sys.stdout
    while prefix := source.read(4):
        data = source.read(struct.unpack(">I", prefix)[0])
        sink.write(read(data) + "\n")


def read(data):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
    connection.receive_data(data)
    request, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return "more"
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                consumed = len(data) - len(connection.trailing_data[0])
                return told(request, body, consumed)
    except h11.RemoteProtocolError as error:
        return f"bad {error}"


def told(request, body, consumed):
    words = [request.method, request.target, request.http_version, str(consumed).encode(), body]
    for name, value in request.headers:
        words += [name, value]
    return " ".join(["ok"] + [bytes(word).hex() or "-" for word in words])


main()
