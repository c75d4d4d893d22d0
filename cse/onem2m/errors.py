"""One error class per response status code (TS-0004 clause 6.6.3).

The message of an error becomes ``m2m:dbg`` in the response: it names the attribute or identifier that is wrong and
says what to send instead. It must never hold a secret.
"""

from __future__ import annotations

from typing import ClassVar

from cse.onem2m.status import Status


class CseError(Exception):
    """An error that is answered with a response status code.

    Args:
        debug: what was wrong and what to send instead; becomes ``m2m:dbg``.
        request_id: the request identifier when a codec could read it before it failed, else "".
    """

    status: ClassVar[Status] = Status.INTERNAL_SERVER_ERROR

    def __init__(self, debug: str, request_id: str = "") -> None:
        super().__init__(debug)
        self.debug = debug
        self.request_id = request_id


class BadRequest(CseError):
    """4000 BAD_REQUEST."""

    status = Status.BAD_REQUEST


class ReleaseVersionNotSupported(CseError):
    """4001 RELEASE_VERSION_NOT_SUPPORTED."""

    status = Status.RELEASE_VERSION_NOT_SUPPORTED


class NotFound(CseError):
    """4004 NOT_FOUND."""

    status = Status.NOT_FOUND


class OperationNotAllowed(CseError):
    """4005 OPERATION_NOT_ALLOWED."""

    status = Status.OPERATION_NOT_ALLOWED


class RequestTimeout(CseError):
    """4008 REQUEST_TIMEOUT."""

    status = Status.REQUEST_TIMEOUT


class Overloaded(RequestTimeout):
    """4008 REQUEST_TIMEOUT of a request that was not begun because there are too many; worth sending again.

    Args:
        debug: see ``CseError``.
        retry_after_s: when, in seconds; bindings that have a word of their own for this say it with that.
    """

    def __init__(self, debug: str, *, retry_after_s: int = 1) -> None:
        super().__init__(debug)
        self.retry_after_s = retry_after_s


class UnsupportedMediaType(CseError):
    """4015 UNSUPPORTED_MEDIA_TYPE."""

    status = Status.UNSUPPORTED_MEDIA_TYPE


class SubscriptionCreatorHasNoPrivilege(CseError):
    """4101 SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE."""

    status = Status.SUBSCRIPTION_CREATOR_HAS_NO_PRIVILEGE


class ContentsUnacceptable(CseError):
    """4102 CONTENTS_UNACCEPTABLE."""

    status = Status.CONTENTS_UNACCEPTABLE


class OriginatorHasNoPrivilege(CseError):
    """4103 ORIGINATOR_HAS_NO_PRIVILEGE."""

    status = Status.ORIGINATOR_HAS_NO_PRIVILEGE


class GroupRequestIdentifierExists(CseError):
    """4104 GROUP_REQUEST_IDENTIFIER_EXISTS."""

    status = Status.GROUP_REQUEST_IDENTIFIER_EXISTS


class Conflict(CseError):
    """4105 CONFLICT."""

    status = Status.CONFLICT


class OriginatorHasNotRegistered(CseError):
    """4106 ORIGINATOR_HAS_NOT_REGISTERED."""

    status = Status.ORIGINATOR_HAS_NOT_REGISTERED


class SecurityAssociationRequired(CseError):
    """4107 SECURITY_ASSOCIATION_REQUIRED."""

    status = Status.SECURITY_ASSOCIATION_REQUIRED


class InvalidChildResourceType(CseError):
    """4108 INVALID_CHILD_RESOURCE_TYPE."""

    status = Status.INVALID_CHILD_RESOURCE_TYPE


class NoMembers(CseError):
    """4109 NO_MEMBERS."""

    status = Status.NO_MEMBERS


class GroupMemberTypeInconsistent(CseError):
    """4110 GROUP_MEMBER_TYPE_INCONSISTENT."""

    status = Status.GROUP_MEMBER_TYPE_INCONSISTENT


class EsprimUnsupportedOption(CseError):
    """4111 ESPRIM_UNSUPPORTED_OPTION."""

    status = Status.ESPRIM_UNSUPPORTED_OPTION


class EsprimUnknownKeyId(CseError):
    """4112 ESPRIM_UNKNOWN_KEY_ID."""

    status = Status.ESPRIM_UNKNOWN_KEY_ID


class EsprimUnknownOrigRandId(CseError):
    """4113 ESPRIM_UNKNOWN_ORIG_RAND_ID."""

    status = Status.ESPRIM_UNKNOWN_ORIG_RAND_ID


class EsprimUnknownRecvRandId(CseError):
    """4114 ESPRIM_UNKNOWN_RECV_RAND_ID."""

    status = Status.ESPRIM_UNKNOWN_RECV_RAND_ID


class EsprimBadMac(CseError):
    """4115 ESPRIM_BAD_MAC."""

    status = Status.ESPRIM_BAD_MAC


class EsprimImpersonationError(CseError):
    """4116 ESPRIM_IMPERSONATION_ERROR."""

    status = Status.ESPRIM_IMPERSONATION_ERROR


class OriginatorHasAlreadyRegistered(CseError):
    """4117 ORIGINATOR_HAS_ALREADY_REGISTERED."""

    status = Status.ORIGINATOR_HAS_ALREADY_REGISTERED


class OntologyNotAvailable(CseError):
    """4118 ONTOLOGY_NOT_AVAILABLE."""

    status = Status.ONTOLOGY_NOT_AVAILABLE


class LinkedSemanticsNotAvailable(CseError):
    """4119 LINKED_SEMANTICS_NOT_AVAILABLE."""

    status = Status.LINKED_SEMANTICS_NOT_AVAILABLE


class InvalidSemantics(CseError):
    """4120 INVALID_SEMANTICS."""

    status = Status.INVALID_SEMANTICS


class MashupMemberNotFound(CseError):
    """4121 MASHUP_MEMBER_NOT_FOUND."""

    status = Status.MASHUP_MEMBER_NOT_FOUND


class InvalidTriggerPurpose(CseError):
    """4122 INVALID_TRIGGER_PURPOSE."""

    status = Status.INVALID_TRIGGER_PURPOSE


class IllegalTransactionStateTransitionAttempted(CseError):
    """4123 ILLEGAL_TRANSACTION_STATE_TRANSITION_ATTEMPTED."""

    status = Status.ILLEGAL_TRANSACTION_STATE_TRANSITION_ATTEMPTED


class BlockingSubscriptionAlreadyExists(CseError):
    """4124 BLOCKING_SUBSCRIPTION_ALREADY_EXISTS."""

    status = Status.BLOCKING_SUBSCRIPTION_ALREADY_EXISTS


class SpecializationSchemaNotFound(CseError):
    """4125 SPECIALIZATION_SCHEMA_NOT_FOUND."""

    status = Status.SPECIALIZATION_SCHEMA_NOT_FOUND


class AppRuleValidationFailed(CseError):
    """4126 APP_RULE_VALIDATION_FAILED."""

    status = Status.APP_RULE_VALIDATION_FAILED


class OperationDeniedByRemoteEntity(CseError):
    """4127 OPERATION_DENIED_BY_REMOTE_ENTITY."""

    status = Status.OPERATION_DENIED_BY_REMOTE_ENTITY


class ServiceSubscriptionNotEstablished(CseError):
    """4128 SERVICE_SUBSCRIPTION_NOT_ESTABLISHED."""

    status = Status.SERVICE_SUBSCRIPTION_NOT_ESTABLISHED


class DiscoveryLimitExceededR4(CseError):
    """4130 DISCOVERY_LIMIT_EXCEEDED_R4."""

    status = Status.DISCOVERY_LIMIT_EXCEEDED_R4


class OntologyMappingAlgorithmNotAvailable(CseError):
    """4131 ONTOLOGY_MAPPING_ALGORITHM_NOT_AVAILABLE."""

    status = Status.ONTOLOGY_MAPPING_ALGORITHM_NOT_AVAILABLE


class OntologyMappingPolicyNotMatched(CseError):
    """4132 ONTOLOGY_MAPPING_POLICY_NOT_MATCHED."""

    status = Status.ONTOLOGY_MAPPING_POLICY_NOT_MATCHED


class OntologyMappingNotAvailable(CseError):
    """4133 ONTOLOGY_MAPPING_NOT_AVAILABLE."""

    status = Status.ONTOLOGY_MAPPING_NOT_AVAILABLE


class BadFactInputsForReasoning(CseError):
    """4135 BAD_FACT_INPUTS_FOR_REASONING."""

    status = Status.BAD_FACT_INPUTS_FOR_REASONING


class BadRuleInputsForReasoning(CseError):
    """4136 BAD_RULE_INPUTS_FOR_REASONING."""

    status = Status.BAD_RULE_INPUTS_FOR_REASONING


class DiscoveryLimitExceeded(CseError):
    """4137 DISCOVERY_LIMIT_EXCEEDED."""

    status = Status.DISCOVERY_LIMIT_EXCEEDED


class PrimitiveProfileNotAccessible(CseError):
    """4138 PRIMITIVE_PROFILE_NOT_ACCESSIBLE."""

    status = Status.PRIMITIVE_PROFILE_NOT_ACCESSIBLE


class PrimitiveProfileBadRequest(CseError):
    """4139 PRIMITIVE_PROFILE_BAD_REQUEST."""

    status = Status.PRIMITIVE_PROFILE_BAD_REQUEST


class UnauthorizedUser(CseError):
    """4140 UNAUTHORIZED_USER."""

    status = Status.UNAUTHORIZED_USER


class ServiceSubscriptionLimitsExceeded(CseError):
    """4141 SERVICE_SUBSCRIPTION_LIMITS_EXCEEDED."""

    status = Status.SERVICE_SUBSCRIPTION_LIMITS_EXCEEDED


class InvalidProcessConfiguration(CseError):
    """4142 INVALID_PROCESS_CONFIGURATION."""

    status = Status.INVALID_PROCESS_CONFIGURATION


class InvalidSparqlQuery(CseError):
    """4143 INVALID_SPARQL_QUERY."""

    status = Status.INVALID_SPARQL_QUERY


class InternalServerError(CseError):
    """5000 INTERNAL_SERVER_ERROR."""

    status = Status.INTERNAL_SERVER_ERROR


class NotImplemented(CseError):
    """5001 NOT_IMPLEMENTED."""

    status = Status.NOT_IMPLEMENTED


class TargetNotReachable(CseError):
    """5103 TARGET_NOT_REACHABLE."""

    status = Status.TARGET_NOT_REACHABLE


class ReceiverHasNoPrivilege(CseError):
    """5105 RECEIVER_HAS_NO_PRIVILEGE."""

    status = Status.RECEIVER_HAS_NO_PRIVILEGE


class AlreadyExists(CseError):
    """5106 ALREADY_EXISTS."""

    status = Status.ALREADY_EXISTS


class RemoteEntityNotReachable(CseError):
    """5107 REMOTE_ENTITY_NOT_REACHABLE."""

    status = Status.REMOTE_ENTITY_NOT_REACHABLE


class TargetNotSubscribable(CseError):
    """5203 TARGET_NOT_SUBSCRIBABLE."""

    status = Status.TARGET_NOT_SUBSCRIBABLE


class SubscriptionVerificationInitiationFailed(CseError):
    """5204 SUBSCRIPTION_VERIFICATION_INITIATION_FAILED."""

    status = Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED


class SubscriptionHostHasNoPrivilege(CseError):
    """5205 SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE."""

    status = Status.SUBSCRIPTION_HOST_HAS_NO_PRIVILEGE


class NonBlockingSynchRequestNotSupported(CseError):
    """5206 NON_BLOCKING_SYNCH_REQUEST_NOT_SUPPORTED."""

    status = Status.NON_BLOCKING_SYNCH_REQUEST_NOT_SUPPORTED


class NotAcceptable(CseError):
    """5207 NOT_ACCEPTABLE."""

    status = Status.NOT_ACCEPTABLE


class DiscoveryDeniedByIpe(CseError):
    """5208 DISCOVERY_DENIED_BY_IPE."""

    status = Status.DISCOVERY_DENIED_BY_IPE


class GroupMembersNotResponded(CseError):
    """5209 GROUP_MEMBERS_NOT_RESPONDED."""

    status = Status.GROUP_MEMBERS_NOT_RESPONDED


class EsprimDecryptionError(CseError):
    """5210 ESPRIM_DECRYPTION_ERROR."""

    status = Status.ESPRIM_DECRYPTION_ERROR


class EsprimEncryptionError(CseError):
    """5211 ESPRIM_ENCRYPTION_ERROR."""

    status = Status.ESPRIM_ENCRYPTION_ERROR


class SparqlUpdateError(CseError):
    """5212 SPARQL_UPDATE_ERROR."""

    status = Status.SPARQL_UPDATE_ERROR


class TargetHasNoSessionCapability(CseError):
    """5214 TARGET_HAS_NO_SESSION_CAPABILITY."""

    status = Status.TARGET_HAS_NO_SESSION_CAPABILITY


class SessionIsOnline(CseError):
    """5215 SESSION_IS_ONLINE."""

    status = Status.SESSION_IS_ONLINE


class JoinMulticastGroupFailed(CseError):
    """5216 JOIN_MULTICAST_GROUP_FAILED."""

    status = Status.JOIN_MULTICAST_GROUP_FAILED


class LeaveMulticastGroupFailed(CseError):
    """5217 LEAVE_MULTICAST_GROUP_FAILED."""

    status = Status.LEAVE_MULTICAST_GROUP_FAILED


class TriggeringDisabledForRecipient(CseError):
    """5218 TRIGGERING_DISABLED_FOR_RECIPIENT."""

    status = Status.TRIGGERING_DISABLED_FOR_RECIPIENT


class UnableToReplaceRequest(CseError):
    """5219 UNABLE_TO_REPLACE_REQUEST."""

    status = Status.UNABLE_TO_REPLACE_REQUEST


class UnableToRecallRequest(CseError):
    """5220 UNABLE_TO_RECALL_REQUEST."""

    status = Status.UNABLE_TO_RECALL_REQUEST


class CrossResourceOperationFailure(CseError):
    """5221 CROSS_RESOURCE_OPERATION_FAILURE."""

    status = Status.CROSS_RESOURCE_OPERATION_FAILURE


class TransactionProcessingIsIncomplete(CseError):
    """5222 TRANSACTION_PROCESSING_IS_INCOMPLETE."""

    status = Status.TRANSACTION_PROCESSING_IS_INCOMPLETE


class OntologyMappingAlgorithmFailed(CseError):
    """5230 ONTOLOGY_MAPPING_ALGORITHM_FAILED."""

    status = Status.ONTOLOGY_MAPPING_ALGORITHM_FAILED


class OntologyConversionFailed(CseError):
    """5231 ONTOLOGY_CONVERSION_FAILED."""

    status = Status.ONTOLOGY_CONVERSION_FAILED


class ReasoningProcessingFailed(CseError):
    """5232 REASONING_PROCESSING_FAILED."""

    status = Status.REASONING_PROCESSING_FAILED


class ExternalObjectNotReachable(CseError):
    """6003 EXTERNAL_OBJECT_NOT_REACHABLE."""

    status = Status.EXTERNAL_OBJECT_NOT_REACHABLE


class ExternalObjectNotFound(CseError):
    """6005 EXTERNAL_OBJECT_NOT_FOUND."""

    status = Status.EXTERNAL_OBJECT_NOT_FOUND


class MaxNumberOfMemberExceeded(CseError):
    """6010 MAX_NUMBER_OF_MEMBER_EXCEEDED."""

    status = Status.MAX_NUMBER_OF_MEMBER_EXCEEDED


class MgmtSessionCannotBeEstablished(CseError):
    """6020 MGMT_SESSION_CANNOT_BE_ESTABLISHED."""

    status = Status.MGMT_SESSION_CANNOT_BE_ESTABLISHED


class MgmtSessionEstablishmentTimeout(CseError):
    """6021 MGMT_SESSION_ESTABLISHMENT_TIMEOUT."""

    status = Status.MGMT_SESSION_ESTABLISHMENT_TIMEOUT


class InvalidCmdtype(CseError):
    """6022 INVALID_CMDTYPE."""

    status = Status.INVALID_CMDTYPE


class InvalidArguments(CseError):
    """6023 INVALID_ARGUMENTS."""

    status = Status.INVALID_ARGUMENTS


class InsufficientArguments(CseError):
    """6024 INSUFFICIENT_ARGUMENTS."""

    status = Status.INSUFFICIENT_ARGUMENTS


class MgmtConversionError(CseError):
    """6025 MGMT_CONVERSION_ERROR."""

    status = Status.MGMT_CONVERSION_ERROR


class MgmtCancellationFailed(CseError):
    """6026 MGMT_CANCELLATION_FAILED."""

    status = Status.MGMT_CANCELLATION_FAILED


class AlreadyComplete(CseError):
    """6028 ALREADY_COMPLETE."""

    status = Status.ALREADY_COMPLETE


class MgmtCommandNotCancellable(CseError):
    """6029 MGMT_COMMAND_NOT_CANCELLABLE."""

    status = Status.MGMT_COMMAND_NOT_CANCELLABLE


class ExternalObjectNotReachableBeforeRqetTimeout(CseError):
    """6030 EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_RQET_TIMEOUT."""

    status = Status.EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_RQET_TIMEOUT


class ExternalObjectNotReachableBeforeOetTimeout(CseError):
    """6031 EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_OET_TIMEOUT."""

    status = Status.EXTERNAL_OBJECT_NOT_REACHABLE_BEFORE_OET_TIMEOUT


class NetworkQosConfigurationError(CseError):
    """6033 NETWORK_QOS_CONFIGURATION_ERROR."""

    status = Status.NETWORK_QOS_CONFIGURATION_ERROR


class RequestedActivityPatternNotPermitted(CseError):
    """6034 REQUESTED_ACTIVITY_PATTERN_NOT_PERMITTED."""

    status = Status.REQUESTED_ACTIVITY_PATTERN_NOT_PERMITTED


ERRORS: dict[Status, type[CseError]] = {error.status: error for error in CseError.__subclasses__()}


def error_for(status: int, debug: str) -> CseError:
    """The error object for a status code received from somebody else.

    Args:
        status: a response status code, known or not.
        debug: the text for ``m2m:dbg``.
    """
    known = ERRORS.get(status)  # type: ignore[call-overload]
    return known(debug) if known else InternalServerError(debug)
