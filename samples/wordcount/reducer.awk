#!/usr/bin/awk -f
# Word count, reduce side: sums the counts of equal adjacent words (input is sorted by word). It is its own combiner: what it prints it can read.
# Words are compared as text even when they look like numbers (1 and 1.0 are two words).
BEGIN { FS = "\t"; OFMT = CONVFMT = "%.0f" }
{
    if (NR > 1 && ($1 "") == (word "")) { sum += $2; next }
    if (NR > 1) printf "%s\t%.0f\n", word, sum
    word = $1
    sum = $2
}
END { if (NR > 0) printf "%s\t%.0f\n", word, sum }
