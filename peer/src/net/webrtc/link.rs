//! The life of a connection: what its driver reports, who holds it, and its end.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ::webrtc::data_channel::{DataChannel, DataChannelEvent};
use ::webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use super::GATHER_WAIT;
use super::runtime::Intake;
use crate::net::Error;

/// What the driver of a connection reports.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Every local candidate is known.
    pub(super) gathered: bool,
    /// Steps done, of ICE and DTLS.
    steps: u8,
    /// Failed, closed, or its driver is gone: nothing will be sent or received any more.
    pub(super) over: bool,
}

/// The parts of a connection that its halves share. Dropping the last of them closes it.
pub(super) struct Link {
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) channel: Arc<dyn DataChannel>,
    pub(super) state: watch::Receiver<State>,
    /// Candidates of the peer taken so far.
    pub(super) candidates: AtomicUsize,
    pub(super) intake: Arc<Intake>,
    pub(super) closer: Closer,
}

/// Tells [`keep`] to close when dropped.
#[derive(Debug)]
pub(super) struct Closer(pub(super) Arc<Notify>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

impl Link {
    /// Sets a local description and gives it back with the candidates found.
    pub(super) async fn describe(&self, description: RTCSessionDescription) -> Result<String, Error> {
        self.connection.set_local_description(description).await.map_err(Error::Engine)?;
        let mut state = self.state.clone();
        // Some candidates are better than none, so running out of time is no error.
        let _ = tokio::time::timeout(GATHER_WAIT, state.wait_for(|state| state.gathered || state.over)).await;
        Ok(self.connection.local_description().await.ok_or(Error::Closed)?.sdp)
    }

    /// The next event; what had arrived before the end comes before it.
    pub(super) async fn next(&self) -> Option<DataChannelEvent> {
        tokio::select! {
            biased;
            event = self.channel.poll() => event,
            () = self.over() => None,
        }
    }

    pub(super) async fn over(&self) {
        // An error means that the sending half is gone, which is the end as well.
        let _ = self.state.clone().wait_for(|state| state.over).await;
    }
}

/// Runs to its end even when the caller stops waiting, so that no connection is left behind half made: the
/// result is dropped then, which closes it.
pub(super) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.unwrap_or(Err(Error::Closed))
}

/// Closes a connection when it fails or nobody holds it any more.
pub(super) async fn keep(
    connection: Arc<dyn PeerConnection>,
    channel: Arc<dyn DataChannel>,
    state: watch::Sender<State>,
    closing: Arc<Notify>,
    permit: OwnedSemaphorePermit,
) {
    let mut watched = state.subscribe();
    let life = async {
        let mut steps = 0;
        while let Ok(state) =
            watched.wait_for(|state| state.over || state.steps > steps).await.map(|state| *state)
        {
            if state.over {
                break;
            }
            steps = state.steps;
            // Sets a threshold to what it is anyway, for the driver to wake and send the next handshake.
            let _ = channel.set_buffered_amount_low_threshold(0).await;
        }
    };
    tokio::select! {
        () = closing.notified() => {}
        () = life => {}
    }
    state.send_modify(|state| state.over = true);
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing a connection");
    }
    drop(permit);
}

/// Takes the events of a connection's driver.
pub(super) struct Events(pub(super) watch::Sender<State>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.send_modify(|state| state.gathered = true);
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if state == RTCIceConnectionState::Connected {
            self.0.send_modify(|state| state.steps = state.steps.saturating_add(1));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => {
                self.0.send_modify(|state| state.steps = state.steps.saturating_add(1))
            }
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => {
                self.0.send_modify(|state| state.over = true);
            }
            _ => {}
        }
    }

    async fn on_data_channel(&self, _channel: Arc<dyn DataChannel>) {
        // Only channels that the peer opened by itself are announced, and there is no use for one.
        self.0.send_modify(|state| state.over = true);
    }
}
