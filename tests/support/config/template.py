"""Prints a CloudFormation template as JSON, its short forms (!Ref, !Sub) written out."""

import json
import sys

from cfnlint.decode.cfn_yaml import load

print(json.dumps(load(sys.argv[1])))
