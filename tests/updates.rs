//! Updates are told, and no registry, however it answers, costs the bot more than a line of its log.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retaind::aws::AwsError;
use retaind::report::events::{Events, Notification, Publish};
use retaind::report::origin::{Image, Origin, PRODUCT};
use retaind::report::updates::{PERIOD, RegistryError, TAGS_BODY_BYTES_MAX, Updates};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::has;
use crate::support::BOT;
use crate::support::program::{Program, run};
use crate::support::registry::{Registry, Reply, Scripted};

const OWN: &str = "5.116.13.01";

fn image(address: &str) -> Image {
    Image { name: format!("{address}/wickr/bot"), tag: OWN.into() }
}

async fn check(address: &str) -> Result<Vec<String>, RegistryError> {
    Updates::of(&image(address)).unwrap().check().await
}

/// What a registry that answers everything alike leads to.
async fn of_reply(reply: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Result<Vec<String>, RegistryError> {
    let registry = Scripted::start(reply).await;
    check(&registry.address).await
}

fn tags(tags: &[&str]) -> String {
    json!({"name": "wickr/bot", "tags": tags}).to_string()
}

fn bot(home: &Path, address: &str) -> Command {
    let mut command = run(home);
    command.env("RETAIND_LISTEN", "127.0.0.1:0").env("RETAIND_IMAGE", format!("{address}/wickr/bot:{OWN}"));
    command
}

#[tokio::test]
async fn newer_versions_in_a_real_registry_are_told_at_the_start() {
    if !has("docker-registry") {
        return;
    }
    let registry = Registry::start().await;
    for tag in [OWN, "5.116.9.01", "5.120.2.01", "5.116.100.00", "latest", "5.121.0.0-rc1", "6.0"] {
        registry.push("wickr/bot", tag).await;
    }
    assert_eq!(check(&registry.address).await.unwrap(), ["5.120.2.01", "5.116.100.00"]);
    let other = Image { name: format!("{}/no/such", registry.address), tag: OWN.into() };
    let error = Updates::of(&other).unwrap().check().await.unwrap_err();
    assert!(matches!(error, RegistryError::Status { status: 404, .. }), "{error}");

    let home = tempfile::tempdir().unwrap();
    let mut program = Program::start(&mut bot(home.path(), &registry.address));
    let line = program.says("There are updates available").await;
    assert!(line.contains("5.120.2.01"), "{line}");
    program.says("receives from the network").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_registry_that_says_nothing_delays_neither_start_nor_stop() {
    let registry = Scripted::start(|_, _| Reply::Silence).await;
    let home = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut program = Program::start(&mut bot(home.path(), &registry.address));
    program.says("receives from the network").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    // less than the registry would have been waited for
    assert!(began.elapsed() < Duration::from_secs(20), "{log}");
}

#[tokio::test]
async fn who_wants_no_updates_asks_nobody() {
    let registry = Scripted::start(|_, _| Reply::json(&tags(&["6.0.0.0"]))).await;
    let home = tempfile::tempdir().unwrap();
    let mut command = bot(home.path(), &registry.address);
    let mut program = Program::start(command.env("RETAIND_UPDATES", "off"));
    program.says("receives from the network").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!((code, registry.requests()), (Some(0), vec![]), "{log}");
}

/// A topic that passes events on to the test.
struct Told(mpsc::UnboundedSender<Value>);

impl Publish for Told {
    async fn publish(&self, notification: &Notification) -> Result<(), AwsError> {
        // the test may have seen enough
        let _ = self.0.send(serde_json::from_str(&notification.text).unwrap());
        Ok(())
    }
}

#[tokio::test]
async fn updates_are_told_again_every_day_until_the_bot_stops() {
    let registry = Scripted::start(|_, _| Reply::json(&tags(&["5.117.0.0", "latest", OWN]))).await;
    let origin = Origin::new(BOT, image(&registry.address), PRODUCT);
    let (events, sender) = Events::new(origin.into(), || 0);
    let (tell, mut told) = mpsc::unbounded_channel();
    let _sending = sender.start(Told(tell));
    let asking = Updates::of(&image(&registry.address)).unwrap().start(events, Arc::default());
    for day in 1..=3 {
        let event = told.recv().await.unwrap();
        assert_eq!(event["message"], "There are updates available");
        assert_eq!(event["versions"], json!(["5.117.0.0"]));
        assert_eq!(event["severity"], "normal");
        assert_eq!(registry.requests().len(), day);
        tokio::time::pause();
        tokio::time::advance(PERIOD).await;
        tokio::time::resume();
    }
    drop(asking);
}

#[tokio::test]
async fn pages_are_followed_and_no_further_than_the_registry_itself() {
    let registry = Scripted::start(|head, own| {
        let (link, page) = if head.contains("last=b") {
            (String::new(), tags(&["5.118.0.0"]))
        } else if head.contains("last=a") {
            let link = format!("Link: <http://{own}/v2/wickr/bot/tags/list?last=b>; rel=\"next\"\r\n");
            (link, tags(&["5.117.0.0"]))
        } else {
            let link = "Link: </v2/wickr/bot/tags/list?last=a&n=1000>; rel=\"next\"\r\n";
            (link.to_owned(), tags(&["5.119.0.0"]))
        };
        Reply::with("200 OK", &link, &page)
    });
    let registry = registry.await;
    assert_eq!(check(&registry.address).await.unwrap(), ["5.119.0.0", "5.118.0.0", "5.117.0.0"]);
    assert!(registry.requests()[0].starts_with("GET /v2/wickr/bot/tags/list?n=1000 HTTP/1.1\r\n"));

    // a page that leads to itself ends, and what was found holds
    let link = "Link: </v2/wickr/bot/tags/list?n=1>; rel=\"next\"\r\n";
    let found = of_reply(move |_, _| Reply::with("200 OK", link, &tags(&["5.117.0.0"]))).await;
    assert_eq!(found.unwrap(), ["5.117.0.0"]);

    for elsewhere in ["http://127.0.0.1:1/v2/", "http://192.0.2.1/v2/", "file:///etc/passwd", "//127.0.0.1:1/", "::"] {
        let link = format!("Link: <{elsewhere}>; rel=\"next\"\r\n");
        let error = of_reply(move |_, _| Reply::with("200 OK", &link, &tags(&[]))).await.unwrap_err();
        assert!(matches!(error, RegistryError::Astray { .. }), "{elsewhere}: {error}");
    }
}

#[tokio::test]
async fn a_registry_that_wants_a_token_is_asked_with_one_that_anybody_gets() {
    let registry = Scripted::start(|head, own| {
        if head.starts_with("GET /token?") {
            Reply::json(r#"{"token":"abc.def","expires_in":300}"#)
        } else if head.contains("\r\nauthorization: Bearer abc.def\r\n") {
            Reply::json(&tags(&["5.117.0.0"]))
        } else {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"registry.example.org\",scope=\"repository:wickr/bot:pull,push\"\r\n"
            );
            Reply::with("401 Unauthorized", &challenge, "{}")
        }
    });
    let registry = registry.await;
    assert_eq!(check(&registry.address).await.unwrap(), ["5.117.0.0"]);
    let requests = registry.requests();
    assert_eq!(requests.len(), 3);
    let asked = "GET /token?service=registry.example.org&scope=repository%3Awickr%2Fbot%3Apull%2Cpush HTTP/1.1\r\n";
    assert!(requests[1].starts_with(asked), "{}", requests[1]);
    assert!(!requests[1].contains("authorization"), "{}", requests[1]);

    // the token is not enough, or none: no second round
    let error = of_reply(|head, own| {
        if head.starts_with("GET /token?") {
            return Reply::json(r#"{"access_token":"x"}"#);
        }
        Reply::with("401 Unauthorized", &format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\"\r\n"), "")
    });
    assert!(matches!(error.await.unwrap_err(), RegistryError::Status { status: 401, .. }));
    for token in ["{}", "[]", r#"{"token":""}"#, r#"{"token":"a\r\nb"}"#, "garbage"] {
        let error = of_reply(move |head, own| {
            if head.starts_with("GET /token?") {
                return Reply::json(token);
            }
            Reply::with("401 Unauthorized", &format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\"\r\n"), "")
        });
        let error = error.await.unwrap_err();
        assert!(matches!(error, RegistryError::Answer { .. }), "{token}: {error}");
    }
    for challenge in ["Basic realm=\"x\"", "Bearer", "Bearer realm=", "Bearer realm=\"x", "Bearer service=\"x\"", "="] {
        let header = format!("WWW-Authenticate: {challenge}\r\n");
        of_reply(move |_, _| Reply::with("401 Unauthorized", &header, "")).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_token_is_shown_to_nobody_but_the_registry() {
    let stranger = Scripted::start(|_, _| Reply::json(&tags(&["5.117.0.0"]))).await;
    let to = stranger.address.clone();
    let registry = Scripted::start(move |head, own| {
        if head.starts_with("GET /token?") {
            Reply::json(r#"{"token":"abc"}"#)
        } else if head.contains("\r\nauthorization: ") {
            Reply::with("307 Temporary Redirect", &format!("Location: http://{to}/tags\r\n"), "")
        } else {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\"\r\n");
            Reply::with("401 Unauthorized", &challenge, "")
        }
    });
    let registry = registry.await;
    assert_eq!(check(&registry.address).await.unwrap(), ["5.117.0.0"]);
    let [head] = &*stranger.requests() else { panic!("{:?}", stranger.requests()) };
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn tags_that_are_no_versions_are_no_updates() {
    for page in [
        r#"{"tags":null}"#,
        r#"{"tags":[]}"#,
        "{}",
        r#"{"tags":["latest","edge","9","v9.9.9.9","9.9.9.9-rc1","9.9.9.x"]}"#,
    ] {
        assert_eq!(of_reply(move |_, _| Reply::json(page)).await.unwrap(), [""; 0], "{page}");
    }
}

#[tokio::test]
async fn garbage_is_an_error_and_nothing_worse() {
    for page in ["", "null", "[]", "<html>", r#"{"tags":{}}"#, r#"{"tags":[1]}"#, r#"{"tags":["#] {
        let error = of_reply(move |_, _| Reply::json(page)).await.unwrap_err();
        assert!(matches!(error, RegistryError::Answer { .. }), "{page}: {error}");
    }
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    // what is not asked for is passed over, however deep
    assert_eq!(of_reply(move |_, _| Reply::json(&deep)).await.unwrap(), [""; 0]);
    let deep = format!("{{\"tags\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    of_reply(move |_, _| Reply::json(&deep)).await.unwrap_err();
    for bytes in [
        "",
        "\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        "HTTP/1.1 999999\r\n\r\n",
    ] {
        of_reply(move |_, _| Reply::Bytes(bytes.into())).await.unwrap_err();
    }
    let error = of_reply(|_, _| Reply::with("500 Oops", "", "secret words")).await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let body = || Reply::Endless(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"tags\":[".to_vec());
    let error = of_reply(move |_, _| body()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Answer { .. }), "{error}");
    let large = format!("{{\"tags\":[\"{}\"]}}", "9".repeat(TAGS_BODY_BYTES_MAX));
    let error = of_reply(move |_, _| Reply::json(&large)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Answer { .. }), "{error}");
    of_reply(|_, _| Reply::Endless(b"HTTP/1.1 200 OK\r\nX: ".to_vec())).await.unwrap_err();
}

/// The clock goes on by itself as soon as nothing else does.
#[tokio::test]
async fn a_slow_registry_is_not_waited_for() {
    let registry = Scripted::start(|_, _| Reply::Silence).await;
    tokio::time::pause();
    let error = check(&registry.address).await.unwrap_err();
    assert!(matches!(error, RegistryError::Slow { .. }), "{error}");
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_an_error_with_its_name() {
    // taken and given back: nobody listens there
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let error = check(&address).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("`127.0.0.1`"), "{error}");
}

#[tokio::test]
async fn redirects_end_and_lead_to_no_other_protocol() {
    let registry =
        Scripted::start(|_, own| Reply::with("302 Found", &format!("Location: http://{own}/\r\n"), "")).await;
    let error = check(&registry.address).await.unwrap_err();
    assert!(matches!(error, RegistryError::Answer { .. }), "{error}");
    assert_eq!(registry.requests().len(), 6);
    for location in ["http://192.0.2.1/", "ftp://127.0.0.1/", "gopher:x", ""] {
        let header = format!("Location: {location}\r\n");
        let error = of_reply(move |_, _| Reply::with("301 Moved", &header, "")).await.unwrap_err();
        assert!(matches!(error, RegistryError::Astray { .. }), "{location}: {error}");
    }
    of_reply(|_, _| Reply::with("301 Moved", "", "")).await.unwrap_err();
}
