//! What to do about an error: one vocabulary for every room.

/// What the caller, and in the end the operator or supervisor, should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It may go away by itself: try again. The process exits with 75.
    Temporary,
    /// Something must be fixed first; the error's text says what. The process exits with 78.
    Configuration,
    /// A defect of this program. The process exits with 70.
    Internal,
}

/// What a caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// The resource is away for a while: wait, then do the same again. Nothing is skipped.
    Retry,
    /// Only this one item cannot be done: keep it, report it, continue with the others.
    Park,
    /// Continuing could lose or forge evidence: stop; the remedy is in the error's text.
    Halt,
}
