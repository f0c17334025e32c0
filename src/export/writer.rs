//! What a format does: it gets every slice once, in one order, and is told the end.

use crate::error::Error;
use crate::output::Output;
use crate::slice::Slice;

/// Writes one format.
pub(crate) trait Writer {
    /// Writes all that [`Slice::select`] gives for the format.
    fn slice(&mut self, slice: &Slice<'_>, output: &mut Output) -> Result<(), Error>;

    /// What comes after the last slice.
    fn finish(self: Box<Self>, output: &mut Output) -> Result<(), Error>;
}
