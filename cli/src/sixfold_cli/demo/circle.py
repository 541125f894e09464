"""In which order the steps are told: the good story, the one with spoiled labels, and the one cut short."""

from __future__ import annotations

from typing import Any

from sixfold_cli.demo import curate
from sixfold_cli.demo.names import NAME
from sixfold_cli.demo.story import Story
from sixfold_cli.demo.tell import Teller
from sixfold_cli.errors import CliError, Exit


def tell_good(story: Story) -> dict[str, Any]:
    """The whole of it. CliError when the circle does not close."""
    story.start()
    story.take_back()
    story.make_room()
    answers = story.ask_before()
    story.correct(answers)
    story.curate()
    made = story.train()
    base, candidate = story.measure(made)
    release = story.gate(made, base, candidate)
    if release["status"] != "awaiting_approval":
        raise CliError(f"the candidate was not let in: {release['reason']}", reason="NOT_LET_IN")
    release = story.approve_and_watch(release)
    if release["status"] != "promoted":
        raise CliError(f"the candidate was not promoted: {release['reason']}", reason="NOT_PROMOTED")
    story.ask_after()
    story.ask_briefly()
    found = story.trace()
    story.finish()
    return {"release": release, "model": made.model, "dataset": story.learned.id, "lineage": found}


def tell_bad(story: Story) -> dict[str, Any]:
    """The same with spoiled labels: it has to be refused, and that is the good end."""
    story.start()
    story.make_room()
    answers = story.ask_before()
    story.correct(answers)
    story.curate()
    with story.teller.step("spoiling", "Somebody sorts one column of the sheet, and the other not"):
        lines = curate.part(story.ada, story.learned.id, "train")
        spoiled = curate.spoil(lines)
        wrong = sum(
            one["messages"][-1] != two["messages"][-1] for one, two in zip(lines, spoiled, strict=True)
        )
        file_id, _ = curate.upload(story.ada, "spoiled.jsonl", spoiled)
        story.learned = curate.to_learn(story.ada, f"{NAME}-spoiled", file_id, story.golden.id, None)
        curate.tell(story.teller, story.learned)
        story.teller.say(
            f"{wrong} of {len(lines)} rows say something wrong now. The golden rows are right still."
        )
    made = story.train("Fine-tunes the base model on the spoiled rows; nobody has noticed")
    base, candidate = story.measure(made)
    story.facts.learned = False
    release = story.gate(made, base, candidate)
    if release["status"] != "refused":
        raise CliError(
            f"a model with spoiled labels came through the gate: it is {release['status']}.",
            f"`sixfold models rollback {NAME}` takes it back.",
            reason="LET_IN",
        )
    story.ask_after()
    still = {answer.model for answer in story.after}
    if still != {story.before_model}:
        raise CliError(f"'{NAME}' is answered by {', '.join(sorted(still))} now.", reason="MOVED")
    story.teller.say(
        f"'{NAME}' is still answered by {story.before_model}: no customer ever got the spoiled model."
    )
    story.finish()
    return {"release": release, "model": made.model, "dataset": story.learned.id, "still": story.before_model}


def interrupted(teller: Teller, left: list[str]) -> CliError:
    """What is left behind, and how to go on."""
    hints = [
        "The platform goes on (`sixfold down` stops it); files and data sets of tenant 'demo' stay.",
        *(f"Left: {each}." for each in left),
        "The same command begins anew, under new names.",
    ]
    return CliError(
        f"interrupted in step {len(teller.steps) + 1}, '{teller.current}'.",
        "\n  ".join(hints),
        reason="INTERRUPTED",
        code=Exit.INTERRUPTED,
    )
