//! Reads `fixtures/wire`; its form is described in `fixtures/README.md`.

use std::fs;
use std::path::PathBuf;

/// One recorded exchange.
pub struct Exchange {
    /// `<api>-v<version>-<case>`.
    pub name: String,
    /// The number of its connection.
    pub connection: u32,
    /// Transactional ids whose transactions had ended before it.
    pub awaits: Vec<String>,
    /// What the request holds of earlier replies: what it is, and its bytes.
    pub uses: Vec<(String, Vec<u8>)>,
    /// What later requests use of the reply.
    pub binds: Vec<(String, Vec<u8>)>,
    /// The request, size first.
    pub request: Vec<u8>,
    /// What came back.
    pub reply: Recorded,
}

/// What a broker did with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// This came back, size first.
    Reply(Vec<u8>),
    /// Nothing, as acks=0 asks.
    Nothing,
    /// The connection was closed.
    Closed,
}

impl Exchange {
    /// API key and version of the request, where there is one.
    pub fn api(&self) -> Option<(i16, i16)> {
        let &[k0, k1, v0, v1] = self.request.get(4..)?.first_chunk()?;
        Some((i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1])))
    }

    /// The broker was meant to close the connection: the request is none.
    pub fn is_refused(&self) -> bool {
        self.name.contains("-refused-")
    }
}

/// Every exchange, in the order in which they took place.
pub fn exchanges() -> Vec<Exchange> {
    let index = fs::read_to_string(folder().join("INDEX")).unwrap();
    let lines = index.lines().filter(|line| !line.starts_with('#'));
    let exchanges: Vec<_> = lines
        .map(|line| {
            let (name, connection) = line.split_once(' ').unwrap();
            read(name, connection.parse().unwrap())
        })
        .collect();
    assert!(exchanges.len() > 1300, "the fixtures are there");
    exchanges
}

/// Key, name, lowest and highest version of every API of the recorded broker.
pub fn recorded_apis() -> Vec<(i16, String, i16, i16)> {
    let text = fs::read_to_string(folder().join("APIS")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    rows.map(|row| {
        let words: Vec<_> = row.split(' ').collect();
        (words[0].parse().unwrap(), words[1].to_owned(), words[2].parse().unwrap(), words[3].parse().unwrap())
    })
    .collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire")
}

fn read(name: &str, connection: u32) -> Exchange {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    let (mut awaits, mut uses, mut binds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut request, mut reply) = (None, None);
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next().unwrap(), words.next(), words.next()) {
            ("await", Some("end-of-transaction"), Some(id)) => awaits.push(id.to_owned()),
            ("use", Some(what), Some(value)) => uses.push((what.to_owned(), bytes(value))),
            ("bind", Some(what), Some(value)) => binds.push((what.to_owned(), bytes(value))),
            (">", Some(frame), None) => request = Some(bytes(frame)),
            ("<", Some(frame), None) => reply = Some(Recorded::Reply(bytes(frame))),
            ("none", None, None) => reply = Some(Recorded::Nothing),
            ("closed", None, None) => reply = Some(Recorded::Closed),
            ("#", _, _) => {}
            _ => panic!("{name}: {line}"),
        }
    }
    let (request, reply) = (request.expect(name), reply.expect(name));
    Exchange { name: name.to_owned(), connection, awaits, uses, binds, request, reply }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
