//! `matinee serve`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::serve::ListenerExt as _;
use matinee_protocol::api::IceServer;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::{Error, open_store};
use crate::app::{App, Parts};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::origin::Origin;
use crate::router::layer::SHUTDOWN_GRACE;
use crate::vault::Vault;
use crate::{job, router, stun};

/// Runs the server until it is asked to stop.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// How viewers reach this server; the address it listens on if not given.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Serve the storefront from this folder instead of the embedded one.
    #[arg(long, value_name = "FOLDER")]
    web_dir: Option<PathBuf>,
}

pub(super) async fn run(args: Args, mut config: Config) -> Result<(), Error> {
    let server = &mut config.server;
    if let Some(listen) = args.listen {
        server.listen = listen;
    }
    if let Some(url) = args.public_url {
        url.trim_end_matches('/').clone_into(&mut server.public_url);
    }
    if let Some(folder) = args.web_dir {
        server.web_dir = folder.display().to_string();
    }
    let store = open_store(&config).await?;
    let vault = Vault::open(&config.key_file())?;
    let origin = Origin::open(&config.origin_address())?;
    let listen = config.server.listen.clone();
    let failed = |error| Error::System(format!("listen on {listen}"), error);
    let listener = TcpListener::bind(&listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let public_url = match config.server.public_url.as_str() {
        "" => format!("http://{address}"),
        url => url.to_owned(),
    };
    let stop = CancellationToken::new();
    let ice_servers = ice_servers(&config, address, &public_url, &stop).await?;
    let clock = Arc::new(SystemClock);
    let parts = Parts { config, public_url, clock, store: store.clone(), vault, origin, ice_servers };
    let app = App::open(parts).await?;
    let jobs = tokio::spawn(job::run(app.clone(), stop.clone()));
    #[cfg(unix)]
    tokio::spawn(read_again_when_asked(app.clone(), stop.clone()));

    let asked_to_stop = asked_to_stop();
    let failed = |error| Error::System("standard output".to_owned(), error);
    let mut out = std::io::stdout().lock();
    writeln!(out, "matinee listening on http://{address}").and_then(|()| out.flush()).map_err(failed)?;
    drop(out);

    let service = router::router(app).into_make_service_with_connect_info::<SocketAddr>();
    // Small answers must not wait for more to come.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let asked = stop.clone();
    let serving =
        axum::serve(listener, service).with_graceful_shutdown(async move { asked.cancelled().await });
    let serving = tokio::spawn(async move { serving.await });
    asked_to_stop.await;
    tracing::info!("stopping");
    stop.cancel();
    if tokio::time::timeout(SHUTDOWN_GRACE, serving).await.is_err() {
        tracing::warn!("requests were still under way");
    }
    drop(jobs.await);
    store.close().await;
    Ok(())
}

/// Reads the database of countries again at SIGHUP, until `stop`.
#[cfg(unix)]
async fn read_again_when_asked(app: App, stop: CancellationToken) {
    let asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let Ok(mut asked) = asked else { return };
    while stop.run_until_cancelled(asked.recv()).await.flatten().is_some() {
        if let Err(error) = job::refresh_atlas(&app, true).await {
            tracing::error!(%error, "the database of countries was not read again");
        }
    }
}

/// Starts the embedded STUN server and lists what members are told.
async fn ice_servers(
    config: &Config,
    http: SocketAddr,
    public_url: &str,
    stop: &CancellationToken,
) -> Result<Vec<IceServer>, Error> {
    let server = |urls| IceServer { urls, username: None, credential: None };
    let mut servers = Vec::new();
    let listen = &config.stun.listen;
    if listen != "off" {
        let socket = stun_socket(listen, http).await?;
        let failed = |error| Error::System(format!("STUN on {listen}"), error);
        let port = socket.local_addr().map_err(failed)?.port();
        let address = match config.stun.public_address.as_str() {
            "" => format!("{}:{port}", host_of(public_url)),
            address => address.to_owned(),
        };
        tokio::spawn(stun::serve(socket, stop.clone()));
        servers.push(server(vec![format!("stun:{address}")]));
    }
    if !config.delivery.ice_urls.is_empty() {
        servers.push(server(config.delivery.ice_urls.clone()));
    }
    Ok(servers)
}

/// The socket asked for, or the HTTP server's address and port number over UDP; another port where that is taken.
async fn stun_socket(listen: &str, http: SocketAddr) -> Result<UdpSocket, Error> {
    if !listen.is_empty() {
        let failed = |error| Error::System(format!("STUN on {listen}"), error);
        return UdpSocket::bind(listen).await.map_err(failed);
    }
    match UdpSocket::bind(http).await {
        Ok(socket) => Ok(socket),
        Err(error) => {
            tracing::warn!(%error, "STUN takes another port than {}", http.port());
            let failed = |error| Error::System(format!("STUN on {}", http.ip()), error);
            UdpSocket::bind((http.ip(), 0)).await.map_err(failed)
        }
    }
}

/// The host of a URL, in brackets where it is an IPv6 address.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// Resolves when somebody asks the server to stop. It listens from the call on, not only once it is awaited: who was told
/// that the server listens may ask at once.
fn asked_to_stop() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    #[cfg(unix)]
    let interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    async move {
        #[cfg(unix)]
        if let (Ok(mut terminated), Ok(mut interrupted)) = (terminated, interrupted) {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            return;
        }
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn hosts() {
        let cases = [
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("https://films.example", "films.example"),
            ("https://films.example/shop", "films.example"),
            ("http://[::1]:8080", "[::1]"),
            ("http://[::1]", "[::1]"),
        ];
        for (url, host) in cases {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
