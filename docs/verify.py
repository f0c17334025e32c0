#!/usr/bin/env python3
"""Checks the evidence of an archive without retaind: python3 verify.py DIRECTORY VKEY [HEAD]

DIRECTORY holds `messages` (or the message files themselves), `attachments` and `_evidence`; VKEY is the public key's line or a
file with it; HEAD is a checkpoint that was kept elsewhere. Needs Python 3.11 and the package `cryptography`. It prints what is
wrong and ends with 1, or ends with 0. It knows logs that one key has signed, and no encrypted files: for everything else use
`retaind archive verify`, which this is a second opinion on.
"""
import base64
import hashlib
import json
import os
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = b"retaind-evidence/1\n"
wrong = []


def sha256(data):
    return hashlib.sha256(data).digest()


def root(leaves):
    """RFC 6962, of the hashes of leaves."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:]))


def canonical(value):
    """RFC 8785, as far as entries need it: names in ASCII, no floating point."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name stands twice")
    return dict(pairs)


class Key:
    def __init__(self, text):
        self.name, self.id, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        if raw[0] != 1 or sha256(self.name.encode() + b"\n" + raw)[:4].hex() != self.id:
            raise ValueError("this is no key")
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])

    def signed(self, signature, message):
        try:
            self.public.verify(signature, message)
            return True
        except InvalidSignature:
            return False


def files(directory):
    """All message files and files beside them, by name."""
    found = {}
    for folder in [directory, os.path.join(directory, "messages"), os.path.join(directory, "attachments")]:
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if not name.startswith((".", "_")) and os.path.isfile(os.path.join(folder, name)):
                found[name] = os.path.join(folder, name)
    return found


def head(text, key, leaves, what):
    body, _, signatures = text.partition("\n\n")
    origin, size, top = body.split("\n")
    lines = [line.split(" ") for line in signatures.strip().split("\n")]
    good = [1 for _, name, encoded in lines if name == key.name and base64.b64decode(encoded)[:4].hex() == key.id
            and key.signed(base64.b64decode(encoded)[4:], body.encode() + b"\n")]
    if not good or origin != key.name:
        wrong.append(f"{what}: not signed by the key")
    elif int(size) > len(leaves):
        wrong.append(f"{what}: covers {size} entries, {len(leaves)} are here: the end was cut off")
    elif base64.b64encode(root(leaves[:int(size)])).decode() != top:
        wrong.append(f"{what}: another history")


def log(directory, key, present, heads):
    name, leaves, previous, covered, attested = os.path.basename(directory), [], bytes(32), None, set()
    numbers = sorted(entry for entry in os.listdir(directory) if entry.endswith(".json"))
    for number, entry in enumerate(numbers):
        what = f"{name}/{entry}"
        if entry != f"{number:012}.json":
            return wrong.append(f"{name}: entry {number} is missing")
        with open(os.path.join(directory, entry), "rb") as stored:
            stored = stored.read()
        document = json.loads(stored, object_pairs_hook=unique)
        evidence = document["evidence"]
        leaf = canonical(evidence)
        if canonical(document) + b"\n" != stored:
            wrong.append(f"{what}: not in canonical form")
        if not any(one["key"] == key.id and key.signed(base64.b64decode(one["signature"]), FORMAT + leaf)
                   for one in document["signatures"] if one["algorithm"] == "ed25519"):
            wrong.append(f"{what}: not signed by the key")
        if (evidence["number"], evidence["log"], evidence["previous"]) != (number, name, previous.hex()):
            wrong.append(f"{what}: not the entry of this place")
        if covered not in (None, evidence["covers"]["from"]):
            wrong.append(f"{what}: time before it is not covered")
        segment = evidence.get("segment")
        for said in [segment] + segment["files"] if segment else []:
            attested.add(said["name"])
            if said["name"] not in present:
                wrong.append(f"{said['name']}: is missing")
                continue
            with open(present[said["name"]], "rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != said["sha256"]:
                    wrong.append(f"{said['name']}: is not what was sealed")
        leaves.append(sha256(b"\x00" + leaf))
        previous, covered = sha256(leaf), evidence["covers"]["to"]
    checkpoints = os.path.join(directory, "checkpoint")
    for size in sorted(os.listdir(checkpoints)) if os.path.isdir(checkpoints) else []:
        with open(os.path.join(checkpoints, size), encoding="utf-8") as note:
            head(note.read(), key, leaves, f"{name}/checkpoint/{size}")
    for note in heads:
        head(note, key, leaves, "the head that was kept")
    return attested


def given(argument):
    if os.path.isfile(argument):
        with open(argument, encoding="utf-8") as content:
            return content.read()
    return argument


def main():
    directory, key, heads = sys.argv[1], Key(given(sys.argv[2])), [given(note) for note in sys.argv[3:]]
    evidence, present, attested = os.path.join(directory, "_evidence"), files(directory), set()
    for name in sorted(os.listdir(evidence)):
        if len(name) == 32:
            attested |= log(os.path.join(evidence, name), key, present, heads) or set()
    for name in sorted(set(present) - attested):
        wrong.append(f"{name}: no entry knows it")
    print("\n".join(wrong) or "everything is as the evidence says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
