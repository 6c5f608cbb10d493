//! Tokio as the WebRTC engine sees it, and the sockets it gets.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ::webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};
use socket2::SockRef;
use tokio::sync::watch;

use super::link::State;

/// Asked of the system for each direction of a UDP socket; `net.core.rmem_max` and `wmem_max` may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Received for frames that were not delivered, until a connection is ended. The engine's own queues hold some
/// 40 MB of this when the application does not read.
const UNDELIVERED_BYTES_MAX: i64 = 64 << 20;
/// Shorter datagrams are acknowledgements and checks, which a side that only sends receives without end.
const DATA_DATAGRAM_BYTES_MIN: usize = 1_000;
/// A host name not resolved by then gives no candidate.
const RESOLVE_WAIT: Duration = Duration::from_millis(1_000);

/// Asks for [`SOCKET_BUFFER_BYTES`] both ways; gives the usable receive buffer that was granted.
pub(super) fn enlarge_buffers(socket: &std::net::UdpSocket) -> io::Result<usize> {
    let socket = SockRef::from(socket);
    // Some systems refuse what is over their limit instead of granting the limit: then the default stays.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    let reported = socket.recv_buffer_size()?;
    // Linux reports twice what was asked, the other half being its own bookkeeping (socket(7)).
    Ok(if cfg!(target_os = "linux") { reported / 2 } else { reported })
}

/// Tokio, with large socket buffers, bounded name look-ups, and an eye on the connection's driver task.
#[derive(Debug)]
pub(super) struct TunedRuntime {
    state: watch::Sender<State>,
    intake: Arc<Intake>,
    driven: AtomicBool,
}

impl TunedRuntime {
    pub(super) fn new(state: watch::Sender<State>, intake: Arc<Intake>) -> Self {
        Self { state, intake, driven: AtomicBool::new(false) }
    }
}

/// Ends a connection when its driver stops, whether it returned, was aborted or panicked.
struct DriverWatch(watch::Sender<State>);

impl Drop for DriverWatch {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.over = true);
    }
}

/// How much a connection has received that did not become frames for the application.
#[derive(Debug, Default)]
pub(super) struct Intake {
    undelivered_bytes: AtomicI64,
}

impl Intake {
    /// Whether there is room for what was received.
    fn received(&self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.undelivered_bytes.fetch_add(bytes, Ordering::Relaxed) < UNDELIVERED_BYTES_MAX
    }

    /// A frame accounts for a quarter more than its size: headers take 6 %, repeated packets some of the rest.
    pub(super) fn delivered(&self, bytes: usize) {
        let bytes = i64::try_from(bytes + bytes / 4).unwrap_or(i64::MAX);
        let rest = |undelivered: i64| Some(undelivered.saturating_sub(bytes).max(0));
        let _ = self.undelivered_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }
}

/// A socket that reports what it receives to [`Intake`].
#[derive(Debug)]
struct CountedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    state: watch::Sender<State>,
    intake: Arc<Intake>,
}

impl AsyncUdpSocket for CountedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.inner.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(messages)) = &received {
            let data = meta.iter().take(*messages).filter(|one| one.stride >= DATA_DATAGRAM_BYTES_MIN);
            if !self.intake.received(data.map(|one| one.len).sum()) {
                self.state.send_modify(|state| state.over = true);
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl Runtime for TunedRuntime {
    fn spawn(&self, future: Work) -> Box<dyn JoinHandle> {
        // The first task of a connection is its driver.
        if self.driven.swap(true, Ordering::Relaxed) {
            return TokioRuntime.spawn(future);
        }
        let watch = DriverWatch(self.state.clone());
        TokioRuntime.spawn(Box::pin(async move {
            let _watch = watch;
            future.await;
        }))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        enlarge_buffers(&socket)?;
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(CountedSocket { inner, state: self.state.clone(), intake: Arc::clone(&self.intake) }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Pending<'a, Arc<dyn AsyncTcpStream>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, Vec<SocketAddr>> {
        Box::pin(async move {
            let found = tokio::time::timeout(RESOLVE_WAIT, tokio::net::lookup_host(host)).await;
            Ok(found.map_err(|_| io::ErrorKind::TimedOut)??.collect())
        })
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "matinee"
    }
}
