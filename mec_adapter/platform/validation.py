"""Says in one sentence which attribute of a request is wrong and what to send instead; pure."""

from collections.abc import Sequence
from typing import Any

_EXPECTED = {
    "string_type": "send a string",
    "int_type": "send an integer",
    "int_from_float": "send an integer",
    "float_type": "send a number",
    "bool_type": "send true or false",
    "list_type": "send an array",
    "dict_type": "send an object",
    "model_type": "send a JSON object",
    "model_attributes_type": "send a JSON object",
    "dataclass_type": "send a JSON object",
}


def explain(faults: Sequence[Any]) -> str:
    """Return a sentence about the first fault, and how many more there are.

    Args:
        faults: the errors of a pydantic or FastAPI validation.
    """
    if not faults:
        return "the request is not valid"
    sentence = _sentence(faults[0])
    if len(faults) > 1:
        others = sorted({_name(fault) for fault in faults[1:]} - {_name(faults[0])})
        if others:
            sentence += f" (also wrong: {', '.join(others[:5])})"
    return sentence


def _name(fault: Any) -> str:
    location = [part for part in fault["loc"] if not _is_union_tag(part)]
    return _join(location[1:]) if location and location[0] in ("body", "query", "path", "header") else _join(location)


def _is_union_tag(part: Any) -> bool:
    """Whether a part of a location names a type: attributes of MEC begin with a small letter or an underscore."""
    return isinstance(part, str) and (part[:1].isupper() or "[" in part or part in ("str", "int", "dict", "list"))


def _join(parts: Sequence[Any]) -> str:
    name = ""
    for part in parts:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name += f".{part}" if name else str(part)
    return name


def _sentence(fault: Any) -> str:
    name, kind, context = _name(fault), fault["type"], fault.get("ctx", {})
    where = "query parameter" if fault["loc"] and fault["loc"][0] == "query" else "attribute"
    if kind == "missing":
        if not name:
            return "the request has no body; send a JSON object"
        return f"{where} {name} is missing; it is mandatory"
    subject = f"{where} {name}" if name else "the body"
    if kind == "value_error":
        return f"{subject} {context.get('error', fault['msg'])}"
    if kind == "literal_error":
        return f"{subject} is {_shown(fault['input'])}; send {context['expected']}"
    if kind.startswith("union_tag"):
        return f"attribute subscriptionType is missing or unknown; send {context.get('expected_tags', 'a known one')}"
    if kind in _EXPECTED:
        return f"{subject} has the wrong type; {_EXPECTED[kind]}"
    return f"{subject} is {_shown(fault.get('input'))}, which cannot be taken: {_lower(fault['msg'])}"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else f"an array of {len(value)}"
    return repr(value)[:80]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
