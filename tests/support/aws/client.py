"""The official S3 encryption client for Python, as somebody uses it who reads the archive.

client.py get|stream|put v2|v3 BUCKET KMS_KEY (KEY FILE)…

Where S3 is, and credentials, are in the environment, as usual.
"""

import sys

import boto3
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

PIECE_BYTES = 1 << 20

# objects without key commitment are neither written nor read unless one asks for it
WITHOUT_COMMITMENT = {
    "encryption_algorithm": AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF,
    "commitment_policy": CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
}


def main(task, form, bucket, kms_key, *pairs):
    settings = {"v2": WITHOUT_COMMITMENT, "v3": {}}[form]
    config = S3EncryptionClientConfig(
        KmsKeyring(boto3.client("kms"), kms_key), enable_delayed_authentication=task == "stream", **settings
    )
    client = S3EncryptionClient(boto3.client("s3"), config)
    for key, path in zip(pairs[::2], pairs[1::2], strict=True):
        if task == "put":
            with open(path, "rb") as file:
                client.put_object(Bucket=bucket, Key=key, Body=file.read())
            continue
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        with open(path, "wb") as file:
            while piece := body.read(PIECE_BYTES):
                file.write(piece)


main(*sys.argv[1:])
