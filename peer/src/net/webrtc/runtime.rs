//! Tokio as the WebRTC engine sees it, and the sockets it gets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};
use socket2::SockRef;
use tokio::sync::watch;

use super::link::State;

/// Asked of the system for each direction of a UDP socket; `net.core.rmem_max` and `wmem_max` may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
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
    Ok(if cfg!(target_os = "linux") {
        reported / 2
    } else {
        reported
    })
}

/// Tokio, with large socket buffers, bounded name look-ups, and an eye on the connection's driver task.
#[derive(Debug)]
pub(super) struct TunedRuntime {
    state: watch::Sender<State>,
    driven: AtomicBool,
}

impl TunedRuntime {
    pub(super) fn new(state: watch::Sender<State>) -> Self {
        Self {
            state,
            driven: AtomicBool::new(false),
        }
    }
}

/// Ends a connection when its driver stops, whether it returned, was aborted or panicked.
struct DriverWatch(watch::Sender<State>);

impl Drop for DriverWatch {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.over = true);
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
        TokioRuntime.wrap_udp_socket(socket)
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
