"""CloudWatch as AWS runs it, where moto differs.

 - Smithy RPC v2 CBOR, the only protocol that the Rust SDK's client speaks: POST /service/SERVICE/operation/OPERATION with a
   CBOR map. botocore, which moto brings, reads and writes CBOR as a client; here the same code serves the other side.
 - A metric is its name and exactly its dimensions: asked for fewer, moto gives the values of all.
"""

import io
import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

from botocore.parsers import RpcV2CBORParser
from botocore.serialize import RpcV2CBORSerializer
from moto.cloudwatch import urls
from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.serialize import JSONSerializer, XFormedAttributePicker
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
        body = io.BufferedReader(io.BytesIO(request.data))
        self.params = naive(RpcV2CBORParser().parse_data_item(body))

    def serialized(self, action_result):
        model = get_service_model(self.boto3_service_name)
        operation = model.operation_model(self._get_action())
        answer = JSONSerializer(operation_model=operation, value_picker=XFormedAttributePicker()).serialize(action_result.result)
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


def naive(value):
    """With moto's times, which have no zone and are UTC."""
    match value:
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None)
        case dict():
            return {name: naive(inner) for name, inner in value.items()}
        case list():
            return [naive(inner) for inner in value]
        case _:
            return value


def error(code, message):
    """{"__type": code, "message": message}"""

    def text(value):
        encoded = value.encode()[:65535]
        return b"\x79" + len(encoded).to_bytes(2, "big") + encoded

    return b"\xa2" + text("__type") + text(code) + text("message") + text(message)


statistics = CloudWatchBackend.get_metric_statistics


def statistics_of_exactly(backend, *arguments, dimensions=(), **named):
    wanted = sorted((dimension["Name"], dimension["Value"]) for dimension in dimensions or ())

    def is_wanted(datum):
        return sorted((dimension.name, dimension.value) for dimension in datum.dimensions or ()) == wanted

    narrowed = SimpleNamespace(get_all_metrics=lambda: [datum for datum in backend.get_all_metrics() if is_wanted(datum)])
    return statistics(narrowed, *arguments, dimensions=None, **named)


def install():
    """Before the server makes its applications."""
    CloudWatchBackend.get_metric_statistics = statistics_of_exactly
    urls.url_paths["{0}/service/(?P<service>[^/]+)/operation/(?P<operation>[^/]+)$"] = CborResponse.dispatch
