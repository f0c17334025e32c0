//! AWS's errors, sorted by what can be done about them.
//!
//! Every call names itself ([`Call`]): the IAM action that it needs and the resource that it touches, so that an
//! operator learns from a refusal which line of which policy is missing. AWS's texts are at the end, in quotes; they name
//! principals and ARNs, never keys or content.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use retaind_core::fault::{Fault, Faulty, chain};
use thiserror::Error;

/// Longest text of AWS that is quoted, in characters.
const MESSAGE_CHARS_MAX: usize = 500;
/// Longest error code that is quoted, in characters; AWS's longest has about 50.
const CODE_CHARS_MAX: usize = 100;

/// A call, in an operator's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The IAM action, as in `s3:PutObject`.
    pub action: &'static str,
    /// What it touches: an ARN, or a name where only a name is known.
    pub resource: String,
}

impl Call {
    /// `action` on `resource`.
    pub fn new(action: &'static str, resource: impl Into<String>) -> Self {
        Self { action, resource: resource.into() }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` on `{}`", self.action, self.resource)
    }
}

/// Why a call was not carried out, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AwsError {
    /// IAM, a bucket policy or a key policy denies it.
    #[error("{call} is not permitted: allow it in the policy of the bot's role ({message})")]
    Denied {
        /// The call that failed.
        call: Call,
        /// AWS's text.
        message: String,
    },
    /// The resource is in another region.
    #[error(
        "{call} failed because the resource is in another region{}: correct `{setting}`",
        right.as_deref().map(|right| format!(", `{right}`")).unwrap_or_default()
    )]
    WrongRegion {
        /// The call that failed.
        call: Call,
        /// The variable that sets the region.
        setting: &'static str,
        /// The right region, if AWS names it.
        right: Option<String>,
    },
    /// There is no such bucket, key, secret or topic.
    #[error("{call} failed because there is no such thing ({message})")]
    Missing {
        /// The call that failed.
        call: Call,
        /// AWS's text.
        message: String,
    },
    /// There are no credentials, or AWS does not know them (any more).
    #[error(
        "{call} needs credentials that work: give the host or container a role, or set `AWS_ACCESS_KEY_ID` and its like ({message})"
    )]
    Credentials {
        /// The call that failed.
        call: Call,
        /// What is wrong with the credentials.
        message: String,
    },
    /// A condition of the request was not met: the object exists.
    #[error("{call} was refused because something is there already ({message})")]
    Precondition {
        /// The call that failed.
        call: Call,
        /// AWS's text.
        message: String,
    },
    /// Too many requests.
    #[error("{call} was throttled ({message})")]
    Throttled {
        /// The call that failed.
        call: Call,
        /// AWS's text.
        message: String,
    },
    /// The service did not answer, or answered with its own error. Whether the call was carried out is not known.
    #[error("{call} got no good answer ({message})")]
    Away {
        /// The call that failed.
        call: Call,
        /// The error of the connection or the service.
        message: String,
    },
    /// The request itself was refused (a disabled key, a bad parameter).
    #[error("{call} was refused: {code} ({message})")]
    Refused {
        /// The call that failed.
        call: Call,
        /// AWS's error code.
        code: String,
        /// AWS's text.
        message: String,
    },
}

impl AwsError {
    /// The error with status and code of AWS's answer, and without its text: a text of S3 can hold the key of an object, and
    /// with it the name of an attachment.
    pub(super) fn without_words(mut self) -> Self {
        let (Self::Denied { message, .. }
        | Self::Missing { message, .. }
        | Self::Credentials { message, .. }
        | Self::Precondition { message, .. }
        | Self::Throttled { message, .. }
        | Self::Away { message, .. }
        | Self::Refused { message, .. }) = &mut self
        else {
            return self;
        };
        // an error without an answer (connection refused, no credentials) names no object
        if message.starts_with("HTTP ")
            && let Some(end) = message.find(": ")
        {
            message.truncate(end);
        }
        self
    }

    /// May the call have been carried out although it failed?
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Sorts an error of the SDK. `setting`: the variable that sets the region of the resource.
    pub fn of<E>(call: Call, setting: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let response = error.raw_response();
        let (code, message) = match error.as_service_error() {
            Some(service) => (service.code().unwrap_or_default(), service.message().unwrap_or_default().to_owned()),
            // the SDK's own text is only "dispatch failure"
            None => ("", chain(error).to_string()),
        };
        let status = response.map(|response| response.status().as_u16());
        let words = printable(code, CODE_CHARS_MAX);
        let message = shortened(&message, &words, status);
        let header = |name| Some(printable(response?.headers().get(name)?, CODE_CHARS_MAX));
        match (status, code) {
            (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
            | (Some(301 | 307), _) => Self::WrongRegion { call, setting, right: header("x-amz-bucket-region") },
            (_, "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired")
            | (_, "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException")
            | (_, "RequestTimeTooSkewed" | "InvalidToken" | "MissingAuthenticationToken")
            | (_, "SignatureDoesNotMatch" | "InvalidSignatureException") => Self::Credentials { call, message },
            (
                _,
                "SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded",
            )
            | (_, "ThrottledException" | "LimitExceededException")
            | (Some(429 | 503), _) => Self::Throttled { call, message },
            (Some(412), _) | (_, "PreconditionFailed") => Self::Precondition { call, message },
            (Some(403 | 401), _) | (_, "AccessDenied" | "AccessDeniedException" | "AuthorizationError") => {
                Self::Denied { call, message }
            }
            (Some(404), _) | (_, "ResourceNotFoundException" | "NotFoundException" | "NoSuchBucket" | "NotFound") => {
                Self::Missing { call, message }
            }
            (_, "RequestTimeout" | "InternalError" | "InternalFailure" | "ServiceUnavailable")
            // another write of the same name is under way
            | (_, "ConditionalRequestConflict" | "OperationAborted")
            // the wire has altered the body: the same bytes again
            | (_, "BadDigest" | "InvalidDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch") => {
                Self::Away { call, message }
            }
            (Some(400..=499), _) => Self::Refused { call, code: words, message },
            _ if message.contains("credentials") => Self::Credentials { call, message },
            _ => Self::Away { call, message },
        }
    }
}

impl Faulty for AwsError {
    fn fault(&self) -> Fault {
        match self {
            // credentials of a role are renewed without anybody's doing
            Self::Throttled { .. } | Self::Away { .. } | Self::Credentials { .. } => Fault::Temporary,
            // a policy, a key, a bucket or a setting; after that the same call works
            Self::Denied { .. } | Self::WrongRegion { .. } | Self::Missing { .. } | Self::Refused { .. } => {
                Fault::Configuration
            }
            // the same request is refused each time, whatever is changed around it
            Self::Precondition { .. } => Fault::Item,
        }
    }
}

/// Removes line breaks, for the log.
fn printable(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

fn shortened(message: &str, code: &str, status: Option<u16>) -> String {
    let mut text = printable(message, MESSAGE_CHARS_MAX);
    if !code.is_empty() {
        text = if text.is_empty() { code.to_owned() } else { format!("{code}: {text}") };
    }
    match status {
        Some(status) if text.is_empty() => format!("HTTP {status}"),
        Some(status) => format!("HTTP {status}, {text}"),
        None => text,
    }
}
