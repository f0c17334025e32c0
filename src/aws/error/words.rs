//! What of AWS's answer is quoted: bounded, on one line, and what it says of who refuses found in its sentences.
//!
//! A message is `HTTP STATUS, CODE[, VERDICT][, request ID]: AWS's words`. What stands before the words names no
//! object, so that it can be kept where the words cannot ([`head`]).

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// Longest text of AWS that is quoted, in characters.
const MESSAGE_CHARS_MAX: usize = 500;
/// Longest error code that is quoted, in characters; AWS's longest has about 50.
pub(super) const CODE_CHARS_MAX: usize = 100;
/// Longest id of a request that is quoted, in characters.
const REQUEST_CHARS_MAX: usize = 80;
/// What comes before the id of a request.
const REQUEST: &str = ", request `";
/// Kinds of policies, as AWS's sentences call them.
const POLICIES: [&str; 7] = [
    "resource-based policy",
    "identity-based policy",
    "service control policy",
    "resource control policy",
    "permissions boundary",
    "session policy",
    "VPC endpoint policy",
];

/// On one line.
pub(super) fn printable(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

/// AWS's answer, or without one the SDK's own error, as it is quoted.
pub(super) fn quoted(response: Option<&HttpResponse>, code: &str, words: &str) -> String {
    let words = printable(words, MESSAGE_CHARS_MAX);
    let Some(response) = response else { return words };
    let header = |name: &str| response.headers().get(name);
    let mut text = format!("HTTP {}", response.status().as_u16());
    let is_page = code.is_empty() && header("content-type").is_some_and(|value| value.starts_with("text/html"));
    if is_page {
        text += ", a web page as proxies send it";
    } else if !code.is_empty() {
        text += &format!(", {code}");
    }
    if let Some(verdict) = verdict(&words) {
        text += &format!(", {verdict}");
    }
    if let Some(id) = header("x-amz-request-id").or_else(|| header("x-amzn-requestid")) {
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-_=+/.".contains(*c);
        let id: String = id.chars().filter(is_plain).take(REQUEST_CHARS_MAX).collect();
        text += &format!("{REQUEST}{id}`");
    }
    if words.is_empty() || is_page { text } else { format!("{text}: {words}") }
}

/// A message without AWS's words. One that is no answer (connection refused, no credentials) is whole.
pub(super) fn head(message: &str) -> &str {
    let is_answer = message.starts_with("HTTP ");
    message.split_once(": ").map_or(message, |(head, _)| if is_answer { head } else { message })
}

/// A message without what differs from one request to the next.
pub(super) fn lasting(message: &str) -> &str {
    let head = head(message);
    head.split_once(REQUEST).map_or(head, |(lasting, _)| lasting)
}

/// Which policy refuses what, if AWS says so.
fn verdict(words: &str) -> Option<String> {
    let policy = |text: &str| POLICIES.into_iter().find(|policy| text.starts_with(policy));
    let after = |phrase: &str| words.split_once(phrase).map(|(_, rest)| rest);
    let by = after("explicit deny in a ").or_else(|| after("explicit deny in an "));
    let by = by.and_then(policy).map(|policy| format!("an explicit deny in a {policy}"));
    let by = by.or_else(|| {
        let policy = after("because no ").and_then(policy)?;
        Some(format!("no {policy} allows it"))
    })?;
    let is_action = |action: &&str| {
        let (service, name) = action.split_once(':').unwrap_or_default();
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain(service) && plain(name)
    };
    let action = after("not authorized to perform: ").and_then(|rest| rest.split(' ').next()).filter(is_action);
    Some(match action {
        Some(action) => format!("{by} (`{action}`)"),
        None => by,
    })
}

/// What to do about a refusal, by what AWS says of it.
pub(super) fn remedy(message: &str) -> &'static str {
    let head = head(message);
    if head.contains("an explicit deny in a ") {
        "a policy denies it outright, and allowing it elsewhere does not help: change that policy, or send what it demands \
         (see `RETAIND_S3_SSE`)"
    } else if head.contains(" policy allows it") || head.contains(" boundary allows it") {
        "allow it in the policy that is named"
    } else if head.contains("a web page") {
        "a proxy on the way may have answered in AWS's place: see that the bot reaches AWS without it"
    } else {
        "allow it in the policy of the bot's role, and see that no policy of the resource, of its KMS key, of the VPC endpoint \
         or of the organisation denies it"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_is_found_in_awss_sentences_and_nothing_else_is() {
        for (words, found) in [
            (
                "User: arn:aws:sts::111122223333:assumed-role/bot/i is not authorized to perform: s3:PutObject on resource: \
                 \"arn:aws:s3:::b/attachment_1_secret plan.pdf\" with an explicit deny in a resource-based policy",
                Some("an explicit deny in a resource-based policy (`s3:PutObject`)"),
            ),
            (
                "User: x is not authorized to perform: kms:GenerateDataKey on resource: y because no identity-based policy \
                 allows the kms:GenerateDataKey action",
                Some("no identity-based policy allows it (`kms:GenerateDataKey`)"),
            ),
            ("x with an explicit deny in a VPC endpoint policy", Some("an explicit deny in a VPC endpoint policy")),
            ("explicit deny in a secret plan", None),
            (
                "is not authorized to perform: secret plan because no identity-based policy allows",
                Some("no identity-based policy allows it"),
            ),
            ("Access Denied", None),
        ] {
            assert_eq!(verdict(words).as_deref(), found, "{words}");
        }
    }

    #[test]
    fn what_differs_from_request_to_request_is_no_part_of_the_kind() {
        let message = "HTTP 403, AccessDenied, request `ABC`: words: more";
        assert_eq!(
            (head(message), lasting(message)),
            ("HTTP 403, AccessDenied, request `ABC`", "HTTP 403, AccessDenied")
        );
        let none = "dispatch failure: io error: connection refused";
        assert_eq!((head(none), lasting(none)), (none, none));
    }
}
