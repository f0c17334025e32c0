# The official S3 encryption client for Ruby, format V2, as somebody uses it who reads the archive.
#
# client.rb BUCKET KMS_KEY (KEY FILE)…
#
# Where S3 is, and credentials, are in the environment; this version of the SDK does not know AWS_ENDPOINT_URL by itself.

require "aws-sdk-kms"
require "aws-sdk-s3"

bucket, kms_key, *pairs = ARGV
endpoint = ENV.fetch("AWS_ENDPOINT_URL")
client = Aws::S3::EncryptionV2::Client.new(
  client: Aws::S3::Client.new(endpoint: endpoint, force_path_style: true),
  kms_client: Aws::KMS::Client.new(endpoint: endpoint),
  kms_key_id: kms_key,
  key_wrap_schema: :kms_context,
  content_encryption_schema: :aes_gcm_no_padding,
  security_profile: :v2
)
pairs.each_slice(2) do |key, file|
  client.get_object(bucket: bucket, key: key, response_target: file)
end
