#![expect(
    clippy::disallowed_methods,
    reason = "what takes real time on real sockets is measured with a real clock"
)]

use std::collections::BTreeSet;
use std::time::Instant;

use ::webrtc::data_channel::DataChannel;
use ::webrtc::peer_connection::SettingEngineBuilder;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;

use super::*;

const OPEN_WAIT: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(10);

fn endpoint() -> Endpoint {
    Endpoint::new(Settings { bind: vec!["127.0.0.1:0".parse().unwrap()], ..Settings::default() }).unwrap()
}

async fn connect(offerer: &Endpoint, answerer: &Endpoint) -> (Connection, Connection) {
    let offering = offerer.offer().await.unwrap();
    let (mut answered, answer) = answerer.answer(offering.sdp()).await.unwrap();
    let mut offered = offering.accept(&answer).await.unwrap();
    let (left, right) = tokio::join!(offered.opened(OPEN_WAIT), answered.opened(OPEN_WAIT));
    left.unwrap();
    right.unwrap();
    (offered, answered)
}

fn frame(number: u32, bytes: usize) -> Bytes {
    let mut frame: Vec<u8> =
        (0..bytes).map(|at| (at as u32).wrapping_mul(31).wrapping_add(number) as u8).collect();
    let label = number.to_be_bytes();
    let labeled = bytes.min(label.len());
    frame[..labeled].copy_from_slice(&label[4 - labeled..]);
    frame.into()
}

async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < WAIT, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn sockets() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries
        .filter(|entry| {
            let target = std::fs::read_link(entry.as_ref().unwrap().path());
            target.is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        })
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_intact_both_ways() {
    let (left, right) = connect(&endpoint(), &endpoint()).await;
    let ((left_tx, mut left_rx), (right_tx, mut right_rx)) = (left.split(), right.split());
    let sizes = [1, 4, 1_191, 16_384, FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX];
    for (tx, rx) in [(&left_tx, &mut right_rx), (&right_tx, &mut left_rx)] {
        for (number, bytes) in sizes.into_iter().enumerate() {
            tx.send(frame(number as u32, bytes)).await.unwrap();
            let got = tokio::time::timeout(WAIT, rx.recv()).await.unwrap().unwrap();
            assert_eq!(got, frame(number as u32, bytes), "{bytes} bytes");
        }
    }
    // A shared buffer cannot be handed over and is copied.
    let shared = frame(7, 100);
    left_tx.send(shared.clone()).await.unwrap();
    assert_eq!(right_rx.recv().await.unwrap(), shared);
    let large = left_tx.send(frame(0, FRAME_BYTES_MAX + 1)).await;
    assert!(matches!(large, Err(Error::FrameTooLarge { bytes }) if bytes == FRAME_BYTES_MAX + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_arrives_once_from_several_senders() {
    let (left, right) = connect(&endpoint(), &endpoint()).await;
    let ((tx, _left_rx), (_right_tx, mut rx)) = (left.split(), right.split());
    let (senders, each) = (4u32, 200u32);
    for sender in 0..senders {
        let tx = tx.clone();
        tokio::spawn(async move {
            for number in 0..each {
                let bytes = 5 + (number as usize * 7_919) % FRAME_BYTES_MAX.saturating_sub(5);
                tx.send(frame(sender * each + number, bytes)).await.unwrap();
            }
        });
    }
    let mut seen = BTreeSet::new();
    while seen.len() < (senders * each) as usize {
        let got = tokio::time::timeout(WAIT, rx.recv()).await.unwrap().unwrap();
        let number = u32::from_be_bytes(got[..4].try_into().unwrap());
        assert_eq!(got, frame(number, got.len()));
        assert!(seen.insert(number), "frame {number} came twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_receiver_holds_the_sender_back() {
    let (left, right) = connect(&endpoint(), &endpoint()).await;
    let ((tx, _left_rx), (_right_tx, mut rx)) = (left.split(), right.split());
    let frames = 2_000u32;
    let accepted = Arc::new(AtomicUsize::new(0));
    let sending = tokio::spawn({
        let (tx, accepted) = (tx.clone(), Arc::clone(&accepted));
        async move {
            for number in 0..frames {
                tx.send(frame(number, FRAME_BYTES_MAX)).await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut before = usize::MAX;
    until("the sender never stopped", || {
        let now = accepted.load(Ordering::Relaxed);
        std::mem::replace(&mut before, now) == now && {
            std::thread::sleep(Duration::from_millis(500));
            accepted.load(Ordering::Relaxed) == now
        }
    })
    .await;
    let stopped_at = accepted.load(Ordering::Relaxed);
    assert!(stopped_at < 1_000, "{stopped_at} frames of 64 KiB were accepted unread");
    assert!(tx.buffered_bytes().await <= SEND_BUFFER_BYTES_MAX + FRAME_BYTES_MAX);
    let mut seen = BTreeSet::new();
    while seen.len() < frames as usize {
        let got = tokio::time::timeout(WAIT, rx.recv()).await.unwrap().unwrap();
        seen.insert(u32::from_be_bytes(got[..4].try_into().unwrap()));
    }
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_delivers_what_was_sent_and_is_noticed() {
    let (left, right) = connect(&endpoint(), &endpoint()).await;
    let ((tx, mut left_rx), (right_tx, mut rx)) = (left.split(), right.split());
    for number in 0..20 {
        tx.send(frame(number, 30_000)).await.unwrap();
    }
    tx.close().await;
    let start = Instant::now();
    let mut got = 0;
    while tokio::time::timeout(WAIT, rx.recv()).await.unwrap().is_some() {
        got += 1;
    }
    assert_eq!(got, 20);
    assert!(start.elapsed() < Duration::from_secs(1), "noticed after {:?}", start.elapsed());
    assert!(left_rx.recv().await.is_none());
    assert!(rx.recv().await.is_none(), "and stays ended");
    for tx in [tx, right_tx] {
        let start = Instant::now();
        while tx.send(frame(0, 10)).await.is_ok() {
            assert!(start.elapsed() < WAIT);
        }
        assert!(matches!(tx.send(frame(0, 10)).await, Err(Error::Closed)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_is_noticed_behind_unread_frames_and_by_a_blocked_sender() {
    let (left, right) = connect(&endpoint(), &endpoint()).await;
    let ((left_tx, left_rx), (right_tx, _right_rx)) = (left.split(), right.split());
    let blocked = tokio::spawn(async move { while left_tx.send(frame(0, FRAME_BYTES_MAX)).await.is_ok() {} });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!blocked.is_finished());
    right_tx.close().await;
    tokio::time::timeout(WAIT, blocked).await.expect("the blocked sender must be released").unwrap();
    drop(left_rx);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_dies_is_noticed_within_eight_seconds() {
    // The peer lives in a runtime of its own, which stops without a word.
    let (offers, mut offered) = tokio::sync::mpsc::channel::<String>(1);
    let (answers, mut answered) = tokio::sync::mpsc::channel::<String>(1);
    let (kill, killed) = std::sync::mpsc::channel::<()>();
    let peer = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connection = runtime.block_on(async {
            let offer = offered.recv().await.unwrap();
            let (mut connection, answer) = endpoint().answer(&offer).await.unwrap();
            answers.send(answer).await.unwrap();
            connection.opened(OPEN_WAIT).await.unwrap();
            connection
        });
        killed.recv().unwrap();
        runtime.shutdown_background();
        std::mem::forget(connection);
    });
    let offering = endpoint().offer().await.unwrap();
    offers.send(offering.sdp().to_owned()).await.unwrap();
    let mut connection = offering.accept(&answered.recv().await.unwrap()).await.unwrap();
    connection.opened(OPEN_WAIT).await.unwrap();
    let (tx, mut rx) = connection.split();
    kill.send(()).unwrap();
    peer.join().unwrap();
    let start = Instant::now();
    assert!(tokio::time::timeout(Duration::from_secs(9), rx.recv()).await.expect("never noticed").is_none());
    assert!(start.elapsed() < Duration::from_millis(8_500), "noticed after {:?}", start.elapsed());
    assert!(matches!(tx.send(frame(0, 1)).await, Err(Error::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_connections_leave_nothing_behind() {
    let (left, right) = (endpoint(), endpoint());
    drop(connect(&left, &right).await);
    until("the first connection stays", || left.connections() + right.connections() == 0).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    until("its tasks stay", || metrics.num_alive_tasks() == 0).await;
    let before = sockets();
    for round in 0..50 {
        match round % 4 {
            0 => drop(left.offer().await.unwrap()),
            1 => {
                let offering = left.offer().await.unwrap();
                drop(right.answer(offering.sdp()).await.unwrap());
            }
            // The caller stops waiting half way.
            2 => drop(tokio::time::timeout(Duration::from_micros(500), left.offer()).await),
            _ => {
                let (offered, answered) = connect(&left, &right).await;
                let ((tx, rx), halves) = (offered.split(), answered.split());
                drop(rx);
                tx.send(frame(round, 1_000)).await.unwrap();
                drop((tx, halves));
            }
        }
    }
    until("connections stay", || left.connections() + right.connections() == 0).await;
    until("tasks stay", || metrics.num_alive_tasks() == 0).await;
    until("sockets stay", || sockets() <= before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_limit_holds_and_frees() {
    let bind = vec!["127.0.0.1:0".parse().unwrap()];
    let endpoint = Endpoint::new(Settings { bind, connections_max: 1, ..Settings::default() }).unwrap();
    let first = endpoint.offer().await.unwrap();
    assert!(matches!(endpoint.offer().await, Err(Error::TooManyConnections(1))));
    drop(first);
    until("the place is not freed", || endpoint.connections() == 0).await;
    endpoint.offer().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fingerprints_agree_crosswise() {
    let (left, right) = connect(&endpoint(), &endpoint()).await;
    let (left, right) = (left.fingerprints(), right.fingerprints());
    assert_eq!((left.local, left.remote), (right.remote, right.local));
    assert_ne!(left.local, left.remote);
    let (other, _) = connect(&endpoint(), &endpoint()).await;
    assert_ne!(other.fingerprints().local, left.local, "certificates are not reused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_than_described_never_opens() {
    for tampered_offer in [true, false] {
        let swap = |sdp: &str| {
            let at = sdp.find("sha-256 ").unwrap() + 8;
            let digit = if &sdp[at..=at] == "0" { "1" } else { "0" };
            format!("{}{digit}{}", &sdp[..at], &sdp[at + 1..])
        };
        let (left, right) = (endpoint(), endpoint());
        let offering = left.offer().await.unwrap();
        let offer = if tampered_offer { swap(offering.sdp()) } else { offering.sdp().to_owned() };
        let (mut answered, answer) = right.answer(&offer).await.unwrap();
        let answer = if tampered_offer { answer } else { swap(&answer) };
        let mut offered = offering.accept(&answer).await.unwrap();
        let wait = Duration::from_secs(3);
        let (offered, answered) = tokio::join!(offered.opened(wait), answered.opened(wait));
        // The side that was lied to must refuse.
        assert!(if tampered_offer { answered.is_err() } else { offered.is_err() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_refused() {
    let endpoint = endpoint();
    let offering = endpoint.offer().await.unwrap();
    let good = offering.sdp().to_owned();
    let mut garbage = vec![String::new(), "x".repeat(100_000), "v=0".into(), "\u{0}\u{ffff}=\r\n".into()];
    garbage.push(good.replace("a=fingerprint", "a=nothing"));
    garbage.push(good.replace("a=ice-ufrag", "a=nothing"));
    garbage.push(good.replace("m=application", "m=audio"));
    for sdp in &garbage {
        assert!(endpoint.answer(sdp).await.is_err(), "{sdp:.80}");
    }
    // Cut anywhere, or with any byte changed: an error or a connection that never opens, but no panic.
    for at in (0..good.len()).step_by(29).filter(|at| good.is_char_boundary(*at)) {
        let _ = endpoint.answer(&good[..at]).await;
        let mut changed = good.clone().into_bytes();
        changed[at] = changed[at].wrapping_add(13) & 0x7f;
        let _ = endpoint.answer(&String::from_utf8(changed).unwrap()).await;
    }
    let (answered, answer) = endpoint.answer(&good).await.unwrap();
    let add = |candidate: &str| {
        answered.add_candidate(RemoteCandidate { candidate: candidate.into(), ..Default::default() })
    };
    for bad in ["nonsense", "candidate:", "candidate:1 1 udp 1 192.0.2.7 70000 typ host", &"x".repeat(10_000)]
    {
        assert_eq!(add(bad).await.is_err(), bad != "candidate:", "{bad:.60}");
    }
    add("candidate:1 1 udp 1 d2b4f7a0.local 50000 typ host generation 0").await.unwrap();
    add("").await.unwrap();
    let mut results = Vec::new();
    for port in 0..sdp::CANDIDATES_MAX {
        results.push(add(&format!("candidate:1 1 udp 1 192.0.2.7 {} typ host", 1_000 + port)).await);
    }
    assert!(results[0].is_ok() && results.last().unwrap().is_err(), "their number is limited");
    drop((offering, answered, answer));
    until("refused descriptions leave connections", || endpoint.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stun_server_gives_the_public_address() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stun = format!("stun:{}", server.local_addr().unwrap());
    tokio::spawn(async move {
        let mut request = [0; 1_500];
        while let Ok((length, from)) = server.recv_from(&mut request).await {
            assert!(length >= 20 && request[..2] == [0, 1], "a binding request (RFC 8489)");
            // Success with XOR-MAPPED-ADDRESS 203.0.113.9:4242.
            let mut answer = vec![1, 1, 0, 12];
            answer.extend_from_slice(&request[4..20]);
            answer.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
            answer.extend_from_slice(&(4_242u16 ^ 0x2112).to_be_bytes());
            answer.extend_from_slice(&(u32::from_be_bytes([203, 0, 113, 9]) ^ 0x2112_a442).to_be_bytes());
            server.send_to(&answer, from).await.unwrap();
        }
    });
    let bind = vec!["127.0.0.1:0".parse().unwrap()];
    let settings = Settings { bind, stun_urls: vec![stun], ..Settings::default() };
    let offering = Endpoint::new(settings).unwrap().offer().await.unwrap();
    let sdp = offering.sdp();
    assert!(sdp.contains("203.0.113.9 4242 typ srflx") && sdp.contains("127.0.0.1"), "{sdp}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_stun_servers_delay_a_connection_only_so_long() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let urls = ["stun:no.such.host.invalid:3478".into(), format!("stun:{}", silent.local_addr().unwrap())];
    let bind = vec!["127.0.0.1:0".parse().unwrap()];
    let settings = Settings { bind, stun_urls: urls.into(), ..Settings::default() };
    let endpoint = Endpoint::new(settings).unwrap();
    let start = Instant::now();
    let offering = endpoint.offer().await.unwrap();
    assert!(offering.sdp().contains("127.0.0.1") && offering.sdp().contains("typ host"));
    assert!(start.elapsed() < GATHER_WAIT + Duration::from_secs(1), "took {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_connection_times_out() {
    let endpoint = endpoint();
    let offering = endpoint.offer().await.unwrap();
    let (mut answered, _) = endpoint.answer(offering.sdp()).await.unwrap();
    let wait = Duration::from_millis(300);
    assert!(matches!(answered.opened(wait).await, Err(Error::OpenTimeout(limit)) if limit == wait));
}

/// What a hostile peer may use: the bare crate, made to believe that we take messages of any size.
async fn hostile() -> (Box<dyn PeerConnection>, Arc<dyn DataChannel>, Sender, Receiver) {
    let state = watch::Sender::new(State::default());
    let engine =
        SettingEngineBuilder::new().with_sctp_max_message_size(SctpMaxMessageSize::Unbounded).build();
    let hostile = PeerConnectionBuilder::new()
        .with_setting_engine(engine)
        .with_handler(Arc::new(Events(state.clone())))
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES_MAX)
        .build()
        .await
        .unwrap();
    let init = RTCDataChannelInit { negotiated: Some(0), ordered: false, ..Default::default() };
    let channel = hostile.create_data_channel("matinee", Some(init)).await.unwrap();
    let offer = hostile.create_offer(None).await.unwrap();
    hostile.set_local_description(offer).await.unwrap();
    state.subscribe().wait_for(|state| state.gathered).await.unwrap();
    let offer = hostile.local_description().await.unwrap().sdp;
    let (mut connection, answer) = endpoint().answer(&offer).await.unwrap();
    assert!(answer.contains("max-message-size:65536"));
    let lie = answer.replace("max-message-size:65536", "max-message-size:262144");
    hostile.set_remote_description(RTCSessionDescription::answer(lie).unwrap()).await.unwrap();
    connection.opened(OPEN_WAIT).await.unwrap();
    let (tx, rx) = connection.split();
    (Box::new(hostile), channel, tx, rx)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_limit_harms_nothing() {
    let (hostile, channel, _tx, mut rx) = hostile().await;
    for bytes in [FRAME_BYTES_MAX + 1, 262_144] {
        channel.send(BytesMut::from(&frame(1, bytes)[..])).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    channel.send(BytesMut::from(&frame(2, 500)[..])).await.unwrap();
    assert_eq!(tokio::time::timeout(WAIT, rx.recv()).await.unwrap().unwrap(), frame(2, 500));
    hostile.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_what_is_no_frame_is_cut_off() {
    let (_hostile, channel, _tx, mut rx) = hostile().await;
    let text = "x".repeat(FRAME_BYTES_MAX);
    let sent = tokio::spawn(async move {
        for number in 0..4_000 {
            if channel.send_text(&text).await.is_err() {
                return number;
            }
        }
        4_000
    });
    assert!(tokio::time::timeout(Duration::from_secs(30), rx.recv()).await.unwrap().is_none());
    let sent = tokio::time::timeout(WAIT, sent).await.unwrap().unwrap();
    assert!((900..1_400).contains(&sent), "cut off after {sent} texts of 64 KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_opens_another_channel_is_cut_off() {
    let (hostile, _channel, tx, mut rx) = hostile().await;
    let _other = hostile.create_data_channel("other", None).await.unwrap();
    assert!(tokio::time::timeout(WAIT, rx.recv()).await.unwrap().is_none());
    assert!(matches!(tx.send(frame(0, 1)).await, Err(Error::Closed)));
}

#[tokio::test]
async fn the_memory_pair_behaves_alike() {
    let [(left, mut left_rx), (right, mut right_rx)] = crate::net::memory_pair(2);
    left.send(frame(1, 10)).await.unwrap();
    right.send(frame(2, 10)).await.unwrap();
    assert_eq!((right_rx.recv().await.unwrap(), left_rx.recv().await.unwrap()), (frame(1, 10), frame(2, 10)));
    assert!(matches!(left.send(frame(0, FRAME_BYTES_MAX + 1)).await, Err(Error::FrameTooLarge { .. })));
    left.send(frame(3, 1)).await.unwrap();
    left.send(frame(4, 1)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), left.send(frame(5, 1))).await.is_err());
    right_rx.recv().await.unwrap();
    left.close().await;
    assert_eq!(right_rx.recv().await.unwrap(), frame(4, 1));
    assert!(right_rx.recv().await.is_none());
    assert!(matches!(left.send(frame(6, 1)).await, Err(Error::Closed)));
}
