//! What AWS answers, and what it is taken for.

use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::*;

fn answer(status: u16, headers: &[(&'static str, &'static str)], code: &str, message: &str) -> AwsError {
    let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
    let mut given = Headers::new();
    for (name, value) in headers {
        given.insert(*name, *value);
    }
    *response.headers_mut() = given;
    let service = ErrorMetadata::builder();
    let service = if code.is_empty() { service } else { service.code(code) };
    let service = service.message(message).build();
    let call = Call::new("s3:PutObject", "arn:aws:s3:::archive/*");
    AwsError::of(call, "WICKRIO_S3_REGION", &SdkError::service_error(service, response))
}

const ID: (&str, &str) = ("x-amz-request-id", "4442587FB7D0A2F9");

#[test]
fn a_clock_that_differs_is_told_as_that_with_awss_time() {
    let date = ("date", "Sat, 28 Nov 2026 12:00:00 GMT");
    let words = "The difference between the request time and the current time is too large.";
    for (status, code, message) in [
        (403, "RequestTimeTooSkewed", words),
        (403, "RequestInTheFuture", ""),
        (400, "InvalidSignatureException", "Signature expired: 20261128T110000Z is now earlier than 20261128T115500Z"),
        (
            403,
            "SignatureDoesNotMatch",
            "Signature not yet current: 20261128T130000Z is still later than 20261128T120500Z",
        ),
    ] {
        let error = answer(status, &[date, ID], code, message);
        assert!(matches!(error, AwsError::Clock { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("the clock of this host differs too much from AWS's: set it, by NTP"), "{text}");
        assert!(text.ends_with("; AWS's time is `Sat, 28 Nov 2026 12:00:00 GMT`)"), "{text}");
        assert_eq!(error.fault(), Fault::Temporary);
    }
    assert!(matches!(answer(403, &[], "SignatureDoesNotMatch", "wrong key"), AwsError::Credentials { .. }));
}

#[test]
fn a_refusal_names_code_request_and_policy_and_blames_the_role_only_where_it_may_be_the_cause() {
    let words = "User: arn:aws:sts::1:assumed-role/bot/i is not authorized to perform: s3:PutObject on resource: \
        \"arn:aws:s3:::archive/attachment_1_secret plan.pdf\" with an explicit deny in a resource-based policy";
    let error = answer(403, &[ID], "AccessDenied", words).without_words();
    assert_eq!(
        error.to_string(),
        "`s3:PutObject` on `arn:aws:s3:::archive/*` is not permitted: a policy denies it outright, and allowing it elsewhere \
         does not help: change that policy, or send what it demands (see `RETAIND_S3_SSE`) (HTTP 403, AccessDenied, an \
         explicit deny in a resource-based policy (`s3:PutObject`), request `4442587FB7D0A2F9`)"
    );
    let text = answer(403, &[ID], "AccessDenied", "Access Denied").without_words().to_string();
    assert!(text.contains("the policy of the bot's role, and see that no policy of the resource"), "{text}");
    assert!(text.ends_with("(HTTP 403, AccessDenied, request `4442587FB7D0A2F9`: Access Denied)"), "{text}");
    let page = answer(403, &[("content-type", "text/html")], "", "<html>Blocked by proxy</html>").to_string();
    assert!(page.contains("a proxy on the way may have answered") && !page.contains("<html>"), "{page}");
    let evil = ("x-amz-request-id", "a`b c[31m");
    assert!(answer(403, &[evil], "AccessDenied", "").to_string().ends_with("request `abc31m`)"));
}

#[test]
fn what_concerns_everything_is_told_from_what_concerns_one_object() {
    for (status, code) in [
        (501, "NotImplemented"),
        (507, "XMinioStorageFull"),
        (400, "KMS.DisabledException"),
        (400, "XMinioAdminBucketQuotaExceeded"),
        (403, "AccessDenied"),
        (403, "AllAccessDisabled"),
        (404, "NoSuchBucket"),
        (503, "SlowDown"),
    ] {
        let error = answer(status, &[ID], code, "words");
        assert!(error.is_of_all_objects() && !error.is_of_one_object(), "{error:?}");
        assert!(error.to_string().contains(code), "{error}");
    }
    for code in ["KeyTooLongError", "EntityTooLarge", "XMinioInvalidObjectName"] {
        let error = answer(400, &[ID], code, "words");
        assert!(error.is_of_one_object() && !error.is_of_all_objects(), "{error:?}");
    }
    let unknown = answer(400, &[ID], "SomethingNew", "words");
    assert!(!unknown.is_of_one_object() && !unknown.is_of_all_objects());
    let again = answer(400, &[("x-amz-request-id", "another")], "SomethingNew", "other words");
    assert_eq!(unknown.kind(), again.kind(), "an event a cause, not one a request");
}
