"""``kiyas choose``: which measure, by proof on one's own queries; or by purpose, with reasons."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from kiyas.cli import show
from kiyas.cli.fitting import Asked, material
from kiyas.directory import refuse_others
from kiyas.errors import InputError
from kiyas.evaluate import purposes
from kiyas.evaluate.choosing import Decision, choose, choose_known
from kiyas.fit import files, save_measure


def run(directory: Path | None, asked: Asked, output: Path | None, repeats: int, json: bool) -> None:
    """Choose, print, write the decision."""
    if directory is None:
        raise InputError("give an index DIR to measure on, or --purpose for a starting point without measuring")
    target = output or directory.with_name(directory.name + ".choice")
    refuse_others(target, files.FORMAT)
    held = material(asked)
    with show.progress("choosing") as report:
        if held.queries is not None and held.gains is not None:
            done = choose(held.collection, held.queries, held.gains, own=held.own, folds=asked.folds, repeats=repeats,
                          seed=asked.seed, progress=report)
        else:
            assert held.own is not None
            done = choose_known(held.own, held.index.vectors, folds=asked.folds, seed=asked.seed, progress=report)
    facts = {**done.as_dict(), "directory": str(directory), "notes": held.notes}
    save_measure(done.measure, target, facts)
    if json:
        show.print_json({**facts, "written": str(target)})
        return
    show_decision(done, held.notes)
    show.console().print(Text.assemble("The decision, all that repeats it, and the measure: ", (str(target), "bold")))


def show_decision(done: Decision, notes: list[str]) -> None:
    """Print it."""
    out = show.console()
    for note in notes:
        out.print(Text(note, style="dim"))
    table = done.table()
    shown = show.table(*table.columns, right=(table.columns[1],))
    for name, mean, taken in table.rows:
        shown.add_row(Text(str(name)), f"{mean:.4f}", Text("" if taken.startswith("0 ") else taken, style="green"))
    out.print(shown)
    if done.task():
        out.print(Text(done.task(), style="dim"))
    out.print(Text("What the choice saw is no measure of what it is worth; that is the sentence below, on queries held "
                   "out.", style="dim"))
    for name, twin in done.equivalent.items():
        out.print(Text(f"{name} ranks as {twin}.", style="dim"))
    for name, why in done.left_out.items():
        out.print(Text(f"{name} was left out: {why}.", style="dim"))
    out.print(Text(done.conclusion(), style="bold"))
    out.print(Text(done.costs()))


def advise(purpose: str, json: bool) -> None:
    """Print the starting point for a purpose."""
    found = purposes.advise(purpose)
    if json:
        show.print_json({"purpose": purpose, **found._asdict()})
        return
    out = show.console()
    out.print(Text.assemble("Start with ", (found.measure, "bold"), f". {found.why}"))
    out.print(Text(f"Against it: {found.against}"))
    out.print(Text(f"To find out: {found.check}"))
