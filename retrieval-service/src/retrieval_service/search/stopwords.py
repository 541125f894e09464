"""Words that say nothing about what a query is after. English and Chinese, the two languages measured."""

from __future__ import annotations

_ENGLISH = """
a about also an and are as at be been being but by can could did do does for from had has have he her his
how i if in into is it its may might no not of on or our she should such than that the their then there
these they this to was we were what when where which who whom whose why will with would you your
"""
_CHINESE = """
的 了 是 在 和 与 及 或 吗 呢 吧 啊 什么 哪 哪些 哪个 哪里 谁 多少 几 怎么 怎样
如何 为什么 为何 以 被 把 对 对于 关于 有 为 于 从 到 由 其 这 那 这个 那个 之
就 都 也 而 并 请 请问 中 个 时 上
"""

STOP_WORDS = frozenset(_ENGLISH.split()) | frozenset(_CHINESE.split())
