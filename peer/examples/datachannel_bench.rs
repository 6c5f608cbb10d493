//! Throughput of the peer's WebRTC transport over loopback, beside the bare crate with the same settings (what
//! the transport costs) and plain TCP (what the machine can do).
//!
//! `cargo run --release -p matinee-peer --example datachannel_bench [megabytes a run] [rounds]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is a stopwatch")]

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use matinee_peer::net::webrtc::{Connection, Endpoint, SEND_BUFFER_BYTES_MAX, Settings};
use matinee_peer::net::{FRAME_BYTES_MAX, FrameReceiver, FrameSender};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    SettingEngineBuilder,
};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Notify, Runtime,
    TokioRuntime,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const OPEN_WAIT: Duration = Duration::from_secs(10);
const BIND: &str = "127.0.0.1:0";

/// One run: time from asking for the offer until both sides are open, then bytes and bytes a second.
struct Run {
    open: Duration,
    bytes: usize,
    rate: f64,
}

/// A run with the processor time it took on both sides together, where the system tells.
struct Row {
    run: Run,
    cpu_s_per_gb: f64,
}

async fn measured(work: impl Future<Output = Outcome<Run>>) -> Outcome<Row> {
    let before = cpu_seconds();
    let run = work.await?;
    let cpu_s_per_gb = (cpu_seconds() - before) / (run.bytes as f64 / 1e9);
    Ok(Row { run, cpu_s_per_gb })
}

/// User and system time of this process (proc(5), in hundredths of a second); not a number elsewhere than on Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        after_name.split_ascii_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(f64::NAN));
    if stat.is_empty() { f64::NAN } else { ticks.sum::<f64>() / 100.0 }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let megabytes: usize = arguments.next().map_or(Ok(400), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let frames = (megabytes * 1_000_000).div_ceil(FRAME_BYTES_MAX);
    let mut table = [("transport", Vec::new()), ("bare crate", Vec::new()), ("tcp", Vec::new())];
    // Interleaved, so that a noisy minute hits all of them alike.
    for _ in 0..rounds.max(1) {
        table[0].1.push(measured(transport(frames, 1)).await?);
        table[1].1.push(measured(bare(frames)).await?);
        table[2].1.push(measured(tcp(frames * 4)).await?);
    }
    let eight = [("transport, 8 connections", vec![measured(transport(frames / 4, 8)).await?])];
    println!("{frames} frames of {FRAME_BYTES_MAX} bytes a run, {rounds} rounds, loopback; rates in MB/s");
    println!("{:<26}{:>8}{:>8}{:>8}{:>10}{:>16}", "", "median", "least", "most", "CPU s/GB", "offer to open");
    let mut rates_by_name = Vec::new();
    for (name, rows) in table.into_iter().chain(eight) {
        let sorted = |value: fn(&Row) -> f64| {
            let mut values: Vec<f64> = rows.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let rates = sorted(|row| row.run.rate / 1e6);
        let median = |values: &[f64]| values[values.len() / 2];
        println!(
            "{name:<26}{:>8.0}{:>8.0}{:>8.0}{:>10.2}{:>13.0} ms",
            median(&rates),
            rates[0],
            rates[rates.len() - 1],
            median(&sorted(|row| row.cpu_s_per_gb)),
            median(&sorted(|row| row.run.open.as_secs_f64() * 1e3)),
        );
        rates_by_name.push(median(&rates));
    }
    let [transport, bare, tcp, ..] = rates_by_name[..] else { return Err("nothing was measured".into()) };
    println!("{}", serde_json::json!({ "mb_per_s": transport, "bare_mb_per_s": bare, "tcp_mb_per_s": tcp }));
    Ok(())
}

async fn connect(left: &Endpoint, right: &Endpoint) -> Outcome<(Connection, Connection)> {
    let offering = left.offer().await?;
    let (mut answered, answer) = right.answer(offering.sdp()).await?;
    let mut offered = offering.accept(&answer).await?;
    let (one, other) = tokio::join!(offered.opened(OPEN_WAIT), answered.opened(OPEN_WAIT));
    one.and(other)?;
    Ok((offered, answered))
}

/// `frames` over each of `connections` at once.
async fn transport(frames: usize, connections: usize) -> Outcome<Run> {
    let settings = Settings { bind: vec![BIND.parse()?], ..Settings::default() };
    let (left, right) = (Endpoint::new(settings.clone())?, Endpoint::new(settings)?);
    let start = Instant::now();
    let mut pairs = Vec::new();
    for _ in 0..connections {
        pairs.push(connect(&left, &right).await?);
    }
    let open = start.elapsed() / u32::try_from(connections)?;
    let start = Instant::now();
    let mut received = Vec::new();
    for (offered, answered) in pairs {
        let ((tx, rest), (other, mut rx)) = (offered.split(), answered.split());
        tokio::spawn(async move {
            for _ in 0..frames {
                if tx.send(Bytes::from(vec![7; FRAME_BYTES_MAX])).await.is_err() {
                    return;
                }
            }
            // Held until the receiver has everything and closes.
            let mut rest = rest;
            while rest.recv().await.is_some() {}
        });
        received.push(tokio::spawn(async move {
            let mut bytes = 0;
            while bytes < frames * FRAME_BYTES_MAX {
                bytes += rx.recv().await.map_or(0, |frame| frame.len());
            }
            (bytes, Instant::now(), other)
        }));
    }
    let (mut bytes, mut end) = (0, start);
    for task in received {
        let (more, at, _other) = task.await?;
        bytes += more;
        end = end.max(at);
    }
    Ok(Run { open, bytes, rate: bytes as f64 / (end - start).as_secs_f64() })
}

struct Gathered(Notify);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Gathered {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.notify_waiters();
        }
    }
}

struct Bare {
    connection: Arc<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
    gathered: Pin<Box<dyn Future<Output = ()> + Send>>,
}

async fn bare_side() -> Outcome<Bare> {
    let gathered = Arc::new(Gathered(Notify::new()));
    let engine = SettingEngineBuilder::new()
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(FRAME_BYTES_MAX as u32))
        .with_sctp_max_receive_buffer_size(1 << 20)
        .with_ice_connection_attempts(Some(Duration::from_millis(20)), Some(50))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .build();
    let connection: Arc<dyn PeerConnection> = Arc::new(
        PeerConnectionBuilder::new()
            .with_setting_engine(engine)
            .with_runtime(Arc::new(LargeBuffers))
            .with_handler(gathered.clone())
            .with_udp_addrs(vec![BIND])
            .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES_MAX)
            .build()
            .await?,
    );
    let init = RTCDataChannelInit { negotiated: Some(0), ordered: false, ..Default::default() };
    let channel = connection.create_data_channel("bare", Some(init)).await?;
    let gathered = Box::pin(gathered.0.listen());
    Ok(Bare { connection, channel, gathered })
}

async fn bare(frames: usize) -> Outcome<Run> {
    let start = Instant::now();
    let (left, right) = (bare_side().await?, bare_side().await?);
    left.connection.set_local_description(left.connection.create_offer(None).await?).await?;
    left.gathered.await;
    let offer = left.connection.local_description().await.ok_or("no offer")?;
    right.connection.set_remote_description(offer).await?;
    right.connection.set_local_description(right.connection.create_answer(None).await?).await?;
    right.gathered.await;
    let answer = right.connection.local_description().await.ok_or("no answer")?;
    left.connection.set_remote_description(answer).await?;
    for channel in [&left.channel, &right.channel] {
        while !matches!(channel.poll().await.ok_or("ended")?, DataChannelEvent::OnOpen) {}
    }
    let open = start.elapsed();
    let start = Instant::now();
    let sender = left.channel.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..frames {
            if sender.send(BytesMut::from(Bytes::from(vec![7; FRAME_BYTES_MAX]))).await.is_err() {
                return;
            }
        }
    });
    let receiver = right.channel.clone();
    let receiving = tokio::spawn(async move {
        let mut bytes = 0;
        while bytes < frames * FRAME_BYTES_MAX {
            if let Some(DataChannelEvent::OnMessage(message)) = receiver.poll().await {
                bytes += message.data.freeze().len();
            }
        }
        bytes
    });
    let bytes = receiving.await?;
    let rate = bytes as f64 / start.elapsed().as_secs_f64();
    sending.await?;
    left.connection.close().await?;
    right.connection.close().await?;
    Ok(Run { open, bytes, rate })
}

async fn tcp(frames: usize) -> Outcome<Run> {
    let start = Instant::now();
    let listener = TcpListener::bind(BIND).await?;
    let (left, right) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let (mut left, (mut right, _)) = (left?, right?);
    let open = start.elapsed();
    let start = Instant::now();
    let sending = tokio::spawn(async move {
        for _ in 0..frames {
            left.write_all(&Bytes::from(vec![7; FRAME_BYTES_MAX])).await?;
        }
        io::Result::Ok(())
    });
    let mut frame = vec![0; FRAME_BYTES_MAX];
    for _ in 0..frames {
        right.read_exact(&mut frame).await?;
    }
    sending.await??;
    let bytes = frames * FRAME_BYTES_MAX;
    Ok(Run { open, bytes, rate: bytes as f64 / start.elapsed().as_secs_f64() })
}

/// The least that gives the bare crate the same socket buffers.
#[derive(Debug)]
struct LargeBuffers;

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Runtime for LargeBuffers {
    fn spawn(&self, future: Pending<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        socket2::SockRef::from(&socket).set_send_buffer_size(4 << 20)?;
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Pending<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pending<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Pending<'static, ()> {
        TokioRuntime.yield_now()
    }
}
