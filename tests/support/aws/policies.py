"""IAM as AWS enforces it, where moto differs.

 - OPERATOR is a key of the test's own, which may do anything, so that a test can look at what happened and change policies.
 - CloudWatch's actions are named cloudwatch:…, not after the name that its requests are signed for.
 - Some requests need other actions than moto thinks, or several: see actions().
 - The signature of a form is not checked: moto has taken the form apart, and puts it together in another way than it was signed.
 - A refusal is worded in the protocol of its service, so that a client understands it.
"""

import json
from xml.sax.saxutils import escape

from moto.core.authorization import ActionAuthenticatorMixin
from moto.iam.access_control import IAMRequestBase
from werkzeug.exceptions import HTTPException

OPERATOR = "OPERATOR0OF0STAND0IN"

# as services that speak JSON call the errors of IAM
JSON_CODES = {
    "AccessDenied": "AccessDeniedException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}

check_signature = IAMRequestBase.check_signature
authorize = ActionAuthenticatorMixin._authenticate_and_authorize_action
permit = IAMRequestBase.check_action_permitted


def actions(request):
    """All IAM actions that a request needs."""
    service, _, action = request._action.partition(":")
    if service == "monitoring":
        return [f"cloudwatch:{action}"]
    query = request._path.partition("?")[2].split("&")
    if service == "s3" and action == "HeadBucket":
        return ["s3:ListBucket"]
    if service == "s3" and action == "ListBucket" and "object-lock" in query:
        return ["s3:GetBucketObjectLockConfiguration"]
    needed = [request._action]
    if service == "s3" and action == "PutObject":
        needed += ["s3:PutObjectRetention"] * ("x-amz-object-lock-mode" in request._headers)
        needed += ["s3:PutObjectLegalHold"] * ("x-amz-object-lock-legal-hold" in request._headers)
    return needed


def check_signature_of_others(request):
    if not request._headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        check_signature(request)


def permit_all(request, resource):
    for request._action in actions(request):
        permit(request, resource)


class Refusal(HTTPException):
    """Worded as the service would."""

    def __init__(self, refused, headers):
        code, message = refused.error_type, refused.message
        if "X-Amz-Target" in headers:
            self.code = 400
            text = json.dumps({"__type": JSON_CODES.get(code, code), "message": message})
        else:
            self.code = 403
            error = f"<Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
            text = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
        super().__init__(text)


def authorize_others(response, request_class, resource="*"):
    if f"Credential={OPERATOR}/" in response.headers.get("Authorization", ""):
        return
    try:
        authorize(response, request_class, resource)
    except HTTPException as refused:
        if response.service_name == "s3":
            raise
        raise Refusal(refused, response.headers) from refused


def install():
    """Before the first request."""
    ActionAuthenticatorMixin._authenticate_and_authorize_action = authorize_others
    IAMRequestBase.check_action_permitted = permit_all
    IAMRequestBase.check_signature = check_signature_of_others
