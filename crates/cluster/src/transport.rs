//! A connection while the cluster forms: asynchronous, plain or encrypted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::socket::{PeerSocket, TlsSocket};

/// A connection while the cluster forms.
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// The blocking socket, with whatever was decrypted already.
    pub(crate) fn into_socket(self) -> io::Result<PeerSocket> {
        let (tcp, session) = match self {
            Transport::Plain(tcp) => (tcp, None),
            Transport::Tls(stream) => match *stream {
                TlsStream::Client(stream) => {
                    let (tcp, session) = stream.into_inner();
                    (tcp, Some(rustls::Connection::from(session)))
                }
                TlsStream::Server(stream) => {
                    let (tcp, session) = stream.into_inner();
                    (tcp, Some(rustls::Connection::from(session)))
                }
            },
        };
        let tcp = tcp.into_std()?;
        tcp.set_nonblocking(false)?;
        Ok(match session {
            None => PeerSocket::Plain(tcp),
            Some(session) => PeerSocket::Tls(TlsSocket::new(tcp, session)),
        })
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Transport::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Transport::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
