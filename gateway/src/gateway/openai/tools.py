"""Functions that a model may call."""

from __future__ import annotations

import re
from typing import Any

from gateway.openai import fields, verbatim
from gateway.openai.request import Generation, Tool

MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_tools(body: dict[str, Any], raw: bytes) -> list[Tool]:
    """The tools, each with its schema byte for byte."""
    given = fields.array(body, "tools", longest=MAX_TOOLS) or []
    tools: list[Tool] = []
    sources = verbatim.items(verbatim.members(raw.decode())["tools"]) if given else []
    for index, entry in enumerate(given):
        at = f"tools[{index}]"
        if not isinstance(entry, dict):
            raise fields.wrong_type(at, "an object", entry)
        if fields.required_text(entry, "type", f"{at}.type") != "function":
            raise fields.unsupported(f"{at}.type", "Only tools of type 'function' are supported.")
        function = fields.obj(entry, "function", f"{at}.function")
        if function is None:
            raise fields.missing(f"{at}.function")
        name = fields.required_text(function, "name", f"{at}.function.name")
        if not _NAME.fullmatch(name):
            raise fields.invalid(f"{at}.function.name", "1 to 64 letters, digits, '_' and '-'.")
        schema = b""
        if fields.obj(function, "parameters", f"{at}.function.parameters") is not None:
            source = verbatim.members(verbatim.members(sources[index])["function"])
            schema = source["parameters"].encode()
        tools.append(
            Tool(
                name,
                fields.text(function, "description", f"{at}.function.description") or "",
                schema,
                fields.flag(function, "strict", f"{at}.function.strict") or False,
            )
        )
    return tools


def read_tool_choice(generation: Generation, body: dict[str, Any]) -> None:
    """Fills in which tool must be called: a mode, or the name of one of the tools."""
    given = body.get("tool_choice")
    if given is None:
        return
    if isinstance(given, str):
        fields.one_of(given, "tool_choice", ("none", "auto", "required"))
        generation.tool_mode = given
    elif isinstance(given, dict):
        if given.get("type") != "function":
            raise fields.unsupported("tool_choice.type", "Only a choice of type 'function' is supported.")
        function = fields.obj(given, "function", "tool_choice.function")
        if function is None:
            raise fields.missing("tool_choice.function")
        generation.tool_name = fields.required_text(function, "name", "tool_choice.function.name")
    else:
        raise fields.wrong_type("tool_choice", "a string or an object", given)
    if not generation.tools and (generation.tool_name or generation.tool_mode == "required"):
        raise fields.invalid("tool_choice", "only allowed when 'tools' are given.")
