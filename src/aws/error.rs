//! AWS's errors, sorted by what can be done about them.
//!
//! Every call names itself ([`Call`]): the IAM action that it needs and the resource that it touches, so that an
//! operator learns from a refusal which line of which policy is missing. AWS's texts are at the end, in quotes; they name
//! principals and ARNs, never keys or content.

#[cfg(test)]
mod tests;
mod words;

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use retaind_core::fault::{Fault, Faulty, chain};
use thiserror::Error;

use self::words::{CODE_CHARS_MAX, printable};

/// What the SDK says of a profile that this build has no sign-in for.
const LEFT_OUT: &str = "cargo feature";
/// And what we say.
const NO_SIGN_IN: &str = "the AWS profile signs in by IAM Identity Center (`sso_session`, `sso_start_url`) or by `login_session`, \
    which needs a person at a browser and is not supported: use a profile with keys, `role_arn`, `credential_process` or \
    `web_identity_token_file`, or a role of the host";
/// Parts of codes that concern the whole bucket, account or key.
const OF_ALL_OBJECTS: [&str; 7] =
    ["Account", "Bucket", "DisabledException", "KMS", "NotImplemented", "Quota", "StorageFull"];
/// Codes of S3, and of what speaks its protocol, that concern one object and no other.
const OF_ONE_OBJECT: [&str; 14] = [
    "EntityTooLarge",
    "EntityTooSmall",
    "InvalidObjectName",
    "InvalidObjectState",
    "InvalidPart",
    "InvalidPartOrder",
    "InvalidTag",
    "InvalidURI",
    "KeyTooLongError",
    "MetadataTooLarge",
    "UserKeyMustBeSpecified",
    "XMinioInvalidObjectName",
    "XMinioObjectExistsAsDirectory",
    "XMinioParentIsObject",
];

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
    #[error("{call} is not permitted: {} ({message})", words::remedy(message))]
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
    /// The host's clock is too far from AWS's, so that no signature is valid.
    #[error(
        "{call} was refused because the clock of this host differs too much from AWS's: set it, by NTP ({message})"
    )]
    Clock {
        /// The call that failed.
        call: Call,
        /// AWS's text, and its time.
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
    /// Texts that cannot hold one stay: an attachment's key has `attachment_` in it, however it is written.
    pub(super) fn without_words(mut self) -> Self {
        let (Self::Denied { message, .. }
        | Self::Missing { message, .. }
        | Self::Credentials { message, .. }
        | Self::Clock { message, .. }
        | Self::Precondition { message, .. }
        | Self::Throttled { message, .. }
        | Self::Away { message, .. }
        | Self::Refused { message, .. }) = &mut self
        else {
            return self;
        };
        if message.to_ascii_lowercase().contains("attachment") {
            let end = words::head(message).len();
            message.truncate(end);
        }
        self
    }

    /// Equal for errors of one cause: without ids of requests, and without AWS's words, which can name an object.
    pub fn kind(&self) -> String {
        let (call, what) = match self {
            Self::WrongRegion { call, right, .. } => (call, right.as_deref().unwrap_or_default()),
            // the time is AWS's
            Self::Clock { call, .. } => (call, ""),
            Self::Denied { call, message }
            | Self::Missing { call, message }
            | Self::Credentials { call, message }
            | Self::Precondition { call, message }
            | Self::Throttled { call, message }
            | Self::Away { call, message }
            | Self::Refused { call, message, .. } => (call, words::lasting(message)),
        };
        format!("{:?} {call} {what}", std::mem::discriminant(self))
    }

    /// Is it about this one object, so that others may be stored all the same?
    pub fn is_of_one_object(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if OF_ONE_OBJECT.contains(&code.as_str()))
    }

    /// Is it certainly about the whole bucket, account or key?
    pub fn is_of_all_objects(&self) -> bool {
        match self {
            Self::Refused { code, message, .. } => {
                OF_ALL_OBJECTS.iter().any(|part| code.contains(part)) || message.starts_with("HTTP 5")
            }
            Self::Precondition { .. } => false,
            Self::Denied { .. }
            | Self::WrongRegion { .. }
            | Self::Missing { .. }
            | Self::Credentials { .. }
            | Self::Clock { .. }
            | Self::Throttled { .. }
            | Self::Away { .. } => true,
        }
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
        if response.is_none() && message.contains(LEFT_OUT) {
            return Self::Credentials { call, message: NO_SIGN_IN.to_owned() };
        }
        let status = response.map(|response| response.status().as_u16());
        let words = printable(code, CODE_CHARS_MAX);
        let is_expired = ["Signature expired", "Signature not yet current"].iter().any(|text| message.contains(text));
        let message = words::quoted(response, &words, &message);
        let header = |name| Some(printable(response?.headers().get(name)?, CODE_CHARS_MAX));
        match (status, code) {
            (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
            | (Some(301 | 307), _) => Self::WrongRegion { call, setting, right: header("x-amz-bucket-region") },
            (_, "RequestTimeTooSkewed" | "RequestInTheFuture") => {
                Self::Clock { call, message: told_at(message, header("date")) }
            }
            (_, "SignatureDoesNotMatch" | "InvalidSignatureException") if is_expired => {
                Self::Clock { call, message: told_at(message, header("date")) }
            }
            (_, "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired")
            | (_, "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException")
            | (_, "InvalidToken" | "MissingAuthenticationToken")
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
            // a store that cannot do it, or has no room: asking again changes nothing before somebody does
            (Some(400..=499 | 501 | 507), _) => {
                let code = if words.is_empty() { "no code".to_owned() } else { words };
                Self::Refused { call, code, message }
            }
            _ if message.contains("credentials") => Self::Credentials { call, message },
            _ => Self::Away { call, message },
        }
    }
}

impl Faulty for AwsError {
    fn fault(&self) -> Fault {
        match self {
            // credentials of a role are renewed, and clocks set, without anybody's doing
            Self::Throttled { .. } | Self::Away { .. } | Self::Credentials { .. } | Self::Clock { .. } => {
                Fault::Temporary
            }
            // a policy, a key, a bucket or a setting; after that the same call works
            Self::Denied { .. } | Self::WrongRegion { .. } | Self::Missing { .. } | Self::Refused { .. } => {
                Fault::Configuration
            }
            // the same request is refused each time, whatever is changed around it
            Self::Precondition { .. } => Fault::Item,
        }
    }
}

fn told_at(message: String, time: Option<String>) -> String {
    match time {
        Some(time) => format!("{message}; AWS's time is `{time}`"),
        None => message,
    }
}
