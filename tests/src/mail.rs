//! A real mail server (aiosmtpd) that says what it is sent.

use std::net::{SocketAddr, TcpListener};

use tokio::process::Command;

use crate::process::Running;
use crate::python;

/// A mail server, or a place for one that comes up late.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    process: Option<Running>,
}

impl MailServer {
    /// Keeps a place for one.
    pub fn reserved() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        Self { address: free.local_addr().expect("a listener has an address"), process: None }
    }

    /// What a server needs in its environment to send its mail here.
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("MATINEE_OUTBOX__SMTP_URL".to_owned(), format!("smtp://{}", self.address)),
            ("MATINEE_OUTBOX__MAIL_FROM".to_owned(), "Cinema <films@cinema.example>".to_owned()),
        ]
    }

    /// Starts it.
    pub fn start(&mut self) {
        let mut command = Command::new(python::program("python"));
        command.args(["-u", "-m", "aiosmtpd", "-n", "-l", &self.address.to_string()]);
        command.args(["-c", "aiosmtpd.handlers.Debugging", "stdout"]);
        self.process = Some(Running::start(command));
    }

    /// The next message that it is sent, line by line, as whoever wrote it broke them (RFC 2045 §6.7).
    pub async fn next(&mut self) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        let mut in_text = false;
        let process = self.process.as_mut().expect("it was started");
        process
            .wait_line("the end of the message", |line| {
                match said.last_mut() {
                    Some(last) if in_text && last.ends_with('=') => {
                        last.pop();
                        last.push_str(line);
                    }
                    _ => said.push(line.to_owned()),
                }
                in_text |= line.is_empty();
                line.contains("END MESSAGE").then_some(())
            })
            .await;
        said
    }
}
