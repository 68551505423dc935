//! Standard output of commands that print and exit.

use std::error::Error;
use std::io::{self, Stdout, Write};

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write to stdout")]
pub struct OutputError(#[from] io::Error);

/// Standard output whose reader may close it.
///
/// A reader that has read enough (`| head`) closes the pipe. That is no failure, and no reason to stop halfway: further
/// output is discarded, and the command ends with its normal exit code. Only [`CommandOutput::flush`] reports the
/// closed pipe, for commands that print without end.
pub struct CommandOutput<W = Stdout> {
    inner: W,
    is_closed: bool,
}

impl Default for CommandOutput {
    fn default() -> CommandOutput {
        CommandOutput::new(io::stdout())
    }
}

impl<W: Write> CommandOutput<W> {
    /// Creates a writer to `inner`.
    pub fn new(inner: W) -> CommandOutput<W> {
        CommandOutput { inner, is_closed: false }
    }

    /// Ends the output of a command: a closed pipe is no failure (`T::default()` if the command ended because of it),
    /// everything else that cannot be written is.
    ///
    /// # Errors
    /// The command's own error, or the failure to write its last output.
    pub fn finish<T, E>(mut self, result: Result<T, E>) -> Result<T, E>
    where
        T: Default,
        E: Error + From<OutputError> + 'static,
    {
        match (result, self.flush()) {
            (Err(error), Err(_)) if self.is_closed && is_broken_pipe(&error) => Ok(T::default()),
            (result, Err(_)) if self.is_closed => result,
            (Ok(_), Err(error)) => Err(OutputError(error).into()),
            (result, _) => result,
        }
    }

    fn take_note<T>(&mut self, result: io::Result<T>, when_closed: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(when_closed)
            }
            other => other,
        }
    }
}

/// Whether an error, or one of its causes, is a closed pipe.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) || error.source().is_some_and(is_broken_pipe)
}

impl<W: Write> Write for CommandOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Ok(bytes.len());
        }
        let written = self.inner.write(bytes);
        self.take_note(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.is_closed {
            let flushed = self.inner.flush();
            self.take_note(flushed, ())?;
        }
        if self.is_closed { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    /// Accepts some bytes, then fails with this kind of error.
    struct FailingWriter(usize, io::ErrorKind);

    impl Write for FailingWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(self.1.into()) } else { Ok(taken) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn closed_pipe_keeps_the_result_and_ends_what_prints_for_ever() {
        let mut out = CommandOutput::new(FailingWriter(3, io::ErrorKind::BrokenPipe));
        writeln!(out, "more than three").unwrap();
        writeln!(out, "and more").unwrap();
        assert!(out.flush().is_err());
        assert_eq!(out.finish(Ok::<_, OutputError>(1)).unwrap(), 1);
        let mut out = CommandOutput::new(FailingWriter(3, io::ErrorKind::BrokenPipe));
        writeln!(out, "more than three").unwrap();
        let ended = out.flush().map(|()| 0).map_err(OutputError::from);
        assert_eq!(out.finish(ended).unwrap(), 0);
    }

    #[test]
    fn full_disk_is_a_failure() {
        let mut out = CommandOutput::new(FailingWriter(3, io::ErrorKind::StorageFull));
        assert!(writeln!(out, "more than three").is_err());
        assert!(out.finish(Err::<u8, _>(OutputError(io::ErrorKind::Other.into()))).is_err());
    }
}
