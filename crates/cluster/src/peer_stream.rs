//! The stream that timely reads and writes: a lost peer never reaches timely.
//!
//! Timely panics on a dozen threads when a connection ends too early, and may abort. So the thread that meets a loss
//! reports it and is parked for ever, and the process ends in its own way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use timely::communication::allocator::zero_copy::stream::Stream;
use tracing::debug;

use crate::farewell::FarewellDetector;
use crate::monitor::{LossCause, PeerMonitor};
use crate::socket::PeerSocket;

/// The connection to a peer, for timely.
pub(crate) struct PeerStream {
    socket: PeerSocket,
    /// The peer's place in the monitor's list.
    place: usize,
    monitor: PeerMonitor,
    farewell: FarewellDetector,
}

impl PeerStream {
    pub(crate) fn new(socket: PeerSocket, place: usize, monitor: PeerMonitor) -> PeerStream {
        PeerStream { socket, place, monitor, farewell: FarewellDetector::default() }
    }

    /// Reports the loss, and holds the thread back for ever. Once the end has begun the loss is not reported, but timely
    /// would still panic.
    fn hold_thread(&self, cause: LossCause) -> ! {
        debug!(place = self.place, ?cause, "a thread of timely is held back");
        self.monitor.report_loss(self.place, cause);
        loop {
            std::thread::park();
        }
    }

    /// The peer left. Timely expects that after a farewell only. It passes on what came with the farewell when it has
    /// read the end, so the end must not be held back.
    fn end_reading(&self, cause: LossCause) -> usize {
        if self.farewell.is_found() {
            self.monitor.note_departure(self.place);
            return 0;
        }
        self.hold_thread(cause)
    }
}

impl Read for PeerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Ok(self.end_reading(LossCause::Closed)),
                Ok(bytes) => {
                    self.farewell.observe(&buffer[..bytes]);
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(self.end_reading(LossCause::Closed));
                }
                Err(error) => return Ok(self.end_reading(LossCause::Failed(error.to_string()))),
            }
        }
    }
}

impl Write for PeerStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            match self.socket.write(buffer) {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.hold_thread(LossCause::Failed(error.to_string())),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Stream for PeerStream {
    fn try_clone(&self) -> io::Result<PeerStream> {
        Ok(PeerStream::new(self.socket.try_clone()?, self.place, self.monitor.clone()))
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let Err(error) = self.socket.shutdown(how) {
            // The peer is gone already, which its own handle finds out. Timely would panic.
            debug!(place = self.place, %error, "a connection cannot be shut down");
        }
        Ok(())
    }
}
