"""Creates in the stand-in for AWS what the bot of compose.yaml needs: a bucket, a topic, and the secret that names both.

May run again: what exists is left as it is, also the secret, in which the bot may have put another password since.
"""

import json
import time

import boto3
from botocore.exceptions import EndpointConnectionError

BUCKET = "bot-compliance"
SECRET = "wickr/data/retention/bot"
# the stand-in needs a few seconds to start
TRIES_MAX = 60


def bucket(s3):
    for _ in range(TRIES_MAX):
        try:
            return s3.create_bucket(Bucket=BUCKET)
        except EndpointConnectionError:
            time.sleep(1)
    raise SystemExit(f"the stand-in for AWS does not answer on {s3.meta.endpoint_url}")


def main():
    bucket(boto3.client("s3"))
    topic = boto3.client("sns").create_topic(Name="retaind")["TopicArn"]
    value = json.dumps(
        {
            "password": "a password for trying out",
            "s3_bucket_name": BUCKET,
            "s3_region": "us-east-1",
            "s3_folder_name": "network1234567890",
            "sns_topic_arn": topic,
        }
    )
    secrets = boto3.client("secretsmanager")
    try:
        secrets.create_secret(Name=SECRET, SecretString=value)
    except secrets.exceptions.ResourceExistsException:
        pass
    print(f"bucket {BUCKET}, secret {SECRET} and topic {topic} are there")


if __name__ == "__main__":
    main()
