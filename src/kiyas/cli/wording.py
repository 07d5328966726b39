"""Errors in the words of a command: its options instead of parameters, no names of classes and functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, UnusedCliTokensError

from kiyas.errors import FileError, KiyasError
from kiyas.measures import list_measures

# `errors.message`, taken apart.
_TEMPLATE = re.compile(r"(?P<owner>.+?): '(?P<name>[\w.-]+)' must (?P<rest>.*)", re.DOTALL)
# What a command calls a parameter that is none of its own: an option, if it has it, or a thing.
_OPTIONS = {"spec": "--encoder", "names": "--metric", "steps": "--words", "allowed": "--measure"}
_THINGS = {"X": "the vectors", "vectors": "the vectors", "queries": "the queries", "query": "the query",
           "texts": "the texts", "text": "the text", "series": "the series", "gains": "the judgements",
           "model": "the model", "pairs": "the pairs", "x": "the data"}
# What the library's cures are called here.
_PHRASES = {"from a purpose (advise)": "with --purpose", "unknown='count'": "--allow-unknown",
            "fit with judgements instead": "give judged queries instead, with --queries and --qrels",
            "without resuming": "without --resume",
            "the JSON of model.to_json() as a path, text or dictionary": "a .json file of what model.to_json() gives",
            "split them with kiyas.encode.split_texts, or give": "give"}
# Cures that a command without such an option does not have.
_WITH = {"blank": ("leave it out, or give blank='zero' for a vector of zeros", "leave it out, or give other words"),
         "overlong": ("give overlong='cut' to drop the rest", "make them shorter")}
_UNKNOWN_CLASS = re.compile(r"register_layer\('.*', …\) can teach it")
_KINDS = {"int": "must be an integer, got {!r}", "float": "must be a number, got {!r}", "bool": "takes no value"}


def in_words(error: KiyasError, command: Callable[..., Any]) -> str:
    """The message of an error for whoever typed the command."""
    text, options = str(error), option_names(command)
    match = _TEMPLATE.fullmatch(text)
    if match and not isinstance(error, FileError):  # whose owner is a file
        text = _argument(match, options)
    for phrase, here in _PHRASES.items():
        text = text.replace(phrase, here)
    text = _UNKNOWN_CLASS.sub("the command knows no layers of your own: load the model in Python, after "
                              "kiyas.recurrent.register_layer", text)
    for name, (cure, other) in _WITH.items():
        text = text if name in options else text.replace(cure, other)
    undecided = {n for n, p in inspect.signature(command).parameters.items() if p.default is None}
    for name, option in options.items():
        text = re.sub(rf"(?<![^\s(]){name}='([^']*)'", rf"{option} \1", text)
        text = text.replace(f"recurrent:FILE({name}=FILE)", f"{option} FILE")
        no = f"give --no-{option.lstrip('-')}" if name in undecided else f"leave {option} out"
        text = re.sub(rf"give {name}=False", no, text)
        text = re.sub(rf"(?<![^\s(]){name}=True", option, text)
        text = re.sub(rf"\b(as|larger) '{name}'", rf"\1 {option}", text)
        text = re.sub(rf"(?<![^\s(]){name}=(?=[\s,;:.)]|$)", option, text)
    return text


def _argument(match: re.Match[str], options: Mapping[str, str]) -> str:
    owner, name, rest = match["owner"], match["name"].rpartition(".")[2], match["rest"]
    measure = owner.partition(".")[0]
    if measure in list_measures():
        # A person named the measure; its parameters are not the command's, whatever they are called.
        return f"{measure}: {_THINGS[name]} must {rest}" if name in _THINGS else match.string
    # What is not typed is None; a command has no word for it.
    rest = re.sub(r"(?:, ('[\w-]+'))?,? or None(?=, got)", lambda m: f" or {m[1]}" if m[1] else "", rest)
    option = name if name.startswith("-") else options.get(name) or _OPTIONS.get(name)
    if option == name or option in options.values():
        return f"{option} must {rest}"
    return f"{_THINGS[name]} must {rest}" if name in _THINGS else match.string


def option_names(command: Callable[..., Any]) -> dict[str, str]:
    """The options of a command by parameter: {"min_score": "--min-score", "k": "-k"}."""
    hints = get_type_hints(command, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            spelled = [s for given in getattr(hints.get(name), "__metadata__", ()) for s in given.name or ()]
            found[name] = spelled[0] if spelled else f"--{name.replace('_', '-')}"
    return found


def usage(error: CycloptsError) -> str:
    """What is wrong with what was typed."""
    if isinstance(error, UnusedCliTokensError):
        left = " ".join(t.strip() for t in error.unused_tokens or [])
        return f"one too many: {left}; a text of several words goes in quotes"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        given = getattr(error, "keyword", None)  # cyclopts 3 does not tell
        return f"{given} needs a value" if given else f"{error.argument.name} is missing"
    if isinstance(error, CoercionError) and error.token is not None and error.argument is not None:
        wanted = str(error.target_type)
        kind = next((words for name, words in _KINDS.items() if re.search(rf"\b{name}\b", wanted)), None)
        if kind:
            return f"{error.argument.name} {kind.format(error.token.value)}"
    return " ".join(str(error).split()).partition(" Available commands")[0].rstrip(".")
