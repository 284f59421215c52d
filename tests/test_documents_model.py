"""Documents against a twin in plain Python: whatever is added, edited, removed, revived and cut by hand, chunks keep their ids."""

from __future__ import annotations

import pytest
from toy_codec import Toy

from memstore import Embedder, Invalid, open_store
from memstore.documents.chunking import pieces
from memstore.testing import FakeClock

SECTIONS = [f"# {name}\n\n{name.lower()} speaks of {name[::-1]}.\n\n" for name in ("Amber", "Cobalt", "Ebony", "Fuchsia")]
OWNERS = [{}, {"project": "p"}, {"user_id": "u"}]


class Twin:
    """What is there: by identity a document as a dict, with its chunks as (id, content) in their order."""

    def __init__(self):
        self.documents = {}

    def add(self, text, uri, owner, told):
        """What `add_text` must have done; `told` is its answer, from which new ids are learnt."""
        key = (uri if uri is not None else ("text", text), *owner.items())
        known = self.documents.get(key)
        if known is None:
            assert told.id not in {item["id"] for item in self.documents.values()}
            known = self.documents[key] = {"id": told.id, "text": None, "chunks": [], "hidden": False}
        if known["text"] != text or (text and known.get("cut")):
            known["wanted"] = [text[start:end] for start, end, _ in pieces(text, kind="markdown")]
            known["text"], known["cut"] = text, False
        known["hidden"] = False
        assert told.id == known["id"]
        return known

    def settle(self, known, chunks):
        """Compare the chunks that there are with those that there must be, and learn the ids of new ones."""
        wanted = known.pop("wanted", None)
        if wanted is not None:
            free = list(known["chunks"])
            kept = []
            for content in wanted:
                same = next((chunk for chunk in free if chunk[1] == content), None)
                if same is not None:
                    free.remove(same)
                kept.append((None if same is None else same[0], content))
            before = {id for id, _ in known["chunks"]}
            assert all(id is None and found not in before or id == found for (id, _), (found, _) in zip(kept, chunks, strict=True))
            known["chunks"] = [(found, content) for (_, content), (found, _) in zip(kept, chunks, strict=True)]
        assert chunks == known["chunks"]

    def hits(self, word):
        """The ids of the chunks that a word must find."""
        shown = (item for item in self.documents.values() if not item["hidden"])
        return sorted(id for item in shown for id, content in item["chunks"] if word in content.lower())


def chunks_of(store, id):
    return [(chunk.id, chunk.content) for chunk in store.documents.chunks(id)]


def act(store, twin, rng):
    """One random call on both, and the document that it was about."""
    known = rng.choice([*twin.documents.values()]) if twin.documents else None
    verb = rng.choice(["add", "add", "add", "remove", "set_chunks", "undone"])
    if known is None or verb in ("add", "undone"):
        text = "".join(rng.choices(SECTIONS, k=rng.randint(0, 4)))
        uri, owner = rng.choice([None, "a", "b"]), rng.choice(OWNERS)
        if verb == "undone" and known is not None:
            with pytest.raises(ZeroDivisionError), store.transaction():
                store.documents.add_text(text, uri=uri, **owner)
                store.documents.remove(known["id"])
                raise ZeroDivisionError
            return known
        return twin.add(text, uri, owner, store.documents.add_text(text, uri=uri, **owner))
    if verb == "remove":
        assert store.documents.remove(known["id"]) is not known["hidden"]
        known["hidden"] = True
    elif known["hidden"]:
        with pytest.raises(Invalid):
            store.documents.set_chunks(known["id"], ["x"])
    else:
        known["wanted"] = rng.choices(SECTIONS, k=rng.randint(0, 3))
        store.documents.set_chunks(known["id"], known["wanted"])
        known["cut"] = True
    return known


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_documents_live_as_their_twin_does(rng, tmp_path, encrypted):
    codec = Toy() if encrypted else None
    embedder = Embedder("m", lambda texts: [[len(text) + 1.0, 1.0] for text in texts])
    twin = Twin()
    place = tmp_path / "agent.db"
    for _ in range(4):
        with open_store(place, codec=codec, embedder=embedder, clock=FakeClock()) as store:
            store.vectors.allow("m")
            for _ in range(20):
                known = act(store, twin, rng)
                twin.settle(known, chunks_of(store, known["id"]))
            for item in twin.documents.values():
                twin.settle(item, chunks_of(store, item["id"]))
                stored = store.documents.get(item["id"])
                assert stored.is_deleted == item["hidden"]
                ids = [id for id, _ in item["chunks"]]
                assert store.vectors.lacking(ids, model="m") == []
                if not item.get("cut"):
                    assert store.documents.text(item["id"]) == item["text"]
            assert store.vectors.count() == sum(len(item["chunks"]) for item in twin.documents.values())
            assert store.documents.count() == sum(not item["hidden"] for item in twin.documents.values())
            for word in ("amber", "cobalt", "ebony"):
                hits = store.documents.search(word, lexical_weight=1.0, limit=None)
                assert sorted(hit.chunk.id for hit in hits if hit.lexical) == twin.hits(word)
