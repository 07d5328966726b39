"""The ratios to reach, and what a run reached: every figure comes from one case, measured in turns.

"Any inner measure" is held to its slowest measure, peers to their best setting.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Line:
    """A line of the table: ``target`` is at least or at most, as ``sense`` says (≥ or ≤)."""

    case: str
    against: str
    sense: str
    target: float
    reached: float | None
    detail: str = ""
    of_least: float | None = None  # the same ratio, of the shortest times

    @property
    def met(self) -> bool | None:
        if self.reached is None:
            return None
        return self.reached >= self.target if self.sense == "≥" else self.reached <= self.target

    def plain(self) -> dict:
        return asdict(self) | {"met": self.met}


def lines(results: list[dict], memory: list[dict], rows: int, dims: int, kind: str, threads: int) -> list[Line]:
    """The table for one collection; cases that were not run have no figure."""

    def case(name: str, batch: int) -> dict | None:
        return next((r for r in results if r["case"] == name and r["batch"] == batch and r["threads"] == threads
                     and (r["rows"], r["dims"], r["kind"]) == (rows, dims, kind)), None)

    out = []
    for batch, least in ((1, 8.0), (16, 15.0), (256, 15.0)):
        out += _inner(case("inner", batch), batch, least)
    for batch in (1, 16):
        out.append(_beside(case("manhattan", batch), f"manhattan, batch {batch}", "FAISS IndexFlat L1",
                           "kiyas manhattan", 5.0))
    trimmed = case("exponential", 1)
    name = _first(trimmed, "kiyas exponential")
    out += [_within(trimmed, "exponential trim 10 %, batch 1", name, "kiyas manhattan", 3.0),
            _beside(trimmed, "exponential trim 10 %, batch 1", "NumPy exponential, trimmed", name, 60.0)]
    out.append(_within(case("learned", 1), "learned (hidden 128, α = 0), batch 1", "kiyas learned",
                       _first(case("learned", 1), "kiyas manhattan"), 3.0))
    for batch, how, most in ((1, "NumPy", 2.0), (1, "Numba", 2.0), (256, "Numba", 4.0)):
        out.append(_within(case("user", batch), f"user's inner formula through {how}, batch {batch}",
                           f"kiyas user's ndd, {how}", "kiyas ndd", most))
    return out + _memory(memory)


def _first(result: dict | None, start: str) -> str:
    return next((e["name"] for e in result["entries"] if e["name"].startswith(start)), start) if result else start


def _inner(result: dict | None, batch: int, least: float) -> list[Line]:
    title = f"any inner measure, batch {batch}"
    if result is None:
        return [Line(title, "FAISS flat", "≥", least, None), Line(title, "best peer", "≥", 4.0, None)]
    mine = [e["name"] for e in result["entries"] if e["library"] == "kiyas"]
    theirs = [e for e in result["entries"] if e["library"] != "kiyas"]
    out = []
    faiss = next((e for e in theirs if e["name"] == "FAISS IndexFlat IP"), None)
    best = min(theirs, key=lambda e: e["median_ms"], default=None)
    for name, against, target in ((faiss, "FAISS flat", least), (best, "best peer", 4.0)):
        if name is None:
            out.append(Line(title, against, "≥", target, None, "not installed"))
            continue
        ratios = result["ratios"][name["name"]]
        slowest = min(mine, key=ratios.__getitem__)
        fastest = max(mine, key=ratios.__getitem__)
        who = name["name"] if against == "best peer" else name["setting"]
        out.append(Line(title, against, "≥", target, ratios[slowest],
                        f"{who}; slowest {slowest[6:]}, fastest {fastest[6:]} {ratios[fastest]:.1f}×",
                        min(result["ratios_of_least"][name["name"]].values())))
    return out


def _beside(result: dict | None, title: str, slow: str, fast: str, target: float) -> Line:
    """How many times longer another takes."""
    short = "NumPy" if slow.startswith("NumPy") else slow
    if result is None or slow not in result["ratios"]:
        return Line(title, short, "≥", target, None)
    peer = next(e for e in result["entries"] if e["name"] == slow)
    return Line(title, short, "≥", target, result["ratios"][slow][fast], peer["setting"],
                result["ratios_of_least"][slow][fast])


def _within(result: dict | None, title: str, slow: str, fast: str, target: float) -> Line:
    """How many times longer ours may take."""
    if result is None or slow not in result["ratios"]:
        return Line(title, fast, "≤", target, None)
    return Line(title, fast, "≤", target, result["ratios"][slow][fast], "", result["ratios_of_least"][slow][fast])


def _memory(memory: list[dict]) -> list[Line]:
    found = {m["name"]: m for m in memory if "error" not in m}
    out = []
    for name in ("kiyas cosine", "kiyas manhattan"):
        value = found.get(name, {}).get("bytes_a_dimension")
        out.append(Line(f"code memory, {name[6:]}", "bytes a dimension", "≤", 1.1, value))
    mapped = found.get("kiyas cosine, memory-mapped")
    value = mapped["held_mb"] / mapped["code_mb"] if mapped else None
    detail = f"{mapped['held_mb']:.0f} MiB held, codes {mapped['code_mb']:.0f}, vectors {mapped['vectors_mb']:.0f}" \
        if mapped else ""
    return [*out, Line("vectors memory-mapped", "memory held ÷ codes", "≤", 1.25, value, detail)]
