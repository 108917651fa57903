#!/usr/bin/env python3
"""Word count, reduce side: sums the counts of equal adjacent words. Also the combiner."""
import sys
from itertools import groupby


def records():
    for line in sys.stdin.buffer:
        word, _, count = line.rstrip(b"\n").partition(b"\t")
        yield word, int(count)


def main() -> None:
    write = sys.stdout.buffer.write
    for word, group in groupby(records(), key=lambda record: record[0]):
        write(b"%b\t%d\n" % (word, sum(count for _, count in group)))


if __name__ == "__main__":
    main()
