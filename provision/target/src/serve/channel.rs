//! The channel to whoever started this process: frames on what were stdin and stdout.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::unistd::{dup2_stdin, dup2_stdout};
use provision_protocol::{Frame, FrameError, write_frame};
use serde::Serialize;

/// Takes the channel away from stdin and stdout, so that no program that a module starts can read
/// frames or write between them: stdin becomes empty, stdout becomes stderr.
///
/// # Errors
/// When descriptors can't be duplicated.
pub fn take_over() -> io::Result<(File, Output)> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    dup2_stdin(empty_input()?)?;
    dup2_stdout(io::stderr())?;
    Ok((input, Output::new(output)))
}

/// Takes only the incoming side; stdin becomes empty.
///
/// # Errors
/// When descriptors can't be duplicated.
pub fn take_input() -> io::Result<File> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(empty_input()?)?;
    Ok(input)
}

/// Makes stdout lead nowhere, as stderr already does.
///
/// # Errors
/// When descriptors can't be duplicated.
pub fn silence() -> io::Result<()> {
    Ok(dup2_stdout(io::stderr())?)
}

fn empty_input() -> io::Result<OwnedFd> {
    match OpenOptions::new().read(true).open("/dev/null") {
        Ok(null) => Ok(null.into()),
        // An empty root directory has no devices; a pipe without a writer is as good.
        Err(_) => io::pipe().map(|(reader, _writer)| reader.into()),
    }
}

/// The sending side; whole frames, from any thread.
#[derive(Debug)]
pub struct Output {
    file: Mutex<File>,
}

impl Output {
    /// Sends to a pipe or socket.
    #[must_use]
    pub fn new(file: File) -> Self {
        Output { file: Mutex::new(file) }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn message(&self, message: &impl Serialize) -> Result<(), FrameError> {
        self.frame(&Frame::message(message)?)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn frame(&self, frame: &Frame) -> Result<(), FrameError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(write_frame(&mut *file, frame)?)
    }
}
