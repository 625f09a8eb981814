"""The planted bugs, as data. ``old`` stands exactly once in ``file`` (a test holds it); ``new`` takes its place."""

from __future__ import annotations

from dataclasses import dataclass

MERGE, LISTS, MODEL = "sync_engine/core/merge.py", "sync_engine/core/lists.py", "sync_engine/core/model.py"
PULL, PUSH, RECOVERY = "sync_engine/core/pull.py", "sync_engine/core/push.py", "sync_engine/core/recovery.py"
ENGINE, PUSHING = "sync_engine/engine.py", "sync_engine/pushing.py"
STORE, APPLYING = "tests/simulation/memory_store.py", "tests/simulation/applying.py"
VENDORS = "tests/simulation/vendors.py"


@dataclass(frozen=True)
class Mutant:
    """``trap``: what goes wrong in the world with such an engine."""

    name: str
    trap: str
    file: str
    old: str
    new: str


MUTANTS: tuple[Mutant, ...] = (
    # ------------------------------------------------------------ merging
    Mutant(
        "newest_without_allowance",
        "clocks that differ by minutes decide",
        MERGE,
        "vendor_time - hub_time > skew",
        "vendor_time > hub_time",
    ),
    Mutant(
        "newest_at_the_edge",
        "a tie goes to the vendor",
        MERGE,
        "vendor_time - hub_time > skew",
        "vendor_time - hub_time >= skew",
    ),
    Mutant(
        "conflict_not_noted",
        "the hub's losing value is gone",
        MERGE,
        "        draft.conflicts.append(Conflict(name, winner, policy, theirs, ours))\n",
        "",
    ),
    Mutant(
        "conflict_not_noted_for_vendor",
        "the vendor's losing value is gone",
        MERGE,
        "        draft.conflicts.append(Conflict(name, winner, policy, ours, theirs))\n",
        "",
    ),
    Mutant(
        "base_becomes_the_hub",
        "the hub's own value is taken for what the vendor said",
        MERGE,
        "    draft.base[name] = theirs\n    if winner is Side.VENDOR:",
        "    draft.base[name] = seen\n    if winner is Side.VENDOR:",
    ),
    Mutant(
        "base_stays_on_hub_wins",
        "the same conflict for ever",
        MERGE,
        "    draft.base[name] = theirs\n    if winner is Side.VENDOR:",
        "    if winner is Side.VENDOR:",
    ),
    Mutant(
        "no_projection",
        "what the vendor cannot hold looks like an edit",
        MERGE,
        "seen = sides.seen.get(name, ours)",
        "seen = ours",
    ),
    Mutant(
        "echo_by_flag",
        "our own write, read back, is an edit of the vendor's",
        MERGE,
        "if name in sides.sent and same(sides.sent[name], theirs):",
        "if False:",
    ),
    Mutant(
        "asks_again_and_again",
        "a person is asked the same every poll",
        MERGE,
        "if asked is None or not (same(asked[0], ours) and same(asked[1], theirs)):",
        "if True:",
    ),
    Mutant(
        "conflict_cut_short",
        "the log holds only what the vendor can hold",
        MERGE,
        "    ours = sides.hub.get(name)\n    winner",
        "    ours = seen\n    winner",
    ),
    Mutant(
        "open_for_ever",
        "a settled question blocks its field",
        MERGE,
        "if n in sides.vendor and n not in draft.undecided",
        "if False",
    ),
    Mutant(
        "set_as_sequence",
        "an order that means nothing makes work for ever",
        LISTS,
        "if kind is ListKind.SEQUENCE:",
        "if True:",
    ),
    Mutant(
        "removal_undone",
        "what the vendor removed comes back",
        LISTS,
        "[item for item in ours if item in theirs or item not in agreed]",
        "list(ours)",
    ),
    Mutant(
        "removal_undone_by_vendor",
        "what the hub removed comes back",
        LISTS,
        "if item not in agreed and item not in kept]",
        "if item not in kept]",
    ),
    Mutant(
        "blank_never_clears",
        "a cleared field is full again",
        MERGE,
        '        draft.take(name, theirs, "vendor_changed")',
        "        draft.to_hub.update({} if is_blank(theirs) else {name: theirs})",
    ),
    Mutant(
        "last_writer_whole_record",
        "a vendor's edit of one field reverts the hub's of another",
        MERGE,
        "        draft.to_vendor[name] = seen\n        _rebase(draft, sides, name, theirs)",
        '        draft.take(name, theirs, "vendor_changed")\n        _rebase(draft, sides, name, theirs)',
    ),
    Mutant(
        "true_is_one",
        "a yes and a one are the same",
        MERGE,
        "return isinstance(left, bool) is isinstance(right, bool)",
        "return True",
    ),
    # ------------------------------------------------------------ what comes in
    Mutant(
        "superseded_dropped",
        "a late page undoes a newer state",
        PULL,
        "return bool(item.version and link.version and item.version < link.version)",
        "return False",
    ),
    Mutant(
        "superseded_includes_equal",
        "what the vendor made of our write is never read",
        PULL,
        "item.version < link.version)",
        "item.version <= link.version)",
    ),
    Mutant(
        "first_of_two_states",
        "of a record listed twice the older state counts",
        PULL,
        "item.version >= batch[known].version)",
        "item.version < batch[known].version)",
    ),
    Mutant(
        "tombstone_ignored",
        "what was deleted is compared as if it stood",
        PULL,
        "    if link.tombstoned or hub.deleted:\n",
        "    if False:\n",
    ),
    Mutant(
        "revive_lost",
        "a restored record stays deleted",
        PULL,
        "restored = link.tombstoned or (rules.edit_beats_delete and bool(edits))",
        "restored = False",
    ),
    Mutant(
        "own_half_deletes_survivor",
        "deleting the merged half deletes the survivor",
        PULL,
        "if own is not None and own.deleted and not link.tombstoned:",
        "if False:",
    ),
    Mutant(
        "ambiguous_picks_first",
        "two records that look alike become one",
        PULL,
        "if len(free) > 1:",
        "if len(free) > 99:",
    ),
    Mutant("no_matching", "the same person twice", PULL, "return known.hubs[free[0]] if free else None", "return None"),
    Mutant(
        "copied_key_believed",
        "a copied record takes the place of its original",
        PULL,
        "hub is not None and not hub.deleted and known.taken.get(hub.id, item.vendor_id) == item.vendor_id",
        "hub is not None and not hub.deleted",
    ),
    Mutant(
        "provenance_contested",
        "two vendors quarrel about when a record was made",
        PULL,
        'if name in PROVENANCE and link is not None and link.origin != "created":',
        "if False:",
    ),
    Mutant(
        "delete_loses_edits",
        "a delete takes the hub's edits along, unseen",
        PULL,
        "if planning.rules.edit_beats_delete and lost:",
        "if False:",
    ),
    Mutant(
        "delete_loses_edits_silently",
        "edits that a delete beats are in no log",
        PULL,
        '(Conflict("*", Side.VENDOR, "delete_beats_edit", None, lost),) if lost else ()',
        "()",
    ),
    Mutant(
        "delete_policy_ignored",
        "deletes reach the hub although they must not",
        PULL,
        "or planning.rules.deletes_in is not DeletePolicy.PROPAGATE",
        "or False",
    ),
    Mutant(
        "own_create_not_recognised",
        "our own create comes back as a new record",
        PULL,
        "    intent = _announced(known.intents, item)\n",
        "    intent = None\n",
    ),
    Mutant(
        "late_create_revives",
        "a create that arrives after the delete brings the record back",
        PULL,
        "return hub if hub is not None and hub.deleted else None",
        "return None",
    ),
    Mutant(
        "echo_beats_delete",
        "the vendor's spelling of our own write undoes a delete",
        PULL,
        "    if item.version and item.version == link.version:\n        return {}\n",
        "",
    ),
    Mutant(
        "custom_field_stays",
        "a custom field cleared at the vendor stays in the hub",
        PULL,
        "return {**said, **gone}",
        "return said",
    ),
    Mutant("merge_drops_fields", "what only the merged record had is gone", PULL, "        set_hub=filled,\n", ""),
    Mutant(
        "merge_not_sent",
        "the survivor at the vendor never gets what the hub filled in",
        PULL,
        "push=planning.rules.pushes and bool(filled),",
        "push=False,",
    ),
    # ------------------------------------------------------------ what goes out
    Mutant(
        "ask_pushes_anyway",
        "the hub's side of an open question overwrites the vendor's",
        PUSH,
        "if name not in link.open}",
        "if True}",
    ),
    Mutant("required_not_awaited", "a child goes out before its parent", PUSH, "    if waited:\n", "    if False:\n"),
    Mutant(
        "children_first",
        "records go out before what they refer to",
        PUSH,
        "    return [by_id[entity_id] for entity_id in placed]",
        "    return list(decisions)",
    ),
    Mutant(
        "never_recreated",
        "a restored record never comes back at the vendor",
        PUSH,
        "return rules.deletes_in is DeletePolicy.PROPAGATE",
        "return False",
    ),
    Mutant(
        "no_pre_read",
        "an edit made since the last poll is overwritten",
        PUSH,
        "    if item.current is None:\n        return None\n",
        "    if True:\n        return None\n",
    ),
    Mutant(
        "no_if_match",
        "an edit made while we write is overwritten",
        PUSH,
        "        version or None,\n        hub.version,\n        later",
        "        None,\n        hub.version,\n        later",
    ),
    Mutant(
        "delete_beats_edit_unread",
        "a delete goes out over an edit that should beat it",
        PUSH,
        "if learned.outcome is Outcome.REVIVED:",
        "if False:",
    ),
    # ------------------------------------------------------------ the shell
    Mutant(
        "cursor_before_records",
        "a kill between the two loses a page",
        ENGINE,
        "                verified = started if page.last else None\n",
        "                verified = started if page.last else None\n"
        "                self.store.commit_pull(self.lease, PullCommit(self.rules.entity, cursor=page.cursor))\n",
    ),
    Mutant(
        "cursor_with_a_part",
        "records that wait for others of their page are lost by a kill",
        ENGINE,
        "part = replace(part, cursor=None, resync=None, notices=(), rejects=(), verified_at=None)",
        "pass",
    ),
    Mutant(
        "no_lookback",
        "what the vendor's index shows late is never read",
        VENDORS,
        "started = self.now - self.lag - OVERLAP",
        "started = self.now",
    ),
    Mutant(
        "renewed_over_a_gap",
        "a worker that slept goes on with an old page",
        ENGINE,
        "if lease.generation != self.lease.generation + 1:",
        "if False:",
    ),
    Mutant(
        "stale_is_done",
        "a plan that no longer holds counts as applied",
        ENGINE,
        "            except StaleError:\n                continue\n",
        "            except StaleError:\n                pass\n",
    ),
    Mutant(
        "matches_not_asked_again",
        "two lanes create the same person at once",
        ENGINE,
        "if d.outcome is Outcome.CREATED and query.matches.get(d.vendor_id)",
        "if False",
    ),
    Mutant(
        "waiting_keeps_fingerprint",
        "a reference that arrives later is never set",
        ENGINE,
        'print_ = b"" if waits else raw.incoming.fingerprint',
        "print_ = raw.incoming.fingerprint",
    ),
    Mutant(
        "incomplete_listing_deletes",
        "a listing that broke off ends the comparison",
        ENGINE,
        "        return found.since if complete else None",
        "        return found.since",
    ),
    Mutant(
        "missing_means_deleted",
        "what a listing does not show yet is deleted",
        ENGINE,
        "        self.apply(self._fetched(found.wanted), PullCommit(self.rules.entity, resync=found.state))",
        "        gone = [Raw(Incoming(v, deleted=True)) for v in found.wanted]\n"
        "        raws = gone if found.since.deleting else self._fetched(found.wanted)\n"
        "        self.apply(raws, PullCommit(self.rules.entity, resync=found.state))",
    ),
    Mutant(
        "relist_keeps_the_deleted",
        "deletes during an outage are never noticed",
        ENGINE,
        "self.apply(self._fetched(missing), commit)",
        "self.apply([], commit)",
    ),
    Mutant(
        "brake_off",
        "a wiped vendor wipes the hub",
        RECOVERY,
        "return deletes > self.floor and deletes > self.share * max(linked, 1)",
        "return False",
    ),
    Mutant(
        "creates_before_listed",
        "what is there already is created again",
        ENGINE,
        "if complete and run.may_push():",
        "if True:",
    ),
    Mutant(
        "no_intent",
        "a create whose answer was lost is repeated blindly",
        PUSHING,
        "for d in decisions])\n        writes",
        "for d in decisions if d.vendor_id])\n        writes",
    ),
    Mutant(
        "uncertain_create_repeated",
        "a create is repeated without reading back",
        PUSHING,
        "if w.item.intent is not None and not _is_linked(w)}",
        "if False}",
    ),
    Mutant(
        "uncertain_update_forgotten",
        "what an unanswered update wrote looks like the vendor's edit",
        PUSHING,
        "lost = decision.kind is not PushKind.DELETE and _may_have_arrived(error)",
        "lost = decision.kind is PushKind.CREATE and _may_have_arrived(error)",
    ),
    Mutant(
        "partial_failure_is_success",
        "a record that failed within a batch counts as sent",
        PUSHING,
        "            if result.error is None:\n                self._sent(decision, result)",
        "            if True:\n                self._sent(decision, result)",
    ),
    Mutant(
        "outdated_write_is_dead",
        "a write that met a newer version is given up",
        PUSHING,
        'OUTDATED = frozenset({"conflict"})',
        "OUTDATED = frozenset[str]()",
    ),
    Mutant(
        "no_check_before_sending", "a worker that slept sends on an expired lease", PUSHING, "        run.check()\n", ""
    ),
    Mutant(
        "lost_edits_after_the_fact",
        "edits that a delete took along cannot be read any more",
        PUSHING,
        "        self._note_lost_edits(decisions)\n",
        "",
    ),
    Mutant(
        "stale_end_forgotten",
        "one answered question loses the ends of a whole batch",
        PUSHING,
        "for end in ends if len(ends) > 1 else ():",
        "for end in ():",
    ),
    # ------------------------------------------------------------ what a store must keep
    Mutant(
        "lease_without_generation",
        "a zombie commits",
        STORE,
        "generation != lease.generation:\n            raise LeaseLostError",
        "generation < 0:\n            raise LeaseLostError",
    ),
    Mutant(
        "token_ignored",
        "an edit made while its record was sent never goes out",
        APPLYING,
        "if row is None or row.token != end.token:",
        "if row is None:",
    ),
    Mutant(
        "waits_dropped",
        "a child that waited for its parent never goes out",
        APPLYING,
        "        tables.push_waits[lane, end.entity_id, ref] = None\n",
        "        pass\n",
    ),
    Mutant(
        "vendor_waits_dropped",
        "a reference that arrives later is never read",
        APPLYING,
        "            tables.vendor_waits[lane, decision.vendor_id, ref] = None\n",
        "            pass\n",
    ),
    Mutant(
        "conflict_not_stored",
        "a conflict is decided and forgotten",
        APPLYING,
        "            tables.conflicts.append(row)\n",
        "            pass\n",
    ),
    Mutant(
        "hub_version_unchecked",
        "a person's edit between planning and committing is overwritten",
        APPLYING,
        "if row is None or row.version != decision.hub_version:",
        "if row is None:",
    ),
    Mutant(
        "match_across_tenants",
        "a record of another tenant is taken for one's own",
        APPLYING,
        "if (row.tenant_id, row.entity, row.deleted) == (lane.tenant_id, entity, False)",
        "if (row.entity, row.deleted) == (entity, False)",
    ),
)
