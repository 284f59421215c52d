"""The memories room in plain Python: rows in order of arrival, projects by their names, and what a word has come to mean."""

from __future__ import annotations

from memstore import Exists, Invalid, NotFound, RejectedClaim, VersionConflict

from .harness import (
    FLAGS,
    LIMITS,
    NO_DICT,
    NO_FLAG,
    NO_KEY,
    NO_LABEL,
    NO_LIMIT,
    NO_MOMENT,
    NO_NUMBER,
    NO_TEXT,
    Model,
    Refused,
    cut,
    moments,
    one_of,
    refuse_unless,
)  # fmt: skip

TYPES = ("preference", "knowledge", "project")
CONTENTS = ("amber basalt", "Amber  BASALT.", "basalt cedar delta", "cedar", "delta umber amber cedar", "the umber", "the of")
QUERIES = ("amber", "the CEDAR of delta", "basalt umber, optics", "", "the", "nothing")
ENDS = {"2023-11-15": 1_700_092_800.0, None: None, 1_700_000_060.0: 1_700_000_060.0}  # of days and moments
LIVE = ("candidate", "active")
OF_STATE = {"superseded_by": "superseded", "graduated_to_entity_id": "graduated", "expired_at": "invalid"}
NAMES = ("apollo", "moon", "eagle")
SCOPES = (None, None, "apollo", "moon", "eagle", "p-1", "p-2")
KEEP = object()  # not given, where None says something
FUNCTION_WORDS = {"the", "of"}


def normal(text):
    return " ".join(text.casefold().split()).rstrip(".")


def words(text):
    return {word.strip(",.") for word in text.casefold().split()} - FUNCTION_WORDS


def cleaned(tags):
    return list(dict.fromkeys(tag.strip().lower() for tag in tags))


class Memories(Model):
    """What an agent believes, and what is set by hand."""

    room = "memories"
    reads = frozenset({"get", "find", "count", "search", "recall", "history", "state", "states", "get_state", "state_history"})
    #: What takes a connection, and what follows from interactions.
    beyond = frozenset({"check", "erase", "join_project", "capture", "decay", "expire", "explain", "extract_candidates", "forget",
                        "get_interaction", "interactions", "reinforce"})  # fmt: skip
    often = {"add": 8, "update": 3, "promote": 2, "merge": 3, "set_state": 2}

    def __init__(self):
        super().__init__()
        self.rows = []
        self.entries = []
        self.projects = {}  # name, alias or id -> id
        self.trail = {}  # kind and id -> how many events it has

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _canonical(self, project):
        return self.projects.get(project, project)

    def _event(self, verb, id, actor="", note="", kind="memory"):
        self.log(f"{kind}.{verb}", id, actor, note)
        self.trail[kind, id] = self.trail.get((kind, id), 0) + 1

    def _row(self, id, rows=None):
        found = [row for row in (self.rows if rows is None else rows) if row["id"] == id]
        refuse_unless(found, NotFound)
        return found[0]

    def _twin(self, item, without=()):
        """Another live row that says the same in the same state."""
        return next(
            (row for row in self.rows if row["id"] != item["id"] and row["id"] not in without and said(row) == said(item)),
            None,
        ) if item["status"] in LIVE else None  # fmt: skip

    def _refuse_rejected(self, item):
        for row in self.rows[::-1]:
            agree = all(None in (row[name], item[name]) or row[name] == item[name] for name in ("project_id", "user_id"))
            judged = row["status"] == "invalid" and row["expired_at"] is None
            if judged and agree and normal(row["content"]) == normal(item["content"]):
                raise Refused(RejectedClaim, dict(row))

    def _turn(self, id, start, status, verb, actor, note, **columns):
        row = self._row(id)
        if row["status"] != start:
            return False
        row.update(status=status, updated_at=self.now, version=row["version"] + 1, **columns)
        self._event(verb, id, actor, note)
        return True

    # -- writes -------------------------------------------------------------------------------------------------------

    def add(
        self, memory_type, content, *, project=None, user_id=None, conversation_id=None, confidence=1.0, status="active", domain_tags=(),
        valid_until=None, source_chunk_id=None, interaction_id=None, rule=None, extractor_version=None, metadata=None, override=False,
        id=None, created_at=None, updated_at=None, reference_count=0, last_referenced_at=None, decayed_at=None, expired_at=None,
        superseded_by=None, graduated_to_entity_id=None,
    ):  # fmt: skip
        ends = {"expired_at": expired_at, "superseded_by": superseded_by, "graduated_to_entity_id": graduated_to_entity_id}
        refuse_unless(all(value is None or status == OF_STATE[name] for name, value in ends.items()), Invalid)
        born = self.now if created_at is None else created_at
        row = {
            "id": id, "created_at": born, "updated_at": born if updated_at is None else updated_at, "memory_type": memory_type,
            "content": content, "project_id": self._canonical(project), "user_id": user_id, "conversation_id": conversation_id,
            "confidence": confidence, "status": status, "domain_tags": cleaned(domain_tags), "valid_until": ENDS[valid_until],
            "reference_count": reference_count, "last_referenced_at": last_referenced_at, "decayed_at": decayed_at,
            "source_chunk_id": source_chunk_id, "interaction_id": interaction_id, "rule": rule, "extractor_version": extractor_version,
            "merged_from": None, "metadata": metadata, "version": 1, **ends,
        }  # fmt: skip
        twin = self._twin(row)
        if twin is not None:
            return dict(twin)
        if status in LIVE and not override:
            self._refuse_rejected(row)
        return self._insert(row)

    def _insert(self, row):
        taken = [each["id"] for each in self.rows]
        refuse_unless(row["id"] not in taken, Exists)
        row["id"] = self.new_id(taken) if row["id"] is None else row["id"]
        self.rows.append(row)
        return dict(row)

    def update(
        self, id, *, memory_type=None, content=None, confidence=None, domain_tags=None, valid_until=KEEP, metadata=KEEP,
        expected_version=None, override=False, actor="", note="",
    ):  # fmt: skip
        given = {"memory_type": memory_type, "content": content, "confidence": confidence,
                 "domain_tags": None if domain_tags is None else cleaned(domain_tags)}  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not None}
        if valid_until is not KEEP:
            changes["valid_until"] = ENDS[valid_until]
        if metadata is not KEEP:
            changes["metadata"] = metadata
        row = self._row(id)
        if expected_version not in (None, row["version"]):
            raise Refused(VersionConflict, dict(row))
        refuse_unless(row["status"] in LIVE, Invalid)
        new = {**row, **changes}
        if new == row:
            return dict(row)
        refuse_unless(self._twin(new) is None, Exists)
        if normal(new["content"]) != normal(row["content"]) and not override:
            self._refuse_rejected(new)
        row.update(changes, updated_at=self.now, decayed_at=None, version=row["version"] + 1)
        self._event("update", id, actor, note)
        return dict(row)

    def promote(self, id, *, override=False, actor="", note=""):
        row = self._row(id)
        refuse_unless(row["status"] != "candidate" or self._twin({**row, "status": "active"}) is None, Exists)
        if row["status"] == "candidate" and not override:
            self._refuse_rejected(row)
        return self._turn(id, "candidate", "active", "promote", actor, note)

    def reject(self, id, *, actor="", note=""):
        return self._turn(id, "candidate", "invalid", "reject", actor, note)

    def invalidate(self, id, *, actor="", note=""):
        return self._turn(id, "active", "invalid", "invalidate", actor, note)

    def supersede(self, id, *, by=None, actor="", note=""):
        refuse_unless(by != id, Invalid)
        if self._row(id)["status"] == "active" and by is not None:
            refuse_unless(self._row(by)["status"] == "active", Invalid)
        return self._turn(id, "active", "superseded", "supersede", actor, note, superseded_by=by)

    def graduate(self, id, entity_id, *, actor="", note=""):
        return self._turn(id, "active", "graduated", "graduate", actor, note, graduated_to_entity_id=entity_id)

    def merge(self, ids, content, *, metadata=None, override=False, id=None, created_at=None, actor="", note=""):
        chosen = sorted(set(ids))
        refuse_unless(len(chosen) > 1, Invalid)
        for row in self.rows[::-1]:
            if row["merged_from"] == chosen:
                return dict(row)
        sources = [self._row(each) for each in chosen]
        first = sources[0]
        refuse_unless({row["status"] for row in sources} == {"active"}, Invalid)
        for name in ("memory_type", "project_id", "user_id"):
            refuse_unless(len({row[name] for row in sources}) == 1, Invalid)
        tags = [tag for row in sources for tag in row["domain_tags"]]
        ends = [row["valid_until"] for row in sources]
        referenced = [row["last_referenced_at"] for row in sources if row["last_referenced_at"] is not None]
        born = self.now if created_at is None else created_at
        blank = dict.fromkeys(("decayed_at", "expired_at", "interaction_id", "rule", "extractor_version", *OF_STATE))
        agreed = {name: agree([row[name] for row in sources]) for name in ("conversation_id", "source_chunk_id")}
        new = {
            **first, **blank, **agreed, "id": id, "created_at": born, "updated_at": born, "content": content, "merged_from": chosen,
            "confidence": max(row["confidence"] for row in sources), "metadata": metadata, "version": 1,
            "domain_tags": sorted(dict.fromkeys(tags), key=lambda tag: -tags.count(tag)),
            "valid_until": None if None in ends else max(ends), "last_referenced_at": max(referenced, default=None),
            "reference_count": sum(row["reference_count"] for row in sources),
        }  # fmt: skip
        if not override:
            self._refuse_rejected(new)
        refuse_unless(self._twin(new, without=chosen) is None, Exists)
        shown = self._insert(new)
        for row in sources:
            row.update(status="superseded", superseded_by=shown["id"], updated_at=self.now, version=row["version"] + 1)
        self._event("merge", shown["id"], actor, note)
        return shown

    # -- project state ------------------------------------------------------------------------------------------------

    def _entry(self, project, key):
        project = self._canonical(project)
        here = [row for row in self.entries if (row["project_id"], row["key"], row["status"]) == (project, key, "active")]
        return here[0] if here else None

    def _begin(self, project, key, value, *, id=None, created_at=None, updated_at=None, **columns):
        born = self.now if created_at is None else created_at
        row = {
            "id": self.new_id([row["id"] for row in self.entries]) if id is None else id, "created_at": born,
            "updated_at": born if updated_at is None else updated_at, "project_id": self._canonical(project), "key": key, "value": value,
            **columns,
        }  # fmt: skip
        self.entries.append(row)
        return row

    def set_state(self, project, key, value, *, source="manual", confidence=1.0, expected_version=None, user_id=None, actor="", note=""):
        row = self._entry(project, key)
        version = 0 if row is None else row["version"]
        if expected_version not in (None, version):
            raise Refused(VersionConflict, row and dict(row))
        given = {"value": value, "source": source, "confidence": confidence}
        if row is not None and {**row, **given} == row:
            return dict(row)
        if row is None:
            row = self._begin(project, key, **given, status="active", version=1)
        else:
            row.update(given, updated_at=self.now, version=version + 1)
        self._event("set", row["id"], actor, note, "project_state")
        return dict(row)

    def add_state(
        self, project, key, value, *, source="manual", confidence=1.0, status="active", version=1, id=None, created_at=None,
        updated_at=None, user_id=None,
    ):  # fmt: skip
        refuse_unless(status != "active" or self._entry(project, key) is None, Exists)
        refuse_unless(id not in [row["id"] for row in self.entries], Exists)
        columns = {"source": source, "confidence": confidence, "status": status, "version": version}
        return dict(self._begin(project, key, value, id=id, created_at=created_at, updated_at=updated_at, **columns))

    def clear_state(self, project, key, *, user_id=None, actor="", note=""):
        row = self._entry(project, key)
        if row is None:
            return False
        row.update(status="invalid", updated_at=self.now, version=row["version"] + 1)
        self._event("clear", row["id"], actor, note, "project_state")
        return True

    # -- names that come to mean a project ----------------------------------------------------------------------------

    def chat__create_project(self, name, *, id):
        refuse_unless(name not in self.projects and id not in self.projects, Exists)
        self.projects |= {name: id, id: id}
        self._join(name, id)
        return ...

    def chat__alias(self, project, alias):
        refuse_unless(project in self.projects, NotFound)
        known = self.projects[project]
        if self.projects.get(alias) != known:
            refuse_unless(alias not in self.projects, Exists)
            self.projects[alias] = known
            self._join(alias, known)
        return ...

    def _join(self, name, project):
        for row in sorted((row for row in self.rows if row["project_id"] == name), key=lambda row: row["status"] not in LIVE):
            twin = self._twin({**row, "project_id": project})
            self._heed(row, twin, project)
            row["project_id"] = project
            self._outdo(row, twin, "memory")
        for row in [row for row in self.entries if row["project_id"] == name]:
            twin = self._entry(project, row["key"]) if row["status"] == "active" else None
            row["project_id"] = project
            self._outdo(row, twin, "project_state")

    def _heed(self, moved, twin, project):
        """What was rejected in a project does not hold there when it comes from elsewhere."""
        no = [
            row["id"] for row in self.rows
            if (row["status"], row["expired_at"], row["project_id"]) == ("invalid", None, project)
            and (None in (row["user_id"], moved["user_id"]) or row["user_id"] == moved["user_id"])
            and normal(row["content"]) == normal(moved["content"])
        ]  # fmt: skip
        if no and twin is None and moved["status"] in LIVE:
            verb = "reject" if moved["status"] == "candidate" else "invalidate"
            note = f"was rejected in the project before, as memory {no[-1]}"
            self._turn(moved["id"], moved["status"], "invalid", verb, "project-join", note)

    def _outdo(self, moved, twin, kind):
        """Of two that cannot stand side by side the one stays that was changed last, of equals the one that came last."""
        if twin is None:
            return
        rows = self.rows if kind == "memory" else self.entries
        older, newer = sorted((moved, twin), key=lambda row: (row["updated_at"], rows.index(row)))
        older.update(status="superseded", updated_at=self.now, version=older["version"] + 1)
        if kind == "memory":
            older["superseded_by"] = newer["id"]
        self._event("supersede", older["id"], "project-join", "", kind)

    # -- reads --------------------------------------------------------------------------------------------------------

    def get(self, id):
        return dict(self._row(id))

    def _found(self, *, memory_type=None, status=None, project=None, user_id=None, tag=None, include_expired=False):
        wanted = {"memory_type": memory_type, "status": status, "project_id": self._canonical(project)}
        return [
            row for row in self.rows
            if all(value is None or row[name] == value for name, value in wanted.items())
            and (user_id is None or row["user_id"] in (None, user_id)) and (tag is None or tag.strip().lower() in row["domain_tags"])
            and (include_expired or row["valid_until"] is None or row["valid_until"] > self.now)
        ]  # fmt: skip

    def find(
        self, *, memory_type=None, status=None, project=None, user_id=None, tag=None, include_expired=False, limit=None, before=None
    ):
        found = self._found(
            memory_type=memory_type, status=status, project=project, user_id=user_id, tag=tag, include_expired=include_expired
        )
        place = {row["id"]: (row["created_at"], number) for number, row in enumerate(self.rows)}
        found = sorted(found, key=lambda row: place[row["id"]], reverse=True)
        if before is not None:
            refuse_unless(before in place, NotFound)
            found = [row for row in found if place[row["id"]] < place[before]]
        return [dict(row) for row in cut(found, limit)]

    def count(self, *, memory_type=None, status=None, project=None, user_id=None, tag=None, include_expired=False):
        found = self._found(
            memory_type=memory_type, status=status, project=project, user_id=user_id, tag=tag, include_expired=include_expired
        )
        return len(found)

    def search(self, query, *, project=None, user_id=None, memory_type=None, status="active", limit=20):
        refuse_unless(status is None or status in LIVE, Invalid)
        found = self._found(memory_type=memory_type, status=status, user_id=user_id)
        return self._ranked(
            query, [row for row in found if project is None or row["project_id"] in (None, self._canonical(project))], limit
        )

    def recall(self, query, memory_types, *, project=None, user_id=None, unmatched=False, limit=20):
        refuse_unless(isinstance(memory_types, list) and set(memory_types) <= set(TYPES), Invalid)
        found = [row for row in self._found(status="active", user_id=user_id) if row["memory_type"] in memory_types]
        return self._ranked(
            query, [row for row in found if row["project_id"] in (None, self._canonical(project))], limit, unmatched
        )

    def _ranked(self, query, found, limit, unmatched=False):
        ranked = []
        for row in found:
            hits = words(query) & words(row["content"])
            if unmatched or (hits and row["status"] in LIVE):
                share = len(hits) / max(len(words(row["content"])), 1)
                boost = any(tag in query.lower() for tag in row["domain_tags"])
                ranked.append((share, len(hits), boost, row["confidence"], row["created_at"], self.rows.index(row)))
        best = cut(sorted(ranked, reverse=True), limit)
        return [{"memory": dict(self.rows[place]), "score": round(share, 6)} for share, *_, place in best]

    def history(self, id):
        row = self._row(id)
        merged = [each for each in self.rows if each["id"] == row["superseded_by"] and id in (each["merged_from"] or ())]
        return [...] * (self.trail.get(("memory", id), 0) + len(merged))

    def state(self, project, *, user_id=None):
        return {row["key"]: row["value"] for row in self.states(project)}

    def states(self, project=None, *, keys=None, include_cleared=False, user_id=None):
        found = [row for row in self.entries if include_cleared or row["status"] == "active"]
        found = [row for row in found if keys is None or row["key"].casefold() in [key.casefold() for key in keys]]
        found = [row for row in found if project is None or row["project_id"] == self._canonical(project)]
        return [dict(row) for row in sorted(found, key=lambda row: (row["project_id"], row["key"]))]

    def get_state(self, id):
        return dict(self._row(id, self.entries))

    def state_history(self, project, key, *, user_id=None):
        found = [row for row in self.entries if (row["project_id"], row["key"]) == (self._canonical(project), key)]
        return [...] * sum(self.trail.get(("project_state", row["id"]), 0) for row in found)

    # -- arguments ----------------------------------------------------------------------------------------------------

    pools = {
        "id": lambda model, rng: rng.choice(["nobody", *[row["id"] for row in model.rows[-12:]]]),
        "add.id": lambda model, rng: rng.choice([None, f"id-{rng.randrange(100)}"]),
        "merge.id": lambda model, rng: rng.choice([None, f"id-{rng.randrange(100)}"]),
        "get_state.id": lambda model, rng: rng.choice(["nobody", *[row["id"] for row in model.entries[-5:]]]),
        "add_state.id": lambda model, rng: rng.choice([None, f"id-{rng.randrange(30)}"]),
        "chat__create_project.id": one_of("p-1", "p-2"),
        "ids": lambda model, rng: _alike(model, rng),
        "by": lambda model, rng: rng.choice([None, "nobody", *[row["id"] for row in model.rows[-12:]]]),
        "before": lambda model, rng: rng.choice([None, "nobody", *[row["id"] for row in model.rows[-12:]]]),
        "memory_type": one_of(*TYPES),
        "memory_types": one_of([], list(TYPES), ["preference"], ["project", "knowledge"]),
        "unmatched": FLAGS,
        "content": one_of(*CONTENTS),
        "query": one_of(*QUERIES),
        "project": one_of(*SCOPES),
        "state.project": one_of(*SCOPES[2:]),
        "state_history.project": one_of(*SCOPES[2:]),
        "set_state.project": one_of(*SCOPES[2:]),
        "add_state.project": one_of(*SCOPES[2:]),
        "clear_state.project": one_of(*SCOPES[2:]),
        "chat__alias.project": one_of(*SCOPES[2:]),
        "alias": one_of(*NAMES),
        "name": one_of(*NAMES),
        "key": one_of("deadline", "pilot"),
        "keys": one_of(None, [], ["deadline"], ["PILOT", "x"]),
        "value": one_of("1969", "Neil", ""),
        "source": one_of("manual", "meeting"),
        "user_id": one_of(None, "ann", "bob"),
        "conversation_id": one_of(None, "c-1"),
        "confidence": one_of(0.0, 0.3, 0.6, 1.0),
        "status": one_of("active", "active", "candidate", "candidate", "superseded", "invalid", "graduated"),
        "search.status": one_of(None, "active", "candidate"),
        "add_state.status": one_of("active", "superseded", "invalid"),
        "domain_tags": one_of((), ["Optics"], ["optics ", "red"], ("red", "blue")),
        "tag": one_of("optics", " RED", "green"),
        "valid_until": one_of(*ENDS),
        "source_chunk_id": one_of(None, "chunk-1"),
        "interaction_id": one_of(None, "i-1"),
        "rule": one_of(None, "heading"),
        "extractor_version": one_of(None, "rules-1"),
        "metadata": one_of(None, {"a": 1}),
        "override": FLAGS,
        "created_at": moments,
        "updated_at": moments,
        "reference_count": one_of(0, 1, 3),
        "last_referenced_at": moments,
        "decayed_at": one_of(None, None, None, 1.0),
        "expired_at": one_of(None, None, None, 1.0),
        "superseded_by": one_of(None, None, None, "id-1"),
        "graduated_to_entity_id": one_of(None, None, None, "entity-1"),
        "entity_id": one_of("entity-1"),
        "expected_version": one_of(None, 0, 1, 2),
        "version": one_of(1, 2, 5),
        "actor": one_of("", "eve"),
        "note": one_of("", "said so"),
        "include_expired": FLAGS,
        "include_cleared": FLAGS,
        "limit": LIMITS,
    }
    wrong = {
        "id": NO_KEY, "by": NO_KEY, "before": NO_KEY, "memory_type": ("fact", 7), "content": ("", " ", 7), "query": NO_TEXT,
        "memory_types": ("knowledge", ["fact"], [7]), "unmatched": NO_FLAG,
        "project": NO_KEY, "key": NO_KEY, "value": NO_TEXT, "source": NO_LABEL, "user_id": NO_KEY, "conversation_id": NO_LABEL,
        "confidence": (-0.1, 1.1, *NO_NUMBER), "status": ("gone", 1), "domain_tags": ("red", [""], [7], list("abcdefghijk")),
        "tag": NO_KEY, "valid_until": ("tomorrow", True, float("nan")), "metadata": NO_DICT, "override": NO_FLAG,
        "created_at": NO_MOMENT, "updated_at": NO_MOMENT, "reference_count": (-1, 1.5, True), "entity_id": NO_KEY,
        "expected_version": ("1", 1.0, True), "version": (0, "1"), "include_expired": NO_FLAG, "include_cleared": NO_FLAG,
        "limit": NO_LIMIT, "ids": ("id-1", [7], [""]), "keys": ("deadline", [7]),
    }  # fmt: skip


def said(row):
    """What may stand once among live rows."""
    return normal(row["content"]), row["memory_type"], row["project_id"], row["user_id"], row["status"]


def agree(found):
    return found[0] if all(value == found[0] for value in found) else None


def _alike(model, rng):
    """Ids that can be merged, most of the time; now and then those of an earlier merge."""
    active = [row for row in model.rows if row["status"] == "active"]
    if not active or rng.random() < 0.15:
        return rng.choice([["nobody", "id-1"], *[row["merged_from"] for row in model.rows if row["merged_from"]]])
    one = rng.choice(active)
    others = [row["id"] for row in active if said(row)[1:] == said(one)[1:] or rng.random() < 0.05]
    return rng.sample(others, min(len(others), rng.choice([1, 2, 2, 3])))
