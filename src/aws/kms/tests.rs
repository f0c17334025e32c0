//! What is asked of KMS, and what becomes of its answers: a real SDK client against canned answers on loopback.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::retry::RetryConfig;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::*;
use retaind_core::fault::{Fault, Faulty as _};

const KEY: &str = "arn:aws:kms:eu-west-3:111122223333:key/12345678-1234-abcd-a617-abababababab";
const CONTEXT: Context = ("aws:x-amz-cek-alg", "115");

/// Answers one request and gives its head and body.
fn answering(status: &str, body: Value) -> (String, JoinHandle<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let served = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let bytes = connection.read(&mut piece).unwrap();
            assert_ne!(bytes, 0, "request ended early");
            request.extend_from_slice(&piece[..bytes]);
            let text = String::from_utf8(request.clone()).unwrap();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str(body)
            {
                connection.write_all(answer.as_bytes()).unwrap();
                return (head.to_ascii_lowercase(), body);
            }
        }
    });
    (url, served)
}

async fn kms(url: &str) -> Kms {
    let mut aws = Aws::connect(None).await.unwrap();
    let keys = Credentials::new("AKIAEXAMPLE", "secret", None, None, "test");
    let base = aws.base.to_builder().endpoint_url(url).retry_config(RetryConfig::disabled());
    aws.base = base.credentials_provider(SharedCredentialsProvider::new(keys)).build();
    Kms::new(&aws, "eu-west-3", KEY)
}

async fn ask(status: &str, body: Value) -> Result<DataKey, AwsError> {
    let (url, served) = answering(status, body);
    let answer = kms(&url).await.generate_data_key(CONTEXT).await;
    served.join().unwrap();
    answer
}

#[tokio::test]
async fn a_data_key_is_asked_for_by_size_key_context_and_region() {
    let plain = BASE64.encode(&[7; 32]);
    let (url, served) =
        answering("200 OK", json!({"KeyId": KEY, "Plaintext": plain, "CiphertextBlob": "d3JhcHBlZA=="}));
    let key = kms(&url).await.generate_data_key(CONTEXT).await.ok().unwrap();
    let (head, body) = served.join().unwrap();
    assert!(head.contains("x-amz-target: trentservice.generatedatakey"), "{head}");
    assert!(head.contains("/eu-west-3/kms/aws4_request"), "{head}");
    assert_eq!(body, json!({"KeyId": KEY, "KeySpec": "AES_256", "EncryptionContext": {"aws:x-amz-cek-alg": "115"}}),);
    assert_eq!(key.context(), CONTEXT);
    let (plain, wrapped) = key.into_parts();
    assert_eq!((plain.expose(), wrapped.as_slice()), (&[7; 32], b"wrapped".as_slice()));
}

#[tokio::test]
async fn an_answer_that_is_no_data_key_is_an_error_and_shows_no_byte_of_it() {
    let plain = |bytes| BASE64.encode(&vec![b'P'; bytes]);
    let wrapped = |bytes| BASE64.encode(&vec![b'W'; bytes]);
    for (answer, expected) in [
        (json!({"Plaintext": plain(16), "CiphertextBlob": wrapped(9)}), "key in clear has `16` bytes instead of `32`"),
        (json!({"Plaintext": plain(33), "CiphertextBlob": wrapped(9)}), "key in clear has `33` bytes instead of `32`"),
        (json!({"CiphertextBlob": wrapped(9)}), "key in clear has `0` bytes instead of `32`"),
        (json!({"Plaintext": plain(32)}), "wrapped key has `0` bytes, `1` to `1024` are possible"),
        (
            json!({"Plaintext": plain(32), "CiphertextBlob": wrapped(1025)}),
            "wrapped key has `1025` bytes, `1` to `1024` are possible",
        ),
    ] {
        let error = ask("200 OK", answer).await.err().unwrap();
        assert_eq!(error.to_string(), format!("`kms:GenerateDataKey` on `{KEY}` got no good answer ({expected})"));
    }
}

#[tokio::test]
async fn each_refusal_of_kms_says_who_can_mend_it() {
    for (status, code, fault) in [
        ("400 Bad Request", "AccessDeniedException", Fault::Configuration),
        ("400 Bad Request", "NotFoundException", Fault::Configuration),
        ("400 Bad Request", "DisabledException", Fault::Configuration),
        ("400 Bad Request", "KMSInvalidStateException", Fault::Configuration),
        ("400 Bad Request", "ThrottlingException", Fault::Temporary),
        ("400 Bad Request", "ExpiredTokenException", Fault::Temporary),
        ("500 Internal Server Error", "KeyUnavailableException", Fault::Temporary),
        ("500 Internal Server Error", "KMSInternalException", Fault::Temporary),
        ("503 Service Unavailable", "DependencyTimeoutException", Fault::Temporary),
    ] {
        let error = ask(status, json!({"__type": code, "message": "no"})).await.err().unwrap();
        assert_eq!(error.fault(), fault, "{error}");
        assert!(error.to_string().contains(code), "{error}");
        assert!(error.to_string().starts_with(&format!("`kms:GenerateDataKey` on `{KEY}`")), "{error}");
    }
}

#[tokio::test]
async fn without_kms_there_is_no_key_but_something_to_wait_for() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let error = kms(&url).await.generate_data_key(CONTEXT).await.err().unwrap();
    assert_eq!(error.fault(), Fault::Temporary, "{error}");
}
