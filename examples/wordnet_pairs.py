"""Pairs (below, above) out of WordNet's noun file, for kiyas hierarchy.

    python examples/wordnet_pairs.py ROOT [DATA.NOUN]

ROOT is a noun, such as mammal; DATA.NOUN is /usr/share/wordnet/data.noun unless given (Debian: apt install
wordnet-base). Prints a line for each direct pair under the first sense of ROOT: the term below, a tab, the term above.
"""

import sys
from pathlib import Path

NOUNS = Path("/usr/share/wordnet/data.noun")


def synsets(path):
    """Of each synset its first word and the synsets directly above, by its offset (see wndb(5WN))."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields = line.split("|")[0].split()
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]
        above = [pointers[i + 1] for i in range(0, 4 * int(fields[4 + 2 * words]), 4) if pointers[i] == "@"]
        found[fields[0]] = fields[4].replace("_", " "), above
    return found


def under(found, root):
    """Direct pairs of offsets under a synset."""
    below = {}
    for offset, (_, above) in found.items():
        for other in above:
            below.setdefault(other, []).append(offset)
    pairs, seen, waiting = [], {root}, [root]
    while waiting:
        top = waiting.pop()
        for offset in below.get(top, []):
            pairs.append((offset, top))
            if offset not in seen:
                seen.add(offset)
                waiting.append(offset)
    return pairs


def main():
    """Print the pairs, or how to ask for them."""
    if len(sys.argv) < 2:
        print(__doc__)
        return
    found = synsets(Path(sys.argv[2]) if len(sys.argv) > 2 else NOUNS)
    senses = [offset for offset, (word, _) in found.items() if word == sys.argv[1]]
    if not senses:
        sys.exit(f"no noun of WordNet begins a synset with {sys.argv[1]!r}")
    pairs = under(found, senses[0])
    used = {}
    for offset in {o for pair in pairs for o in pair}:
        used.setdefault(found[offset][0], []).append(offset)

    def name(offset):
        word = found[offset][0]
        return word if len(used[word]) == 1 else f"{word} ({offset})"

    for low, high in pairs:
        print(f"{name(low)}\t{name(high)}")


if __name__ == "__main__":
    main()
