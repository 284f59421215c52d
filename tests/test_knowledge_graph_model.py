"""A random life of a graph against plain Python: the graph as it is, and every past of it that was copied on the way."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from dataclasses import dataclass, field

from toy_codec import Toy

from memstore import open_store
from memstore.testing import FakeClock

KINDS = ("part_of", "depends_on", "supports")
TYPES = ("Component", "component", "Decision")
NAMES = [f"{size} {part}" for size in ("small", "large") for part in ("mirror", "truss", "baffle")]


@dataclass
class Node:
    id: str
    type: str
    name: str
    aliases: list[str]
    status: str
    project: str | None
    version: int = 1
    observations: list[str] = field(default_factory=list)


@dataclass
class Line:
    id: str
    source: str
    kind: str
    target: str
    valid_from: float | None
    valid_until: float | None


class Twin:
    """What a graph is, in lists and dicts."""

    def __init__(self):
        self.nodes: dict[str, Node] = {}
        self.lines: dict[str, Line] = {}

    def holding(self, at, kind=None):
        return [
            line
            for line in self.lines.values()
            if (line.valid_from is None or line.valid_from <= at)
            and (line.valid_until is None or at < line.valid_until)
            and kind in (None, line.kind)
        ]

    def around(self, id, direction, at, kind=None):
        """The ends of lines that leave an entity."""
        for line in self.holding(at, kind):
            if line.source == id and direction != "in":
                yield line.target
            if line.target == id and direction != "out":
                yield line.source

    def distances(self, start, direction, at, depth, kind=None, goal=None):
        found, waiting = {start: 0}, deque([start])
        while waiting:
            here = waiting.popleft()
            if found[here] < depth and (here == start or self.nodes[here].status == "active"):
                for near in self.around(here, direction, at, kind):
                    if near not in found and (self.nodes[near].status == "active" or near == goal):
                        found[near] = found[here] + 1
                        waiting.append(near)
        return found


def step(rng, twin, room, now):
    """Do one thing to both."""
    number = len(twin.nodes)
    some = rng.choice(list(twin.nodes)) if twin.nodes else None
    act = rng.choice(["add", "add", "relate", "relate", "relate", "observe", "update", "life", "retire"]) if some else "add"
    if act == "add":
        status, project = rng.choice(["active", "active", "candidate"]), rng.choice(["p", None])
        node = Node(f"n{number}", rng.choice(TYPES), rng.choice(NAMES), [], status, project)
        room.add_entity(node.type, node.name, status=node.status, project=node.project, id=node.id)
        twin.nodes[node.id] = node
    elif act == "relate":
        other, kind = rng.choice(list(twin.nodes)), rng.choice(KINDS)
        valid = rng.choice([(None, None), (None, None), (now - 50, now + 50), (now + 50, None)])
        made = room.relate(some, kind, other, valid_from=valid[0], valid_until=valid[1])
        new = Line(made.id, some, kind, other, *valid)
        same = [line for line in twin.lines.values() if dataclasses.replace(line, id=made.id) == new]
        assert same in ([], [new]), "what holds already is not stored twice"
        twin.lines[made.id] = new
    elif act == "observe":
        said = rng.choice(["blue", "round", "heavy"])
        room.observe(some, said)
        if said not in twin.nodes[some].observations:
            twin.nodes[some].observations.append(said)
    elif act == "update" and twin.nodes[some].status in ("active", "candidate"):
        node, name, aliases = twin.nodes[some], rng.choice(NAMES), rng.choice([[], ["the thing"]])
        node.version += (node.name, node.aliases) != (name, aliases)
        node.name, node.aliases = name, aliases
        room.update(some, name=name, aliases=aliases)
    elif act == "life":
        verb = rng.choice(["promote", "reject", "supersede", "invalidate"])
        ways = {("candidate", "promote"): "active", ("candidate", "reject"): "invalid",
                ("active", "supersede"): "superseded", ("active", "invalidate"): "invalid"}  # fmt: skip
        new = ways.get((twin.nodes[some].status, verb))
        assert getattr(room, verb)(some) == (new is not None)
        if new is not None:
            twin.nodes[some].status = new
            twin.nodes[some].version += 1
    elif act == "retire" and twin.lines:
        line = twin.lines.pop(rng.choice(list(twin.lines)))
        assert room.retire_relationship(line.id)
        if twin.nodes[some].observations:
            note = rng.choice(room.observations(some))
            assert room.retire_observation(note.id)
            twin.nodes[some].observations.remove(note.content)


def compare(rng, twin, view, at):
    """Ask both the same questions."""
    shown = {item.id: (item.type, item.name, item.aliases, item.status, item.project_id, item.version) for item in view.entities()}
    assert shown == {id: (n.type, n.name, n.aliases, n.status, n.project, n.version) for id, n in twin.nodes.items()}
    lines = {(item.id, item.from_id, item.kind, item.to_id) for item in view.relationships()}
    assert lines == {(line.id, line.source, line.kind, line.target) for line in twin.holding(at)}
    decisions = {id for id, node in twin.nodes.items() if node.type == "Decision" and node.status == "active"}
    assert {item.id for item in view.entities(type="DECISION", status="active")} == decisions
    for id in rng.sample(sorted(twin.nodes), min(4, len(twin.nodes))):
        assert [note.content for note in view.observations(id)] == twin.nodes[id].observations
        direction, depth, kind = rng.choice(["both", "out", "in"]), rng.randrange(5), rng.choice([None, *KINDS])
        met = [(near.depth, near.entity.id) for near in view.neighbours(id, direction=direction, depth=depth, kind=kind)]
        wanted = twin.distances(id, direction, at, depth, kind)
        assert {name: steps for steps, name in met} == {name: steps for name, steps in wanted.items() if name != id}
        order = list(twin.nodes)
        assert met == sorted(met, key=lambda found: (found[0], order.index(found[1]))), "depth, then arrival"
        goal = rng.choice(sorted(twin.nodes))
        far = twin.distances(id, direction, at, 6, goal=goal).get(goal)
        path = view.path(id, goal, direction=direction)
        assert (None if path is None else len(path)) == far
        here = id
        for edge in path or []:
            assert here in (edge.from_id, edge.to_id)
            here = edge.to_id if here == edge.from_id else edge.from_id
        assert path is None or here == goal
        found = view.find_entity(twin.nodes[id].name)
        active = [node.name for node in twin.nodes.values() if node.status == "active"]
        assert (found.name if found is not None and twin.nodes[id].name in active else None) == (
            twin.nodes[id].name if twin.nodes[id].name in active else None)  # fmt: skip


def live(rng, steps, codec=None):
    clock, twin, pasts = FakeClock(), Twin(), []
    with open_store(clock=clock, codec=codec) as store:
        room = store.knowledge
        for _ in range(steps):
            with store.transaction():
                step(rng, twin, room, clock.now)
            if rng.random() < 0.15:
                pasts.append((clock.now, copy.deepcopy(twin)))
                compare(rng, twin, room, clock.now)
                clock.advance(rng.choice([1, 30, 100]))
        for at, then in pasts:
            compare(rng, then, room.as_of(recorded=at), at)
            compare(rng, then, room.as_of(recorded=at, valid=at + 50), at + 50)
        compare(rng, twin, room.as_of(), clock.now)


def test_a_random_life_of_a_graph_and_all_its_pasts(rng):
    for _ in range(3):
        live(rng, 60)


def test_an_encrypted_one_has_the_same_life(rng):
    live(rng, 40, Toy())
