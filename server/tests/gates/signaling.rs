//! Signaling over a real WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use matinee_protocol::id::{PeerId, ReleaseId, ViewId};
use matinee_protocol::limit::{SIGNALING_BURST, SIGNALING_BYTES_MAX, TOKEN_GRACE_MS};
use matinee_protocol::signaling::{Near, PeerHint, Relay, ToPeer, ToServer};
use matinee_server::store::report;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::bench::{Bench, Device};

const PATH: &str = "/v1/signaling";

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    nonce: String,
}

impl Client {
    async fn connect(bench: &Bench) -> Self {
        let (socket, _) = connect_async(format!("ws://{}{PATH}", bench.address)).await.unwrap();
        let mut client = Self { socket, nonce: String::new() };
        let ToPeer::Challenge { nonce } = client.next().await else { panic!("a challenge comes first") };
        client.nonce = nonce;
        client
    }

    async fn join(bench: &Bench, device: &Device) -> (Self, PeerId, Vec<PeerHint>) {
        let mut client = Self::connect(bench).await;
        let token = bench.token(device, 300);
        let proof = bench.proof(device, "GET", PATH, &token, b"", Some(&client.nonce));
        client.say(ToServer::Join { token, proof }).await;
        match client.next().await {
            ToPeer::Joined { peer, peers } => (client, peer, peers),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, message: ToServer) {
        self.text(message.encode()).await;
    }

    async fn text(&mut self, text: String) {
        // A server that has hung up already is what some tests are about.
        let _ = self.socket.send(Message::text(text)).await;
    }

    async fn next(&mut self) -> ToPeer {
        self.maybe_next().await.expect("a message")
    }

    /// The next message, or `None` at the end of the connection.
    async fn maybe_next(&mut self) -> Option<ToPeer> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.socket.next()).await;
            match next.expect("an answer within 20 s") {
                Some(Ok(Message::Text(text))) => return Some(ToPeer::decode(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// Waits until the server has handled everything said so far.
    async fn settle(&mut self) {
        self.say(ToServer::More {}).await;
        while !matches!(self.next().await, ToPeer::Peers { .. }) {}
    }

    /// Sees that the server refuses with this code and hangs up.
    async fn refused(&mut self, expected: &str) {
        match self.next().await {
            ToPeer::Error { code, .. } => assert_eq!(code, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(self.maybe_next().await, None);
    }
}

fn offer(peer: PeerId) -> Relay {
    Relay::Offer { peer, sdp: "v=0".to_owned() }
}

async fn release(bench: &Bench) -> ReleaseId {
    bench.publish(true, b"film").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_meet_speak_and_part() {
    let bench = Bench::new().await;
    let release = release(&bench).await;
    let (one, two) = (bench.device(1, release).await, bench.device(2, release).await);
    let (mut first, first_id, peers) = Client::join(&bench, &one).await;
    assert_eq!(peers, []);
    let (mut second, second_id, peers) = Client::join(&bench, &two).await;
    assert_eq!(peers, [PeerHint { peer: first_id, near: Near::Lan }]);
    second.say(ToServer::Relay(offer(first_id))).await;
    assert_eq!(first.next().await, ToPeer::Relay(offer(second_id)));
    let answer = |peer| Relay::Answer { peer, sdp: "v=1".to_owned() };
    first.say(ToServer::Relay(answer(second_id))).await;
    assert_eq!(second.next().await, ToPeer::Relay(answer(first_id)));
    let candidate = |peer| Relay::Candidate {
        peer,
        candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".to_owned(),
        sdp_mid: Some("0".to_owned()),
        sdp_m_line_index: Some(0),
    };
    second.say(ToServer::Relay(candidate(first_id))).await;
    assert_eq!(first.next().await, ToPeer::Relay(candidate(second_id)));
    second.say(ToServer::More {}).await;
    assert_eq!(second.next().await, ToPeer::Peers { peers: Vec::new() });
    drop(second);
    assert_eq!(first.next().await, ToPeer::Left { peer: second_id });
    first.say(ToServer::Relay(offer(second_id))).await;
    assert_eq!(first.next().await, ToPeer::Left { peer: second_id }, "whoever is gone is said to be gone");

    let elsewhere = bench.publish(true, b"another film").await;
    let (mut outsider, _, peers) = Client::join(&bench, &bench.device(3, elsewhere).await).await;
    assert_eq!(peers, []);
    outsider.say(ToServer::Relay(offer(first_id))).await;
    assert_eq!(outsider.next().await, ToPeer::Left { peer: first_id }, "swarms are closed to each other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stolen_tokens_and_replayed_proofs_do_not_open() {
    let bench = Bench::new().await;
    let release = release(&bench).await;
    let device = bench.device(1, release).await;
    let thief = Device { key: bench.device(2, release).await.key, ..device.clone() };
    let token = bench.token(&device, 300);

    let mut client = Client::connect(&bench).await;
    let proof = bench.proof(&thief, "GET", PATH, &token, b"", Some(&client.nonce));
    client.say(ToServer::Join { token: token.clone(), proof }).await;
    client.refused("proof_key_mismatch").await;

    // A proof that was good on one connection carries that connection's challenge.
    let (owner, ..) = Client::join(&bench, &device).await;
    let proof = bench.proof(&device, "GET", PATH, &token, b"", Some(&owner.nonce));
    let mut client = Client::connect(&bench).await;
    assert_ne!(client.nonce, owner.nonce);
    client.say(ToServer::Join { token: token.clone(), proof }).await;
    client.refused("proof_invalid").await;

    let mut client = Client::connect(&bench).await;
    let proof = bench.proof(&device, "GET", "/v1/elsewhere", &token, b"", Some(&client.nonce));
    client.say(ToServer::Join { token: token.clone(), proof }).await;
    client.refused("proof_invalid").await;

    let mut client = Client::connect(&bench).await;
    let mut changed = token.clone().into_bytes();
    let last = changed.len() - 10;
    changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    let proof = bench.proof(&device, "GET", PATH, &changed, b"", Some(&client.nonce));
    client.say(ToServer::Join { token: changed, proof }).await;
    client.refused("view_token_invalid").await;

    // A token for a view that is not there, though well signed.
    let nobody = Device { member: ViewId::from_bytes([9; 16]), ..device };
    let mut client = Client::connect(&bench).await;
    let token = bench.token(&nobody, 300);
    let proof = bench.proof(&nobody, "GET", PATH, &token, b"", Some(&client.nonce));
    client.say(ToServer::Join { token, proof }).await;
    client.refused("view_over").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_closes_and_keeps_out() {
    let bench = Bench::new().await;
    let release = release(&bench).await;
    let (one, two) = (bench.device(1, release).await, bench.device(2, release).await);
    let (mut first, first_id, _) = Client::join(&bench, &one).await;
    let (mut second, ..) = Client::join(&bench, &two).await;
    bench.app.hub.revoke_view(one.member, "refunded");
    assert_eq!(first.next().await, ToPeer::Revoked { reason: "refunded".to_owned() });
    assert_eq!(first.maybe_next().await, None);
    assert_eq!(second.next().await, ToPeer::Left { peer: first_id });
    let mut again = Client::connect(&bench).await;
    let token = bench.token(&one, 300);
    let proof = bench.proof(&one, "GET", PATH, &token, b"", Some(&again.nonce));
    again.say(ToServer::Join { token, proof }).await;
    assert_eq!(again.next().await, ToPeer::Revoked { reason: "refunded".to_owned() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_garbage_and_giants_end_the_connection() {
    let bench = Bench::new().await;
    let release = release(&bench).await;
    let device = bench.device(1, release).await;

    let (mut flooder, ..) = Client::join(&bench, &device).await;
    for _ in 0..2 * SIGNALING_BURST {
        flooder.say(ToServer::More {}).await;
    }
    let end = loop {
        match flooder.maybe_next().await {
            Some(ToPeer::Peers { .. }) => {}
            other => break other,
        }
    };
    // The close may overtake the reason when the server hangs up on unread bytes.
    assert!(
        end.is_none() || matches!(&end, Some(ToPeer::Error { code, .. }) if code == "too_fast"),
        "{end:?}"
    );

    let (mut client, ..) = Client::join(&bench, &device).await;
    client.text("{\"type\":\"steal\"}".to_owned()).await;
    client.refused("message_invalid").await;

    let (mut giant, ..) = Client::join(&bench, &device).await;
    giant.text("x".repeat(SIGNALING_BYTES_MAX + 1)).await;
    assert_eq!(giant.maybe_next().await, None);

    let mut early = Client::connect(&bench).await;
    early.say(ToServer::More {}).await;
    early.refused("join_expected").await;

    for _ in 0..100 {
        if bench.app.hub.members_total() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("everybody is out");
}

/// A peer that does not read is cut off; the others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_is_cut_off() {
    let bench = Bench::new().await;
    let release = release(&bench).await;
    let (one, two, three) =
        (bench.device(1, release).await, bench.device(2, release).await, bench.device(3, release).await);
    let (_stalled, stalled_id, _) = Client::join(&bench, &one).await;
    let (mut third, third_id, _) = Client::join(&bench, &three).await;
    let sdp = "x".repeat(16 * 1024);
    let mut cut = false;
    'flood: for _ in 0..8 {
        // A burst on a fresh connection each time: one alone is not allowed to say so much.
        let (mut busy, ..) = Client::join(&bench, &two).await;
        for _ in 0..SIGNALING_BURST - 16 {
            busy.say(ToServer::Relay(Relay::Offer { peer: stalled_id, sdp: sdp.clone() })).await;
        }
        busy.say(ToServer::Relay(offer(third_id))).await;
        busy.say(ToServer::More {}).await;
        loop {
            match busy.next().await {
                ToPeer::Left { peer } if peer == stalled_id => {
                    cut = true;
                    break 'flood;
                }
                ToPeer::Left { .. } => {}
                ToPeer::Peers { .. } => break,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(cut, "the stalled reader is out");
    third.say(ToServer::More {}).await;
    loop {
        match third.next().await {
            ToPeer::Peers { .. } => break,
            ToPeer::Relay(_) | ToPeer::Left { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_closes_unless_renewed() {
    let bench = Bench::new().await;
    let release = release(&bench).await;
    let (one, two) = (bench.device(1, release).await, bench.device(2, release).await);
    let join = async |device: &Device| {
        let mut client = Client::connect(&bench).await;
        // The token ends in 2 s of a clock that stands; the grace of 30 s is what the clock is moved into.
        let token = bench.token(device, 2);
        let proof = bench.proof(device, "GET", PATH, &token, b"", Some(&client.nonce));
        client.say(ToServer::Join { token, proof }).await;
        assert!(matches!(client.next().await, ToPeer::Joined { .. }));
        client.settle().await;
        client
    };
    let (mut expiring, mut renewing) = (join(&one).await, join(&two).await);
    let token = bench.token(&two, 600);
    let proof = bench.proof(&two, "GET", PATH, &token, b"", Some(&renewing.nonce));
    renewing.say(ToServer::Renew { token, proof }).await;
    renewing.settle().await;
    // A token of another view does not renew this one.
    let token = bench.token(&one, 600);
    let proof = bench.proof(&one, "GET", PATH, &token, b"", Some(&renewing.nonce));
    bench.clock.advance_ms(2_000 + TOKEN_GRACE_MS as i64 + 1);
    renewing.settle().await;
    expiring.say(ToServer::More {}).await;
    loop {
        match expiring.maybe_next().await {
            Some(ToPeer::Error { code, .. }) => break assert_eq!(code, "token_expired"),
            Some(ToPeer::Peers { .. } | ToPeer::Left { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    renewing.say(ToServer::Renew { token, proof }).await;
    loop {
        match renewing.next().await {
            ToPeer::Error { code, .. } => {
                break assert!(code == "proof_invalid" || code == "token_of_another_view");
            }
            ToPeer::Left { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_kept_with_the_accused_device() {
    let bench = Bench::new().await;
    let release = release(&bench).await;
    let (one, two) = (bench.device(1, release).await, bench.device(2, release).await);
    let (_bad, bad_id, _) = Client::join(&bench, &one).await;
    let (mut good, ..) = Client::join(&bench, &two).await;
    good.say(ToServer::Report { peer: bad_id, reason: "bad_data".to_owned() }).await;
    good.say(ToServer::Relay(offer(bad_id))).await;
    assert_eq!(good.next().await, ToPeer::Left { peer: bad_id }, "kept apart from now on");
    let mut tx = bench.app.store.read().await.unwrap();
    assert_eq!(report::reporters(&mut tx, one.key.public().thumbprint(), 0).await.unwrap(), 1);
}
