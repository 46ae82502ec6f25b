"""Sends operations that are drawn from the schema to a seeded server, as one of its users.

    node ../../../client-examples/harness/with-server.mjs python fuzz.py

Schemathesis draws them: those that fit the schema, with many of the seeded ids, and those that do not. No
answer may be a fault of the server, each field of `Query` and `Mutation` must have been answered with data, and
at the end the server still answers and has logged no error. FUZZ_SEED draws others; FUZZ_EXAMPLES is how many of
each field.
"""

from __future__ import annotations

import collections
import os
import re
import sys
from pathlib import Path
from typing import Any

import graphql
import schemathesis
from hypothesis import strategies
from hypothesis_graphql import nodes
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.cli import schemathesis as command

from seeded import URL, Seeded, another_network, ask, control, seed, sign_in

Case = schemathesis.Case[Any]

# No answer of a server that is well has these.
FAULTS = {"INTERNAL", "UNAVAILABLE", "TIMEOUT"}
# What these refuse says nothing of the session that they are sent with.
WITHOUT_SESSION = {
    "Mutation.login",
    "Mutation.verifyOtp",
    "Mutation.refreshSession",
    # It is another one's.
    "Mutation.deleteAccount",
}
# Not sent: its file comes with a form.
NOT_SENT = {"Mutation.uploadAttachment"}
FOLDER = Path(__file__).parent

# A key of an object, as a document of GraphQL may spell it.
KEYS = strategies.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
NUMBERS = strategies.integers() | strategies.floats(allow_nan=False, allow_infinity=False)
TEXTS = strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=40)
# Any JSON value, some of which are larger or deeper than may be.
VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | NUMBERS | TEXTS,
    lambda values: strategies.lists(values, max_size=6) | strategies.dictionaries(KEYS, values, max_size=6),
    max_leaves=30,
)


def literal(value: Any) -> graphql.ValueNode:
    """A JSON value as a document of GraphQL spells it."""
    if value is None:
        return nodes.Null
    if isinstance(value, bool):
        return nodes.Boolean(value)
    if isinstance(value, int):
        return nodes.Int(value)
    if isinstance(value, float):
        return nodes.Float(value)
    if isinstance(value, str):
        return nodes.String(value)
    if isinstance(value, list):
        return nodes.List([literal(item) for item in value])
    fields = value.items()
    return nodes.Object(
        [graphql.ObjectFieldNode(name=graphql.NameNode(value=key), value=literal(item)) for key, item in fields]
    )


# Mostly objects, as applications keep them.
OBJECTS = strategies.dictionaries(KEYS, VALUES, max_size=6)
schemathesis.graphql.scalar("JSON", (OBJECTS | OBJECTS | VALUES).map(literal))

seeded: Seeded = seed()
codes: set[str] = set(ask("{ server { errorCodes } }", {})["server"]["errorCodes"])
# How often a field was answered how: with `data`, or with the code of its first error.
answered: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
# How many of its answers were checked.
checked: collections.Counter[str] = collections.Counter()
# How often a field was answered with data that was sent an object of JSON.
objects: collections.Counter[str] = collections.Counter()


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    sender = seeded.viewer
    if case.operation.label == "Mutation.deleteAccount":
        # Not the viewer, who has to stay.
        named = (account for challenge, account in seeded.leavers.items() if challenge in str(case.body))
        sender = next(named, sender)
    case.headers["authorization"] = f"Bearer {sender.access_token}"
    case.headers["x-forwarded-for"] = another_network()


@schemathesis.hook
def after_call(
    _context: schemathesis.HookContext, case: Case, response: schemathesis.Response
) -> None:
    answer = response.json()
    data = answer.get("data") or {}
    errors = answer.get("errors", [])
    code = errors[0].get("extensions", {}).get("code") if errors else "null"
    label = case.operation.label
    answered[label]["data" if any(data.values()) else code] += 1
    if any(data.values()) and re.search(r"\bmetadata: *\{", str(case.body)):
        objects[label] += 1
    # The operation, or an earlier one, has ended the session; or the token is too old in a long run.
    ended = label == "Mutation.logout" if not errors else code in {"UNAUTHENTICATED", "TOKEN_EXPIRED"}
    if ended and label not in WITHOUT_SESSION:
        seeded.viewer = sign_in(seeded.viewer.email)


# A number of more than 32 bits for an `Int`.
LARGE_NUMBER = re.compile(r": -?\d{10,}")


@schemathesis.hook
def filter_failure(
    _context: schemathesis.HookContext,
    failure: Exception,
    case: Case,
    _response: schemathesis.Response,
) -> bool:
    """What counts as a failure.

    async-graphql looks at the size of an `Int` only when the field is executed. Where it is not, as on an object
    that is not there, a number that is too large passes.
    """
    return not (isinstance(failure, AcceptedNegativeData) and LARGE_NUMBER.search(str(case.body)))


@schemathesis.check
def answers_as_documented(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> None:
    """The answer is GraphQL. Each of its errors has a code that is documented and no fault of the server."""
    checked[case.operation.label] += 1
    assert response.status_code < 500, f"status {response.status_code}"
    answer = response.json()
    assert "data" in answer or "errors" in answer, "neither data nor errors"
    for error in answer.get("errors", []):
        code = error.get("extensions", {}).get("code")
        assert code in codes, f"{code} is no code that the server tells of"
        assert code not in FAULTS, f"{code} is a fault of the server"


def run() -> int:
    """Runs Schemathesis; its exit code."""
    arguments = ["--config-file", str(FOLDER / "schemathesis.toml"), "run", f"{URL}/graphql"]
    arguments += ["--seed", os.environ.get("FUZZ_SEED", "1")]
    if examples := os.environ.get("FUZZ_EXAMPLES"):
        arguments += ["--max-examples", examples]
    try:
        return command.main(arguments, prog_name="schemathesis", standalone_mode=False) or 0
    except SystemExit as end:
        return int(end.code or 0)


def problems() -> list[str]:
    """What is wrong after the run."""
    found = []
    for name, counts in sorted(answered.items()):
        print(f"{name}: " + ", ".join(f"{count} {how}" for how, count in counts.most_common()))
        if checked[name] != counts.total():
            found.append(f"{name}: {checked[name]} of {counts.total()} answers were checked")
        if not counts["data"]:
            found.append(f"{name} was never answered with data")
    inputs = ask("{ __schema { types { name inputFields { name } } } }", {})["__schema"]["types"]
    for one in inputs:
        if any(field["name"] == "metadata" for field in one["inputFields"] or []):
            name = "Mutation." + one["name"][0].lower() + one["name"][1:].removesuffix("Input")
            print(f"{name}: {objects[name]} answered with data that had an object as metadata")
            if not objects[name]:
                found.append(f"{name} was never answered with data where it was sent metadata")
    fields = ask("{ __schema { queryType { fields { name } } mutationType { fields { name } } } }", {})["__schema"]
    for root in ("Query", "Mutation"):
        for field in fields[f"{root.lower()}Type"]["fields"]:
            name = f"{root}.{field['name']}"
            if name not in answered and name not in NOT_SENT:
                found.append(f"{name} was never sent")
    bad = re.compile(r"\b(ERROR|panicked)\b|\"level\":\"ERROR\"")
    found += [f"logged: {line}" for line in control("/log").splitlines() if bad.search(line)]
    return found


if __name__ == "__main__":
    seeded.write(FOLDER / "values")
    code = run()
    found = problems()
    for problem in found:
        print(f"FAILED: {problem}")
    sys.exit(code or bool(found))
