"""Judges an ECS task definition by the service's own model, as botocore has it: names, types, what is required, enumerations."""

import json
import sys

import botocore.session
from botocore.validate import ParamValidator

MODEL = botocore.session.get_session().get_service_model("ecs")
SHAPE = MODEL.operation_model("RegisterTaskDefinition").input_shape


def unlisted(value, shape, path):
    """What is not one of the words that the model lists; botocore leaves that to the service."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from unlisted(member, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for number, member in enumerate(value):
            yield from unlisted(member, shape.member, f"{path}[{number}]")
    elif shape.type_name == "map":
        for name, member in value.items():
            yield from unlisted(member, shape.value, f"{path}.{name}")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path}: {value!r} is none of {', '.join(shape.enum)}"


with open(sys.argv[1], encoding="utf-8") as file:
    definition = json.load(file)
report = ParamValidator().validate(definition, SHAPE)
if report.has_errors():
    sys.exit(report.generate_report())
wrong = list(unlisted(definition, SHAPE, "definition"))
if wrong:
    sys.exit("\n".join(wrong))
