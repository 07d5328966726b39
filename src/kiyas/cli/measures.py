"""``kiyas measures``: the catalogue, and one measure in full."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.text import Text

from kiyas.cli import show
from kiyas.measures import measure as make_measure
from kiyas.measures.base import Measure
from kiyas.measures.catalogue import ALIASES, list_measures, measure_class, parameter_names

_IN_FULL = (("meaning", "Asks"), ("formula", "Formula"), ("range", "Range"), ("scaling", "Scaling"), ("zero", "Zero"),
            ("domain", "Domain"), ("gradient", "Gradient"), ("cost", "Cost"), ("traps", "Traps"), ("source", "Source"))


def run(name: str | None, json: bool) -> None:
    """Print the table, or one measure."""
    if name is None:
        _table(json)
    else:
        # "exponential(trim=0.1)" asks about exponential as well, if there is such a measure.
        _one(type(make_measure(name)) if "(" in name else measure_class(name), json)


def _facts(cls: type[Measure]) -> dict[str, Any]:
    aliases = [alias for alias, name in ALIASES.items() if name == cls.name]
    return {"name": cls.name, "aliases": aliases, "parameters": parameter_names(cls), **asdict(cls.facts)}


def _table(json: bool) -> None:
    classes = [measure_class(name) for name in list_measures()]
    if json:
        show.print_json({"measures": [_facts(cls) for cls in classes]})
        return
    out = show.console()
    shown = show.table("measure", "formula and range", "what it asks")
    for cls in classes:
        facts = cls.facts
        shown.add_row(Text(cls.name, style="bold"), Text.assemble(facts.formula, "\n", (f"range {facts.range}", "dim")),
                      Text(facts.meaning))
    out.print(shown)
    out.print(Text("\nkiyas measures NAME tells all about one. Larger is more alike, always.", style="dim"))


def _one(cls: type[Measure], json: bool) -> None:
    facts = _facts(cls)
    if json:
        show.print_json(facts)
        return
    out = show.console()
    out.print(Text.assemble((cls.name, "bold"), f" — {cls.facts.title}"))
    shown = show.table("", "")
    shown.show_header = False
    for key, label in _IN_FULL:
        if facts[key]:
            shown.add_row(Text(label, style="dim"), Text(facts[key], style="yellow" if key == "traps" else ""))
    shown.add_row(Text("Symmetric", style="dim"), "yes" if facts["symmetric"] else "no: the query comes first")
    for key in ("parameters", "aliases"):
        if facts[key]:
            shown.add_row(Text(key.capitalize(), style="dim"), ", ".join(facts[key]))
    out.print(shown)
