"""What is made from atoms: artifacts, their sections and citations, and the state of a project.

1. Artifacts are made anew, never edited. The new one has the old one as its parent, which stays as it was and is superseded.
2. A citation remembers how its atom was when it was cited. So a section is known to be stale as soon as its atom is another, and
   only such sections need to be written again.
3. The state of a project is made anew as a whole; what each run changed is appended beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..kernel import Invalid, new_id, values
from ..kernel.lifecycle import confirm_version, log, shown
from ..kernel.rows import arrived, filled, filters, known, newest, scope
from .ledger_checks import ARTIFACT, DELTA, INSIGHT, STATE
from .ledger_tables import ARTIFACT_STATES, OF_ATOM, Artifact, ArtifactSection, ArtifactState, Citation, KnowledgeDelta, KnowledgeState
from .schema import ARTIFACTS, ATOMS, CITATIONS, DELTAS, KNOWLEDGE_STATES, SECTIONS
from .view import Knowing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ..kernel import Connection

OF_ARTIFACT = "artifact = (SELECT f.pk FROM artifacts AS f WHERE f.id = ?)"
SUPPORTED = "EXISTS (SELECT 1 FROM evidence AS e WHERE e.atom = a.pk AND e.stale = 0)"
STALE = f"""
    SELECT 1 FROM citations AS c LEFT JOIN atoms AS a ON a.pk = c.atom
    WHERE c.section = artifact_sections.pk AND c.kind = 'atom'
    AND (a.pk IS NULL OR a.version <> c.atom_version OR (c.supported = 1 AND NOT {SUPPORTED}))
"""
SUMMED_UP = ("working_summary", "open_questions", "evidence_index", "updated_by_run_id")


class Section(NamedTuple):
    """A section as it is handed in: what tells it from others, its text, and the ids of what it rests on."""

    key: str
    title: str = ""
    content: str = ""
    atoms: Sequence[str] = ()
    contradictions: Sequence[str] = ()
    relation_type: str = "supports"


class Artifacts(Knowing):
    """The part of the knowledge room that deals with what is derived."""

    # -- artifacts --------------------------------------------------------------------------------------------------

    def add_artifact(
        self,
        artifact_type: str,
        title: str,
        *,
        body: str = "",
        sections: Iterable[Section] = (),
        project: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        parent_artifact_id: str | None = None,
        run_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Artifact:
        """Store what was made from atoms and return it; the atoms that its sections name must be there.

        `artifact_type` is an open word. Contradictions are named by the ids of conflicts, and not looked up.
        """
        columns = values.checked(
            ARTIFACT,
            {"id": id, "created_at": created_at, "artifact_type": artifact_type, "title": title, "body": body,
             "parent_artifact_id": parent_artifact_id, "user_id": user_id, "conversation_id": conversation_id, "run_id": run_id,
             "metadata": metadata},
        )  # fmt: skip
        project = values.optional(values.key, "project", project)
        given = _sections(sections)
        with self.db.write() as connection:
            columns["project_id"] = self._canonical(project, user_id)
            if columns["parent_artifact_id"] is not None:
                self._artifact(connection, columns["parent_artifact_id"])
            columns = filled(connection, ARTIFACTS, "an artifact", columns, self.db.now)
            new = Artifact(**columns, updated_at=columns["created_at"], artifact_state="current", version=1)
            self._put_artifact(connection, new, given, {})
            return new

    def regenerate(
        self,
        id: str,
        sections: Iterable[Section | ArtifactSection],
        *,
        title: str | None = None,
        body: str | None = None,
        run_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        actor: str = "",
        note: str = "",
    ) -> Artifact:
        """Put a new artifact into the place of a current one and return it; all of its sections are given, in their order.

        One as `sections()` returned it is carried over with its citations as they were. One made anew, as a Section, cites its
        atoms as they are now. All get new ids; `created_at` stays where key, title and content are what they were. Not given: title
        and body are the old ones, `run_id` and `metadata` are none.
        """
        id = values.key("id", id)
        given = _sections(sections)
        changes = values.checked(ARTIFACT, {"run_id": run_id, "metadata": metadata})
        changes |= values.changes(ARTIFACT, {"title": title, "body": body})
        with self.db.write() as connection:
            old = self._artifact(connection, id)
            if old.artifact_state != "current":
                newer = connection.value("SELECT id FROM artifacts WHERE parent_artifact_id = ? ORDER BY pk DESC LIMIT 1", (id,))
                raise Invalid(f"artifact {values.shorten(id)} is superseded; regenerate {values.shorten(newer)}, which took its place")
            now = self.db.now
            had = {item.section_key: item for item in self._sections_of(connection, id)}
            new = replace(
                old, id=new_id(), created_at=now, updated_at=now, parent_artifact_id=id, version=1, **changes
            )
            self._put_artifact(connection, new, given, had)
            connection.run(
                "UPDATE artifacts SET artifact_state = 'superseded', updated_at = ?, version = version + 1 WHERE id = ?", (now, id)
            )
            keys = [_texts(section)[0] for section in given]
            details = {"sections": keys, "dropped": sorted(had.keys() - set(keys))}
            before, after = {"artifact_state": "current"}, {"artifact_state": "superseded", "by": new.id}
            log(self._audit, "artifact", "regenerate", old, before, after, actor=actor, note=note, details=details)
            return new

    def _put_artifact(
        self, connection: Connection, new: Artifact, given: list[Section | ArtifactSection], had: dict[str, ArtifactSection]
    ) -> None:
        """Write an artifact with its sections, of which the one before it may have had some."""
        artifact = ARTIFACTS.insert(connection, new)
        for position, section in enumerate(given):
            texts = _texts(section)
            row = ArtifactSection(new_id(), new.created_at, new.id, *texts[:2], position, texts[2])
            old = had.get(row.section_key)
            if old is not None and old.section_fingerprint == row.section_fingerprint:
                row = replace(row, created_at=old.created_at)
            pk = SECTIONS.insert(connection, row, artifact=artifact)
            if isinstance(section, Section):
                self._cite(connection, section, row, artifact, pk)
            elif section != old:
                raise Invalid(f"sections[{position}] is no section of the artifact that is regenerated; hand in a Section")
            else:
                self._carry_citations(connection, section, row, artifact, pk)

    def _cite(self, connection: Connection, section: Section, row: ArtifactSection, artifact: int, pk: int) -> None:
        """Write what a section rests on, as it is now."""
        common: dict[str, Any] = {"created_at": self.db.now, "artifact_id": row.artifact_id, "section_id": row.id, "insight_id": None,
                  "relation_type": section.relation_type}  # fmt: skip
        for atom_id in dict.fromkeys(section.atoms):
            self._cite_atom(connection, atom_id, {**common, "id": new_id(), "kind": "atom"}, artifact=artifact, section=pk)
        for conflict in dict.fromkeys(section.contradictions):
            rest: dict[str, Any] = {"id": new_id(), "kind": "contradiction", "contradiction_id": conflict, "atom_id": None}
            named = Citation(**common, **rest, atom_version=None, supported=None)
            CITATIONS.insert(connection, named, artifact=artifact, section=pk)

    def _cite_atom(self, connection: Connection, atom_id: str, columns: dict[str, Any], **keys: int) -> Citation:
        """Write a citation of an atom with how that is now."""
        known(connection, ATOMS, "atom", atom_id, "store.knowledge.atoms()")
        found = connection.row(f"SELECT a.pk, a.version, {SUPPORTED} FROM atoms AS a WHERE a.id = ?", (atom_id,))
        assert found is not None
        atom, version, supported = found
        new = Citation(**columns, atom_id=atom_id, contradiction_id=None, atom_version=version, supported=bool(supported))
        CITATIONS.insert(connection, new, atom=atom, **keys)
        return new

    def _carry_citations(
        self, connection: Connection, old: ArtifactSection, row: ArtifactSection, artifact: int, pk: int
    ) -> None:
        """Write what a section rests on as it was, so that what was stale stays stale."""
        for cited in CITATIONS.find(connection, "WHERE section = (SELECT s.pk FROM artifact_sections AS s WHERE s.id = ?)", (old.id,)):
            atom = connection.value("SELECT atom FROM citations WHERE id = ?", (cited.id,))
            copied = replace(cited, id=new_id(), artifact_id=row.artifact_id, section_id=row.id)
            CITATIONS.insert(connection, copied, artifact=artifact, section=pk, atom=atom)

    def get_artifact(self, id: str) -> Artifact:
        """Return an artifact, superseded or not."""
        id = values.key("id", id)
        with self.db.read() as connection:
            return self._artifact(connection, id)

    def _artifact(self, connection: Connection, id: str) -> Artifact:
        return known(connection, ARTIFACTS, "artifact", id, "store.knowledge.artifacts()")

    def artifacts(
        self,
        *,
        artifact_type: str | None = None,
        state: ArtifactState | None = None,
        project: str | None = None,
        user_id: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[Artifact]:
        """Return artifacts, newest first by (created_at, arrival): all of them unless there is a limit.

        A `user_id` finds that user's and everybody's; `before` is the id of the last artifact of the page before.
        """
        limit = values.limit(limit)
        terms = filters(
            ("artifact_type = ?", values.optional(values.key, "artifact_type", artifact_type)),
            ("artifact_state = ?", values.optional(values.one_of, "state", state, legal=ARTIFACT_STATES)),
        )
        with self.db.read(snapshot=True) as connection:
            terms += scope(self._canonical, project, user_id)
            return newest(connection, ARTIFACTS, "artifact", terms, limit, before, "store.knowledge.artifacts()")

    def sections(self, artifact_id: str) -> list[ArtifactSection]:
        """Return the sections of an artifact in their order."""
        artifact_id = values.key("artifact_id", artifact_id)
        with self.db.read(snapshot=True) as connection:
            self._artifact(connection, artifact_id)
            return self._sections_of(connection, artifact_id)

    def _sections_of(self, connection: Connection, artifact_id: str, clause: str = "") -> list[ArtifactSection]:
        return SECTIONS.find(connection, f"WHERE {OF_ARTIFACT}{clause} ORDER BY position", (artifact_id,))

    def stale_sections(self, artifact_id: str) -> list[ArtifactSection]:
        """Return the sections that cite an atom which is gone, or since then was changed, retired or left without evidence."""
        artifact_id = values.key("artifact_id", artifact_id)
        with self.db.read(snapshot=True) as connection:
            self._artifact(connection, artifact_id)
            return self._sections_of(connection, artifact_id, f" AND EXISTS ({STALE})")

    # -- citations --------------------------------------------------------------------------------------------------

    def cite_insight(
        self,
        insight_id: str,
        atom_id: str,
        *,
        relation_type: str = "supports",
        id: str | None = None,
        created_at: float | datetime | None = None,
    ) -> Citation:
        """Store that an insight, which is kept elsewhere, rests on an atom, and return that; the same again is returned as it is."""
        columns = values.checked(
            INSIGHT, {"id": id, "created_at": created_at, "insight_id": insight_id, "relation_type": relation_type}
        )
        atom_id = values.key("atom_id", atom_id)
        with self.db.write() as connection:
            twin = CITATIONS.first(
                connection,
                "WHERE insight_id = ? AND relation_type = ? AND atom = (SELECT a.pk FROM atoms AS a WHERE a.id = ?)",
                (columns["insight_id"], columns["relation_type"], atom_id),
            )
            if twin is not None:
                return twin
            columns = filled(connection, CITATIONS, "a citation", columns, self.db.now)
            return self._cite_atom(connection, atom_id, {**columns, "kind": "insight", "artifact_id": None, "section_id": None})

    def citations(
        self,
        *,
        artifact_id: str | None = None,
        atom_id: str | None = None,
        insight_id: str | None = None,
        limit: int | None = None,
    ) -> list[Citation]:
        """Return citations in order of arrival, oldest first."""
        terms = filters(
            (OF_ARTIFACT, values.optional(values.key, "artifact_id", artifact_id)),
            (OF_ATOM, values.optional(values.key, "atom_id", atom_id)),
            ("insight_id = ?", values.optional(values.key, "insight_id", insight_id)),
        )
        return arrived(self.db, CITATIONS, terms, limit)

    # -- the state of a project -------------------------------------------------------------------------------------

    def set_knowledge_state(
        self,
        project: str,
        working_summary: str,
        *,
        open_questions: Iterable[str] = (),
        evidence_index: dict[str, Any] | None = None,
        updated_by_run_id: str | None = None,
        id: str | None = None,
        created_at: float | datetime | None = None,
        expected_version: int | None = None,
        user_id: str | None = None,
        actor: str = "",
        note: str = "",
    ) -> KnowledgeState:
        """Put what is known of a project now into the place of what was, as a whole, and return it.

        What is not given is empty afterwards. `id` and `created_at` are of the project's first state, before which its version is 0;
        when nothing differs, nothing is written. It is nobody's: `user_id`, here and in what follows, says whose name `project` is.
        """
        columns = values.checked(
            STATE,
            {"id": id, "created_at": created_at, "working_summary": working_summary, "open_questions": open_questions,
             "evidence_index": {} if evidence_index is None else evidence_index, "updated_by_run_id": updated_by_run_id},
        )  # fmt: skip
        project, user_id = values.key("project", project), values.optional(values.key, "user_id", user_id)
        expected = values.optional(values.integer, "expected_version", expected_version)
        with self.db.write() as connection:
            columns["project_id"] = str(self._canonical(project, user_id))
            old = KNOWLEDGE_STATES.first(connection, "WHERE project_id = ?", (columns["project_id"],))
            confirm_version(f"the knowledge state of project {values.shorten(project)}", old, expected)
            if old is None:
                columns = filled(connection, KNOWLEDGE_STATES, "a knowledge state", columns, self.db.now)
                new = KnowledgeState(**columns, updated_at=columns["created_at"], version=1)
                KNOWLEDGE_STATES.insert(connection, new)
            elif (new := replace(old, **{name: columns[name] for name in SUMMED_UP})) == old:
                return old
            else:
                new = self._rewrite_state(connection, new)
            before = None if old is None else shown(old, SUMMED_UP)
            self._audit(
                "knowledge_state.set", entity_kind="knowledge_state", entity_id=new.id, project=new.project_id,
                before=before, after=shown(new, SUMMED_UP), actor=actor, note=note,
            )  # fmt: skip
            return new

    def _rewrite_state(self, connection: Connection, new: KnowledgeState) -> KnowledgeState:
        now = self.db.now
        texts = KNOWLEDGE_STATES.sealed(
            connection,
            new.id,
            working_summary=new.working_summary,
            open_questions=values.to_json("open_questions", new.open_questions),
            evidence_index=values.to_json("evidence_index", new.evidence_index),
        )
        connection.run(
            "UPDATE knowledge_states SET updated_at = ?, working_summary = ?, open_questions = ?, evidence_index = ?,"
            " updated_by_run_id = ?, version = version + 1 WHERE id = ?",
            (now, *texts, new.updated_by_run_id, new.id),
        )
        return replace(new, updated_at=now, version=new.version + 1)

    def knowledge_state(self, project: str, *, user_id: str | None = None) -> KnowledgeState | None:
        """Return what is known of a project, None where nobody has summed it up."""
        project, user_id = values.key("project", project), values.optional(values.key, "user_id", user_id)
        with self.db.read() as connection:
            return KNOWLEDGE_STATES.first(connection, "WHERE project_id = ?", (self._canonical(project, user_id),))

    def record_delta(
        self,
        project: str,
        run_id: str,
        changes: dict[str, Any],
        *,
        id: str | None = None,
        created_at: float | datetime | None = None,
        user_id: str | None = None,
    ) -> KnowledgeDelta:
        """Append what a run changed in the knowledge of a project and return it."""
        columns = values.checked(DELTA, {"id": id, "created_at": created_at, "run_id": run_id, "changes": changes})
        project, user_id = values.key("project", project), values.optional(values.key, "user_id", user_id)
        with self.db.write() as connection:
            columns = filled(connection, DELTAS, "a delta", columns, self.db.now)
            new = KnowledgeDelta(**columns, project_id=str(self._canonical(project, user_id)))
            DELTAS.insert(connection, new)
            return new

    def deltas(
        self,
        project: str | None = None,
        *,
        run_id: str | None = None,
        user_id: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[KnowledgeDelta]:
        """Return what runs have changed, newest first by (created_at, arrival): all of it unless there is a limit."""
        limit = values.limit(limit)
        project, user_id = values.optional(values.key, "project", project), values.optional(values.key, "user_id", user_id)
        run = ("run_id = ?", values.optional(values.key, "run_id", run_id))
        with self.db.read(snapshot=True) as connection:
            terms = filters(run, ("project_id = ?", self._canonical(project, user_id)))
            return newest(connection, DELTAS, "delta", terms, limit, before, "store.knowledge.deltas()")


def _sections(given: Any) -> list[Section | ArtifactSection]:
    """Sections as they will be stored."""
    if isinstance(given, (str, bytes, Mapping, Section)) or not isinstance(given, Iterable):
        raise Invalid(f"sections must be a list of Section, not {values.shorten(given)}")
    found = [_section(f"sections[{place}]", item) for place, item in enumerate(given)]
    keys = [_texts(section)[0] for section in found]
    twice = next((key for place, key in enumerate(keys) if key in keys[:place]), None)
    if twice is not None:
        raise Invalid(f"sections has the key {values.shorten(twice)} twice; a key is of one section")
    return found


def _section(name: str, given: Any) -> Section | ArtifactSection:
    if isinstance(given, ArtifactSection):
        return given
    if not isinstance(given, Section):
        raise Invalid(f"{name} must be a Section, not {values.shorten(given)}")
    return Section(
        values.key(f"{name}.key", given.key),
        values.text(f"{name}.title", given.title),
        values.text(f"{name}.content", given.content),
        [values.key(f"{name}.atoms", id) for id in values.strings(f"{name}.atoms", given.atoms)],
        [values.key(f"{name}.contradictions", id) for id in values.strings(f"{name}.contradictions", given.contradictions)],
        values.key(f"{name}.relation_type", given.relation_type),
    )


def _texts(section: Section | ArtifactSection) -> tuple[str, str, str]:
    """Key, title and content."""
    if isinstance(section, Section):
        return section.key, section.title, section.content
    return section.section_key, section.section_title, section.content
