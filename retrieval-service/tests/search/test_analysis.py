"""What finds what: the one analysis of passages and queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_service.search.analysis import MAX_TERM, STEMMERS, index_terms, query_terms


def finds(query: str, text: str, language: str = "en", languages: tuple[str, ...] = ("en",)) -> bool:
    """Whether every word of the query matches the passage."""
    terms = set(index_terms(text, language))
    words = query_terms(query, languages)
    return bool(words) and all(terms & set(forms) for forms in words)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("running", "He runs"),
        ("RUNNING", "ran, run, running"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("ﬁne", "fine"),
        ("Zurich", "Zürich"),
        ("Zürich", "zurich"),
        ("naive", "naïve"),
        ("E-1042", "Error E-1042 was raised"),
        ("1042", "Error E-1042 was raised"),
        ("E1042", "Error E-1042 was raised"),
        ("COVID-19", "COVID-19"),
        ("covid", "COVID-19"),
        ("covid19", "COVID-19"),
        ("covid", "COVID19"),
        ("COVID-19", "COVID19"),
        ("3.14", "pi is 3.14."),
        ("3,14", "pi is 3.14"),
        ("1000", "1,000 people"),
        ("1,000", "1000 people"),
        ("v1.5.9", "since v1.5.9"),
        ("email", "an e-mail"),
        ("e-mail", "an e-mail"),
        ("USA", "the U.S.A."),
        ("max_retries", "set max_retries to 3"),
        ("retries", "set max_retries to 3"),
        ("C++", "in C++, not in C"),
        ("C#", "in C#"),
        ("O'Neill", "Mr. O’Neill"),
        ("child's", "the child"),
        ("2024-01-02", "on 2024-01-02"),
        ("x.org", "see https://x.org/page"),
    ],
)
def test_finds_in_english(query: str, text: str) -> None:
    assert finds(query, text)


def test_an_identifier_is_found_where_it_is_written_as_one_word() -> None:
    assert ("e1042",) in query_terms("E-1042")
    assert "e1042" in index_terms("Error e1042")


@pytest.mark.parametrize(
    ("query", "text"),
    [("3.14", "3 and 14"), ("C++", "C"), ("314", "3.14"), ("COVID-19", "19 cases"), ("running", "a rung")],
)
def test_does_not_find(query: str, text: str) -> None:
    assert not finds(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("科学院", "他毕业于中国科学院计算所"),
        ("计算", "他毕业于中国科学院计算所"),
        ("机器学习", "机器学习是人工智能的一个分支"),
        ("5G网络", "中国的5G网络"),
        ("防守丢了多少分", "黑豹队的防守只丢了308分"),
        ("servers", "这些 server 很快"),
        ("人工智能", "《人工智能》，２０２４年"),
        ("2024", "《人工智能》，２０２４年"),
    ],
)
def test_finds_in_chinese(query: str, text: str) -> None:
    assert finds(query, text, "zh", ("zh",))


@pytest.mark.parametrize(
    ("language", "query", "text"),
    [
        ("de", "Haus", "die Häuser"),
        ("de", "strasse", "die Straße"),
        ("fr", "eleve", "les élèves"),
        ("fr", "homme", "l’homme"),
        ("ru", "книга", "о книгах"),
        ("es", "canción", "canciones"),
        ("ja", "日本語", "これは日本語です"),
        ("ja", "テスト", "統合テストを書く"),
        ("ko", "한국어", "한국어를 배우다"),
        ("hi", "किताब", "किताबें पढ़ना"),
        ("th", "ภาษา", "ภาษาไทย"),
        ("ar", "كتاب", "الكتاب"),
        ("el", "θάλασσα", "θάλασσες"),
        ("", "servers", "a server"),
        ("xx", "servers", "a server"),
    ],
)
def test_finds_in_other_languages(language: str, query: str, text: str) -> None:
    assert finds(query, text, language, (language,))


def test_finds_across_the_languages_of_a_store() -> None:
    """The passage decides how it is stemmed; a query does not know which passage will answer it."""
    languages = ("", "de", "en", "fr", "ja", "zh")
    assert finds("Häuser", "Das Haus", "de", languages)
    assert finds("houses", "a house", "en", languages)
    assert finds("Kubernetes", "Kubernetes läuft", "de", languages)
    assert finds("Kubernetes", "Kubernetes tourne", "fr", languages)
    assert finds("Kubernetes", "运行 Kubernetes", "zh", languages)
    assert finds("学习", "机器学习", "zh", languages)
    assert not finds("Häuser", "Das Haus", "de", ("en",))


def test_a_store_of_one_language_has_one_form_a_word() -> None:
    assert all(len(forms) == 1 for forms in query_terms("what are the fastest running servers", ("en",)))


def test_leaves_out_stop_words_but_not_names_and_not_everything() -> None:
    assert query_terms("what is the capital of France") == [("capit",), ("franc",)]
    assert query_terms("the who") != []
    assert ("who",) in query_terms("stance of the WHO")
    assert query_terms("WHO IS THE CAPITAL") == [("capit",)]
    assert query_terms("中国的首都是什么", ("zh",)) == [("中国",), ("首都",)]
    assert "the" in index_terms("the", "en")


def test_a_word_twice_counts_once_in_a_query_and_twice_in_a_passage() -> None:
    assert query_terms("server servers", ("en",)) == [("server",)]
    assert index_terms("server servers", "en") == ["server", "server"]


@pytest.mark.parametrize("text", ["", " ", "\n\t", "?!…", "—", "\x00", "' '", "-._/"])
def test_no_word_no_term(text: str) -> None:
    assert index_terms(text, "en") == []
    assert query_terms(text) == []


@given(st.text(max_size=200), st.sampled_from(["", "en", "zh", "ja", "de", "xx"]))
def test_terms_are_whole_and_short_and_what_is_indexed_is_found(text: str, language: str) -> None:
    """tantivy splits at white space: a term that had some would be two there."""
    terms = index_terms(text, language)
    for term in terms:
        assert term
        assert len(term) <= MAX_TERM + 8
        assert not any(one.isspace() for one in term), repr(term)
    if language != "ja":
        missing = [forms for forms in query_terms(text, (language,)) if not set(forms) & set(terms)]
        assert not missing


@pytest.mark.parametrize("language", sorted(STEMMERS))
def test_every_stemmer_there_is(language: str) -> None:
    assert index_terms("international organisations 1234", language)


def test_a_word_of_a_million_letters_ends() -> None:
    assert len(index_terms("x" * 1_000_000, "en")) < 20_000
    assert len(index_terms("x-" * 100_000, "en")) == 100_000
    assert index_terms(",".join(["alpha"] * 1_000) + ",omega", "en")[-1] == "omega"
