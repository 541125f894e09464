"""Trainers, on a model with random weights: what is learned, what a pause costs, what a seed fixes."""

from __future__ import annotations

import importlib.util
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training_service.datasets.faults import Reason, SetFault
from training_service.datasets.rows import Message, Place, Row
from training_service.trainers.bases import NoBase, open_base
from training_service.trainers.plan import Method, Plan, Wishes, make_plan
from training_service.trainers.ports import Base, Run, Stood

_spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
assert _spec is not None
assert _spec.loader is not None
tiny = importlib.util.module_from_spec(_spec)
sys.modules["tiny"] = tiny
_spec.loader.exec_module(tiny)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    import torch

    torch.set_num_threads(1)  # steps of a millisecond: several threads would only wait for each other
    folder = tiny.make_base(tmp_path_factory.mktemp("base"))
    return open_base("tiny", f"file://{folder}", folder.parent)


def plan_of(method: Method, rows: int, **wishes: Any) -> Plan:
    return make_plan(method, Wishes(seed=7, **wishes), rows)


def run_of(base: Base, plan: Plan, workdir: Path, diary: Any, **more: Any) -> Run:
    workdir.mkdir(exist_ok=True)
    given: dict[str, Any] = {"train": tiny.labelled(40), "validation": [], "resume": None}
    return Run(base=base, plan=plan, workdir=workdir, diary=diary, **(given | more))


def losses(notebook: Any) -> list[float]:
    return [each["loss"] for each in notebook.metrics if "loss" in each]


def test_a_paused_training_goes_on_along_the_same_curve(base: Base, tmp_path: Path) -> None:
    from training_service.trainers import lora

    plan = plan_of(Method.LORA, 40, epochs=4, batch_size=8)
    assert plan.steps == 20
    whole = tiny.Notebook()
    straight = lora.train(run_of(base, plan, tmp_path / "whole", whole))
    halved = tiny.Notebook(stop_at=10)
    with pytest.raises(Stood):
        lora.train(run_of(base, plan, tmp_path / "first", halved))
    assert list(halved.checkpoints) == [10]
    rest = tiny.Notebook()
    resumed = lora.train(run_of(base, plan, tmp_path / "second", rest, resume=halved.checkpoints[10]))
    assert len(losses(whole)) == 20
    assert losses(halved) + losses(rest) == pytest.approx(losses(whole), rel=1e-5)
    from safetensors.numpy import load_file

    one = load_file(straight.folder / "adapter_model.safetensors")
    other = load_file(resumed.folder / "adapter_model.safetensors")
    assert all((one[name] == other[name]).all() for name in one)
    assert whole.metrics[-1]["loss"] < whole.metrics[0]["loss"]
    assert {"step", "loss", "learning_rate", "tokens_per_second", "eta_seconds"} <= set(whole.metrics[-1])


def test_only_answers_carry_loss(base: Base) -> None:
    from transformers import AutoTokenizer

    from training_service.trainers.examples import IGNORED, encode

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    turns = (
        Message("user", "one"),
        Message("assistant", "not this", trained=False),
        Message("user", "two"),
        Message("assistant", "but this"),
    )
    example = encode(Row(turns, Place("x", 1)), tokenizer, 512)
    learned = [token for token in example.labels if token != IGNORED]
    assert tokenizer.decode(learned) == "but this<|im_end|>"
    assert example.input_ids[-len(learned) :] == learned
    asked = tokenizer.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in turns], tokenize=False
    )
    assert tokenizer.decode(example.input_ids) == asked.rstrip("\n")


def test_packed_rows_do_not_see_each_other(base: Base) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training_service.trainers.examples import encode, loss_of, pack

    model = AutoModelForCausalLM.from_pretrained(base.folder)
    model.config.use_cache = False
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    rows = [encode(row, tokenizer, 512) for row in tiny.labelled(3)]
    with torch.no_grad():
        together = float(loss_of(model, pack(rows))[0])
        apart = 0.0
        for row in rows:  # as transformers itself computes it: the mean over one row's learned tokens
            learned = sum(label >= 0 for label in row.labels)
            given = {"input_ids": torch.tensor([row.input_ids]), "labels": torch.tensor([row.labels])}
            apart += float(model(**given).loss) * learned
    assert together == pytest.approx(apart, rel=1e-5)


def test_passes_of_a_step_add_up(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training_service.trainers import lora, supervised

    plan = plan_of(Method.LORA, 40, epochs=1, batch_size=8)
    whole, pieces = tiny.Notebook(), tiny.Notebook()
    lora.train(run_of(base, plan, tmp_path / "whole", whole))
    monkeypatch.setattr(supervised, "PASS_TOKENS", 130)
    lora.train(run_of(base, plan, tmp_path / "pieces", pieces))
    assert losses(pieces) == pytest.approx(losses(whole), rel=1e-4)


def test_all_weights_can_be_trained_and_packed_with_their_manifest(base: Base, tmp_path: Path) -> None:
    from training_service.trainers import full
    from training_service.trainers.artifact import archive, lay_out, version_of

    plan = plan_of(Method.FULL, 12, epochs=1, batch_size=4)
    run = run_of(base, plan, tmp_path / "full", tiny.Notebook(), train=tiny.labelled(12))
    folder = lay_out(run, full.train(run), {"data_sha256": "0" * 64}, merged=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["form"] == "full"
    assert manifest["base"] == {"name": "tiny", "version": base.version}
    assert {"merged/model.safetensors", "merged/tokenizer.json", "merged/config.json"} <= set(
        manifest["files"]
    )
    assert manifest["seed"] == 7
    archive(folder, tmp_path / "one.tar")
    (folder / "manifest.json").touch()
    archive(folder, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as packed:
        assert "manifest.json" in packed.getnames()
    assert len(version_of(folder)) == 16


def test_a_merged_adapter_answers_as_the_adapter_does(base: Base, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from training_service.trainers import lora
    from training_service.trainers.artifact import lay_out

    plan = plan_of(Method.LORA, 12, epochs=2, batch_size=4)
    run = run_of(base, plan, tmp_path / "lora", tiny.Notebook(), train=tiny.labelled(12))
    folder = lay_out(run, lora.train(run), {}, merged=True)
    ids = torch.tensor([[1, 40, 41, 42]])
    plain = AutoModelForCausalLM.from_pretrained(base.folder)
    before = plain(ids).logits
    with_adapter = PeftModel.from_pretrained(plain, folder / "adapter")(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged")(ids).logits
    torch.testing.assert_close(with_adapter, merged, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, merged)
    assert json.loads((folder / "adapter" / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == ("tiny")


def preferences(number: int) -> list[Row]:
    return [
        Row((Message("user", f"question {i}"),), Place("p", i + 1), chosen="yes", rejected="no no")
        for i in range(number)
    ]


def test_preferences_are_learned_and_resumed(base: Base, tmp_path: Path) -> None:
    from training_service.trainers import dpo

    plan = plan_of(Method.DPO, 8, epochs=3, batch_size=4, learning_rate_multiplier=20)
    assert plan.steps == 6
    whole = tiny.Notebook()
    trained = dpo.train(run_of(base, plan, tmp_path / "whole", whole, train=preferences(8)))
    assert (trained.folder / "adapter_model.safetensors").is_file()
    assert whole.metrics[0]["loss"] == pytest.approx(0.6931, abs=0.01)
    assert whole.metrics[-1]["loss"] < whole.metrics[0]["loss"]
    halved = tiny.Notebook(stop_at=3)
    with pytest.raises(Stood):
        dpo.train(run_of(base, plan, tmp_path / "first", halved, train=preferences(8)))
    rest = tiny.Notebook()
    dpo.train(
        run_of(base, plan, tmp_path / "second", rest, train=preferences(8), resume=halved.checkpoints[3])
    )
    assert losses(halved) + losses(rest) == pytest.approx(losses(whole), rel=1e-4)


def test_it_stops_early_and_keeps_the_best(base: Base, tmp_path: Path) -> None:
    from training_service.trainers import lora

    wrong = [
        replace(row, messages=(row.messages[0], Message("assistant", "zzzzqqqq"))) for row in tiny.labelled(4)
    ]
    plan = plan_of(Method.LORA, 40, epochs=10, batch_size=4, learning_rate_multiplier=20, patience=2)
    notebook = tiny.Notebook()
    trained = lora.train(run_of(base, plan, tmp_path / "early", notebook, validation=wrong))
    assert trained.metrics["stopped_early"] == 1
    assert trained.metrics["steps"] < plan.steps


def test_calling_off_leaves_no_checkpoint(base: Base, tmp_path: Path) -> None:
    from training_service.trainers import lora

    plan = plan_of(Method.LORA, 40, epochs=4, batch_size=8)
    notebook = tiny.Notebook(stop_at=3, how="cancel")
    with pytest.raises(Stood):
        lora.train(run_of(base, plan, tmp_path / "off", notebook))
    assert notebook.checkpoints == {}
    assert len(losses(notebook)) <= 3


def test_a_row_over_the_context_is_named_by_its_line(base: Base, tmp_path: Path) -> None:
    from training_service.trainers import lora

    rows = tiny.labelled(4)
    rows[2] = Row((Message("user", "x" * 2000), Message("assistant", "y")), Place("rows.jsonl", 3))
    run = run_of(base, plan_of(Method.LORA, 4), tmp_path / "long", tiny.Notebook(), train=rows)
    with pytest.raises(SetFault) as caught:
        lora.train(run)
    assert caught.value.reason is Reason.BAD_ROWS
    assert "rows.jsonl, line 3" in caught.value.message
    assert "512" in caught.value.message


def test_auto_has_rules() -> None:
    assert plan_of(Method.LORA, 300).epochs == 3
    assert plan_of(Method.LORA, 300).batch_size == 8
    assert plan_of(Method.LORA, 300).lora_rank == 8
    assert plan_of(Method.LORA, 5000).epochs == 1
    assert plan_of(Method.LORA, 5000).lora_rank == 16
    assert plan_of(Method.LORA, 3).batch_size == 1
    assert plan_of(Method.FULL, 300).learning_rate == pytest.approx(5e-5)
    assert plan_of(Method.LORA, 300, learning_rate_multiplier=2).learning_rate == pytest.approx(2e-3)
    assert plan_of(Method.LORA, 300, epochs=1, batch_size=10).steps == 30


def test_a_base_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoBase, match="not installed"):
        open_base("none", "package://no-such-distribution-here", tmp_path)
    with pytest.raises(NoBase, match=r"config\.json"):
        open_base("none", f"file://{tmp_path}", tmp_path)
