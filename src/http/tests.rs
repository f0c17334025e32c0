//! The limits hold: of heads, bodies, times, connections and redirects, with and without TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, LOCATION};
use hyper::{Request, Response, StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::client::{Client, ClientError, Rules, resolve};
use super::server::{self, BodyError, Incoming, Server, Service};
use super::{client, server as http};

const BODY_BYTES_MAX: usize = 16;

const LIMITS: http::Limits = http::Limits {
    head_bytes_max: 8192,
    headers_max: 8,
    head_time: Duration::from_secs(1),
    requests_max: 2,
    connection_time: Duration::from_secs(10),
    connections_max: 2,
    share_max: 2,
};

/// Says a body back, leads in a circle, hangs, or panics.
#[derive(Default)]
struct Echo(AtomicUsize);

impl Service for Echo {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Full::default());
        match request.uri().path() {
            "/circle" => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(LOCATION, "/circle".parse().unwrap());
            }
            "/away" => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(LOCATION, "http://192.0.2.1/".parse().unwrap());
            }
            "/hang" => std::future::pending().await,
            "/panic" => panic!("as the test wants"),
            _ => match server::body(request.into_body(), BODY_BYTES_MAX).await {
                Ok(body) => *response.body_mut() = Full::new(body),
                Err(BodyError::TooLarge { .. }) => *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE,
                Err(BodyError::Broken) => *response.status_mut() = StatusCode::BAD_REQUEST,
            },
        }
        response
    }
}

fn serving() -> (SocketAddr, Arc<Echo>) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, echo) = (server.address(), Arc::new(Echo::default()));
    tokio::spawn(server.serve("test", LIMITS, echo.clone()));
    (address, echo)
}

async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    // a caller that is refused in the middle may not get rid of the rest
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    say(TcpStream::connect(address).await.unwrap(), bytes).await
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn bodies_heads_and_requests_have_their_limits() {
    let (address, echo) = serving();
    // the second request of a connection is its last one
    let answer = exchange(address, post("sixteen bytes ok").repeat(3).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("sixteen bytes ok").count(), 2);
    assert_eq!(answer.matches("connection: close").count(), 1);
    assert_eq!(echo.0.load(Ordering::Relaxed), 2);

    let answer = exchange(address, post("seventeen bytes !").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "announced: {answer}");
    let chunked =
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n9\r\n123456789\r\n0\r\n\r\n";
    let answer = exchange(address, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "in chunks: {answer}");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(9));
    assert!(exchange(address, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(exchange(address, long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert_eq!(exchange(address, b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await, "");
    assert!(exchange(address, post("alive").as_bytes()).await.contains("alive"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_time_whatever_it_waits_for() {
    for (bytes, least, most) in [
        ("GET / HTTP/1.1\r\nX: ", LIMITS.head_time, LIMITS.head_time * 2),
        ("", LIMITS.head_time, LIMITS.head_time * 2),
        ("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n", LIMITS.connection_time, LIMITS.connection_time * 2),
    ] {
        let began = tokio::time::Instant::now();
        let (client, server) = tokio::io::duplex(4096);
        tokio::join!(http::converse(Arc::new(Echo::default()), LIMITS, server), say(client, bytes.as_bytes()));
        assert!((least..most).contains(&began.elapsed()), "{bytes:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn with_tls_the_handshake_is_a_part_of_the_connection() {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.address();
    let handshake = move |tcp| acceptor.accept(tcp);
    tokio::spawn(server.serve_after(handshake, "test", LIMITS, Arc::new(Echo::default())));

    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    // callers that do not shake hands keep no place
    for _ in 0..LIMITS.connections_max * 2 {
        assert!(!exchange(address, post("unencrypted").as_bytes()).await.contains("HTTP/1.1"));
    }
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    assert!(say(stream, post("encrypted").repeat(2).as_bytes()).await.contains("encrypted"));
}

/// Plain HTTP wherever it leads: what the client itself refuses shows.
struct Anywhere;

impl Rules for Anywhere {
    fn permits(&self, uri: &Uri) -> bool {
        uri.path() != "/forbidden"
    }

    fn headers(&self, _: &Uri) -> HeaderMap {
        HeaderMap::new()
    }
}

#[tokio::test]
async fn a_client_follows_so_many_redirects_asks_what_is_permitted_and_waits_only_so_long() {
    let (address, echo) = serving();
    let limits = client::Limits {
        head_bytes_max: 8192,
        headers_max: 16,
        request_time: Duration::from_millis(200),
        redirects_max: 3,
    };
    let mut client = Client::new(limits, "*/*");
    let uri = |path: &str| format!("http://{address}{path}").parse::<Uri>().unwrap();
    assert_eq!(client.get(&uri("/"), &Anywhere, 0).await.unwrap().status, StatusCode::OK);
    let before = echo.0.load(Ordering::Relaxed);
    let error = client.get(&uri("/circle"), &Anywhere, 0).await.unwrap_err();
    assert_eq!(error, ClientError::Answer("too many redirects"));
    assert_eq!(echo.0.load(Ordering::Relaxed) - before, 4);
    assert_eq!(client.get(&uri("/forbidden"), &Anywhere, 0).await.unwrap_err(), ClientError::Astray);
    // an address that is not this host's is not asked unencrypted, though the rules permit it
    let error = client.get(&uri("/away"), &Anywhere, 0).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error}");
    assert_eq!(client.get(&uri("/hang"), &Anywhere, 0).await.unwrap_err(), ClientError::Slow);
}

#[test]
fn a_target_is_a_whole_address_or_a_part_of_one() {
    let from: Uri = "https://registry.example.org/v2/list?n=1".parse().unwrap();
    for (target, whole) in [
        ("/other", "https://registry.example.org/other"),
        ("?n=2", "https://registry.example.org/v2/list?n=2"),
        ("//else.example.org/x", "https://else.example.org/x"),
        ("http://else.example.org/x", "http://else.example.org/x"),
    ] {
        assert_eq!(resolve(&from, target).unwrap().to_string(), whole);
    }
    assert_eq!(resolve(&from, "::").unwrap_err(), ClientError::Astray);
    assert_eq!(resolve(&"/path".parse().unwrap(), "/x").unwrap_err(), ClientError::Astray);
}
