"""Rules of accessControlPolicies as people think of them: roles, operations, who gains and who loses (pure).

A rule is an accessControlRule with its short names (``acor``, ``acop``, ...; TS-0001 clause 9.6.2.1). Rules with
conditions (``acco``, ``acod``, ``acaf``, ``aca``) are never widened, because nobody asked for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cse.onem2m.wildcards import wildcard

Rule = dict[str, Any]

OPERATIONS = {"CREATE": 1, "RETRIEVE": 2, "UPDATE": 4, "DELETE": 8, "NOTIFY": 16, "DISCOVERY": 32}
ALL = 63
#: what a role may do; ``admin`` may besides change the policy itself
ROLES = {
    "viewer": OPERATIONS["RETRIEVE"] | OPERATIONS["DISCOVERY"],
    "device": OPERATIONS["CREATE"] | OPERATIONS["RETRIEVE"] | OPERATIONS["NOTIFY"] | OPERATIONS["DISCOVERY"],
    "operator": ALL & ~OPERATIONS["DELETE"],
    "admin": ALL,
}
_PLAIN = frozenset({"acor", "acop"})


def parse_operations(words: Iterable[str]) -> int:
    """The bits (acop) of names of operations and roles, which may be joined by commas.

    Raises:
        ValueError: one of them is neither.
    """
    bits = 0
    for word in (part.strip() for text in words for part in text.split(",")):
        if not word:
            continue
        found = OPERATIONS.get(word.upper()) or ROLES.get(word.lower()) or (ALL if word.upper() == "ALL" else 0)
        if not found:
            raise ValueError(f"{word!r} is no operation and no role: use {', '.join((*OPERATIONS, *ROLES))}")
        bits |= found
    return bits


def words_of(bits: int) -> str:
    """The operations of ``acop`` by name, joined by commas."""
    return ", ".join(name for name, bit in OPERATIONS.items() if bits & bit) or "nothing"


def role_of(bits: int) -> str:
    """The role that may do exactly this, "" when there is none."""
    return next((name for name, mask in ROLES.items() if mask == bits), "")


def held(rules: Sequence[Mapping[str, Any]], originator: str) -> int:
    """What rules without conditions let an originator do that they name, or ``all``."""
    bits = 0
    for rule in rules:
        if set(rule) <= _PLAIN and not {originator, "all"}.isdisjoint(rule.get("acor", ())):
            bits |= rule.get("acop", 0)
    return bits


def grant(rules: Sequence[Rule], originator: str, bits: int) -> list[Rule]:
    """The rules after an originator may do this too; the same rules when it may already."""
    missing = bits & ~held(rules, originator)
    changed = [dict(rule) for rule in rules]
    if not missing:
        return changed
    plain = [rule for rule in changed if set(rule) <= _PLAIN]
    own = next((rule for rule in plain if rule.get("acor") == [originator]), None)
    if own is not None:
        own["acop"] = own.get("acop", 0) | missing
        return changed
    same = next((rule for rule in plain if rule.get("acop") == bits and "all" not in rule.get("acor", ())), None)
    if same is not None:
        same["acor"] = [*same.get("acor", ()), originator]
    else:
        changed.append({"acor": [originator], "acop": bits})
    return changed


def revoke(rules: Sequence[Rule], originator: str, bits: int = ALL) -> list[Rule]:
    """The rules after an originator is not named any more for these operations, with conditions or without."""
    changed: list[Rule] = []
    for rule in rules:
        others = [entry for entry in rule.get("acor", ()) if entry != originator]
        rest = rule.get("acop", 0) & ~bits
        if len(others) == len(rule.get("acor", ())) or rest == rule.get("acop", 0):
            changed.append(dict(rule))
            continue
        if others:
            changed.append({**rule, "acor": others})
        if rest:
            changed.append({**rule, "acor": [originator], "acop": rest})
    return changed


def assign(rules: Sequence[Rule], originator: str, role: str) -> list[Rule]:
    """The rules after an originator has a role, and in rules without conditions nothing besides it.

    Args:
        rules: of the policy.
        originator: AE-ID, CSE-ID, group or pattern.
        role: a name of ``ROLES``.
    """
    if held([rule for rule in rules if originator in rule.get("acor", ())], originator) == ROLES[role]:
        return [dict(rule) for rule in rules]
    conditional = [rule for rule in rules if not set(rule) <= _PLAIN]
    plain = revoke([rule for rule in rules if set(rule) <= _PLAIN], originator)
    return [*grant(plain, originator, ROLES[role]), *(dict(rule) for rule in conditional)]


def still_granting(rules: Sequence[Mapping[str, Any]], originator: str, bits: int) -> list[str]:
    """The entries by which rules still let an originator do some of this without its name: ``all`` and patterns."""
    found = []
    for rule in rules:
        if rule.get("acop", 0) & bits:
            for entry in rule.get("acor", ()):
                if entry == "all" or ("*" in entry and wildcard(entry).fullmatch(originator)):
                    found.append(entry)
    return found


def differences(before: Sequence[Rule], after: Sequence[Rule]) -> list[str]:
    """What changed for whom, in words, one line for each originator."""
    lines = []
    names = dict.fromkeys(entry for rule in (*before, *after) for entry in rule.get("acor", ()))
    for name in names:
        was, now = _named(before, name), _named(after, name)
        if now & ~was:
            lines.append(f"{name} may now {words_of(now & ~was)}")
        if was & ~now:
            lines.append(f"{name} may no longer {words_of(was & ~now)}")
    return lines


def _named(rules: Sequence[Mapping[str, Any]], name: str) -> int:
    bits = 0
    for rule in rules:
        if name in rule.get("acor", ()):
            bits |= rule.get("acop", 0)
    return bits


def describe(rule: Mapping[str, Any]) -> str:
    """A rule in words: who may do what, and on which conditions."""
    bits = rule.get("acop", 0)
    role = role_of(bits)
    text = f"{', '.join(rule.get('acor', ())) or 'nobody'}: {words_of(bits)}" + (f" ({role})" if role else "")
    conditions = [name for name in rule if name not in _PLAIN]
    return text + (f", if {', '.join(f'{name}={rule[name]}' for name in conditions)}" if conditions else "")
