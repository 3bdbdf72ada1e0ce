use proptest::prelude::*;

use super::*;
use crate::cache::Cache;
use crate::server::{Server, answer, file};

const TAG: &str = "\"one\"";

fn downloader() -> Downloader {
    patient_for(Duration::from_secs(20))
}

fn patient_for(silence: Duration) -> Downloader {
    Downloader::with(silence, &[Duration::ZERO, Duration::ZERO]).unwrap()
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

struct Bench {
    cache: Cache,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Bench { cache: Cache::new(folder.path()), _folder: folder }
    }

    /// Downloads; what is there afterwards, and how it went.
    fn fetch(&self, wanted: &Wanted<'_>) -> (Vec<u8>, Result<(), String>) {
        let mut partial = self.cache.partial("x").unwrap();
        let outcome = downloader().fetch(wanted, &mut partial, &mut |_, _| {});
        let bytes = std::fs::read(partial.path()).unwrap();
        (bytes, outcome.map_err(|error| error.to_string()))
    }

    fn begin(&self, bytes: &[u8], note: Option<&str>) {
        let mut partial = self.cache.partial("x").unwrap();
        partial.restart(note).unwrap();
        partial.append(bytes).unwrap();
    }
}

fn wanted(url: &str) -> Wanted<'_> {
    Wanted { url, size: None, digest_is_known: false, limit: 10 << 20 }
}

/// The first answers end after so many bytes, the others are whole.
fn cutting(cuts: Vec<usize>) -> Server {
    Server::start(move |asked, number| {
        let mut bytes = file(asked, TAG, &content());
        if let Some(cut) = cuts.get(number) {
            bytes.truncate(*cut);
        }
        bytes
    })
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let server = cutting(vec![500_000, 300_000]);
    let url = server.url("/x.tar.gz");
    let (bytes, outcome) = Bench::new().fetch(&wanted(&url));
    assert_eq!(outcome, Ok(()));
    assert!(bytes == content());
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].start(), None);
    assert_eq!(asked[0].header("accept-encoding"), Some("identity"));
    for later in &asked[1..] {
        assert_eq!(later.header("if-range"), Some(TAG));
    }
    assert!(asked[1].start() > Some(400_000) && asked[2].start() > asked[1].start());
}

#[test]
fn a_later_run_goes_on_too() {
    let server = cutting(Vec::new());
    let (url, bench) = (server.url("/x"), Bench::new());
    bench.begin(&content()[..1000], Some(TAG));
    assert_eq!(bench.fetch(&wanted(&url)), (content(), Ok(())));
    assert_eq!(server.asked()[0].start(), Some(1000));
}

#[test]
fn another_file_on_the_server_begins_anew() {
    let server = cutting(Vec::new());
    let (url, bench) = (server.url("/x"), Bench::new());
    // An older file with another tag; and one of which nothing is known.
    for note in [Some("\"zero\""), None] {
        bench.begin(b"older", note);
        assert_eq!(bench.fetch(&wanted(&url)), (content(), Ok(())));
    }
    // The server has less than is there.
    bench.begin(&[0; 2_000_000], Some(TAG));
    assert_eq!(bench.fetch(&wanted(&url)), (content(), Ok(())));
}

#[test]
fn a_server_without_ranges_or_with_wrong_ones() {
    let plain = Server::start(|_, _| answer("200 OK", &content()));
    let wrong = Server::start(|asked, number| match number {
        0 => answer("206 Partial Content\r\nContent-Range: bytes 7-9/10", b"789"),
        _ => file(asked, TAG, &content()),
    });
    for server in [plain, wrong] {
        let (url, bench) = (server.url("/x"), Bench::new());
        bench.begin(b"1234567", Some(TAG));
        bench.begin(&content()[..10], Some(TAG));
        assert_eq!(bench.fetch(&wanted(&url)), (content(), Ok(())));
    }
}

#[test]
fn a_wrong_length_is_refused_before_it_is_read() {
    let server = Server::start(|asked, _| file(asked, TAG, b"12345"));
    let url = server.url("/x");
    let with_size = |size| Wanted { size: Some(size), ..wanted(&url) };
    let (bytes, outcome) = Bench::new().fetch(&with_size(4));
    let message = "the server has 5 bytes, and not the 4 that the lock says";
    assert_eq!((bytes, outcome), (Vec::new(), Err(message.to_owned())));
    assert_eq!(Bench::new().fetch(&with_size(5)).1, Ok(()));
    let small = Wanted { limit: 4, ..wanted(&url) };
    assert_eq!(Bench::new().fetch(&small).1, Err("it has more than 4 bytes".to_owned()));
    // Without a length nothing is known before.
    let endless = Server::start(|_, _| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        bytes.extend_from_slice(&content());
        bytes
    });
    let url = endless.url("/x");
    let (bytes, outcome) = Bench::new().fetch(&Wanted { limit: 1000, ..wanted(&url) });
    assert_eq!(outcome, Err("it has more than 1000 bytes".to_owned()));
    assert!(bytes.len() <= 1000);
    let short = Wanted { size: Some(5_000_000), ..wanted(&url) };
    let message = "the connection ended after 1200000 of 5000000 bytes";
    assert_eq!(Bench::new().fetch(&short).1, Err(message.to_owned()));
}

#[test]
fn what_is_worth_another_try_and_what_is_not() {
    let count = |head: &'static str| {
        let server = Server::start(move |_, _| answer(head, b""));
        let url = server.url("/x");
        let outcome = Bench::new().fetch(&wanted(&url)).1;
        (outcome.unwrap_err(), server.asked().len())
    };
    assert_eq!(count("404 Not Found"), ("the server answers 404 Not Found".to_owned(), 1));
    assert_eq!(count("403 Forbidden").1, 1);
    assert_eq!(count("503 Service Unavailable").1, 3);
    assert_eq!(count("429 Too Many Requests").1, 3);
    let (message, asked) = count("302 Found\r\nLocation: /x");
    assert_eq!((message.as_str(), asked), ("it redirects more than 10 times", 11));
    let busy = Server::start(|asked, number| match number {
        0 => answer("503 Service Unavailable", b""),
        _ => file(asked, TAG, b"there"),
    });
    let url = busy.url("/x");
    assert_eq!(Bench::new().fetch(&wanted(&url)), (b"there".to_vec(), Ok(())));
}

#[test]
fn redirects_are_followed() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/x" => answer("302 Found\r\nLocation: /y", b""),
        _ => file(asked, TAG, b"there"),
    });
    let url = server.url("/x");
    assert_eq!(Bench::new().fetch(&wanted(&url)), (b"there".to_vec(), Ok(())));
    assert_eq!(downloader().small(&url, 5).unwrap(), b"there");
    assert!(matches!(downloader().small(&url, 4), Err(DownloadError::TooLarge { limit: 4 })));
    let (digest, size) = downloader().digest(&url, 5).unwrap();
    assert!(digest.len() == 64 && size == 5);
}

#[test]
fn silence_ends_the_wait() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(5));
        Vec::new()
    });
    let outcome = patient_for(Duration::from_millis(100)).small(&server.url("/x"), 10);
    assert_eq!(outcome.unwrap_err().to_string(), "the server does not answer");
    // Nobody listens at all.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/x");
    assert!(Bench::new().fetch(&wanted(&url)).1.unwrap_err().contains("refused"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever the connection is cut, and whatever was there before, the bytes come out right.
    #[test]
    fn cuts_anywhere(
        cuts in proptest::collection::vec(0_usize..1_300_000, 0..3),
        before in 0_usize..1_300_000,
        honest in any::<bool>(),
    ) {
        let server = cutting(cuts);
        let (url, bench) = (server.url("/x"), Bench::new());
        let all = content();
        let before = before.min(all.len());
        if honest {
            bench.begin(&all[..before], Some(TAG));
        } else {
            bench.begin(&vec![9; before], Some("\"other\""));
        }
        let (bytes, outcome) = bench.fetch(&wanted(&url));
        // Two attempts may follow the first one; what there is then is right, if not whole.
        if outcome.is_ok() {
            prop_assert!(bytes == all);
        } else {
            prop_assert!(all.starts_with(&bytes) || !honest, "{outcome:?}");
        }
    }
}
