#!/usr/bin/env python3
"""Word count, map side: prints `word<TAB>1` for each word on stdin. Works on bytes, so any input is fine."""
import sys


def main() -> None:
    write = sys.stdout.buffer.write
    words = 0
    for line in sys.stdin.buffer:
        found = line.split()
        words += len(found)
        if found:
            write(b"\t1\n".join(found) + b"\t1\n")
    print(f"reporter:counter:wordcount,words,{words}", file=sys.stderr)


if __name__ == "__main__":
    main()
