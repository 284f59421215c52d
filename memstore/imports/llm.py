"""Where the logs of Simon Willison's llm go: a conversation or thread is a conversation, a response or turn some messages of it.

1. The answer keeps the id of its response or turn; what stands before it (a system prompt, results of tools, the question) has that
   id and a number. What no message says (model, options, usage, duration, definitions of tools) is the answer's `metadata["llm"]`.
2. Up to llm 0.27 a response holds its own question. Later a turn names the chain of messages that led to it, which is the whole
   history each time: what the conversation has is left out, known by its hash or, where the chain begins otherwise, by what it says.
3. Fragments and attachments stand in the messages that use them; those that none uses are counted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Invalid, values
from ..kernel.foreign import ForeignFile
from ..kernel.schema import quote
from .intake import Part, Row, database, message, moment, parsed

if TYPE_CHECKING:
    from ..chat import Message
    from .intake import Intake

ORIGIN = "llm"
Json = dict[str, Any]

_DERIVED = "derived and not taken"
_WITHIN = "taken with the messages that use them"
BESIDE = {
    **dict.fromkeys(("fragments", "attachments", "schemas", "tools", "tool_instances"), _WITHIN),
    **dict.fromkeys(("prompt_fragments", "system_fragments", "prompt_attachments", "tool_responses"), _WITHIN),
    **dict.fromkeys(("tool_calls", "tool_results", "tool_results_attachments"), _WITHIN),
    **dict.fromkeys(("messages", "parts", "part_attachments", "part_fragments"), _WITHIN),
    **dict.fromkeys(("turn_tools", "turn_fragments", "tool_instantiations"), _WITHIN),
    "turn_search": _DERIVED,
    "_llm_migrations": _DERIVED,
}
#: What a fragment and an attachment are used by.
USES = {
    "fragments": (("prompt_fragments", "fragment_id"), ("system_fragments", "fragment_id"), ("part_fragments", "fragment_id"),
                  ("turn_fragments", "fragment_id")),
    "attachments": (("prompt_attachments", "attachment_id"), ("tool_results_attachments", "attachment_id"),
                    ("part_attachments", "attachment_id")),
}  # fmt: skip
SUPPLIED = " AND supplied = 1"


class LogFile(ForeignFile):
    """A logs.db, in which one asks for rows by what they belong to."""

    def one(self, table: str, id: Any) -> Json:
        """The row with an id; of one that is not there, the id."""
        return self.of(table, "id", [id]).get(id, [{"id": id}])[0]

    def fragment(self, id: Any) -> str:
        """The text of a fragment."""
        return values.text(f"fragment {id}", self.one("fragments", id).get("content"))

    def times(self) -> dict[Any, list[Any]]:
        """When the first and the last answer of each conversation came."""
        found: dict[Any, list[Any]] = {}
        for table, column in (("responses", "conversation_id"), ("turns", "thread_id")):
            if table in self.tables():
                with self._reading():
                    rows = self._raw.execute(
                        f"SELECT {quote(column)}, min(datetime_utc), max(datetime_utc) FROM {quote(table)} GROUP BY 1"
                    ).fetchall()
                for id, *times in rows:
                    found.setdefault(id, []).extend(time for time in times if time is not None)
        return found

    def unused(self, table: str) -> int:
        """How many fragments or attachments no message uses."""
        tables = self.tables()
        if table not in tables:
            return 0
        clause = " UNION ".join(
            [
                f"SELECT {quote(column)} FROM {quote(user)} WHERE {quote(column)} IS NOT NULL"
                for user, column in USES[table]
                if user in tables
            ]
        )
        with self._reading():
            return int(self._raw.execute(f"SELECT count(*) FROM {quote(table)} WHERE id NOT IN ({clause})").fetchone()[0])


class Said(NamedTuple):
    """A message of an answer: its form, what the form has no place for, and whether it is the answer itself."""

    form: Json
    beside: Json
    answers: bool = False


def open_source(path: Any, *, shared: bool = False) -> ForeignFile:
    """Open the logs of llm."""
    return database(path, "a logs.db of llm", _is_ours, LogFile, shared)


def _is_ours(tables: dict[str, list[str]]) -> bool:
    return {"conversation_id", "prompt", "response"} <= set(tables.get("responses", ())) or {"thread_id"} <= set(tables.get("turns", ()))


class Tables:
    """Takes conversations and answers to chat."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._chat = intake.store.chat
        self._file: LogFile = intake.source  # type: ignore[assignment]
        self._times = self._file.times()
        self._updated: dict[str, Any] = {}  # of the conversations that came in now: their messages must not move it

    def parts(self) -> list[Part]:
        """The older tables first: a thread goes on where its conversation ended."""
        begin = self._intake.each(self._conversation)
        return [
            Part("conversations", "chat", "id", begin, None),
            Part("threads", "chat", "id", begin, None, "conversations"),
            Part("responses", "chat", "id", self._responses, "datetime_utc", "messages", SUPPLIED),
            Part("turns", "chat", "id", self._turns, "datetime_utc", "messages", SUPPLIED),
        ]

    def notes(self) -> Sequence[str]:
        """What of the shared things no message uses."""
        counts = {table: self._file.unused(table) for table in USES}
        return [f"{table}: used by no message and left out (rows: {count:,})" for table, count in counts.items() if count]

    def _conversation(self, row: Row) -> None:
        row.left.pop("tip_message_hash", None)  # the newest message of a thread
        moments = sorted([*_checked(row.moments("datetime_utc").values()), *_readable(self._times.get(row.id, []))])
        row.rename(name="title")
        made = self._chat.create_conversation(
            id=row.id,
            **row.given("title"),
            created_at=moments[0] if moments else None,
            updated_at=moments[-1] if moments else None,
            metadata=row.metadata(ORIGIN),
        )
        self._updated[made.id] = made.updated_at

    def _by_conversation(self, rows: list[Row], column: str) -> Iterator[tuple[Any, list[Row]]]:
        rows.sort(key=lambda row: str(row.left.get(column)))  # each conversation stays in its order
        for name, group in groupby(rows, lambda row: row.left.get(column)):
            yield name, list(group)

    def _write(self, name: Any, answers: list[list[Message]]) -> None:
        self._chat.append_many(name, chain.from_iterable(answers), updated_at=self._updated.get(name))

    def _messages(self, row: Row, name: str, said: list[Said]) -> list[Message]:
        """What an answer adds to its conversation; the answer itself has its id and all that is known of it."""
        at = moment("datetime_utc", row.left.pop("datetime_utc", None))
        models = [model for model in [row.left.pop("model", None)] if model is not None]
        result = []
        for number, (form, beside, answers) in enumerate(said, 1):
            if answers:
                beside, row.left = {**row.left, **beside}, {}
            id = row.id if answers else f"{row.id}/{number}"
            metadata = {ORIGIN: beside} if beside else None
            result.append(message(form, id, name, at, models_used=models if answers else (), metadata=metadata))
        return result

    # -- up to 0.27: a response and its question --------------------------------------------------------------------

    def _responses(self, rows: list[Row]) -> None:
        beside = Beside(self._file, [row.id for row in rows])
        for name, group in self._by_conversation(rows, "conversation_id"):
            self._intake.together(group, partial(self._response, beside), partial(self._write, name))

    def _response(self, beside: Beside, row: Row) -> list[Message]:
        name = row.need("conversation_id")
        return self._messages(row, name, beside.said(row))

    # -- from then on: a turn and the chain that led to it ----------------------------------------------------------

    def _turns(self, rows: list[Row]) -> None:
        names = [row.left.get("thread_id") for row in rows]
        turns = self._file.of("turns", "thread_id", names)
        older = self._file.of("responses", "conversation_id", names)
        for name, group in self._by_conversation(rows, "thread_id"):
            history = History(self._file, older.get(name, ()))
            said = {turn["id"]: history.of(turn) for turn in turns.get(name, ())}
            self._intake.together(group, partial(self._turn, said), partial(self._write, name))

    def _turn(self, turns: dict[str, list[Said] | Invalid], row: Row) -> list[Message]:
        name = row.need("thread_id")
        said = turns.get(row.id, Invalid(f"thread_id {values.shorten(name)} is not text"))
        if isinstance(said, Invalid):
            raise said
        answer = next(item for item in said if item.answers)
        tools = self._file.of("turn_tools", "turn_id", [row.id]).get(row.id, ())
        answer.beside.update(_around(self._file, tools, row.left.pop("schema_id", None)))
        for table, told in (("turn_fragments", "fragments"), ("tool_instantiations", "instances")):
            if found := self._file.of(table, "turn_id", [row.id]).get(row.id):
                answer.beside[told] = [{name: value for name, value in item.items() if name != "turn_id"} for item in found]
        return self._messages(row, name, said)


class Beside:
    """What lies in other tables about the responses of a page."""

    def __init__(self, file: LogFile, ids: list[str]) -> None:
        self._file = file
        of = partial(file.of, column="response_id", wanted=ids)
        self._fragments = [of("prompt_fragments", order="order"), of("system_fragments", order="order")]
        self._attachments = of("prompt_attachments", order="order")
        self._calls, self._results, self._tools = of("tool_calls"), of("tool_results"), of("tool_responses")

    def said(self, row: Row) -> list[Said]:
        """The messages that a response stands for, in order."""
        asked, system = (self._texts(found.get(row.id, ())) for found in self._fragments)
        prompt = values.optional(values.text, "prompt", row.left.pop("prompt", None))
        told = values.text("system", row.left.pop("system", ""))
        results = self._results.get(row.id, ())
        attached = [self._file.one("attachments", item["attachment_id"]) for item in self._attachments.get(row.id, ())]
        said = []
        if parts := [text.strip() for text in [*system, told] if text.strip()]:
            said.append(Said({"role": "system", "content": "\n\n".join(parts)}, {}))
        said += [self._result(item) for item in results]
        text = "\n".join([*asked, *([prompt] if prompt else [])])
        if text or attached or (prompt is not None and not results):
            said.append(Said({"role": "user", "content": _content([text] if text else [], attached, "")}, {}))
        calls = [_call(item.get("tool_call_id"), item["name"], item["arguments"]) for item in self._calls.get(row.id, ())]
        beside = _around(self._file, self._tools.get(row.id, ()), row.left.pop("schema_id", None))
        return [*said, Said(_answer(row.left.pop("response", None), calls), beside, True)]

    def _texts(self, found: Sequence[Json]) -> list[str]:
        return [self._file.fragment(item["fragment_id"]) for item in found]

    def _result(self, item: Json) -> Said:
        files = self._file.of("tool_results_attachments", "tool_result_id", [item["id"]], "order").get(item["id"], ())
        attached = [self._file.one("attachments", file["attachment_id"]) for file in files]
        form = _result(item["name"], item["tool_call_id"], item["output"], attached)
        beside = {"exception": item.get("exception"), "instance": None}
        if item.get("instance_id") is not None:
            beside["instance"] = self._file.one("tool_instances", item["instance_id"])
        return Said(form, {name: value for name, value in beside.items() if value is not None})


class History:
    """The turns of one thread in order: what each of them adds."""

    def __init__(self, file: LogFile, older: Sequence[Json]) -> None:
        self._file = file
        self._taken: set[str] = set()  # hashes
        self._nodes: dict[str, Json] = {}
        beside = Beside(file, [item["id"] for item in older])
        self._said: set[str] = set()
        for item in older:
            with suppress(Invalid):  # it was refused where it came in
                self._said.update(_key(said.form) for said in beside.said(Row(item["id"], item)))

    def of(self, turn: Json) -> list[Said] | Invalid:
        """The messages that a turn adds, or why they cannot be read."""
        try:
            return self._of(turn["parent_message_hash"], turn["tip_message_hash"])
        except Invalid as error:
            return error
        except (TypeError, KeyError, AttributeError) as error:  # JSON of any form can stand there
            return Invalid(f"a part of its messages is not as llm writes them: {error!r}")

    def _of(self, parent: str | None, tip: str | None) -> list[Said]:
        asked = self._chain(parent)
        answered = self._chain(tip)[len(asked) :]
        own = next((at for at in range(len(asked), 0, -1) if self._nodes[asked[at - 1]]["role"] not in ("user", "tool")), 0)
        added: list[Said] = []
        for place, hash in enumerate(asked):
            if hash not in self._taken:
                said = self._forms(hash)
                if place >= own or not all(_key(item.form) in self._said for item in said):
                    added += said
        for hash in answered:
            added += self._forms(hash)
        self._taken.update(asked, answered)
        self._said.update(_key(item.form) for item in added)
        last = max((at for at, item in enumerate(added) if item.form["role"] == "assistant"), default=None) if answered else None
        if last is None:
            return [*added, Said(_answer(None, []), {}, True)]
        return [*added[:last], added[last]._replace(answers=True), *added[last + 1 :]]

    def _chain(self, tip: str | None) -> list[str]:
        """The hashes from the first message to this one."""
        hashes: list[str] = []
        while tip is not None:
            if tip not in self._nodes:
                found = self._file.of("messages", "hash", [tip]).get(tip)
                if found is None:
                    raise Invalid(f"message {values.shorten(tip)} of its chain is not in the file")
                self._nodes[tip] = found[0]
            if len(hashes) > len(self._nodes):
                raise Invalid(f"its chain runs in a circle at message {values.shorten(tip)}")
            hashes.append(tip)
            tip = self._nodes[tip]["parent_hash"]
        return hashes[::-1]

    def _forms(self, hash: str) -> list[Said]:
        """A message of llm's in OpenAI form: results of tools are messages of their own."""
        texts: list[str] = []
        attached: list[Json] = []
        calls: list[Json] = []
        results: list[Said] = []
        kept: list[Json] = []
        for part in self._file.of("parts", "message_hash", [hash], "position").get(hash, ()):
            said = parsed("payload", part["payload"]) if part["payload"] else {}
            if not isinstance(said, dict):
                raise Invalid(f"a part of message {values.shorten(hash)} is not a JSON object but {values.shorten(said)}")
            kind = part["type"]
            if kind == "text":
                texts.append(self._text(part["text"], said))
            elif kind == "attachment":
                attached.append(self._file.one("attachments", said.pop("attachment", {}).get("id")))
            elif kind == "tool_call":
                calls.append(_call(said.pop("tool_call_id", None), said.pop("name", None), json.dumps(said.pop("arguments", None))))
            elif kind == "tool_result":
                files = [self._file.one("attachments", file["id"]) for file in said.pop("attachments", ())]
                form = _result(said.pop("name", None), said.pop("tool_call_id", None), said.pop("output", None), files)
                results.append(Said(form, said))
                continue
            else:
                said["text"] = self._text(part["text"], said)
            if said:
                kept.append({"type": kind, **said})
        return [*self._spoken(hash, texts, attached, calls, kept, bool(results)), *results]

    def _spoken(
        self, hash: str, texts: list[str], attached: list[Json], calls: list[Json], kept: list[Json], others: bool
    ) -> Iterator[Said]:
        node = self._nodes[hash]
        beside: Json = {"parts": kept} if kept else {}
        if node["provider_metadata"]:
            beside["provider_metadata"] = parsed("provider_metadata", node["provider_metadata"])
        if texts or attached or calls or beside or not others:
            content = _content(texts, attached, None if calls else "")
            yield Said({"role": node["role"], "content": content, **({"tool_calls": calls} if calls else {})}, beside)

    def _text(self, plain: str | None, said: Json) -> str:
        """A text, or its pieces, of which some are fragments."""
        pieces = said.pop("text_ref", None)
        if pieces is None:
            return plain or ""
        return "".join(piece["literal"] if "literal" in piece else self._file.fragment(piece["fragment"]) for piece in pieces)


def _checked(times: Iterable[Any]) -> list[float]:
    return [values.moment("datetime_utc", time) for time in times]


def _readable(times: list[Any]) -> Iterator[float]:
    """Those that are times; an answer with one that is none is refused by itself, not with its conversation."""
    for time in times:
        with suppress(Invalid):
            yield values.moment("datetime_utc", moment("datetime_utc", time))


# -- OpenAI forms -------------------------------------------------------------------------------------------------------


def _answer(text: Any, calls: list[Json]) -> Json:
    content = None if calls and not text else text
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def _call(id: Any, name: Any, arguments: Any) -> Json:
    return {**({} if id is None else {"id": id}), "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(name: Any, call_id: Any, output: Any, attached: list[Json]) -> Json:
    called = {} if call_id is None else {"tool_call_id": call_id}
    return {"role": "tool", **called, "name": name, "content": _content([output or ""], attached, "")}


def _content(texts: list[str], attached: list[Json], empty: str | None) -> Any:
    """One text as it is, anything more as parts."""
    if not attached and len(texts) < 2:
        return texts[0] if texts else empty
    return [*({"type": "text", "text": text} for text in texts), *map(_attachment, attached)]


def _attachment(row: Json) -> Json:
    """A file as a part: its URL, its bytes as one, or the path where llm found it."""
    kind = str(row.get("type") or "application/octet-stream")
    content = row.get("content")
    if isinstance(content, bytes):
        content = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    url = row.get("url") or content
    if kind.startswith("image/") and url is not None:
        return {"type": "image_url", "image_url": {"url": url}}
    file = {"file_id": row.get("id"), "filename": row.get("path"), "file_data": url, "mime_type": row.get("type")}
    return {"type": "file", "file": {name: value for name, value in file.items() if value is not None}}


def _around(file: LogFile, tools: Sequence[Json], schema_id: Any) -> Json:
    """The tools that an answer could call, and the schema that it had to keep to."""
    told: Json = {"tools": [file.one("tools", tool["tool_id"]) for tool in tools]} if tools else {}
    if schema_id is not None:
        told["schema"] = {"id": schema_id, **file.one("schemas", schema_id)}
    return told


def _key(form: Json) -> str:
    return values.to_json("message", form, stored=False)
