"""The tools of a Responses request: file_search, which the gateway runs, and the caller's own functions."""

from __future__ import annotations

import re
from typing import Any

from gateway.openai import fields, verbatim
from gateway.openai.file_search import read_options, read_store_ids
from gateway.openai.request import FileSearch, Generation, Tool
from gateway.openai.tools import MAX_TOOLS

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_tools(generation: Generation, body: dict[str, Any], raw: bytes) -> None:
    """Fills in what may be called and what must be."""
    given = fields.array(body, "tools", longest=MAX_TOOLS) or []
    functions: list[Tool] = []
    for index, entry in enumerate(given):
        at = f"tools[{index}]"
        if not isinstance(entry, dict):
            raise fields.wrong_type(at, "an object", entry)
        kind = fields.required_text(entry, "type", f"{at}.type")
        if kind == "file_search":
            if generation.search is not None:
                raise fields.invalid(at, "file_search stands here twice; name all stores in one.")
            generation.search = FileSearch(read_store_ids(entry, f"{at}."))
            read_options(generation.search, entry, at)
        elif kind == "function":
            functions.append(_function(entry, at, raw, index))
        else:
            raise fields.unsupported(
                f"{at}.type", "Only tools of type 'file_search' and 'function' are supported."
            )
    generation.tools = functions or None
    _read_choice(generation, body, searches=generation.search is not None)


def _function(entry: dict[str, Any], at: str, raw: bytes, index: int) -> Tool:
    name = fields.required_text(entry, "name", f"{at}.name")
    if not _NAME.fullmatch(name):
        raise fields.invalid(f"{at}.name", "1 to 64 letters, digits, '_' and '-'.")
    schema = b""
    if fields.obj(entry, "parameters", f"{at}.parameters") is not None:
        source = verbatim.items(verbatim.members(raw.decode())["tools"])[index]
        schema = verbatim.members(source)["parameters"].encode()
    return Tool(
        name,
        fields.text(entry, "description", f"{at}.description") or "",
        schema,
        fields.flag(entry, "strict", f"{at}.strict") or False,
    )


def _read_choice(generation: Generation, body: dict[str, Any], *, searches: bool) -> None:
    """`tool_choice`. "none" also means that nothing is searched; a search is made in every other case."""
    given = body.get("tool_choice")
    if given is None:
        return
    if isinstance(given, str):
        fields.one_of(given, "tool_choice", ("none", "auto", "required"))
        if given == "none":
            generation.search = None
        if generation.tools:
            generation.tool_mode = given
        elif given == "required" and not searches:
            raise fields.invalid("tool_choice", "only allowed when 'tools' are given.")
        return
    if not isinstance(given, dict):
        raise fields.wrong_type("tool_choice", "a string or an object", given)
    kind = given.get("type")
    if kind == "function":
        generation.tool_name = fields.required_text(given, "name", "tool_choice.name")
        if all(tool.name != generation.tool_name for tool in generation.tools or ()):
            raise fields.invalid("tool_choice.name", "there is no such function in 'tools'.")
    elif kind == "file_search":
        if not searches:
            raise fields.invalid("tool_choice", "file_search is not among the 'tools'.")
    else:
        raise fields.unsupported("tool_choice.type", "Only 'file_search' and 'function' can be chosen.")
