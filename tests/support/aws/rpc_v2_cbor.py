"""Smithy RPC v2 CBOR for moto's CloudWatch: the only protocol that the Rust SDK's client speaks, and moto has not learned it.

A request is POST /service/SERVICE/operation/OPERATION with a CBOR map. botocore, which moto brings, reads and writes CBOR
as a client; here the same code serves the other side.
"""

import io
import json
import re

from botocore.parsers import RpcV2CBORParser
from botocore.serialize import RpcV2CBORSerializer
from moto.cloudwatch import urls
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.serialize import JSONSerializer
from moto.core.utils import get_service_model

PATH = re.compile(r"^/service/[^/]+/operation/([^/]+)$")
HEADERS = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}


class CborResponse(CloudWatchResponse):
    """Moto's CloudWatch behind the other protocol."""

    # the body is no text
    use_raw_body = True

    def _get_action(self):
        return PATH.match(self.path).group(1)

    def parse_parameters(self, request):
        self.params = RpcV2CBORParser().parse_data_item(io.BufferedReader(io.BytesIO(request.data)))

    def serialized(self, action_result):
        model = get_service_model(self.boto3_service_name)
        operation = model.operation_model(self._get_action())
        answer = JSONSerializer(operation_model=operation).serialize(action_result.result)
        value, shape = json.loads(answer["body"] or "{}"), operation.output_shape
        if answer["status_code"] >= 400:
            return answer["status_code"], dict(HEADERS), error(value.get("__type", "InternalFailure"), value.get("message", ""))
        body = bytearray()
        if shape is not None:
            RpcV2CBORSerializer()._serialize_data_item(body, value, shape)
        return answer["status_code"], dict(HEADERS), bytes(body)

    def call_action(self):
        status, headers, body = super().call_action()
        if status >= 400 and headers.get("smithy-protocol") is None:
            # a refusal of IAM, which moto words in XML
            text = body if isinstance(body, str) else body.decode()
            code, message = (re.search(f"<{tag}>(.*?)</{tag}>", text, re.S) for tag in ("Code", "Message"))
            body = error(code.group(1) if code else "InternalFailure", message.group(1) if message else text)
            headers = {**headers, **HEADERS}
        return status, headers, body


def error(code, message):
    """{"__type": code, "message": message}"""

    def text(value):
        encoded = value.encode()[:65535]
        return b"\x79" + len(encoded).to_bytes(2, "big") + encoded

    return b"\xa2" + text("__type") + text(code) + text("message") + text(message)


def install():
    """Before the server makes its applications."""
    urls.url_paths["{0}/service/(?P<service>[^/]+)/operation/(?P<operation>[^/]+)$"] = CborResponse.dispatch
