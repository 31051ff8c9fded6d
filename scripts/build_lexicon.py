"""Make the English pronouncing data of the text front end: the dictionary and the letter-to-sound table.

    python scripts/build_lexicon.py [--cache build/lexicon]

Words come from CMUdict as the `pocketsphinx` wheel carries it.  The program `flite` (the Debian package of that
name), whose dictionary is the same data with the reduced vowel marked, is asked how it says each of them; the
shipped checkpoint learned English from flite, so agreement with it is worth having.  flite's phones are taken
unless it spells the word out or says something else altogether; then CMUdict's are, with the vowel reduced by
rule.  Letter-to-sound is learned from the result; the accuracy on words held out is printed.
Nothing here runs when the product runs.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from importlib.util import find_spec
from math import log
from pathlib import Path
from zlib import crc32

from megatts3.text.lexicon import NOTHING, contexts, possessive, sound_out, to_codes
from megatts3.text.phones import arpabet_phones
from megatts3.text.word_table import WordTable

DATA = Path(__file__).parent.parent / "megatts3" / "text" / "data"
BATCH_WORDS = 400
HELD_OUT = 20  # one word in 20 is not learned from, so that the accuracy can be measured (a test does)
Phones = tuple[str, ...]

# What is said in a sentence rather than alone, the commoner of two readings, and words younger than the data.
OVERRIDES = {
    "a": "ax", "the": "dh ax", "dr": "d aa k t er", "read": "r iy d", "lead": "l iy d",
    "megatts": "m eh g ax t iy t iy eh s", "json": "jh ey s ax n", "yaml": "y ae m ax l", "readme": "r iy d m iy",
    "wifi": "w ay f ay", "baidu": "b ay d uw", "huawei": "hh w aa w ey", "xiaomi": "sh aw m iy",
    "weibo": "w ey b ow", "taobao": "t aw b aw", "alipay": "ae l iy p ey", "qwen": "k w eh n",
}  # fmt: skip


def read_cmudict() -> dict[str, list[Phones]]:
    """Every spelling with its pronunciations, the first one first."""
    spec = find_spec("pocketsphinx")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pocketsphinx is not installed (the extra `eval`)")
    path = Path(spec.submodule_search_locations[0]) / "model" / "en-us" / "cmudict-en-us.dict"
    entries: dict[str, list[Phones]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        spelling, *phones = line.split()
        word = re.sub(r"\(\d+\)$", "", spelling)
        if re.fullmatch(r"'?[a-z]+('[a-z]*)?", word):
            entries[word].append(tuple(phone.lower() for phone in phones))
    return dict(entries)


def ask_flite(voice: str, words: Sequence[str]) -> dict[str, Phones]:
    """How flite says words, each as a sentence of its own; a batch whose count is wrong is halved."""
    if not words:
        return {}
    text = "! ".join(words) + "! hello! hello."  # flite loses the end of its input
    run = subprocess.run(
        ["flite", "-voice", voice, "-ps", "-t", text, "none"], capture_output=True, text=True, check=True
    )
    said = [tuple(group.split()) for group in run.stdout.split("pau") if group.strip()]
    while len(said) > len(words) and said[-1] == ("hh", "ax", "l", "ow"):
        said.pop()
    if len(said) == len(words):
        return dict(zip(words, said, strict=True))
    if len(words) == 1:
        return {}
    half = len(words) // 2
    return ask_flite(voice, words[:half]) | ask_flite(voice, words[half:])


def flite_phones(cmudict: Mapping[str, list[Phones]], cache: Path) -> dict[str, Phones]:
    """Flite's phones of every word, by its fastest voice; kept in `cache`.

    That voice writes `aa` for `ah`.  Where CMUdict tells which it is, that is taken; the others are asked of
    a slower voice.
    """
    kept = cache / "flite.json"
    if kept.exists():
        return {word: tuple(phones) for word, phones in json.loads(kept.read_text("utf-8")).items()}
    words = sorted(cmudict)
    said: dict[str, Phones] = {}
    for start in range(0, len(words), BATCH_WORDS):
        said |= ask_flite("kal", words[start : start + BATCH_WORDS])
    unclear = []
    for word, phones in said.items():
        likely = [p for p in cmudict[word] if _same_but_aa(phones, p)]
        if "aa" in phones and likely:
            said[word] = tuple("ah" if (a, b) == ("aa", "ah") else a for a, b in zip(phones, likely[0], strict=True))
        elif "aa" in phones:
            unclear.append(word)
    for start in range(0, len(unclear), BATCH_WORDS):
        said |= ask_flite("slt", unclear[start : start + BATCH_WORDS])
    cache.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(said), "utf-8")
    return said


def _same_but_aa(flite: Phones, cmu: Phones) -> bool:
    return len(flite) == len(cmu) and all(
        a == b or (a, b) in {("ax", "ah"), ("aa", "ah")} for a, b in zip(flite, cmu, strict=True)
    )


def merge(cmudict: Mapping[str, list[Phones]], flite: Mapping[str, Phones]) -> tuple[dict[str, Phones], Counter[str]]:
    """One pronunciation a word, and how often each source was taken."""
    merged: dict[str, Phones] = {}
    taken: Counter[str] = Counter()
    for word, variants in cmudict.items():
        said = flite.get(word, ())
        unreduced = tuple("ah" if phone == "ax" else phone for phone in said)
        likeness = max(SequenceMatcher(None, unreduced, variant, autojunk=False).ratio() for variant in variants)
        if unreduced in variants:
            taken["both agree"] += 1
        elif likeness >= 0.8:
            taken["flite, close to CMUdict"] += 1
        else:
            taken["CMUdict"] += 1
            said = reduce_vowels(variants[0])
        merged[word] = said
    return merged | {word: tuple(phones.split()) for word, phones in OVERRIDES.items()}, taken


def reduce_vowels(phones: Phones) -> Phones:
    """AH is `ax` where another full vowel can carry the stress: at the edges, and before l, m, n."""
    vowels = [i for i, phone in enumerate(phones) if phone[0] in "aeiou"]
    if len(vowels) < 2 or all(phones[i] == "ah" for i in vowels):
        return phones
    return tuple(
        "ax" if (phone == "ah" and i != vowels[0]) or (phone == "ah" and i == 0) else phone
        for i, phone in enumerate(phones)
    )


def regular(word: str, codes: str, entries: Mapping[str, str]) -> bool:
    """Whether the reader finds a possessive by rule."""
    stem = word.removesuffix("'s")
    if stem == word:
        stem = word.removesuffix("'")
        return stem != word and entries.get(stem) == codes
    base = entries.get(stem)
    return base is not None and to_codes(possessive(tuple(ord(c) + 53 for c in base))) == codes


# --- letter to sound ---


def align(entries: Mapping[str, str], rounds: int = 5) -> dict[str, list[str]]:
    """For each word, the codes of each letter: none, one or two.  Hard EM from the diagonal."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for word, codes in entries.items():
        for i, letter in enumerate(word):
            middle = i * len(codes) // len(word)
            for j in range(max(0, middle - 1), min(len(codes), middle + 2)):
                counts[letter][codes[j]] += 1
            counts[letter][NOTHING] += 1
    aligned: dict[str, list[str]] = {}
    for _ in range(rounds):
        cost = {
            letter: defaultdict(lambda: 14.0, {c: -log(n / sum(table.values())) for c, n in table.items()})
            for letter, table in counts.items()
        }
        aligned = {w: a for w, codes in entries.items() if (a := _best_alignment(w, codes, cost)) is not None}
        counts = defaultdict(Counter)
        for word, chunks in aligned.items():
            for letter, chunk in zip(word, chunks, strict=True):
                counts[letter][chunk] += 1
    return aligned


def _best_alignment(word: str, codes: str, cost: Mapping[str, Mapping[str, float]]) -> list[str] | None:
    # best[j]: cost of saying codes[:j] with the letters so far; a pair is dear until it is seen often
    best: dict[int, tuple[float, list[str]]] = {0: (0.0, [])}
    for letter in word:
        table = cost[letter]
        reached: dict[int, tuple[float, list[str]]] = {}
        for j, (so_far, chunks) in best.items():
            for size in (0, 1, 2):
                if j + size > len(codes):
                    break
                chunk = codes[j : j + size] or NOTHING
                total = so_far + table[chunk] + (1.0 if size == 2 else 0.0)
                if j + size not in reached or total < reached[j + size][0]:
                    reached[j + size] = (total, [*chunks, chunk])
        best = reached
    return best[len(codes)][1] if len(codes) in best else None


def learn(aligned: Mapping[str, list[str]], words: Iterable[str]) -> dict[str, str]:
    """The surroundings whose commonest sound differs from that of the next narrower ones kept."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    parents: dict[str, str] = {}
    for word in words:
        previous = "#"
        for i, chunk in enumerate(aligned[word]):
            narrower = ""
            for key in contexts(word, i, previous):
                counts[key][chunk] += 1
                parents[key] = narrower
                narrower = key
            previous = chunk[-1]
    inherited = {"": ""}
    table: dict[str, str] = {}
    for key in sorted(counts, key=len):
        common = counts[key].most_common(1)[0][0]
        expected = inherited[parents[key]]
        if common != expected:
            table[key] = common
        inherited[key] = common
    return table


def is_held_out(word: str) -> bool:
    return crc32(word.encode()) % HELD_OUT == 0


def accuracy(table: WordTable, entries: Mapping[str, str], words: Sequence[str]) -> tuple[float, float]:
    """Share of phones right (1 − edit distance / length) and of whole words right."""
    wrong = right = total = 0
    for word in words:
        guess = sound_out(word, table)
        wrong += edit_distance(guess, entries[word])
        total += len(entries[word])
        right += guess == entries[word]
    return 1 - wrong / total, right / len(words)


def edit_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path("build/lexicon"))
    cache: Path = parser.parse_args().cache
    cmudict = read_cmudict()
    merged, taken = merge(cmudict, flite_phones(cmudict, cache))
    print(dict(taken))
    entries = {word: to_codes(arpabet_phones(phones)[0]) for word, phones in merged.items()}
    kept = {word: codes for word, codes in entries.items() if not regular(word, codes, entries)}
    (DATA / "lexicon.xz").write_bytes(WordTable.pack(kept))
    print(f"{len(entries)} words, {len(kept)} stored")

    plain = {w: c for w, c in kept.items() if w.isalpha() and len(w) > 2}
    aligned = align(plain)
    held_out = [word for word in sorted(aligned) if is_held_out(word)]
    packed = WordTable.pack(learn(aligned, sorted(set(aligned) - set(held_out))))
    (DATA / "letter_to_sound.xz").write_bytes(packed)
    phones_right, words_right = accuracy(WordTable.load("letter_to_sound.xz"), plain, held_out)
    print(f"held out: {phones_right:.4f} of phones, {words_right:.4f} of {len(held_out)} words")


if __name__ == "__main__":
    main()
