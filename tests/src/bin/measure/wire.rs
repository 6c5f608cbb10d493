//! The least HTTP/1.1 that asks the server honestly: one connection kept open, a request written in one piece, an answer
//! read by its length. The generator shares the machine with what it measures, so it does no more than that.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes of an answer with its head: an artist's albums are the longest.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of most.
const ANSWER_BYTES_USUAL: usize = 64 * 1024;

/// A connection.
pub(crate) struct Wire {
    socket: TcpStream,
    host: String,
    sent: Vec<u8>,
    read: Vec<u8>,
}

/// What came back.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) body: &'a [u8],
}

impl Wire {
    pub(crate) async fn connect(host: &str) -> Self {
        let socket = TcpStream::connect(host).await.expect("the server listens");
        socket.set_nodelay(true).expect("a socket takes its options");
        Self { socket, host: host.to_owned(), sent: Vec::new(), read: Vec::with_capacity(ANSWER_BYTES_USUAL) }
    }

    /// Sends a POST and waits for its whole answer.
    pub(crate) async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer<'_> {
        self.sent.clear();
        self.sent.extend_from_slice(format!("POST {path} HTTP/1.1\r\nhost: {}\r\n", self.host).as_bytes());
        for (name, value) in headers {
            self.sent.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        self.sent.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        self.sent.extend_from_slice(body);
        self.exchange().await
    }

    /// Sends a GET and waits for its whole answer.
    pub(crate) async fn get(&mut self, path: &str) -> Answer<'_> {
        self.sent.clear();
        self.sent.extend_from_slice(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host).as_bytes());
        self.exchange().await
    }

    async fn exchange(&mut self) -> Answer<'_> {
        self.socket.write_all(&self.sent).await.expect("the server reads");
        self.read.clear();
        loop {
            let read = self.socket.read_buf(&mut self.read).await.expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            assert!(self.read.len() <= ANSWER_BYTES_MAX, "the answer is too long");
            if let Some((head, whole)) = whole(&self.read)
                && self.read.len() >= whole
            {
                let text = std::str::from_utf8(&self.read[..head]).expect("a head is ASCII");
                let status = text.get(9..12).and_then(|status| status.parse().ok()).expect("a status line");
                let replayed = field(text, "idempotency-replayed").is_some();
                return Answer { status, replayed, body: &self.read[head..whole] };
            }
        }
    }
}

/// Where the head ends and where the answer does, once the head is there.
fn whole(read: &[u8]) -> Option<(usize, usize)> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).expect("a head is ASCII");
    let length: usize = field(text, "content-length")?.parse().expect("a length is a number");
    Some((head, head + length))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
