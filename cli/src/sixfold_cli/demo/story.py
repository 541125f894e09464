"""The steps of the circle: asked, corrected, curated, trained, measured, let in, asked again."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sixfold_cli.client import Api
from sixfold_cli.demo import asking, canary, curate, house, judge, table
from sixfold_cli.demo.asking import Answer
from sixfold_cli.demo.judge import Asked, Measured
from sixfold_cli.demo.material import Material, Size, gather
from sixfold_cli.demo.names import NAME, TENANT
from sixfold_cli.demo.tell import Teller
from sixfold_cli.demo.tune import TUNING, Tuned, tune
from sixfold_cli.errors import CliError, Exit
from sixfold_cli.home import Home
from sixfold_cli.jobs import lineage as tree
from sixfold_cli.jobs.words import size

POLICY_NAME = SUFFIX = "demo"
_LOADS_SECONDS = 120.0
_TRIED = 2
"""Labelled messages an intent by which the way of asking is chosen."""


@dataclass(frozen=True)
class Options:
    """As they are said on the command line."""

    data: Path | None
    size: Size
    epochs: int
    silent: bool = False
    """Whether results go to a program: then people read standard error."""


@dataclass
class Story:
    """What one run of the demo knows. Each method is a step."""

    home: Home
    options: Options
    teller: Teller
    run: str = field(default_factory=lambda: secrets.token_hex(2))
    """Ends the names of what this run makes."""
    facts: table.Facts = field(default_factory=table.Facts)
    left: list[str] = field(default_factory=list)
    """What stays behind when the demo ends before its end, in words."""
    said_since: float = 0.0

    def start(self) -> None:
        """A platform, a name to ask, people to play, rows to work on."""
        say = self.teller.say
        with self.teller.step("platform and data", "A platform, and something to learn"):
            self.material: Material = gather(self.options.data, self.options.size)
            self.house, started = house.running(self.home, self.options.silent)
            how = "was started for this and stays" if started else "ran already, and goes on"
            say(f"Sixfold at {self.house.url} {how}; `sixfold down` stops it.")
            self.owner: Api = self.house.person("owner", "admin")
            self.ada: Api = self.house.person("ada")
            house.check(self.owner)
            for line in house.introduce(self.house, self.ada):
                say(line[0].upper() + line[1:] + ".")
            data, count = self.material, len(self.material.intents)
            say(
                f"Data: {data.source}. The task: which of {count} intents has a message of "
                f"{data.customers} customer? {len(data.labelled)} messages have labels, {len(data.golden)} "
                f"more are for golden rows, {len(data.questions)} are asked now and in the end."
            )
            if self.options.data is None:
                say(
                    "No data was named, so the messages are made here, from phrasings that are different for "
                    "what is learned, what measures and what is asked. SIXFOLD_DATA takes real ones."
                )
            say(f"The demo is tenant '{TENANT}' and plays its people: ada, the owner (admin), customers.")
            self._until_it_answers()
            self.short = asking.short(data)
            self.ways = (asking.with_turns(data), asking.with_list(data), self.short)

    def _until_it_answers(self) -> None:
        """A trained model is loaded after the others when the platform has just started."""
        asked = {"model": NAME, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 1}
        limit = time.monotonic() + _LOADS_SECONDS
        while True:
            try:
                self.ada.answer("/v1/chat/completions", asked)
                return
            except CliError as error:
                if error.code is not Exit.LIMITED or time.monotonic() > limit:
                    raise
                time.sleep(max(0.5, error.wait))

    def ask_before(self) -> list[Answer]:
        """What the name answers today."""
        count = len(self.material.questions)
        with self.teller.step("asked before", f"Asks {count} messages of '{NAME}', as it is today"):
            self._choose_form()
            answers = asking.ask_all(self.ada, NAME, self.form, self.material.questions)
            self.before_model = answers[0].model
            self.facts.questions, self.facts.before = len(answers), asking.right(answers)
            self.facts.tokens_before = _mean_tokens(answers)
            self.teller.say(
                f"{self.before_model} answers. It gets {self.form.name}, and can say nothing but one of the "
                f"{len(self.material.intents)} intents."
            )
            self.teller.rows(_shown(answers[:5]))
            self.teller.say(f"Right: {self.facts.before} of {len(answers)}.")
        return answers

    def _choose_form(self) -> None:
        """The way in which today's model is best; both models are then asked in it."""
        tried = self.material.labelled[: _TRIED * len(self.material.intents)]
        right = {form: asking.right(asking.ask_all(self.ada, NAME, form, tried)) for form in self.ways}
        self.form = max(right, key=lambda form: right[form])
        told = ", ".join(f"{form.name} {number} right" for form, number in right.items())
        self.teller.say(
            f"How is it asked best? {len(tried)} labelled messages, three ways: {told}. Everybody is "
            "asked in the best way from now on."
        )

    def correct(self, answers: Sequence[Answer]) -> None:
        """A person says what would have been right."""
        with self.teller.step(
            "corrections", "Ada corrects the answers, each by its request id (POST /v1/feedback)"
        ):
            self.said_since = time.time() - 1
            self.facts.corrected, praised = curate.correct(self.ada, answers)
            self.teller.say(f"{self.facts.corrected} corrections and {praised} thumbs up.")

    def curate(self) -> None:
        """Labelled rows and corrections become a data set; golden rows lie beside it."""
        say, data = self.teller.say, self.material
        title = "Labelled rows and corrections become a data set (POST /v1/datasets)"
        with self.teller.step("data set", title):
            file_id, _ = curate.upload(self.ada, "golden.jsonl", curate.rows(data.golden, self.short))
            self.golden = curate.golden(self.ada, f"{NAME}-golden", file_id)
            say(
                f"Golden set {self.golden.id}, version {self.golden.version[:12]}: "
                f"{self.golden.rows['test']} rows that measure; "
                f"the other {self.golden.rows['train']} are a reserve that nobody reads."
            )
            lines = curate.rows(data.labelled, self.short)
            lines += curate.flaws(data.labelled, self._measuring(), self.short)
            say(
                "Into the sheet of labelled rows we put what such sheets hold: one row twice, one without an "
                "intent, rows of the golden set, one with an e-mail address and a phone number."
            )
            file_id, count = curate.upload(self.ada, "labelled.jsonl", lines)
            self.facts.bytes["labelled rows"] = count
            self.learned = curate.to_learn(self.ada, NAME, file_id, self.golden.id, self.said_since)
            curate.tell(self.teller, self.learned)
            say(f"{self.learned.read('feedback')} of its rows are Ada's corrections.")

    def train(self, title: str = "Fine-tunes the base model on it (LoRA), the loss as it falls") -> Tuned:
        """A candidate."""
        with self.teller.step("training", title):
            made = tune(
                self.ada, self.teller, self.learned.id, f"{SUFFIX}-{self.run}", self.options.epochs,
                silent=self.options.silent,
            )  # fmt: skip
            self.left.append(f"model {made.model}")
            self.facts.bytes["the adapter, packed"] = weight = _weight(self.ada, made.job_id)
            self.teller.say(f"{made.model} is served. What was learned weighs {size(weight)}.")
        return made

    def measure(self, made: Tuned) -> tuple[Measured, Measured]:
        """Both in the same words, then both without examples where they were given."""
        title = f"Measures both on {self.learned.rows['test']} golden rows that neither has seen"
        with self.teller.step("measuring", title):
            forms = dict.fromkeys((self.form, self.short))
            asked = [
                Asked(f"{who}, {form.name}", model, form)
                for form in forms
                for who, model in (("today's model", self.before_model), ("candidate", made.model))
            ]
            eval_id = judge.create_eval(self.ada, f"{NAME}-{self.run}", self.material.intents)
            self.facts.runs = judge.measure(
                self.ada, self.teller, eval_id, self.learned.id, asked, silent=self.options.silent
            )
            for run in self.facts.runs:
                self.teller.say(f"{run.label}: {run.words()}.")
            base, candidate = self.facts.runs[:2]
            self.teller.say(
                f"Candidate minus today's, asked alike: {judge.compare(self.ada, eval_id, base, candidate)}."
            )
            self.report = self.home.root / "demo" / self.run / "report.html"
            judge.save_report(self.ada, eval_id, base, candidate, self.report)
            self.teller.say(f"Report: {self.report}")
        return base, candidate

    def gate(self, made: Tuned, base: Measured, candidate: Measured) -> dict[str, Any]:
        """What the policy says of it."""
        with self.teller.step("gate", f"Asks for its release to '{NAME}': the gate decides"):
            items = max(10, min(50, self.learned.rows["test"]))
            path = house.write_policy(self.home, POLICY_NAME, judge.POLICY.format(items=items))
            self.teller.say(f"The policy: {path}. It judges the runs in which both get {self.form.name}.")
            runs = (base.run_id, candidate.run_id)
            found = judge.release(self.owner, NAME, made.model, runs, POLICY_NAME)
            judge.tell_gate(self.teller, found)
            self.teller.say(found["reason"])
        return found

    def approve_and_watch(self, release: Mapping[str, Any]) -> dict[str, Any]:
        """A person says yes, customers decide."""
        path = f"{judge.RELEASES}/{release['id']}"
        title = "A person approves, and a share of the customers gets the candidate"
        with self.teller.step("approval and canary", title):
            self.teller.say(
                "The policy asks a person with the role 'admin'. The demo plays the owner, and says yes."
            )
            said = {"approved": True, "comment": "The golden rows speak for it."}
            self.owner.change("POST", f"{path}/approve", said)
            self.left.append(f"release {release['id']}: `sixfold models rollback {NAME}` takes it back")
            self.teller.say(
                "Customers ask, with a token each; a hash of who asks says who gets the candidate. Each says "
                "of each answer whether it was right: here the labels know."
            )
            look = canary.looking(self.house, str(release["id"]))
            found, crowd = canary.watch(self.house, self.teller, self.form, self.material.traffic, look)
            self.teller.say(crowd.told() + ".")
            self.teller.say(f"{found['status'].replace('_', ' ').capitalize()}: {found['reason']}")
        return found

    def ask_after(self) -> None:
        """The same questions, through the same name."""
        count = len(self.material.questions)
        with self.teller.step("asked again", f"Asks '{NAME}' the same {count} messages again"):
            answers = asking.ask_all(self.ada, NAME, self.form, self.material.questions)
            self.after = answers
            self.facts.after = asking.right(answers)
            self.teller.say(f"{answers[0].model} answers, asked in the very same way.")
            self.teller.rows(_shown(answers[:5]))
            self.teller.say(f"Right: {self.facts.after} of {len(answers)}; before: {self.facts.before}.")

    def ask_briefly(self) -> None:
        """Without the examples, where they were given: the new model may not need them."""
        if self.form is self.short:
            return
        answers = asking.ask_all(self.ada, NAME, self.short, self.material.questions)
        self.facts.tokens_after = _mean_tokens(answers)
        self.facts.after_short = asking.right(answers)
        self.teller.say(
            f"Without the examples: {self.facts.after_short} of {len(answers)}, with "
            f"{self.facts.tokens_after:.0f} tokens a question instead of {self.facts.tokens_before:.0f}."
        )

    def trace(self) -> dict[str, Any]:
        """Where one answer comes from. CliError when a link is missing."""
        request = self.after[0].request_id
        title = f"Where one of these answers comes from (GET /v1/requests/{request}/lineage)"
        with self.teller.step("lineage", title):
            found = _lineage(self.owner, request)
            self.teller.rows(tree.lines(found))
            if missing := table.gaps(found):
                raise CliError(f"the circle has a gap: {', '.join(missing)}.", reason="GAP")
        return found

    def take_back(self) -> None:
        """An earlier demo's model off the name, so that this one begins with the base."""
        for _ in range(20):
            newest = list(self.owner.pages(f"{judge.RELEASES}?alias={NAME}"))
            standing = [each for each in newest if each["status"] not in ("refused", "rolled_back")]
            if not standing:
                return
            back = self.owner.change(
                "POST", f"{judge.RELEASES}/rollback", {"alias": NAME, "reason": "The demo begins anew."}
            )
            self.teller.say(f"Took back {back['candidate']} of an earlier run: {back['reason']}")

    def make_room(self) -> None:
        """Earlier demos' models go, but for one that a released name stands for: a tenant may have a few."""
        gone = 0
        for model in self.owner.call("GET", "/v1/models").get("data", []):
            if f":{TENANT}:{SUFFIX}-" not in model["id"]:
                continue
            try:
                self.owner.change("DELETE", f"/v1/models/{quote(model['id'], safe='')}")
                gone += 1
            except CliError as error:
                if error.status not in (400, 404):
                    raise
        if gone:
            self.teller.say(f"Deleted {gone} {'model' if gone == 1 else 'models'} of earlier runs.")

    def finish(self) -> None:
        """Times go into the table."""
        self.facts.steps, self.facts.seconds = self.teller.steps, self.teller.seconds

    def _measuring(self) -> list[Any]:
        """Messages of the golden set's test part."""
        lines = curate.part(self.ada, self.golden.id, "test")
        asked = {row["messages"][-2]["content"] for row in lines}
        return [message for message in self.material.golden if message.text in asked]


def _shown(answers: Sequence[Answer]) -> list[str]:
    mark = {True: "right", False: "wrong"}
    texts = [f'"{each.message.text[:56]}"' for each in answers]
    width = max(map(len, texts))
    return [
        f"{text.ljust(width)}  {mark[each.right]}  {each.said}"
        + ("" if each.right else f" (it is {each.message.intent})")
        for text, each in zip(texts, answers, strict=True)
    ]


def _mean_tokens(answers: Sequence[Answer]) -> float:
    return sum(answer.prompt_tokens for answer in answers) / len(answers)


def _weight(api: Api, job_id: str) -> int:
    """Bytes of what a training kept, as its diary says."""
    for event in api.pages(f"{TUNING}/{job_id}/events"):
        if found := re.search(r"is kept: (\d+) bytes", event["message"]):
            return int(found[1])
    return 0


def _lineage(api: Api, request_id: str) -> dict[str, Any]:
    """Records are written behind the answer: they may be a moment late."""
    limit = time.monotonic() + 20
    while True:
        try:
            found: dict[str, Any] = api.call("GET", f"/v1/requests/{request_id}/lineage")
            if not table.gaps(found) or time.monotonic() > limit:
                return found
        except CliError as error:
            if error.status != 404 or time.monotonic() > limit:
                raise
        time.sleep(1)
