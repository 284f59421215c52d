"""The ledger beside its twin in plain Python: both live the same random life and must say the same at every step."""

from __future__ import annotations

import random

import pytest

from memstore import RejectedClaim, StoreError, open_store
from memstore.knowledge import Section
from memstore.testing import FakeClock

BODIES = tuple(form(f"It is {shape}") for shape in ("flat", "round", "square", "long", "thin", "blue") for form in (str, str.upper))
PROJECTS = (None, "p")
CHUNKS = ("c1", "c2", "c3", "c4", "c5")
HASHES = ("h1", "h2")
LIVE = ("candidate", "active")
WAYS = {"promote": ("candidate", "active"), "reject": ("candidate", "invalid"), "invalidate": ("active", "invalid"),
        "supersede": ("active", "superseded")}  # fmt: skip


class Refused(Exception):
    """The twin would not do it."""


def key(text):
    return " ".join(text.casefold().split())


class Twin:
    """Atoms as dicts in order of arrival, each with its evidence; sections as what they cited and how that was."""

    def __init__(self):
        self.atoms = {}
        self.evidence = {}  # atom -> {chunk: [hash, stale]}
        self.claims = {}  # atom -> subjects
        self.merges = []
        self.sections = {}  # artifact -> {section: [(atom, version, supported)]}

    def live(self, id):
        return self.atoms[id]["status"] in LIVE

    def supported(self, id):
        return any(not stale for _, stale in self.evidence[id].values())

    def change(self, id, **columns):
        self.atoms[id].update(columns, version=self.atoms[id]["version"] + 1)

    def prove(self, id, chunk, hashed):
        known = self.evidence[id].get(chunk)
        self.evidence[id][chunk] = [hashed if hashed is not None or known is None else known[0], False]

    def add(self, new, kind, body, project, status, confidence, chunk, override):
        same = [id for id, atom in self.atoms.items() if (atom["kind"], key(atom["body"]), atom["project"]) == (kind, key(body), project)]
        twin = next(filter(self.live, same), None)
        if twin is not None:
            self.prove(twin, chunk, "h1")
            if confidence > self.atoms[twin]["confidence"]:
                self.change(twin, confidence=confidence)
            return twin
        rejected = any(
            atom["status"] == "invalid" and key(atom["body"]) == key(body) and (project is None or atom["project"] in (None, project))
            for atom in self.atoms.values()
        )
        if rejected and not override:
            raise Refused
        columns = {"kind": kind, "body": body, "project": project, "status": status, "confidence": confidence}
        self.atoms[new] = {**columns, "verification": "unverified", "by": None, "version": 1}
        self.evidence[new], self.claims[new] = {}, []
        self.prove(new, chunk, "h1")
        return new

    def turn(self, id, verb, by=None):
        start, end = WAYS[verb]
        if by == id:
            raise Refused
        if self.atoms[id]["status"] != start:
            return False
        if by is not None and self.atoms[by]["status"] != "active":
            raise Refused
        self.change(id, status=end, **({"by": by} if verb == "supersede" else {}))
        return True

    def verify(self, id):
        if not self.live(id) or not self.supported(id):
            raise Refused
        if self.atoms[id]["verification"] != "verified":
            self.change(id, verification="verified")

    def stale(self, chunk, hashed):
        left = []
        for id, pieces in self.evidence.items():
            if chunk in pieces and not pieces[chunk][1] and (hashed is None or pieces[chunk][0] != hashed):
                pieces[chunk][1] = True
                if self.live(id) and not self.supported(id):
                    left.append(id)
                    if self.atoms[id]["verification"] == "verified":
                        self.change(id, verification="unverified")
        return left

    def claim(self, id, subject):
        if key(subject) not in map(key, self.claims[id]):
            self.claims[id].append(subject)

    def merge(self, ids, into, operation):
        sources = sorted(set(ids) - {into})
        if (sources, into, operation) in self.merges:
            return
        if not sources or any(self.atoms[id]["status"] != "active" for id in [*sources, *([into] if into else [])]):
            raise Refused
        if operation == "merge" and any(self.atoms[id]["project"] != self.atoms[into]["project"] for id in sources):
            raise Refused
        self.merges.append((sources, into, operation))
        for id in sources:
            self.change(id, status="superseded", by=into)
        if operation != "merge":
            return
        for id in sources:
            for chunk, (hashed, stale) in self.evidence[id].items():
                if not stale:
                    self.prove(into, chunk, hashed)
            for subject in self.claims[id]:
                self.claim(into, subject)
        confidence = max(self.atoms[id]["confidence"] for id in [into, *sources])
        if confidence > self.atoms[into]["confidence"]:
            self.change(into, confidence=confidence)

    def cite(self, artifact, cited):
        self.sections[artifact] = {id: (self.atoms[id]["version"], self.supported(id)) for id in cited}

    def stale_sections(self, artifact):
        return [
            id for id, (version, supported) in self.sections[artifact].items()
            if self.atoms[id]["version"] != version or (supported and not self.supported(id))
        ]  # fmt: skip


class Pair:
    """The room and its twin, and one random call to both."""

    def __init__(self, room, rng):
        self.room, self.twin, self.rng, self.made = room, Twin(), rng, 0

    def some(self):
        return self.rng.choice(list(self.twin.atoms))

    def both(self, real, twin):
        """Make one call of each; both go well with the same answer, or both refuse."""
        try:
            said = twin()
        except Refused:
            with pytest.raises(StoreError):
                real()
            return
        assert real() == said

    def step(self):
        names = ("add", "add", "add", "prove", "turn", "verify", "stale", "claim", "merge", "merge", "cite")
        getattr(self, f"do_{self.rng.choice(names) if len(self.twin.atoms) > 5 else 'add'}")()

    def do_add(self):
        self.made += 1
        new, kind, body = f"a{self.made:03}", self.rng.choice(["claim", "risk"]), self.rng.choice(BODIES)
        project = self.rng.choice(PROJECTS)
        status, confidence = self.rng.choice(LIVE), self.rng.choice([0.25, 0.5, 1.0])
        chunk, override = self.rng.choice(CHUNKS), self.rng.random() < 0.3
        more = {"project": project, "status": status, "confidence": confidence, "override": override, "id": new}
        try:
            said = self.twin.add(new, kind, body, project, status, confidence, chunk, override)
        except Refused:
            with pytest.raises(RejectedClaim):
                self.room.add_atom(kind, body, evidence=[{"chunk_id": chunk, "chunk_hash": "h1"}], **more)
            return
        assert self.room.add_atom(kind, body, evidence=[{"chunk_id": chunk, "chunk_hash": "h1"}], **more).id == said

    def do_prove(self):
        id, chunk, hashed = self.some(), self.rng.choice(CHUNKS), self.rng.choice([None, *HASHES])
        self.twin.prove(id, chunk, hashed)
        self.room.add_evidence(id, chunk_id=chunk, chunk_hash=hashed)

    def do_turn(self):
        id, verb = self.some(), self.rng.choice([*WAYS, "promote", "promote", "promote"])
        by = {"by": self.some()} if verb == "supersede" else {}
        self.both(lambda: getattr(self.room, f"{verb}_atom")(id, **by), lambda: self.twin.turn(id, verb, **by))

    def do_verify(self):
        id = self.some()
        self.both(lambda: self.room.update_atom(id, verification_status="verified") and None, lambda: self.twin.verify(id))

    def do_stale(self):
        chunk, hashed = self.rng.choice(CHUNKS), self.rng.choice([None, *HASHES])
        found = self.room.mark_stale(chunk_id=chunk, chunk_hash=hashed)
        assert [atom.id for atom in found] == self.twin.stale(chunk, hashed)

    def do_claim(self):
        id, subject = self.some(), self.rng.choice(["Mirror", "mirror", "lens"])
        self.twin.claim(id, subject)
        self.room.add_claim(id, subject, "is so")

    def do_merge(self):
        operation, ids = self.rng.choice(["merge", "merge", "merge", "supersede", "obsolete"]), [self.some() for _ in range(2)]
        into = None if operation == "obsolete" else self.some()
        fitting = [id for id, atom in self.twin.atoms.items() if atom["status"] == "active" and atom["project"] is None]
        if self.rng.random() < 0.7 and len(fitting) > 1:  # one that will be done
            ids = fitting[:2]
            into = into and fitting[-1]
        self.both(lambda: self.room.merge_atoms(ids, into, operation=operation) and None, lambda: self.twin.merge(ids, into, operation))

    def do_cite(self):
        cited = sorted({self.some() for _ in range(3)})
        artifact = self.room.add_artifact("prd", "a", sections=[Section(id, atoms=[id]) for id in cited]).id
        self.twin.cite(artifact, cited)

    def compare(self):
        """Everything that either of them knows."""
        room, twin = self.room, self.twin
        found = {
            atom.id: {"kind": atom.kind, "body": atom.body, "project": atom.project_id, "status": atom.status, "version": atom.version,
                      "confidence": atom.confidence, "verification": atom.verification_status, "by": atom.superseded_by}
            for atom in room.atoms(include_dismissed=True)
        }  # fmt: skip
        assert found == twin.atoms
        for id in twin.atoms:
            assert {piece.chunk_id: [piece.chunk_hash, piece.stale] for piece in room.evidence(id)} == twin.evidence[id]
            assert [claim.subject for claim in room.claims(id)] == twin.claims[id]
        assert [(item.atom_ids, item.into_id, item.operation) for item in room.merges()] == twin.merges[::-1]
        for artifact in twin.sections:
            assert [section.section_key for section in room.stale_sections(artifact)] == twin.stale_sections(artifact)
        for project in PROJECTS:
            wanted = [id for id, atom in twin.atoms.items() if project in (None, atom["project"]) and atom["status"] != "invalid"]
            assert [atom.id for atom in room.atoms(project=project)] == wanted[::-1]


@pytest.mark.parametrize("which", range(3))
def test_a_random_life_agrees_with_its_twin(rng, which):
    with open_store(clock=FakeClock()) as store:
        pair = Pair(store.knowledge, rng)
        for number in range(120):
            pair.step()
            if number % 20 == 19:
                pair.compare()
        assert pair.twin.merges


@pytest.mark.nightly
@pytest.mark.parametrize("which", range(20))
def test_a_long_random_life_agrees_with_its_twin(rng, which):
    with open_store(clock=FakeClock()) as store:
        pair = Pair(store.knowledge, rng)
        for _ in range(1_000):
            pair.step()
        pair.compare()


FORGETFUL = {
    "_copy_hanging": lambda *_: None,
    "_lose_evidence": lambda *_: None,
    "_confirm_evidence": lambda self, connection, old, columns: old,
    "_refuse_rejected_atom": lambda *_: None,
    "_apply_merge": lambda *_: None,
}


@pytest.mark.damage
@pytest.mark.parametrize("method", FORGETFUL)
def test_a_forgetful_ledger_is_found_out(method, monkeypatch):
    with open_store(clock=FakeClock()) as store:
        monkeypatch.setattr(type(store.knowledge), method, FORGETFUL[method])
        pair = Pair(store.knowledge, random.Random(1))
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            for _ in range(250):
                pair.step()
                pair.compare()
