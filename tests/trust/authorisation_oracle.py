"""What the access decision must be, written from TS-0001 clause 9.6.2 and TS-0003 clause 7.1 without a look at ours.

One pure function over words: who asks, what for, which policy, by which address.
"""

from __future__ import annotations

from itertools import product

OPERATIONS = ("create", "retrieve", "update", "delete", "notify", "discover")
#: name -> (From, credential, "" for none)
ORIGINATORS = {
    "owner": ("Cae", "Cae"),
    "other AE": ("Cother", "Cother"),
    "unregistered AE": ("Cnobody", "Cnobody"),
    "empty From": ("", "Cother"),
    "administrator": ("CAdmin", "CAdmin"),
    "administrator without credential": ("CAdmin", ""),
    "this CSE, spoofed": ("/id-mn", ""),
    "registrar CSE": ("/id-in", "/id-in"),
    "registree CSE": ("/id-asn", "/id-asn"),
    "unknown CSE": ("/id-x", "/id-x"),
    "AE behind the registree, by it": ("/id-asn/Cfar", "/id-asn"),
    "AE behind the registree, directly": ("/id-asn/Cfar", "Cfar"),
    "expired AE": ("Cold", "Cold"),
}
POLICIES = (
    "none",
    "allows the operation",
    "self-privileges only",
    "allows all but the operation",
    "wildcards",
    "group",
    "address inside",
    "address outside",
    "time inside",
    "time outside",
    "other child types only",
    "deleted",
    "remote",
    "groups in a circle",
    "several",
    "inherited",
)
PATHS = ("structured", "unstructured", "SP-relative", "absolute", "la", "fopt", "announced", "transit")
CASES = tuple(product(OPERATIONS, ORIGINATORS, POLICIES, PATHS))

#: who the policies name
NAMED = ("Cother", "/id-asn/Cfar", "/id-in")
GRANTED, DENIED, NO_PROOF, SOMEBODY_ELSE, NO_FROM = "granted", 4103, 4107, 4106, 4000
NOT_FOR_THIS_TYPE, FORWARDED, NO_ROUTE = 4005, "forwarded", 4004


def decision(operation: str, who: str, policy: str, path: str) -> int | str:
    """The response status code, or ``granted`` or ``forwarded`` when access control lets it pass."""
    name, credential = ORIGINATORS[who]
    if not name:
        return NO_FROM  # only a registration may come without
    if not credential:
        return NO_PROOF
    if credential != name and not name.startswith(credential + "/"):
        return SOMEBODY_ELSE
    if path == "transit":
        # Not ours: its hosting CSE decides. That CSE need not ask us to ask itself.
        return NO_ROUTE if name == "/id-asn" else FORWARDED
    instance = path == "la" or (policy == "inherited" and path != "announced")
    if path == "la" and operation in ("create", "update", "notify"):
        return NOT_FOR_THIS_TYPE
    if instance and operation == "update":
        return NOT_FOR_THIS_TYPE  # before anybody's rights are looked at
    if name == "CAdmin":
        return GRANTED
    creator = "/id-asn" if path == "announced" else "Cae"
    if path == "announced" and name == "/id-asn":
        return GRANTED  # the CSE of the original resource
    if path == "announced" and operation == "update":
        return DENIED  # only that CSE changes what it announced (TS-0001 clause 9.6.26, ast 1)
    if policy in ("none", "deleted"):
        return GRANTED if name == creator else DENIED
    return GRANTED if _names(policy, operation, name) else DENIED


def _names(policy: str, operation: str, name: str) -> bool:
    match policy:
        case "wildcards":
            return name == "Cother" or name.startswith("/id-asn/")
        case "group":
            return name == "Cother"
        case "allows the operation" | "address inside" | "time inside" | "several" | "inherited":
            return name in NAMED
        case "other child types only":
            return operation != "create" and name in NAMED
    return False
