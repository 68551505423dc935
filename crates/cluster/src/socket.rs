//! The socket of a formed cluster, plain or encrypted, as timely's threads use it: blocking, and cloned for each direction.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// Sent data that is not acknowledged for this long means that the connection is lost.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MILLIS_MAX: u32 = 10_000;

/// An idle connection is probed after this time, this often, and this many times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_PROBES: u32 = 5;

/// The bytes of ciphertext that are read at once: four records of TLS.
const CIPHERTEXT_BYTES: usize = 64 << 10;

/// Sets what finds a dead peer, and sends small messages at once.
pub(crate) fn set_socket_options<S: std::os::fd::AsFd>(socket: &S) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MILLIS_MAX)?;
    Ok(())
}

/// A blocking socket to a peer.
pub(crate) enum PeerSocket {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(TlsSocket),
}

/// TLS over a blocking socket. One thread reads and one writes, each with a handle of its own.
///
/// The lock of the session is never held while the socket is read or written, so a full socket in one direction cannot
/// block the other. What TLS itself has to answer is sent with the next write: only the writing thread writes, which
/// keeps the records in order.
pub(crate) struct TlsSocket {
    tcp: TcpStream,
    session: Arc<Mutex<rustls::Connection>>,
    /// Ciphertext that was read, and how much of it the session has taken. Only the reading handle has any.
    ciphertext: Vec<u8>,
    taken: usize,
    /// Records on their way to the socket.
    records: Vec<u8>,
}

impl TlsSocket {
    pub(crate) fn new(tcp: TcpStream, session: rustls::Connection) -> TlsSocket {
        TlsSocket::with_session(tcp, Arc::new(Mutex::new(session)))
    }

    fn with_session(tcp: TcpStream, session: Arc<Mutex<rustls::Connection>>) -> TlsSocket {
        TlsSocket { tcp, session, ciphertext: Vec::new(), taken: 0, records: Vec::new() }
    }

    /// Reads ciphertext until there is plaintext, and returns as much as is there.
    fn read_plaintext(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            let mut session = self.session.lock();
            loop {
                match session.reader().read(&mut buffer[filled..]) {
                    // The end, or a full buffer.
                    Ok(0) => return Ok(filled),
                    Ok(bytes) => filled += bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    // What was read comes first: the session repeats its error at the next read.
                    Err(error) => return if filled > 0 { Ok(filled) } else { Err(error) },
                }
                if filled == buffer.len() || self.taken == self.ciphertext.len() {
                    break;
                }
                let mut rest = &self.ciphertext[self.taken..];
                self.taken += session.read_tls(&mut rest)?;
                session.process_new_packets().map_err(io::Error::other)?;
            }
            drop(session);
            if filled > 0 {
                return Ok(filled);
            }
            self.read_ciphertext()?;
        }
    }

    fn read_ciphertext(&mut self) -> io::Result<()> {
        self.ciphertext.resize(CIPHERTEXT_BYTES, 0);
        self.taken = self.ciphertext.len();
        let bytes = self.tcp.read(&mut self.ciphertext)?;
        self.ciphertext.truncate(bytes);
        self.taken = 0;
        if bytes == 0 {
            // The session tells an end that was announced from one that was not.
            self.session.lock().read_tls(&mut io::empty())?;
        }
        Ok(())
    }

    fn write_plaintext(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        let bytes = session.writer().write(buffer)?;
        self.records.clear();
        collect_records(&mut session, &mut self.records)?;
        drop(session);
        self.tcp.write_all(&self.records)?;
        Ok(bytes)
    }

    fn close_writing(&self) -> io::Result<()> {
        let mut session = self.session.lock();
        session.send_close_notify();
        let mut records = Vec::new();
        collect_records(&mut session, &mut records)?;
        drop(session);
        (&self.tcp).write_all(&records)
    }
}

fn collect_records(session: &mut rustls::Connection, records: &mut Vec<u8>) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(records)?;
    }
    Ok(())
}

impl PeerSocket {
    /// A second handle. Only one of them may read, and only one may write.
    pub(crate) fn try_clone(&self) -> io::Result<PeerSocket> {
        Ok(match self {
            PeerSocket::Plain(tcp) => PeerSocket::Plain(tcp.try_clone()?),
            PeerSocket::Tls(tls) => {
                PeerSocket::Tls(TlsSocket::with_session(tls.tcp.try_clone()?, Arc::clone(&tls.session)))
            }
        })
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.tcp().set_nonblocking(nonblocking)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let PeerSocket::Tls(tls) = self
            && how != Shutdown::Read
        {
            tls.close_writing()?;
        }
        self.tcp().shutdown(how)
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            PeerSocket::Plain(tcp) => tcp,
            PeerSocket::Tls(tls) => &tls.tcp,
        }
    }
}

impl Read for PeerSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            PeerSocket::Plain(tcp) => tcp.read(buffer),
            PeerSocket::Tls(tls) => tls.read_plaintext(buffer),
        }
    }
}

impl Write for PeerSocket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            PeerSocket::Plain(tcp) => tcp.write(buffer),
            PeerSocket::Tls(tls) => tls.write_plaintext(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Neither holds anything back.
        Ok(())
    }
}
