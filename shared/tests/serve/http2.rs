//! Frames that no honest HTTP/2 client sends: each flood ends, and costs other clients nothing.

use std::time::Duration;

use shared::serve::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::host::{Host, PATIENCE, SHORT};

// RFC 9113 §6: the types, and the flags they use.
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const NO_ERROR: u32 = 0x0;
const FLOW_CONTROL_ERROR: u32 = 0x3;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// How header blocks of these statuses begin (RFC 7541): static entries, and a literal in Huffman code.
const STATUS_200: &[u8] = &[0x88];
const STATUS_404: &[u8] = &[0x8d];
const STATUS_408: &[u8] = &[0x48, 0x83, 0x68, 0x0f, 0x7f];
const STATUS_431: &[u8] = &[0x48, 0x83, 0x69, 0x90, 0xff];

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A client that writes frames by hand.
struct Frames(TcpStream);

impl Frames {
    /// After the preface and the settings of both sides.
    async fn connect(host: &Host) -> Self {
        let mut frames = Self(host.connect().await.0);
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(SETTINGS, 0, 0, b""));
        frames.write(&hello).await.expect("the server reads");
        let settings = frames.read().await.expect("the server's settings");
        assert_eq!((settings.kind, settings.stream), (SETTINGS, 0));
        frames
            .write(&frame(SETTINGS, ACK, 0, b""))
            .await
            .expect("the server reads");
        frames
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(PATIENCE, self.0.write_all(bytes))
            .await
            .expect("the server reads or closes")
    }

    /// The next frame; `None` at the end of the connection.
    async fn read(&mut self) -> Option<Frame> {
        timeout(PATIENCE, async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, _, s @ ..] = head;
            let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(s);
            Some(Frame {
                kind,
                stream,
                payload,
            })
        })
        .await
        .expect("the server sends or closes")
    }

    /// The header block of the answer on `stream`.
    async fn answer(&mut self, stream: u32) -> Vec<u8> {
        loop {
            let frame = self.read().await.expect("an answer");
            if frame.kind == HEADERS && frame.stream == stream {
                return frame.payload;
            }
        }
    }

    /// Pings every few milliseconds, and waits for each answer, until the server says goodbye or closes.
    async fn ping_to_the_end(&mut self) -> Duration {
        let started = Instant::now();
        while self.write(&frame(PING, 0, 0, &[7; 8])).await.is_ok() {
            match self.read().await {
                Some(frame) if frame.kind != GOAWAY => sleep(Duration::from_millis(10)).await,
                _ => break,
            }
            assert!(started.elapsed() < PATIENCE, "it is never closed");
        }
        started.elapsed()
    }

    /// The error code of the GOAWAY that ends the connection.
    async fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.read().await {
            if frame.kind == GOAWAY {
                let bytes: [u8; 4] = frame.payload[4..8].try_into().expect("four bytes");
                code = Some(u32::from_be_bytes(bytes));
            }
        }
        code
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// HPACK (RFC 7541): `:method: GET`, `:scheme: http`, `:path` as a literal, `:authority: here`.
fn request(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    block.extend([0x04, u8::try_from(path.len()).expect("short")]);
    block.extend(path.as_bytes());
    block.extend([0x01, 4]);
    block.extend(b"here");
    block
}

/// One request on stream 1, in as many frames as its header needs.
fn header_frames(block: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut parts = block.chunks(16_000).peekable();
    let (mut kind, mut flags) = (HEADERS, END_STREAM);
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            flags |= END_HEADERS;
        }
        frames.extend(frame(kind, flags, 1, part));
        (kind, flags) = (CONTINUATION, 0);
    }
    frames
}

/// A literal field that no table remembers.
fn field(name: &str, value: &str) -> Vec<u8> {
    let short = |text: &str| u8::try_from(text.len()).expect("below 127");
    let mut block = vec![0x00, short(name)];
    block.extend(name.as_bytes());
    block.push(short(value));
    block.extend(value.as_bytes());
    block
}

/// A request whose header list counts about so many bytes (RFC 9113 §6.5.2).
fn request_of(bytes: usize) -> Vec<u8> {
    let part = field("x-long", &"x".repeat(126));
    let fields = bytes / (part.len() - 3 + 32);
    [request("/peer"), part.repeat(fields)].concat()
}

async fn others_are_served(host: &Host) {
    let answer = timeout(Duration::from_secs(2), host.get("/peer")).await;
    assert_eq!(answer.expect("soon").status(), 200);
}

#[tokio::test]
async fn frames_written_by_hand_are_answered() {
    let host = Host::plain(Limits::default()).await;
    let mut client = Frames::connect(&host).await;
    for (stream, path, status) in [(1, "/peer", STATUS_200), (3, "/nowhere", STATUS_404)] {
        let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(path));
        client.write(&headers).await.expect("it is open");
        assert!(client.answer(stream).await.starts_with(status), "{path}");
    }
}

/// CVE-2023-44487: streams that are opened and reset at once are no load, so the limit of open ones does not help.
#[tokio::test]
async fn a_rapid_reset_ends_the_connection() {
    let host = Host::plain(Limits::default()).await;
    let mut client = Frames::connect(&host).await;
    let mut burst = Vec::new();
    for number in 0..10_000 {
        let stream = 2 * number + 1;
        burst.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &request("/gate"),
        ));
        burst.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let _ = client.write(&burst).await;
    assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM));
    others_are_served(&host).await;
}

#[tokio::test]
async fn no_more_streams_are_open_at_once_than_allowed() {
    let host = Host::plain(Limits::default()).await;
    let mut client = Frames::connect(&host).await;
    let mut burst = Vec::new();
    for number in 0..150 {
        let headers = frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            2 * number + 1,
            &request("/gate"),
        );
        burst.extend(headers);
    }
    client.write(&burst).await.expect("it is open");
    let mut refused = 0;
    while refused < 50 {
        let frame = client.read().await.expect("it is open");
        refused += usize::from(frame.kind == RST_STREAM);
    }
    host.gate.leave.notify_one();
    loop {
        let frame = client.read().await.expect("it is open");
        assert_ne!(frame.kind, RST_STREAM, "a hundred are allowed");
        if frame.kind == HEADERS {
            break;
        }
    }
}

/// CVE-2024-27316 and its like: a header that never ends, in frames that no other limit counts.
#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let host = Host::plain(Limits::default()).await;
    for block in [field("x-flood", &"x".repeat(100)), Vec::new()] {
        let mut client = Frames::connect(&host).await;
        let _ = client
            .write(&frame(HEADERS, END_STREAM, 1, &request("/peer")))
            .await;
        let part = frame(CONTINUATION, 0, 1, &block).repeat(1_000);
        let flood = async {
            let mut sent = 0;
            while client.write(&part).await.is_ok() {
                sent += part.len();
            }
            sent
        };
        let sent = timeout(PATIENCE, flood).await.expect("it is cut off");
        assert!(sent < 16 << 20, "{sent} bytes of one header were taken");
        others_are_served(&host).await;
    }
}

#[tokio::test]
async fn a_header_list_that_is_too_large_is_refused() {
    let host = Host::plain(Limits::default()).await;
    // In frames of 16 KiB at most; and once as a bomb: one entry of the table, named by a byte each time.
    let mut literal = request("/peer");
    for _ in 0..400 {
        literal.extend(field("x-long", &"x".repeat(100)));
    }
    let mut bomb = request("/peer");
    bomb.extend([0x40, 6]);
    bomb.extend(b"x-bomb");
    bomb.extend([0x7f, 0x81, 0x1e]); // 4000 bytes
    bomb.extend([b'x'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let mut client = Frames::connect(&host).await;
    client
        .write(&header_frames(&literal))
        .await
        .expect("it is open");
    assert!(client.answer(1).await.starts_with(STATUS_431));
    let mut client = Frames::connect(&host).await;
    client
        .write(&header_frames(&bomb))
        .await
        .expect("it is open");
    assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM));
    others_are_served(&host).await;
}

#[tokio::test]
async fn a_header_list_is_taken_up_to_the_limit_of_the_listener() {
    // Above hyper's own limit of 16 KiB, and with room for all those fields.
    let host = Host::plain(Limits {
        header_bytes: 20 * 1024,
        header_fields: 1_000,
        ..Limits::default()
    })
    .await;
    for (bytes, status) in [(18 * 1024, STATUS_200), (22 * 1024, STATUS_431)] {
        let mut client = Frames::connect(&host).await;
        let header = header_frames(&request_of(bytes));
        client.write(&header).await.expect("it is open");
        assert!(client.answer(1).await.starts_with(status), "{bytes}");
    }
}

#[tokio::test]
async fn sixty_five_header_fields_are_refused_over_http_2_as_well() {
    let host = Host::plain(Limits::default()).await;
    for (fields, status) in [(64, STATUS_200), (65, STATUS_431)] {
        let mut client = Frames::connect(&host).await;
        let others = field("x-field", "x").repeat(fields);
        let header = header_frames(&[request("/peer"), others].concat());
        client.write(&header).await.expect("it is open");
        assert!(client.answer(1).await.starts_with(status), "{fields}");
    }
}

#[tokio::test]
async fn who_sends_settings_and_pings_but_no_request_is_cut_off_at_the_header_limit() {
    let host = Host::plain(Limits {
        header: SHORT,
        ..Limits::default()
    })
    .await;
    let mut silent = Frames::connect(&host).await;
    let started = Instant::now();
    while silent.read().await.is_some() {}
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    let took = Frames::connect(&host).await.ping_to_the_end().await;
    assert!(took < PATIENCE / 2, "{took:?}");
}

#[tokio::test]
async fn pings_neither_shorten_nor_lengthen_the_time_of_an_idle_connection() {
    let host = Host::plain(Limits {
        header: SHORT,
        idle: Duration::from_millis(600),
        ..Limits::default()
    })
    .await;
    let mut client = Frames::connect(&host).await;
    let get = header_frames(&request("/peer"));
    client.write(&get).await.expect("it is open");
    assert!(client.answer(1).await.starts_with(STATUS_200));
    let took = client.ping_to_the_end().await;
    let expected = Duration::from_millis(500)..PATIENCE / 2;
    assert!(expected.contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_body_that_drips_in_frames_is_answered_with_408() {
    let host = Host::plain(Limits {
        body: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = Frames::connect(&host).await;
    let mut post = request("/notes");
    post[0] = 0x83;
    post.extend(field("content-type", "application/json"));
    client
        .write(&frame(HEADERS, END_HEADERS, 1, &post))
        .await
        .expect("it is open");
    let answer = loop {
        let pause = Duration::from_millis(10);
        if timeout(pause, client.0.readable()).await.is_err() {
            let drop = frame(DATA, 0, 1, b" ");
            client.write(&drop).await.expect("it is open");
            continue;
        }
        let frame = client.read().await.expect("it is open");
        if frame.kind == HEADERS {
            break frame.payload;
        }
    };
    assert!(answer.starts_with(STATUS_408), "{answer:x?}");
}

#[tokio::test]
async fn pings_and_settings_that_nobody_reads_the_answers_of_fill_nothing() {
    let host = Host::plain(Limits::default()).await;
    for part in [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
    ] {
        let mut client = Frames::connect(&host).await;
        let part = part.repeat(10_000);
        let flood = async {
            // Stopped by the server's not reading, or by its closing.
            for _ in 0..1_000 {
                if client.0.write_all(&part).await.is_err() {
                    return;
                }
            }
            panic!("{} bytes were taken", 1_000 * part.len());
        };
        let _ = timeout(Duration::from_secs(1), flood).await;
        others_are_served(&host).await;
    }
}

#[tokio::test]
async fn a_stream_that_sends_more_than_its_window_is_cut_off() {
    let host = Host::plain(Limits::default()).await;
    let mut client = Frames::connect(&host).await;
    // Nobody reads this body: the handler of a GET does not ask for it.
    client
        .write(&frame(HEADERS, END_HEADERS, 1, &request("/gate")))
        .await
        .expect("it is open");
    let data = frame(DATA, 0, 1, &[0; 16_000]).repeat(5);
    let _ = client.write(&data).await;
    assert_eq!(client.goaway().await, Some(FLOW_CONTROL_ERROR));
    others_are_served(&host).await;
}

/// A POST whose body has not ended, answered by its header alone.
async fn answered_early(client: &mut Frames) {
    let mut post = request("/nowhere");
    post[0] = 0x83;
    client
        .write(&frame(HEADERS, END_HEADERS, 1, &post))
        .await
        .expect("it is open");
    assert!(client.answer(1).await.starts_with(STATUS_404));
}

/// curl before 8 throws an answer away that a reset follows while it still sends.
#[tokio::test]
async fn no_reset_follows_an_answer_that_comes_before_the_end_of_the_request() {
    let host = Host::plain(Limits::default()).await;
    let mut client = Frames::connect(&host).await;
    answered_early(&mut client).await;
    // More than a window in all, so that it must be read.
    for _ in 0..3 {
        no_reset_so_far(&mut client).await;
        let data = frame(DATA, 0, 1, &[0; 16_000]).repeat(2);
        client.write(&data).await.expect("it is open");
    }
    let end = frame(DATA, END_STREAM, 1, b"end");
    client.write(&end).await.expect("it is open");
    no_reset_so_far(&mut client).await;
}

/// Until the server has answered a ping, and so everything before it.
async fn no_reset_so_far(client: &mut Frames) {
    let ping = frame(PING, 0, 0, &[7; 8]);
    client.write(&ping).await.expect("it is open");
    loop {
        let frame = client.read().await.expect("it is open");
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == PING && frame.payload == [7; 8] {
            break;
        }
    }
}

#[tokio::test]
async fn who_never_ends_a_request_that_was_answered_is_reset_soon() {
    let host = Host::plain(Limits::default()).await;
    let mut client = Frames::connect(&host).await;
    answered_early(&mut client).await;
    let started = Instant::now();
    let reset = loop {
        let frame = client.read().await.expect("it is open");
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert_eq!(reset.payload, NO_ERROR.to_be_bytes());
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(800)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
    others_are_served(&host).await;
}
