#!/usr/bin/env python3
"""Word count as a socket program, reduce side: the sum of one key's values."""
import json
import socket
import sys


def main() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(f"/tmp/reduce-input-{sys.argv[1]}.sock")
        door.listen(1)
        hub, _ = door.accept()
        with hub, hub.makefile("rb") as message:
            group = json.load(message)
    answer = {"key": group["key"], "value": sum(group["value"])}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hub:
        hub.connect("/tmp/reduce.sock")
        hub.sendall(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
