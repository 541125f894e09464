"""Result files."""

from __future__ import annotations

import csv
import io

from training_service.trainers.curves import write_curves


def test_every_step_is_a_line_with_what_was_measured() -> None:
    text = write_curves([(1, 2.5), (2, 1.25), (3, 0.1234567)], [(2, 1.5), (4, 0.5)])
    assert text == "step,train_loss,valid_loss\n1,2.5,\n2,1.25,1.5\n3,0.123457,\n4,,0.5\n"
    assert [row["step"] for row in csv.DictReader(io.StringIO(text))] == ["1", "2", "3", "4"]


def test_a_training_without_validation_has_an_empty_column() -> None:
    assert write_curves([(1, 1.0)], []) == "step,train_loss,valid_loss\n1,1,\n"
