"""Processes that work on accounts as they are told: an order a line, answered with what came of it.

``python -m tests.faults.racer DSN SOCKET COUNT`` forks so many once all is imported, and each connects to the socket.
Orders and answers are JSON. An order says when it begins, by the machine's monotonic clock, so that several processes
begin at once.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from domain import commands
from domain import control as c
from domain.accounts import Access, find_access
from domain.application import Actor, Application, Expected
from domain.errors import CounterfoilError
from domain.ids import EntityId, PersonId
from domain.kinds import Kind
from domain.store.database import Database
from domain.work import Work
from snapshots.backup import Backup, take_backup
from snapshots.cloning.cloning import CloneChoices, NewAccount, clone_account
from snapshots.fresh.building import sweep_abandoned
from snapshots.generations import purging
from snapshots.generations.undo import ActivationChoices, activate
from snapshots.restoring.restore import Choices, restore_archive
from tests.fixtures.archives import KEYS, SIGNER
from tests.integration.restoring import LINE

Answer = dict[str, Any]
VERBS = ["append", "append", "append", "append by tag", "open", "issue", "give up"]


class Racer:
    """One person at work by one process."""

    def __init__(self, database: Database, order: dict[str, Any]) -> None:
        self.database = database
        self.application = Application(database)
        self.person = PersonId(order["person"])
        self.account = order["account"]
        self.actor = Actor.person(self.person, "api")
        self.order = order

    @property
    def access(self) -> Access:
        return find_access(self.database, self.person, self.account)

    # People at work.

    def write(self) -> list[Answer]:
        """Append to lists, open new customers, issue invoices: each an item that nobody else has."""
        chance = random.Random(self.order["seed"])
        return [self._write_one(chance, f"{self.order['seed']}.{n}") for n in range(self.order["count"])]

    def _write_one(self, chance: random.Random, item: str) -> Answer:
        list_ = EntityId(chance.choice(self.order["lists"]))
        verb = chance.choice(self.order.get("verbs", VERBS))
        answer = {"did": verb, "item": item, "entity": list_, "began": time.monotonic()}
        try:
            answer |= getattr(self, "_" + verb.replace(" ", "_"))(list_, item)
        except CounterfoilError as refused:
            answer["code"] = refused.code
        return {**answer, "ended": time.monotonic()}

    def _append(self, list_: EntityId, item: str, expected: Expected | None = None) -> Answer:
        def command(work: Work) -> None:
            notes = work.get(Kind.CUSTOMER, list_).notes or ""
            commands.change(work, Kind.CUSTOMER, list_, {"notes": f"{notes} {item}".strip()})

        done = self.application.outcome(self.account, self.actor, command, reads=[list_], expected=expected)
        return {"stream": done.stream, "position": done.position}

    def _append_by_tag(self, list_: EntityId, item: str) -> Answer:
        state, stream = self.application.find(self.account, Kind.CUSTOMER, list_)
        return self._append(list_, item, Expected(list_, stream, state.version))

    def _open(self, _list: EntityId, item: str) -> Answer:
        fields = {"party": {"name": item}}
        done = self.application.outcome(
            self.account, self.actor, lambda work: commands.create(work, Kind.CUSTOMER, fields)
        )
        return {"entity": done.result, "stream": done.stream, "position": done.position}

    def _issue(self, list_: EntityId, item: str) -> Answer:
        def command(work: Work) -> tuple[EntityId, str]:
            made = commands.create(work, Kind.INVOICE, {"customer": list_, "lines": [LINE], "buyer_reference": item})
            commands.issue(work, Kind.INVOICE, made)
            return made, work.get(Kind.INVOICE, made).number

        done = self.application.outcome(self.account, self.actor, command, reads=[list_])
        entity, number = done.result
        return {"entity": entity, "number": number, "stream": done.stream, "position": done.position}

    def _give_up(self, list_: EntityId, item: str) -> Answer:
        """An invoice that got its number, and then something in the same command was refused."""

        def command(work: Work) -> None:
            made = commands.create(work, Kind.INVOICE, {"customer": list_, "lines": [LINE], "buyer_reference": item})
            commands.issue(work, Kind.INVOICE, made)
            commands.issue(work, Kind.INVOICE, made)

        self.application.outcome(self.account, self.actor, command, reads=[list_])
        raise AssertionError("an invoice was issued twice")

    def read(self) -> list[Answer]:
        """Look at the lists, one after the other."""
        answers = []
        for n in range(self.order["count"]):
            list_ = self.order["lists"][n % len(self.order["lists"])]
            began = time.monotonic()
            state, stream = self.application.find(self.account, Kind.CUSTOMER, list_)
            items = (state.notes or "").split()
            seen = {"entity": list_, "stream": stream, "version": state.version, "items": items, "began": began}
            answers.append({**seen, "positions": self._positions()})
        return answers

    def _positions(self) -> list[int]:
        """How many events the live stream shows, and the position of the last."""
        with self.database.transaction(self.account) as connection:
            rows = connection.execute(
                "SELECT count(*), coalesce(max(position), 0) FROM events JOIN streams USING (account_id, stream_id)"
                " WHERE status = 'live'"
            ).fetchall()
        return list(rows[0])

    def tag(self) -> Answer:
        """Append to a list as it was at a tag."""
        list_, stream, version = self.order["expected"]
        return {"outcome": "told", **self._append(list_, self.order["seed"], Expected(list_, stream, version))}

    def pay(self) -> Answer:
        """Pay an invoice, all of it."""
        invoice, fields = self.order["invoice"], {"amount": "24.20", "means": "30"}
        self.application.run(
            self.account,
            self.actor,
            lambda work: commands.record(work, Kind.INVOICE, invoice, "payment_registered", fields),
        )
        return {"outcome": "paid"}

    # Jobs.

    def restore(self) -> Answer:
        choices = Choices(from_other_account=True, **self.order.get("choices", {}))
        with Path(self.order["archive"]).open("rb") as file:
            report = restore_archive(self.application, self.access, self.actor, file, choices=choices, keys=KEYS)
        return _said(report)

    def undo(self) -> Answer:
        choices = ActivationChoices(**self.order.get("choices", {}))
        report = activate(self.application, self.access, self.actor, self.order["stream"], choices=choices)
        return {**_said(report), "live_stream": report.stream}

    def clone(self) -> Answer:
        """Clone the account into another, or into a new one of that name."""
        into = self.order["into"]
        target = NewAccount(into[4:]) if into.startswith("new ") else find_access(self.database, self.person, into)
        report = clone_account(self.application, self.access, self.actor, target, choices=CloneChoices())
        return _said(report)

    def backup(self) -> Answer:
        taken = self._back_up(self.access, self.order.get("of"))
        return {"outcome": "taken", "file": str(taken.path), "stream": taken.stream, "position": taken.position}

    def purge(self) -> Answer:
        report = purging.purge(self.application, self.access, self.actor, self.order["stream"], self._back_up)
        return _said(report)

    def _back_up(self, access: Access, stream: int | None) -> Backup:
        target = Path(self.order["folder"]) / f"{self.order['seed']}.zip"
        return take_backup(self.application, access, self.actor, target, SIGNER, stream=stream)

    def sweep(self) -> Answer:
        """What goes on at every start of the service, again and again."""
        return {"outcome": "swept", "swept": [sweep_abandoned(self.database, self.account) for _ in range(20)]}

    def tell(self) -> Answer:
        """Put something on the account's own history."""
        event: Any = {
            "close": c.Closed(),
            "demote": c.AccessChanged(person=PersonId(self.order.get("whom", self.person)), role=c.Role.EDITOR),
            "remove": c.AccessRevoked(person=PersonId(self.order.get("whom", self.person))),
        }[self.order["event"]]
        self.application.record_control(self.account, Actor.system("test"), event)
        return {"outcome": "told"}

    def carry_out(self) -> Any:
        """The answer to the order."""
        verb: Callable[[], Any] = getattr(self, self.order["do"])
        time.sleep(max(0.0, self.order["at"] - time.monotonic()))
        began = time.monotonic()
        try:
            answer = verb()
        except CounterfoilError as refused:
            answer = {"code": refused.code, "reason": str(refused)}
        if isinstance(answer, list):
            return answer
        return {"did": self.order["do"], **answer, "began": began, "ended": time.monotonic()}


def _said(report: Any) -> Answer:
    said: Answer = msgspec.to_builtins(report)
    named = ("outcome", "mode", "live_stream", "retired_stream", "changed_meanwhile", "account_id", "source_position")
    return {name: said.get(name) for name in named}


def _race(dsn: str, address: str) -> None:
    """Carry out orders until there are no more."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(address)
        with Database(dsn) as database, connected.makefile("rw") as lines:
            for line in lines:
                print(json.dumps(Racer(database, json.loads(line)).carry_out()), file=lines, flush=True)


def main() -> None:
    dsn, address, count = sys.argv[1:]
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if not child:
            _race(dsn, address)
            return
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
