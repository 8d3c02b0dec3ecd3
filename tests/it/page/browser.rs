//! Just enough of a browser: one request, its whole answer; and a stream of events that is read until it says
//! something.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tidegate::page::{self, Options, Served};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plugin::lab::{DEADLINE, Lab};

/// A page that is served, and the cluster behind it.
pub struct Browser {
    pub lab: Lab,
    pub served: Served,
    pub address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

pub fn options() -> Options {
    Options {
        address: "127.0.0.1:0".parse().unwrap(),
        hosts: vec![],
        namespace: None,
        read_only: false,
        open: true,
    }
}

impl Browser {
    /// A page with these options, of this cluster.
    pub async fn with(lab: Lab, options: Options) -> Self {
        let served = page::serve(lab.session(), options).await.unwrap();
        let address = served.url().strip_prefix("http://").unwrap();
        let address = address.split('/').next().unwrap().parse().unwrap();
        Self {
            lab,
            served,
            address,
        }
    }

    /// A page of the Rollout `checkout` in `shop` with this status, when it has been read.
    pub async fn of(status: Value) -> Self {
        let browser = Self::with(Lab::with(status).await, options()).await;
        browser.until("/", "row-shop.checkout").await;
        browser
    }

    /// Sends these lines and reads the answer to its end.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let host = self.address.to_string();
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            text.push_str(&format!("host: {host}\r\n"));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let answer = tokio::time::timeout(DEADLINE, exchange).await.expect(path);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        Answer {
            code: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// Looks until the page says this.
    pub async fn until(&self, path: &str, words: &str) -> String {
        let look = async {
            loop {
                let body = self.get(path).await.body;
                if body.contains(words) {
                    return body;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, look)
            .await
            .unwrap_or_else(|_| panic!("{path} never says {words:?}"))
    }

    /// What a page of ours sends with a command.
    pub async fn mark(&self) -> String {
        let body = self.get("/").await.body;
        let (_, rest) = body.split_once("data-mark=\"").expect("a mark");
        rest.split('"').next().unwrap().to_owned()
    }

    /// Asks for a command as the page's script does.
    pub async fn ask(&self, verb: &str, seen: &str) -> Answer {
        let wish = json!({"namespace": "shop", "name": "checkout", "verb": verb, "seen": seen});
        let (mark, origin) = (self.mark().await, format!("http://{}", self.address));
        let headers = [
            ("origin", origin.as_str()),
            ("x-tidegate-page", mark.as_str()),
            ("content-type", "application/json"),
        ];
        self.send("POST", "/command", &headers, &wish.to_string())
            .await
    }

    /// Listens to what is live of a page.
    pub async fn listen(&self, path: &str) -> Events {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        stream.write_all(text.as_bytes()).await.unwrap();
        Events {
            stream,
            heard: String::new(),
        }
    }
}

/// A stream of events.
pub struct Events {
    stream: TcpStream,
    heard: String,
}

impl Events {
    /// Reads until these words came; gives what was heard since the last time.
    pub async fn until(&mut self, words: &str) -> String {
        let hear = async {
            let mut piece = vec![0; 64 * 1024];
            while !self.heard.contains(words) {
                let read = self.stream.read(&mut piece).await.unwrap();
                assert!(read > 0, "the stream ended: {}", self.heard);
                self.heard
                    .push_str(&String::from_utf8_lossy(&piece[..read]));
            }
            std::mem::take(&mut self.heard)
        };
        tokio::time::timeout(DEADLINE, hear)
            .await
            .unwrap_or_else(|_| panic!("never heard {words:?}"))
    }
}
