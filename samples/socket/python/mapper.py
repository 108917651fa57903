#!/usr/bin/env python3
"""Word count as a socket program, map side: one message of pairs for the line in argv[2]."""
import json
import os
import socket
import sys


def main() -> None:
    line = os.fsencode(sys.argv[2]).decode("utf-8", "replace")
    pairs = [{"key": word, "value": 1} for word in line.split()]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hub:
        hub.connect("/tmp/map.sock")
        hub.sendall(json.dumps({"pairs": pairs}).encode())


if __name__ == "__main__":
    main()
