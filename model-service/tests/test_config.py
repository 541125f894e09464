"""models.yaml and the choice of engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_service.bootstrap import make_engine
from model_service.models.config import ConfigError, ModelConfig, load_config, write_default_config
from servicekit.errors import SixfoldError


def load(folder: Path, text: str) -> list[ModelConfig]:
    (folder / "models.yaml").write_text(text)
    return load_config(folder / "models.yaml", folder)


def test_the_default_names_both_models_and_is_not_written_twice(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    write_default_config(file)
    text, embedding = load_config(file, tmp_path)
    assert (text.name, text.aliases, text.scheme) == ("smollm2-135m-instruct", ("default",), "openvino")
    assert text.engine == f"openvino://{tmp_path}/models/smollm2-135m-instruct"
    assert (embedding.aliases, embedding.scheme) == (("default-embedding",), "sentence-transformers")
    for config in (text, embedding):
        make_engine(config)
    file.write_text("models: []")
    write_default_config(file)
    assert file.read_text() == "models: []"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: [", "not YAML at line"),
        ("[]", "list under 'models'"),
        ("models: [1]", "must be a mapping"),
        ("models: [{name: a, engine: b}]", "must be a URL"),
        ("models: [{name: '', engine: 'a://'}]", "name"),
        ("models: [{name: a, engine: 'a://', typo: 1}]", "typo"),
        ("models: [{name: a, engine: 'a://', required: 3}]", "required"),
        ("models: [{name: a, engine: 'a://${NOWHERE_SET}'}]", "NOWHERE_SET"),
        ("models: [{name: a, engine: 'a://'}, {name: b, engine: 'a://', aliases: [a]}]", "given twice"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        load(tmp_path, text)
    assert "\n" not in str(error.value)


def test_no_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model_service prepare"):
        load_config(tmp_path / "models.yaml", tmp_path)


def test_an_unknown_scheme_names_those_that_are_known() -> None:
    with pytest.raises(SixfoldError, match=r"'nope://'.*openvino, sentence-transformers, triton"):
        make_engine(ModelConfig("a", "nope://x"))
