"""Jinja for templates that come with weights, from strangers: bounded in what they reach, take and write.

Jinja's own sandbox bounds what a template may reach. Here every step and every character that it makes is
paid from a budget, before it is made; filters and methods that no chat template needs are not there.
"""

# ruff: noqa: SIM905 - a list of words takes a line a word

from __future__ import annotations

import functools
import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes, pass_context
from jinja2.ext import loopcontrols
from jinja2.filters import do_indent
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

_BUDGET = 64_000_000  # a character costs 1
_STEP = 256  # what the template does once: some microseconds
_ITEM = 32  # a value in a list
_LONGEST_OUTPUT = 16_000_000
_LONGEST_SOURCE = 1_000_000
_LARGEST_BITS = 64
_WIDTH = 1000  # of a formatted value, at most
_FILTERS = frozenset(
    "abs capitalize count d default dictsort first float groupby int items last length list lower map max min"
    " reject rejectattr reverse select selectattr sort title trim truncate unique upper wordcount".split()
)
_SHALLOW = frozenset(
    "count d default first items last length list map reject rejectattr reverse select selectattr".split()
)
_COMPARING = frozenset(
    "!= < <= == > >= divisibleby eq equalto ge greaterthan gt in le lessthan lt ne".split()
)
_SPLITTING = frozenset({"list", "rsplit", "sort", "split", "splitlines"})  # text into objects
_TEXT_METHODS = frozenset(
    "capitalize count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle"
    " isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit"
    " rstrip split splitlines startswith strip swapcase title upper".split()
)
_VIEWS: tuple[type[Any], ...] = (type({}.keys()), type({}.values()), type({}.items()))
_COLLECTIONS: tuple[type[Any], ...] = (list, tuple, dict, range, *_VIEWS)


class _Budget:
    def __init__(self) -> None:
        self.left = _BUDGET


_budget: ContextVar[_Budget] = ContextVar("budget")


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """The template's text. Raises ValueError for whatever it does wrong."""
    token = _budget.set(_Budget())
    pieces, size = [], 0
    try:
        for piece in template.generate(variables):
            size += len(piece)
            _spend(_STEP)
            if size > _LONGEST_OUTPUT:
                raise TemplateError("the text is too long")
            pieces.append(piece)
    except (TemplateError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise ValueError("the template failed") from error
    finally:
        _budget.reset(token)
    return "".join(pieces)


def compile_template(source: str) -> Template:
    """Raises ValueError for what is not a template, or uses what is not here."""
    if len(source) > _LONGEST_SOURCE:
        raise ValueError("the template is too long")
    try:
        return _Sandbox().from_string(source)
    except (TemplateError, SyntaxError, RecursionError) as error:
        raise ValueError("the template cannot be used") from error


def _spend(amount: int) -> None:
    budget = _budget.get()
    budget.left -= amount
    if budget.left < 0:
        raise TemplateError("the template takes too much")


def _weigh(value: Any) -> int:
    """Pay for a whole value, however deep, as comparing or writing it would take; what it cost."""
    cost, stack = 0, [value]
    while stack:
        item = stack.pop()
        price = _ITEM
        if isinstance(item, str):
            price += len(item)
        elif isinstance(item, _COLLECTIONS):
            _spend(_ITEM * len(item))
            stack.extend(item)
            if isinstance(item, dict):
                stack.extend(item.values())
        elif isinstance(item, Namespace):
            raise TemplateError("a namespace is not a value")
        _spend(price)
        cost += price
    return cost


def _touch(value: Any) -> None:
    if isinstance(value, str):
        _spend(len(value))
    elif isinstance(value, _COLLECTIONS):
        _spend(_ITEM * len(value))


def _shatter(value: Any) -> None:
    """Pay for a text that becomes a list, and for the list."""
    _weigh(value)
    _spend(_ITEM * len(value) if isinstance(value, str) else 0)


def _weighed(value: Any) -> Any:
    _weigh(value)
    return value


def _each(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        _spend(_STEP)
        yield value


def _text(value: Any) -> str:
    _weigh(value)
    return str(value)


def _join(values: Any, d: Any = "", attribute: str | None = None) -> str:
    if attribute is not None:
        values = (value[attribute] for value in values)
    texts, between = [_text(value) for value in _each(values)], _text(d)
    _spend(len(between) * len(texts) + sum(map(len, texts)))
    return between.join(texts)


def _replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    text, limit = _text(value), -1 if count is None else count
    times = text.count(old) if limit < 0 else min(text.count(old), limit)
    _spend(len(text) + times * len(new))
    return text.replace(old, new, limit)


def _indent(value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = _text(value)
    if isinstance(width, int):
        _spend(width)
    before = width if isinstance(width, str) else " " * width
    _spend(_ITEM * len(text))
    _spend(len(before) * (len(text.splitlines()) + 2))
    return do_indent(text, before, first, blank)


def _tojson(value: Any, indent: int | None = None, **more: Any) -> str:
    """As Hugging Face's: nothing is escaped for HTML."""
    _weigh(value)
    if not more.keys() <= {"ensure_ascii", "separators", "sort_keys"}:
        raise TemplateError("no such argument of tojson")
    form = {"ensure_ascii": False, "indent": indent, **more}
    if indent is None and "separators" not in more:
        return json.dumps(
            value, ensure_ascii=bool(form["ensure_ascii"]), sort_keys=bool(form.get("sort_keys"))
        )
    if not isinstance(indent, int | None) or (indent or 0) > _WIDTH or _weigh(more) > _WIDTH:
        raise TemplateError("tojson is indented by too much")
    pieces = []
    for piece in json.JSONEncoder(**form).iterencode(value):
        _spend(_ITEM + len(piece))
        pieces.append(piece)
    return "".join(pieces)


def _percent(pattern: str, values: Any) -> str:
    if re.search(r"\d{4}|\*", pattern):
        raise TemplateError("a width is too large")
    _spend(len(pattern) + pattern.count("%") * (_weigh(values) + _WIDTH))
    return str(pattern % values)


def _format(pattern: Any, *args: Any, **kwargs: Any) -> str:
    return _percent(_text(pattern), kwargs or args)


def _check_format(pattern: str, values: Any) -> None:
    """Refuse what str.format would make too long."""
    fields = list(string.Formatter().parse(pattern))
    if any(re.search(r"\d{4}|\{", spec or "") for _, _, spec, _ in fields):
        raise TemplateError("a width is too large")
    _spend(len(pattern) + len(fields) * (_weigh(values) + _WIDTH))


def _guarded(function: Any, pay: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        _spend(_STEP)
        for value in (*args, *kwargs.values()):
            pay(value)
        return function(*args, **kwargs)

    return run


def _price(name: str) -> Callable[[Any], Any]:
    if name in _SPLITTING:
        return _shatter
    return _touch if name in _SHALLOW else _weigh


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "**", "%"})

    def __init__(self) -> None:
        # Nothing is computed when a template is compiled: no budget is there to pay for it.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols],
            optimized=False,
            finalize=pass_context(lambda _, value: _text(value)),
        )
        own = {"e": _text, "escape": _text, "safe": _text, "string": _text, "join": _join, "indent": _indent}
        own |= {
            "replace": _replace,
            "tojson": _tojson,
            "format": _format,
            "_weighed": _weighed,
            "_each": _each,
        }
        self.filters = own | {name: _guarded(self.filters[name], _price(name)) for name in _FILTERS}
        self.tests = {
            name: _guarded(test, _weigh if name in _COMPARING else _touch)
            for name, test in self.tests.items()
            if name not in {"lower", "upper"}
        }
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _refuse
        self.globals["strftime_now"] = lambda form: datetime.now(UTC).strftime(form[:_WIDTH])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Metered().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """What a macro or a block wrote."""
        return _join(pieces)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str | bytes | int | float | complex) and attr not in _TEXT_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        run = super().wrap_str_format(value)
        if run is None:
            return None

        def checked(*args: Any, **kwargs: Any) -> str:
            _check_format(value.__self__, (args, kwargs))
            return run(*args, **kwargs)

        return checked

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _spend(_STEP)
        if operator == "%" and isinstance(left, str):
            return _percent(left, right)
        sizes = [len(side) if isinstance(side, str | list | tuple) else None for side in (left, right)]
        if operator == "*" and sizes != [None, None]:
            times = right if sizes[1] is None else left
            _spend(_ITEM * max(0, int(times)) * (sizes[0] or sizes[1] or 0))
        elif operator == "+" and None not in sizes:
            _spend(sum(size or 0 for size in sizes) * (1 if isinstance(left, str) else _ITEM))
        elif operator == "**" and not (abs(left) <= _WIDTH and abs(right) <= _LARGEST_BITS):
            raise TemplateError("a number is too large")
        value = super().call_binop(context, operator, left, right)
        if isinstance(value, int) and value.bit_length() > _LARGEST_BITS:
            raise TemplateError("a number is too large")
        return value

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        _spend(_STEP)
        owner = getattr(function, "__self__", None)
        for value in (owner, *args, *kwargs.values()):
            _touch(value)
        name = function.__name__ if isinstance(owner, str) else ""
        if name == "join":
            return _join(args[0], owner)
        if name == "replace":
            return _replace(owner, *args)
        if name in _SPLITTING:
            _shatter(owner)
        value = super().call(context, function, *args, **kwargs)
        _touch(value)
        return value


class _Metered(NodeTransformer):
    """Puts a price on what the environment's hooks do not see."""

    def visit_For(self, node: nodes.For) -> Any:  # noqa: N802
        self.generic_visit(node)
        node.iter = _through("_each", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> Any:  # noqa: N802
        self.generic_visit(node)
        return _through("join", nodes.List(node.nodes, lineno=node.lineno))

    def visit_Compare(self, node: nodes.Compare) -> Any:  # noqa: N802
        self.generic_visit(node)
        node.expr = _through("_weighed", node.expr)
        for operand in node.ops:
            operand.expr = _through("_weighed", operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> Any:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _through("_weighed", node)
        node.arg = _through("_weighed", node.arg)
        return node

    def visit_Pair(self, node: nodes.Pair) -> Any:  # noqa: N802
        self.generic_visit(node)
        node.key = _through("_weighed", node.key)
        return node


def _through(name: str, node: Any) -> Any:
    if isinstance(node, nodes.Const):
        return node
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
