"""Forms however they arrive: cut anywhere, and made of anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.hot.forms import Form, boundary_of
from servicekit.errors import Reason, SixfoldError

Fields = list[tuple[str, str | None, bytes]]


async def pieces(body: bytes, size: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def read(body: bytes, size: int) -> Fields:
    async def work() -> Fields:
        return [
            (field.name, field.filename, b"".join([data async for data in field.chunks()]))
            async for field in Form(pieces(body, size), b"B").fields()
        ]

    return asyncio.run(work())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.binary(max_size=300).filter(lambda value: b"\r\n--B" not in value), max_size=5),
    st.integers(1, 90),
)
def test_where_a_body_is_cut_changes_nothing(values: list[bytes], size: int) -> None:
    parts = [
        b'--B\r\nContent-Disposition: form-data; name="f%d"; filename="n"\r\n\r\n%s\r\n' % (n, value)
        for n, value in enumerate(values)
    ]
    body = b"".join(parts) + b"--B--\r\n"
    assert read(body, size) == [(f"f{n}", "n", value) for n, value in enumerate(values)]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [
                b"--B",
                b"\r\n",
                b"--",
                b"content-disposition: form-data",
                b'; name="f"',
                b": ",
                b"x",
                b"\0",
                b"--B--",
            ]
        ),
        max_size=30,
    ),
    st.integers(1, 9),
)
def test_any_bytes_are_a_form_or_one_clear_error(words: list[bytes], size: int) -> None:
    try:
        read(b"".join(words), size)
    except SixfoldError as error:
        assert error.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        (b'filename="a \\"b\\".txt"', 'a "b".txt'),
        (b'filename="a %22b%22%0D%0A.txt"', 'a "b"\r\n.txt'),
        (b"filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        (b"filename*=ISO-8859-1'de'na%EFve.txt", "naïve.txt"),
        (b"filename=\"old.txt\"; filename*=utf-8''n%C3%A4u.txt", "näu.txt"),
        ('filename="中文.txt"'.encode(), "中文.txt"),
        (b"x=y", None),
    ],
    ids=repr,
)
def test_file_names_as_clients_write_them(disposition: bytes, filename: str | None) -> None:
    body = b'--B\r\ncontent-disposition: form-data; name="f"; %s\r\n\r\nx\r\n--B--\r\n' % disposition
    assert read(body, 7) == [("f", filename, b"x")]


@pytest.mark.parametrize(
    "kind",
    [None, b"", b"multipart/form-data", b"multipart/mixed; boundary=B", b"multipart/form-data; boundary=",
     b"multipart/form-data; boundary=" + b"x" * 71, b"application/x-www-form-urlencoded"],
    ids=repr,
)  # fmt: skip
def test_what_is_no_form(kind: bytes | None) -> None:
    with pytest.raises(SixfoldError):
        boundary_of(kind)
    assert boundary_of(b'Multipart/Form-Data; charset=utf-8; boundary="a b"') == b"a b"
