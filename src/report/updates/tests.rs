use super::reference::Scheme;
use super::*;

fn updates(tag: &str) -> Updates {
    Updates::of(&Image { name: "localhost:5000/bot".into(), tag: tag.into() }).unwrap()
}

fn newer(tag: &str, tags: &[&str]) -> Vec<String> {
    updates(tag).newer(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>())
}

#[test]
fn versions_are_compared_as_numbers_and_only_with_their_own_form() {
    let tags =
        ["5.116.13.01", "5.116.9.01", "5.116.13.1", "5.120.2.01", "5.116.100.00", "6.0.0", "latest", "5.117.0.0-rc1"];
    assert_eq!(newer("5.116.13.01", &tags), ["5.120.2.01", "5.116.100.00"]);
    assert_eq!(newer("v1.2.3", &["v1.2.10", "1.9.9", "v1.3", "v1.2.3", "v2.0.0"]), ["v2.0.0", "v1.2.10"]);
    assert_eq!(newer("1.2", &["1.+3", "1.", ".3", "1.99999999999999999999999", "", "1.3 ", "1.3"]), ["1.3"]);
    assert_eq!(
        newer(
            "0.1",
            &(2..99).map(|n| format!("0.{n}")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>()
        )
        .len(),
        VERSIONS_MAX
    );
}

#[test]
fn what_has_no_version_is_not_asked_about() {
    for tag in ["latest", "sha256:0123", "2026", "edge", "1.2.3-beta", ""] {
        assert!(Updates::of(&Image { name: "retaind".into(), tag: tag.into() }).is_none(), "{tag}");
    }
}

#[test]
fn names_of_images_lead_to_the_registries_that_docker_would_ask() {
    for (image, authority, name) in [
        ("retaind", "registry-1.docker.io", "library/retaind"),
        ("wickr/bot-compliance-cloud", "registry-1.docker.io", "wickr/bot-compliance-cloud"),
        ("docker.io/retaind", "registry-1.docker.io", "library/retaind"),
        ("public.ecr.aws/x1y2/wickr/bot", "public.ecr.aws", "x1y2/wickr/bot"),
        ("registry.example.org:5000/a/b", "registry.example.org:5000", "a/b"),
    ] {
        let repository = Repository::of(image).unwrap();
        let found = (repository.scheme, repository.authority.as_str(), repository.name.as_str());
        assert_eq!(found, (Scheme::Https, authority, name), "{image}");
    }
    for image in ["localhost:5000/x", "localhost/x", "127.0.0.1:5000/x"] {
        assert_eq!(Repository::of(image).unwrap().scheme, Scheme::Http, "{image}");
    }
    for image in ["example.org/../x", "example.org/A", "a//b", "example.org/", "example.org/a?b"] {
        assert_eq!(Repository::of(image), None, "{image}");
    }
}
