"""Sound calls of the rooms that hold beliefs: memories, knowledge and conflicts."""

from __future__ import annotations

from .furnishing import (
    AUDITED,
    MCP_WITH,
    PERSON,
    PROOF_WITH,
    SECTION,
    SECTIONS_WITH,
    SIDES,
    SIDES_WITH,
    Call,
    answering,
    event,
    field,
    itself,
    keyed,
    one,
    sides_of,
)

CALLS: dict[str, tuple[Call, ...]] = {
    # -- memories
    "memories.add": (
        Call(
            {"memory_type": "knowledge", "content": "tests come first"},
            lambda store, found: store.memories.get(found.id),
            unkept=("override", "domain_tags", "valid_until"),
            inside={"domain_tags": (one,), "metadata": (keyed,)},
        ),
        *(
            Call(
                {"memory_type": "knowledge", "content": "tests come first", "status": status},
                itself,
                unkept=("override", "domain_tags", "valid_until"),
            )
            for status in ("superseded", "invalid", "graduated")
        ),
    ),
    "memories.add_state": (
        Call(
            {"project": "p-1", "key": "deadline", "value": "in May"},
            lambda store, found: store.memories.get_state(found.id),
            {"project": field("project_id")},
            unkept=("user_id",),
        ),
    ),
    "memories.clear_state": (Call({"project": "p-1", "key": "currency"}, itself, AUDITED, unkept=("project", "key", "user_id")),),
    "memories.count": (Call(),),
    "memories.find": (Call(),),
    "memories.get": (Call({"id": "mem-1"}),),
    "memories.get_state": (Call({"id": "s-1"}),),
    "memories.graduate": (
        Call(
            {"id": "mem-1", "entity_id": "an entity"},
            itself,
            {**AUDITED, "id": event("entity_id"), "entity_id": lambda store, _: store.memories.get("mem-1").graduated_to_entity_id},
        ),
    ),
    "memories.history": (Call({"id": "mem-1"}),),
    "memories.invalidate": (Call({"id": "mem-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "memories.merge": (
        Call(
            {"ids": ["mem-1", "mem-3"], "content": "bills are rounded"},
            lambda store, found: store.memories.get(found.id),
            AUDITED,
            unkept=("override", "ids"),
            inside={"ids": (one, lambda value: ["mem-1", value]), "metadata": (keyed,)},
        ),
    ),
    "memories.promote": (Call({"id": "mem-2"}, itself, {**AUDITED, "id": event("entity_id")}, unkept=("override",)),),
    "memories.reject": (Call({"id": "mem-2"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "memories.recall": (Call({"query": "rounded bills", "memory_types": ["knowledge"]}, inside={"memory_types": (one,)}),),
    "memories.search": (Call({"query": "rounded bills"}),),
    "memories.set_state": (
        Call(
            {"project": "p-1", "key": "currency", "value": "franc"},
            lambda store, found: store.memories.get_state(found.id),
            {**AUDITED, "project": field("project_id")},
            unkept=("expected_version", "user_id"),
        ),
    ),
    "memories.state": (Call({"project": "p-1"}),),
    "memories.state_history": (Call({"project": "p-1", "key": "currency"}),),
    "memories.states": (Call(),),
    "memories.supersede": (
        Call(
            {"id": "mem-1"},
            itself,
            {**AUDITED, "id": event("entity_id"), "by": lambda store, _: store.memories.get("mem-1").superseded_by},
        ),
    ),
    "memories.update": (
        Call(
            {"id": "mem-1", "confidence": 0.5},
            lambda store, found: store.memories.get(found.id),
            AUDITED,
            unkept=("override", "expected_version", "domain_tags", "valid_until"),
            inside={"domain_tags": (one,), "metadata": (keyed,)},
        ),
    ),
    # -- memories: what follows from interactions
    "memories.capture": (
        Call(
            {"prompt": "how?"},
            lambda store, found: store.memories.get_interaction(found.id),
            {"context": field("context_pack"), "project": lambda store, found: store.memories.get_interaction(found.id).project},
            inside={
                "memories_used": (one,),
                "chunks_used": (one,),
                "metadata": (keyed,),
                "context": (keyed, lambda value: {"pieces": value}, lambda value: {"pieces": [{"kind": value, "id": "x"}]},
                            lambda value: {"pieces": [{"kind": "memory", "id": value, "version": 1}]},
                            lambda value: {"pieces": [{"kind": "memory", "id": "x", "version": value}]}),
            },
        ),
    ),
    "memories.decay": (Call({}, itself, AUDITED, unkept=("now",)),),
    "memories.expire": (Call({}, itself, AUDITED, unkept=("now", "idle_days")),),
    "memories.explain": (Call({"interaction_id": "i-1"}),),
    "memories.extract_candidates": (Call({"interaction_id": "i-1"}, itself, {**AUDITED, "interaction_id": event("entity_id")}),),
    "memories.get_interaction": (Call({"id": "i-1"}),),
    "memories.interactions": (Call(),),
    "memories.reinforce": (Call({"text": "invoices are rounded half up"}, itself, AUDITED, unkept=("text", "project", "user_id")),),
    # -- knowledge: the graph
    "knowledge.add_entity": (
        Call(
            {"type": "Material", "name": "Zerodur"},
            lambda store, found: store.knowledge.get(found.id),
            {"project": field("project_id"), "name": field("name")},
            unkept=("valid_until",),
            inside={"aliases": (one,), "source_refs": (one,), **dict.fromkeys(("external_ids", "properties", "metadata"), (keyed,))},
        ),
        Call(
            {"type": "Material", "name": "steel", "status": "superseded"}, itself, {"project": field("project_id")}, unkept=("valid_until",)
        ),
    ),
    "knowledge.as_of": (Call(),),
    "knowledge.count": (Call(),),
    "knowledge.entities": (Call(),),
    "knowledge.evidence_chain": (Call({"id": "part-1"}),),
    "knowledge.export_mcp": (Call({"path": "memory.json"}),),
    "knowledge.find_entity": (Call({"name": "mirror"}),),
    "knowledge.get": (Call({"id": "part-1"}),),
    "knowledge.mentioned": (Call({"text": "which mirror?"}),),
    "knowledge.get_relationship": (Call({"id": "edge-1"}),),
    "knowledge.grounds": (Call({"id": "part-1"}),),
    "knowledge.history": (Call({"id": "part-1"}),),
    "knowledge.impact": (Call({"id": "part-1"}),),
    "knowledge.import_mcp": (Call({"path": "mcp.jsonl"}, itself, AUDITED, unkept=("path", "project", "user_id")),),
    "knowledge.invalidate": (Call({"id": "part-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.mcp": (
        Call(
            {"operation": "create_entities", "arguments": {"entities": [PERSON]}},
            itself,
            unkept=("operation", "arguments", "project", "user_id", "actor", "note"),
            inside={"arguments": (keyed, *MCP_WITH)},
        ),
        Call({"operation": "open_nodes", "arguments": {"names": ["mirror"]}}, inside={"arguments": (lambda value: {"names": value},)}),
    ),
    "knowledge.neighbours": (Call({"id": "part-1"}),),
    "knowledge.observations": (Call({"entity_id": "part-1"}),),
    "knowledge.get_observation": (Call({"id": "note-1"}),),
    "knowledge.observe": (
        Call(
            {"entity_id": "part-1", "content": "is round"},
            lambda store, found: next(o for o in store.knowledge.observations("part-1", include_retired=True) if o.id == found.id),
            inside={"source_refs": (one,)},
        ),
    ),
    "knowledge.orphans": (Call(),),
    "knowledge.path": (Call({"a": "part-1", "b": "part-2"}),),
    "knowledge.promote": (Call({"id": "part-3"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.register_kind": (Call({"kind": "glued to", "family": "structural"}, itself, {
        "kind": lambda store, _: store.query("SELECT kind FROM relationship_kinds")[0]["kind"],
        "family": lambda store, _: store.query("SELECT family FROM relationship_kinds")[0]["family"],
    }),),
    "knowledge.reject": (Call({"id": "part-3"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.relate": (
        Call(
            {"from_id": "part-1", "kind": "part_of", "to_id": "part-2"},
            lambda store, found: store.knowledge.get_relationship(found.id),
            {"project": field("project_id")},
            unkept=("valid_until",),
            inside={"source_refs": (one,), "properties": (keyed,)},
        ),
    ),
    "knowledge.relationships": (Call(),),
    "knowledge.retire_observation": (Call({"id": "note-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.retire_relationship": (Call({"id": "edge-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.risky_decisions": (Call(),),
    "knowledge.supersede": (
        Call(
            {"id": "part-1", "by": "part-2"},
            itself,
            {**AUDITED, "id": event("entity_id"), "by": lambda store, _: store.knowledge.get("part-1").superseded_by},
        ),
    ),
    "knowledge.unsupported_claims": (Call(),),
    "knowledge.update": (
        Call(
            {"id": "part-1", "description": "ground"},
            lambda store, found: store.knowledge.get(found.id),
            AUDITED,
            unkept=("expected_version", "valid_until"),
            inside={"aliases": (one,), **dict.fromkeys(("external_ids", "properties", "metadata"), (keyed,))},
        ),
    ),
    # -- knowledge: the ledger
    "knowledge.add_atom": (
        Call(
            {"kind": "claim", "body": "the mirror is round", "evidence": [{"chunk_id": "chunk-2"}]},
            lambda store, found: store.knowledge.get_atom(found.id),
            {"project": field("project_id")},
            unkept=("override", "tags", "evidence"),
            inside={"tags": (one,), "metadata": (keyed,), "evidence": (one, *PROOF_WITH)},
        ),
        Call({"kind": "claim", "body": "the mirror was round", "status": "superseded"}, itself, {"project": field("project_id")},
             unkept=("override", "tags", "evidence", "verification_status")),
    ),
    "knowledge.add_artifact": (
        Call(
            {"artifact_type": "prd", "title": "Mirror"},
            lambda store, found: store.knowledge.get_artifact(found.id),
            {"project": field("project_id")},
            unkept=("sections",),
            inside={"metadata": (keyed,), "sections": (one, *SECTIONS_WITH)},
        ),
    ),
    "knowledge.add_claim": (Call({"atom_id": "atom-1", "subject": "mirror", "predicate": "is flat"}, itself),),
    "knowledge.add_evidence": (
        Call({"atom_id": "atom-1", "anchor_start": 1, "snippet": "flat it is"}, itself, inside={"metadata": (keyed,)}),
    ),
    "knowledge.artifacts": (Call(),),
    "knowledge.atom_history": (Call({"id": "atom-1"}),),
    "knowledge.atoms": (Call(),),
    "knowledge.citations": (Call(),),
    "knowledge.cite_insight": (Call({"insight_id": "insight-1", "atom_id": "atom-1"}, itself),),
    "knowledge.claims": (Call(),),
    "knowledge.count_atoms": (Call(),),
    "knowledge.deltas": (Call(),),
    "knowledge.evidence": (Call({"atom_id": "atom-1"}),),
    "knowledge.get_artifact": (Call({"id": "work-1"}),),
    "knowledge.get_atom": (Call({"id": "atom-1"}),),
    "knowledge.invalidate_atom": (Call({"id": "atom-1"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.knowledge_state": (Call({"project": "p-1"}),),
    "knowledge.link": (Call({"from_atom_id": "atom-1", "relation_type": "refines", "to_atom_id": "atom-2"}, itself),),
    "knowledge.links": (Call(),),
    "knowledge.mark_stale": (Call({"chunk_id": "chunk-1"}, itself, unkept=("chunk_id", "source_id", "chunk_hash", "actor", "note")),),
    "knowledge.mention": (Call({"entity_id": "part-1", "atom_id": "atom-1", "anchor_start": 1}, itself),),
    "knowledge.mentions": (Call(),),
    "knowledge.merge_atoms": (
        Call(
            {"ids": ["atom-3"], "into": "atom-1"},
            lambda store, found: store.knowledge.merges(atom_id="atom-3")[0],
            {**AUDITED, "into": field("into_id")},
            unkept=("ids",),
            inside={"ids": (one,)},
        ),
    ),
    "knowledge.merges": (Call(),),
    "knowledge.promote_atom": (Call({"id": "atom-2"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.record_delta": (
        Call(
            {"project": "p-1", "run_id": "run-2", "changes": {}},
            lambda store, found: store.knowledge.deltas(run_id=found.run_id)[0],
            {"project": field("project_id")},
            unkept=("user_id",),
            inside={"changes": (keyed,)},
        ),
    ),
    "knowledge.regenerate": (
        Call(
            {"id": "work-1", "sections": [SECTION]},
            lambda store, found: store.knowledge.get_artifact(found.id),
            {**AUDITED, "id": field("parent_artifact_id")},
            unkept=("sections",),
            inside={"metadata": (keyed,), "sections": (one, *SECTIONS_WITH)},
        ),
    ),
    "knowledge.reject_atom": (Call({"id": "atom-2"}, itself, {**AUDITED, "id": event("entity_id")}),),
    "knowledge.sections": (Call({"artifact_id": "work-1"}),),
    "knowledge.set_knowledge_state": (
        Call(
            {"project": "another", "working_summary": "nothing is known"},
            lambda store, found: store.knowledge.knowledge_state(found.project_id),
            {**AUDITED, "project": field("project_id")},
            unkept=("open_questions", "expected_version", "user_id"),
            inside={"open_questions": (one,), "evidence_index": (keyed,)},
        ),
    ),
    "knowledge.stale_sections": (Call({"artifact_id": "work-1"}),),
    "knowledge.supersede_atom": (
        Call(
            {"id": "atom-1"},
            itself,
            {**AUDITED, "id": event("entity_id"), "by": lambda store, _: store.knowledge.get_atom("atom-1").superseded_by},
        ),
    ),
    "knowledge.update_atom": (
        Call(
            {"id": "atom-1", "confidence": 0.5},
            lambda store, found: store.knowledge.get_atom(found.id),
            AUDITED,
            unkept=("expected_version", "tags"),
            inside={"tags": (one,)},
        ),
    ),
    # -- conflicts
    "conflicts.assess": (
        Call(
            {"id": "x-1", "decision": "likely"},
            lambda store, found: store.conflicts.assessments("x-1")[-1],
            {"id": field("conflict_id"), "assessment_id": field("id")},
            inside={"reason_codes": (one,)},
        ),
    ),
    "conflicts.assessments": (Call({"id": "x-1"}),),
    "conflicts.contradict": (
        Call(
            {"a_id": "atom-9", "b_id": "atom-8"},
            lambda store, found: store.conflicts.get(found.id),
            {"a_id": field("atom_b_id"), "b_id": field("atom_a_id"), "kind": lambda store, found: found.members[0].member_kind,
             "project": field("project")},
            inside={"metadata": (keyed,)},
        ),
        Call({"a_id": "mem-9", "b_id": "mem-8", "kind": "memory"}, itself, unkept=("a_id", "b_id", "kind", "project")),
    ),
    "conflicts.count": (Call(),),
    "conflicts.detect": (Call({}, itself, unkept=("project",)),),
    "conflicts.find": (Call(),),
    "conflicts.get": (Call({"id": "x-1"}),),
    "conflicts.history": (Call({"id": "x-1"}),),
    "conflicts.open": (
        Call(
            {"slot_kind": "rounding", "slot_key": "of thirds", "members": SIDES},
            lambda store, found: store.conflicts.get(found.id),
            {"project": field("project"), "members": lambda store, found: sides_of(found)},
            inside={
                "metadata": (keyed,), "members": (one, *SIDES_WITH),
                "winner": (lambda value: ("memory", value), lambda value: (value, "mem-8")),
            },
        ),
        Call(
            {"slot_kind": "rounding", "slot_key": "of halves", "members": SIDES, "status": "resolved", "winner": "mem-8"},
            lambda store, found: store.conflicts.get(found.id),
            {"project": field("project"), "winner": field("winner_id")},
            unkept=("members",),
        ),
        Call({"slot_kind": "rounding", "slot_key": "of halves", "members": SIDES}, itself, unkept=(
            "slot_kind", "slot_key", "members", "project", "user_id", "severity", "note", "metadata", "id", "created_at",
        )),
    ),
    "conflicts.resolve": (
        Call({"id": "x-1", "action": "dismiss"}, itself, {**AUDITED, "action": field("resolution")}),
        Call(
            {"id": "x-1", "action": "supersede_others", "winner": "mem-9"},
            lambda store, found: store.conflicts.get("x-1"),
            {**AUDITED, "action": field("resolution"), "winner": field("winner_id")},
        ),
    ),
    "conflicts.rule": (Call({"slot_kind": "said", "fn": len}, inside={"fn": (answering,), "kinds": (one,)}),),
    "conflicts.suggest": (Call({"id": "x-1"}),),
}
