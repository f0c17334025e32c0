//! What the tests of the delivery to AWS stand on does what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ObjectLockLegalHoldStatus, ObjectLockMode,
};
use hyper::Request;
use hyper::http::request::Builder;

use crate::support::aws::Access;
use crate::support::aws::checksum::{Checks, Demand, Refusal, checksum};
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::aws::moto::{Moto, allow};
use crate::support::aws::proxy::Proxy;
use crate::support::aws::readers::{Format, Reader};
use crate::support::aws::request::Asked;

/// S3 without retries, so that a fault meets one call.
fn s3(access: &Access) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&access.config()).retry_config(RetryConfig::disabled());
    aws_sdk_s3::Client::from_conf(config.force_path_style(true).build())
}

fn code<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(result: Result<T, SdkError<E, R>>) -> String {
    let error = result.unwrap_err();
    error.code().map_or_else(|| format!("no code: {error:?}"), str::to_owned)
}

#[tokio::test]
async fn an_action_that_is_not_in_the_policy_is_denied() {
    let moto = Moto::start();
    moto.bucket("archive").await;
    let bot = moto.user("bot", &allow(&["s3:PutObject"])).await;
    let s3 = s3(&bot);
    s3.put_object().bucket("archive").key("a").body(ByteStream::from_static(b"1")).send().await.unwrap();
    assert_eq!(code(s3.get_object().bucket("archive").key("a").send().await), "AccessDenied");
    let locked =
        s3.put_object().bucket("archive").key("b").object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
    assert_eq!(code(locked.send().await), "AccessDenied");
    let kms = aws_sdk_kms::Client::new(&bot.config());
    let key = moto.key().await;
    let data_key = async || kms.generate_data_key().key_id(&key).number_of_bytes(32).send().await;
    assert_eq!(code(data_key().await), "AccessDeniedException");
    let secrets = aws_sdk_secretsmanager::Client::new(&bot.config());
    let secret = moto.secret("bot", "{}").await;
    let read = async || secrets.get_secret_value().secret_id(&secret).send().await;
    assert_eq!(code(read().await), "AccessDeniedException");
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&bot.config());
    let measure = async || {
        let datum = MetricDatum::builder().metric_name("sent").value(3.0);
        let datum = datum.dimensions(Dimension::builder().name("bot").value("b").build()).build();
        cloudwatch.put_metric_data().namespace("retaind").metric_data(datum).send().await
    };
    assert_eq!(code(measure().await), "AccessDenied");
    let sns = aws_sdk_sns::Client::new(&bot.config());
    let topic = moto.topic("events").await;
    let publish = async || sns.publish().topic_arn(&topic.arn).subject("s").message("m").send().await;
    assert_eq!(code(publish().await), "AccessDenied");

    let all = ["kms:GenerateDataKey", "cloudwatch:PutMetricData", "sns:Publish", "secretsmanager:GetSecretValue"];
    moto.set_policy("bot", &allow(&all)).await;
    data_key().await.unwrap();
    publish().await.unwrap();
    measure().await.unwrap();
    measure().await.unwrap();
    assert_eq!(read().await.unwrap().secret_string.as_deref(), Some("{}"));
    assert_eq!(code(s3.put_object().bucket("archive").key("c").send().await), "AccessDenied");
    let notice = moto.notice(&topic).await;
    assert_eq!((notice.subject.as_deref(), notice.message.as_str()), (Some("s"), "m"));
    assert_eq!(moto.notices(&topic).await, []);
    let measured = moto.metric("retaind", "sent", &[("bot", "b")]).await.unwrap();
    assert_eq!((measured.sum, measured.samples, measured.maximum), (6.0, 2.0, 3.0));
    assert_eq!(moto.metric("retaind", "sent", &[]).await, None);

    let nobody = Access { secret: "wrong".to_owned(), ..bot.clone() };
    assert_eq!(code(self::s3(&nobody).get_object().bucket("archive").key("a").send().await), "SignatureDoesNotMatch");
}

#[tokio::test]
async fn what_does_not_fit_its_checksum_is_refused_and_not_stored() {
    let moto = Moto::start();
    moto.bucket_with_lock("archive").await;
    let proxy = Proxy::start(moto.address());
    let access = moto.operator().through(&proxy.endpoint());
    let s3 = s3(&access);
    let put = |key: &str| s3.put_object().bucket("archive").key(key).body(ByteStream::from_static(b"123456789"));
    for algorithm in ChecksumAlgorithm::values() {
        let Some(algorithm) = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"].iter().find(|a| *a == algorithm)
        else {
            continue;
        };
        let name = algorithm.to_lowercase();
        // computed by the SDK, and by us
        put(&name).checksum_algorithm(ChecksumAlgorithm::from(*algorithm)).send().await.unwrap();
        assert_ne!(checksum(&name, b"123456789"), checksum(&name, b"123456780"));
    }
    assert_eq!(moto.objects("archive").await.len(), 5);
    assert_eq!(proxy.mismatches(), 0);
    let wrong = |text: &str| checksum(text, b"another text");
    assert_eq!(code(put("x").checksum_sha256(wrong("sha256")).send().await), "BadDigest");
    assert_eq!(code(put("x").checksum_crc64_nvme(wrong("crc64nvme")).send().await), "BadDigest");
    assert_eq!(code(put("x").content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await), "BadDigest");
    assert_eq!(proxy.mismatches(), 3);
    let name = "n".repeat(1024);
    assert_eq!(code(put("x").metadata(&name, "v".repeat(1025)).send().await), "MetadataTooLarge");
    assert_eq!(moto.objects("archive").await.len(), 5);

    // what has no checksum is taken until one is demanded, or the object is to be locked
    let plain = aws_sdk_s3::config::Builder::from(&access.config()).retry_config(RetryConfig::disabled());
    let plain = plain.force_path_style(true).request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    let plain = aws_sdk_s3::Client::from_conf(plain.build());
    let put = |key: &str| plain.put_object().bucket("archive").key(key).body(ByteStream::from_static(b"1"));
    put("y").send().await.unwrap();
    let hold = ObjectLockLegalHoldStatus::On;
    let unsummed = s3.put_object().bucket("archive").key("z").object_lock_legal_hold_status(hold.clone());
    unsummed.body(ByteStream::from_static(b"1")).send().await.unwrap();
    proxy.demand_checksums();
    assert_eq!(code(put("x").send().await), "InvalidRequest");
    let until = aws_sdk_s3::primitives::DateTime::from_secs(4_000_000_000);
    let put = s3.put_object().bucket("archive").key("locked").body(ByteStream::from_static(b"1"));
    put.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until).send().await.unwrap();
    let locked = moto.object("archive", "locked").await.unwrap();
    assert_eq!((locked.lock_mode.as_deref(), locked.locked_until), (Some("COMPLIANCE"), Some(4_000_000_000)));
    assert_eq!(moto.object("archive", "z").await.unwrap().legal_hold.as_deref(), Some("ON"));
    assert_eq!(moto.object("archive", "x").await, None);
}

/// Runs the checks on a body that comes in these pieces.
fn checked(request: Builder, pieces: &[&[u8]], demand: Demand) -> Result<(), Refusal> {
    let (head, ()) = request.method("PUT").uri("/bucket/key").body(()).unwrap().into_parts();
    let mut checks = Checks::of(&Asked::of(&head, None), &head.headers, demand)?;
    pieces.iter().try_for_each(|piece| checks.update(piece))?;
    checks.finish()
}

#[test]
fn checksums_are_those_of_the_standards_wherever_the_body_is_cut() {
    let hex = |name: &str| {
        let sum = data_encoding::BASE64.decode(checksum(name, b"123456789").as_bytes()).unwrap();
        data_encoding::HEXLOWER.encode(&sum)
    };
    assert_eq!(hex("crc32"), "cbf43926");
    assert_eq!(hex("crc32c"), "e3069283");
    assert_eq!(hex("crc64nvme"), "ae8b14860a799888");

    let sum = checksum("crc32", b"123456789");
    let chunked = || {
        let streaming = Request::builder().header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        streaming.header("x-amz-trailer", "x-amz-checksum-crc32").header("x-amz-decoded-content-length", "9")
    };
    let body = format!("4\r\n1234\r\n5;chunk-signature=0\r\n56789\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n");
    for cut in 0..=body.len() {
        let (before, after) = body.as_bytes().split_at(cut);
        assert_eq!(checked(chunked(), &[before, after], Demand::Always), Ok(()), "cut at {cut}");
        let torn = checked(chunked(), &[before], Demand::Always);
        assert_eq!(torn.is_ok(), cut == body.len(), "torn at {cut}");
    }
    for (from, to, refused) in [
        ("1234\r", "1235\r", "BadDigest"),
        ("x-amz-checksum-crc32:", "x-amz-checksum-crc31:", "BadDigest"),
        ("4\r\n1234\r\n", "4\r\n12344\r\n", "IncompleteBody"),
        ("4\r\n1234\r\n", "", "IncompleteBody"),
    ] {
        let changed = body.replacen(from, to, 1);
        let refusal = checked(chunked(), &[changed.as_bytes()], Demand::Locks).unwrap_err();
        assert_eq!(refusal.code, refused, "{from} → {to}");
    }
    let travelling = |hash: &str| Request::builder().header("x-amz-content-sha256", hash);
    let hash = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    assert_eq!(checked(travelling(hash), &[b"123456789"], Demand::Locks), Ok(()));
    let refusal = checked(travelling(hash), &[b"123456780"], Demand::Locks).unwrap_err();
    assert_eq!(refusal.code, "XAmzContentSHA256Mismatch");
    let locked = || travelling(hash).header("x-amz-object-lock-mode", "COMPLIANCE");
    assert_eq!(checked(locked(), &[b"123456789"], Demand::Locks).unwrap_err().code, "InvalidRequest");
    let md5 = locked().header("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==");
    assert_eq!(checked(md5, &[b"123456789"], Demand::Locks), Ok(()));
}

#[tokio::test]
async fn each_fault_of_s3_strikes_as_told_and_then_no_more() {
    let moto = Moto::start();
    moto.bucket("archive").await;
    let proxy = Proxy::start(moto.address());
    let bot = moto.user("bot", &allow(&["s3:*"])).await.through(&proxy.endpoint());
    let s3 = s3(&bot);
    const BODY: &[u8] = &[7; 4 << 20];
    let put =
        async |key: &str| s3.put_object().bucket("archive").key(key).body(ByteStream::from_static(BODY)).send().await;
    for (fault, status, expected) in [
        (Fault::Denied, 403, "AccessDenied"),
        (Fault::ExpiredToken, 400, "ExpiredToken"),
        (Fault::Internal, 500, "InternalError"),
        (Fault::SlowDown, 503, "SlowDown"),
        (Fault::Precondition, 412, "PreconditionFailed"),
        (Fault::OtherRegion("eu-central-1"), 301, "PermanentRedirect"),
        (Fault::Refused(405, "MethodNotAllowed"), 405, "MethodNotAllowed"),
    ] {
        let trouble = proxy.trouble(On::operation("PutObject").key("a b/ü"), Times::Nth(1), fault);
        let failed = put("a b/ü").await.unwrap_err();
        let response = failed.raw_response().unwrap();
        assert_eq!((response.status().as_u16(), failed.code()), (status, Some(expected)));
        let region = matches!(fault, Fault::OtherRegion(_)).then_some("eu-central-1");
        assert_eq!(response.headers().get("x-amz-bucket-region"), region);
        assert_eq!((trouble.struck(), moto.object("archive", "a b/ü").await), (1, None));
    }
    put("a b/ü").await.unwrap();

    proxy.trouble(On::operation("PutObject").key("reset"), Times::Nth(1), Fault::ResetInBody);
    assert!(put("reset").await.is_err());
    assert_eq!(moto.object("archive", "reset").await, None);
    proxy.trouble(On::operation("PutObject").key("lost"), Times::Nth(1), Fault::LoseAnswer);
    assert!(put("lost").await.is_err());
    assert_eq!(moto.object("archive", "lost").await.unwrap().bytes, BODY);
    for fault in [Fault::Hang, Fault::Stall(1 << 20)] {
        let trouble = proxy.trouble(On::operation("PutObject").key("late"), Times::UntilHealed, fault);
        let (stored, ()) = tokio::join!(put("late"), async {
            trouble.strikes(1).await;
            let last = proxy.requests().pop().unwrap();
            assert_eq!((last.asked.key.as_deref(), last.status, last.spoiled), (Some("late"), None, Some(fault)));
            assert_eq!(moto.object("archive", "late").await, None);
            trouble.heal();
        });
        stored.unwrap();
        s3.delete_object().bucket("archive").key("late").send().await.unwrap();
    }

    // a second part fails twice, and the end is an error in a 200
    let part = proxy.trouble(On::operation("UploadPart").part(2), Times::First(2), Fault::SlowDown);
    let end = proxy.trouble(On::operation("CompleteMultipartUpload"), Times::Nth(1), Fault::ErrorIn200);
    let begun = s3.create_multipart_upload().bucket("archive").key("large").send().await.unwrap();
    let upload = begun.upload_id.unwrap();
    let send = async |number| {
        let part = s3.upload_part().bucket("archive").key("large").upload_id(&upload).part_number(number);
        part.body(ByteStream::from(vec![u8::try_from(number).unwrap(); 5 << 20])).send().await
    };
    let mut parts = CompletedMultipartUpload::builder();
    for number in [1, 2] {
        let sent = if number == 2 {
            assert_eq!(code(send(number).await), "SlowDown");
            assert_eq!(code(send(number).await), "SlowDown");
            send(number).await
        } else {
            send(number).await
        };
        let sent = sent.unwrap();
        parts = parts.parts(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
    }
    let complete = s3.complete_multipart_upload().bucket("archive").key("large").upload_id(&upload);
    let complete = complete.multipart_upload(parts.build());
    assert_eq!(code(complete.clone().send().await), "InternalError");
    assert_eq!(moto.uploads("archive").await, ["large"]);
    complete.send().await.unwrap();
    assert_eq!((part.struck(), end.struck(), moto.uploads("archive").await), (2, 1, Vec::<String>::new()));
    assert_eq!(moto.object("archive", "large").await.unwrap().bytes.len(), 10 << 20);
    assert_eq!((proxy.count("CreateMultipartUpload"), proxy.count("UploadPart")), (1, 4));
    proxy.succeeded("CompleteMultipartUpload", 1).await;
    // what is read passes, too
    let read = s3.get_object().bucket("archive").key("a b/ü").send().await.unwrap();
    assert_eq!(read.body.collect().await.unwrap().to_vec(), BODY);
}

#[tokio::test]
async fn each_service_is_denied_throttled_and_expired_in_its_own_words() {
    let moto = Moto::start();
    let key = moto.key().await;
    let topic = moto.topic("events").await;
    let secret = moto.secret("bot", "{}").await;
    let proxy = Proxy::start(moto.address());
    let access = moto.operator().through(&proxy.endpoint());
    let config = access.config().to_builder().retry_config(RetryConfig::disabled()).build();
    let kms = aws_sdk_kms::Client::new(&config);
    let sns = aws_sdk_sns::Client::new(&config);
    let secrets = aws_sdk_secretsmanager::Client::new(&config);
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&config);
    let datum = MetricDatum::builder().metric_name("sent").value(1.0).build();
    let faults = [Fault::Denied, Fault::SlowDown, Fault::ExpiredToken];
    let mut words = Vec::new();
    for fault in faults {
        let trouble = proxy.trouble(On::anything(), Times::UntilHealed, fault);
        words.push([
            code(kms.generate_data_key().key_id(&key).number_of_bytes(32).send().await),
            code(secrets.get_secret_value().secret_id(&secret).send().await),
            code(sns.publish().topic_arn(&topic.arn).message("m").send().await),
            code(cloudwatch.put_metric_data().namespace("n").metric_data(datum.clone()).send().await),
        ]);
        trouble.heal();
        assert_eq!(trouble.struck(), 4);
    }
    let expected = [
        ["AccessDeniedException", "AccessDeniedException", "AuthorizationError", "AccessDenied"],
        ["ThrottlingException", "ThrottlingException", "Throttled", "Throttling"],
        ["ExpiredTokenException", "ExpiredTokenException", "ExpiredToken", "ExpiredToken"],
    ];
    assert_eq!(words, expected);
    let seen: Vec<(String, String)> =
        proxy.requests().into_iter().take(4).map(|seen| (seen.asked.service, seen.asked.operation)).collect();
    let expected = [
        ("kms", "GenerateDataKey"),
        ("secretsmanager", "GetSecretValue"),
        ("sns", "Publish"),
        ("cloudwatch", "PutMetricData"),
    ];
    assert_eq!(seen, expected.map(|(service, operation)| (service.to_owned(), operation.to_owned())));
    assert_eq!(moto.notices(&topic).await, []);
    sns.publish().topic_arn(&topic.arn).message("healed").send().await.unwrap();
    assert_eq!(moto.notice(&topic).await.message, "healed");
}

#[tokio::test]
async fn what_the_official_client_has_written_the_readers_read() {
    let moto = Moto::start();
    moto.bucket("archive").await;
    let kms_key = moto.key().await;
    let access = moto.operator();
    let reader = Reader { access: &access, bucket: "archive", kms_key: &kms_key };
    let file = tempfile::NamedTempFile::new().unwrap();
    let plaintext: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(file.path(), &plaintext).unwrap();
    for (format, key) in [(Format::V2, "two"), (Format::V3, "three")] {
        reader.python_writes(format, key, file.path()).unwrap();
        assert_eq!(reader.python(format, &[key]).unwrap(), [plaintext.as_slice()]);
    }
    assert_eq!(reader.python_streaming(Format::V3, &["three"]).unwrap(), [plaintext.as_slice()]);
    if let Some(read) = reader.ruby(&["two"]) {
        assert_eq!(read.unwrap(), [plaintext.as_slice()]);
    }
    let stored = moto.object("archive", "three").await.unwrap();
    assert_eq!(stored.metadata["x-amz-c"], "115");
    assert_eq!(reader.cli("three").unwrap(), stored.bytes);

    // and nothing else: an object without commitment where one is wanted, a bit that has changed
    assert!(reader.python(Format::V3, &["two"]).unwrap_err().contains("commit"));
    let mut tampered = stored.bytes.clone();
    tampered[100] ^= 1;
    let put =
        moto.s3().put_object().bucket("archive").key("bad").set_metadata(Some(stored.metadata.into_iter().collect()));
    put.body(tampered.into()).send().await.unwrap();
    assert!(reader.python(Format::V3, &["bad"]).is_err());
}

/// Starts itself again as a process that starts a stand-in, and kills it.
#[test]
fn a_stand_in_ends_with_the_test_that_was_killed() {
    const VICTIM: &str = "RETAIND_TESTS_VICTIM";
    if std::env::var_os(VICTIM).is_some() {
        let _moto = Moto::start();
        println!("it runs");
        std::thread::park();
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "standin::a_stand_in_ends_with_the_test_that_was_killed"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(victim.stdout.take().unwrap());
    assert!(said.lines().map_while(Result::ok).any(|line| line.contains("it runs")));
    victim.kill().unwrap();
    victim.wait().unwrap();
    // the stand-in has the same standard error, which ends when both are gone
    let mut last = String::new();
    victim.stderr.take().unwrap().read_to_string(&mut last).unwrap();
}

#[tokio::test]
async fn a_stand_in_that_is_dropped_is_gone() {
    let moto = Moto::start();
    let address = moto.address().to_owned();
    drop(moto);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
