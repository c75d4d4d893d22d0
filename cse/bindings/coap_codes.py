"""Wire tables of the CoAP binding: response codes, option numbers, content formats (TS-0008 clause 6.2 to 6.4)."""

from __future__ import annotations

from dataclasses import dataclass

from cse.bindings.coap_message import code
from cse.onem2m.status import Status

# The published table ends with Release 3. Statuses of later releases take the code of the older status nearest in
# meaning: something absent 4.04, something refused 4.03, something wrong in the request 4.00, something failed here
# 5.00, something late 5.04. 4102 is 4.00 by the table, although one peer sends 4.06 for it; 5220 is 4.00, although
# one peer sends 5.03.
_DOTTED: dict[Status, str] = {
    Status.ACCEPTED: "",
    Status.ACCEPTED_NONBLOCKING_SYNC: "2.01",
    Status.ACCEPTED_NONBLOCKING_ASYNC: "2.01",
    Status.OK: "2.05",
    Status.CREATED: "2.01",
    Status.DELETED: "2.02",
    Status.UPDATED: "2.04",
    Status.BAD_REQUEST: "4.00",
    Status.RELEASE_VERSION_NOT_SUPPORTED: "5.01",
    Status.NOT_FOUND: "4.04",
    Status.OPERATION_NOT_ALLOWED: "4.05",
    Status.REQUEST_TIMEOUT: "5.04",
    Status.UNSUPPORTED_MEDIA_TYPE: "4.15",
    Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE: "4.03",
    Status.CONTENTS_UNACCEPTABLE: "4.00",
    Status.ORIGINATOR_HAS_NO_PRIVILEGE: "4.03",
    Status.GROUP_REQUEST_IDENTIFIER_EXISTS: "4.00",
    Status.CONFLICT: "4.03",
    Status.ORIGINATOR_HAS_NOT_REGISTERED: "4.03",
    Status.SECURITY_ASSOCIATION_REQUIRED: "4.03",
    Status.INVALID_CHILD_RESOURCE_TYPE: "4.03",
    Status.NO_MEMBERS: "4.03",
    Status.GROUP_MEMBER_TYPE_INCONSISTENT: "4.00",
    Status.ESPRIM_UNSUPPORTED_OPTION: "4.03",
    Status.ESPRIM_UNKNOWN_KEY_ID: "4.03",
    Status.ESPRIM_UNKNOWN_ORIG_RAND_ID: "4.03",
    Status.ESPRIM_UNKNOWN_RECV_RAND_ID: "4.03",
    Status.ESPRIM_BAD_MAC: "4.03",
    Status.ESPRIM_IMPERSONATION_ERROR: "4.03",
    Status.ORIGINATOR_HAS_ALREADY_REGISTERED: "4.03",
    Status.ONTOLOGY_NOT_AVAILABLE: "4.04",
    Status.LINKED_SEMANTICS_NOT_AVAILABLE: "4.04",
    Status.INVALID_SEMANTICS: "4.02",
    Status.MASHUP_MEMBER_NOT_FOUND: "4.04",
    Status.INVALID_TRIGGER_PURPOSE: "4.02",
    Status.ILLEGAL_TRANSACTION_STATE_TRANSITION_ATTEMPTED: "4.00",
    Status.BLOCKING_SUBSCRIPTION_ALREADY_EXISTS: "4.00",
    Status.SPECIALIZATION_SCHEMA_NOT_FOUND: "5.01",
    Status.APP_RULE_VALIDATION_FAILED: "4.03",
    Status.OPERATION_DENIED_BY_REMOTE_ENTITY: "4.03",
    Status.SERVICE_SUBSCRIPTION_NOT_ESTABLISHED: "4.03",
    Status.DISCOVERY_LIMIT_EXCEEDED_R4: "4.03",
    Status.ONTOLOGY_MAPPING_ALGORITHM_NOT_AVAILABLE: "4.04",
    Status.ONTOLOGY_MAPPING_POLICY_NOT_MATCHED: "4.00",
    Status.ONTOLOGY_MAPPING_NOT_AVAILABLE: "4.04",
    Status.BAD_FACT_INPUTS_FOR_REASONING: "4.00",
    Status.BAD_RULE_INPUTS_FOR_REASONING: "4.00",
    Status.DISCOVERY_LIMIT_EXCEEDED: "4.03",
    Status.PRIMITIVE_PROFILE_NOT_ACCESSIBLE: "4.03",
    Status.PRIMITIVE_PROFILE_BAD_REQUEST: "4.00",
    Status.UNAUTHORIZED_USER: "4.03",
    Status.SERVICE_SUBSCRIPTION_LIMITS_EXCEEDED: "4.03",
    Status.INVALID_PROCESS_CONFIGURATION: "4.00",
    Status.INVALID_SPARQL_QUERY: "4.00",
    Status.INTERNAL_SERVER_ERROR: "5.00",
    Status.NOT_IMPLEMENTED: "5.01",
    Status.TARGET_NOT_REACHABLE: "4.04",
    Status.RECEIVER_HAS_NO_PRIVILEGE: "4.03",
    Status.ALREADY_EXISTS: "4.00",
    Status.REMOTE_ENTITY_NOT_REACHABLE: "4.04",
    Status.TARGET_NOT_SUBSCRIBABLE: "4.03",
    Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED: "5.00",
    Status.SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE: "4.03",
    Status.NON_BLOCKING_SYNCH_REQUEST_NOT_SUPPORTED: "5.01",
    Status.NOT_ACCEPTABLE: "4.06",
    Status.DISCOVERY_DENIED_BY_IPE: "4.03",
    Status.GROUP_MEMBERS_NOT_RESPONDED: "5.00",
    Status.ESPRIM_DECRYPTION_ERROR: "5.00",
    Status.ESPRIM_ENCRYPTION_ERROR: "5.00",
    Status.SPARQL_UPDATE_ERROR: "5.00",
    Status.TARGET_HAS_NO_SESSION_CAPABILITY: "4.03",
    Status.SESSION_IS_ONLINE: "4.03",
    Status.JOIN_MULTICAST_GROUP_FAILED: "5.00",
    Status.LEAVE_MULTICAST_GROUP_FAILED: "5.00",
    Status.TRIGGERING_DISABLED_FOR_RECIPIENT: "4.03",
    Status.UNABLE_TO_REPLACE_REQUEST: "4.00",
    Status.UNABLE_TO_RECALL_REQUEST: "4.00",
    Status.CROSS_RESOURCE_OPERATION_FAILURE: "5.00",
    Status.TRANSACTION_PROCESSING_IS_INCOMPLETE: "4.03",
    Status.ONTOLOGY_MAPPING_ALGORITHM_FAILED: "5.00",
    Status.ONTOLOGY_CONVERSION_FAILED: "5.00",
    Status.REASONING_PROCESSING_FAILED: "5.00",
    Status.EXTERNAL_OBJECT_NOT_REACHABLE: "4.04",
    Status.EXTERNAL_OBJECT_NOT_FOUND: "4.04",
    Status.MAX_NUMBER_OF_MEMBER_EXCEEDED: "4.00",
    Status.MGMT_SESSION_CANNOT_BE_ESTABLISHED: "5.00",
    Status.MGMT_SESSION_ESTABLISHMENT_TIMEOUT: "5.00",
    Status.INVALID_CMDTYPE: "4.00",
    Status.INVALID_ARGUMENTS: "4.00",
    Status.INSUFFICIENT_ARGUMENTS: "4.00",
    Status.MGMT_CONVERSION_ERROR: "5.00",
    Status.MGMT_CANCELLATION_FAILED: "5.00",
    Status.ALREADY_COMPLETE: "4.00",
    Status.MGMT_COMMAND_NOT_CANCELLABLE: "4.00",
    Status.EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_RQET_TIMEOUT: "5.04",
    Status.EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_OET_TIMEOUT: "5.04",
    Status.NETWORK_QOS_CONFIGURATION_ERROR: "5.00",
    Status.REQUESTED_ACTIVITY_PATTERN_NOT_PERMITTED: "4.03",
}

#: the response code of every status; 0.00 where nothing but an acknowledgement is sent. OK is 2.05 for RETRIEVE
#: and 2.04 for all else, ACCEPTED_NONBLOCKING_ASYNC without a <request> is 2.04: the codec knows which.
COAP_CODE: dict[Status, int] = {status: code(text) for status, text in _DOTTED.items()}


@dataclass(frozen=True, slots=True)
class Numbering:
    """The option numbers of one generation of the binding, by short parameter name; 0 where it has none.

    Attributes:
        nm: the resourceName of a CREATE, which Release 1 carried outside the content.
    """

    name: str
    fr: int
    rqi: int
    rsc: int
    ty: int
    ot: int
    rqet: int
    rset: int
    oet: int
    rturi: int
    ec: int
    gid: int
    rvi: int
    vsi: int
    nm: int = 0
    asri: int = 0
    cnot: int = 0
    cnst: int = 0
    ati: int = 0
    grtm: int = 0
    aus: int = 0


#: Release 2A and later
NEW_NUMBERS = Numbering(
    name="279/283/307",
    ot=259,
    rturi=263,
    ty=267,
    rvi=271,
    asri=275,
    fr=279,
    rqi=283,
    rqet=291,
    rset=295,
    oet=299,
    ec=303,
    rsc=307,
    gid=311,
    cnot=319,
    cnst=323,
    ati=327,
    vsi=331,
    grtm=335,
    aus=339,
)
#: Releases 1 and 2, still sent by clients in the field. They know no release indicator; one of the newer number is
#: understood and answered, because some stacks mix the two.
OLD_NUMBERS = Numbering(
    name="256/257/265",
    fr=256,
    rqi=257,
    nm=258,
    ot=259,
    rqet=260,
    rset=261,
    oet=262,
    rturi=263,
    ec=264,
    rsc=265,
    gid=266,
    ty=267,
    rvi=271,
    vsi=331,
)
#: parameters of Release 4 that this CSE does not act on: their options are refused, never passed over
UNSUPPORTED_PARAMETERS = {343: "oneM2M-OMR", 347: "oneM2M-PRPI", 351: "oneM2M-MSU"}

#: content format number -> serialisation
FORMATS: dict[int, str] = {
    41: "xml",
    50: "json",
    60: "cbor",
    10000: "xml",
    10001: "json",
    10002: "xml",
    10003: "json",
    10006: "xml",
    10007: "json",
    10008: "xml",
    10009: "json",
    10010: "cbor",
    10011: "cbor",
    10012: "cbor",
    10013: "cbor",
    10014: "xml",
}
#: serialisation -> the number of the plain media type, which every receiver must know
PLAIN_FORMAT: dict[str, int] = {"json": 50, "cbor": 60}
#: (kind of content, serialisation) -> the number of the oneM2M media type
VENDOR_FORMAT: dict[tuple[str, str], int] = {
    ("res", "json"): 10001,
    ("ntfy", "json"): 10003,
    ("preq", "json"): 10007,
    ("prsp", "json"): 10009,
    ("res", "cbor"): 10010,
    ("ntfy", "cbor"): 10011,
    ("preq", "cbor"): 10012,
    ("prsp", "cbor"): 10013,
}
