//! `[io]` As much of HTTP/1.1 as apt, curl and `get_url` need: GET and HEAD of files, kept-alive
//! connections, `If-Modified-Since` by equality, one range from an offset.
//!
//! Never writes; never serves a path that isn't clean (`is_clean`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use calendar::Moment;

use super::{Site, is_clean};
use crate::error;

/// More than every host of the largest lab has open at once.
const CONNECTIONS_LIMIT: usize = 1024;
/// apt's request heads have less than 1 KiB.
const HEAD_LIMIT_BYTES: u64 = 16 * 1024;
/// An idle connection is closed after this time; apt opens a new one.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    keep_alive: bool,
    if_modified_since: Option<String>,
    range_start: Option<u64>,
}

/// Serves every connection in a thread of its own until the listener fails.
pub fn serve(listener: &TcpListener, site: &Arc<Site>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_LIMIT {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (site, open) = (Arc::clone(site), Arc::clone(&open));
        std::thread::spawn(move || {
            // A client that goes away in mid-answer is none of our business.
            let _ = converse(&stream, &site);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn converse(stream: &TcpStream, site: &Site) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_LIMIT))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        let mut limited = reader.by_ref().take(HEAD_LIMIT_BYTES);
        while limited.read_line(&mut head)? > 2 {}
        let Some(request) = parse(&head) else { return Ok(()) };
        answer(stream, site, &request)?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let method = words.next()?.to_owned();
    let target = words.next()?;
    let mut keep_alive = words.next()? == "HTTP/1.1";
    let (mut if_modified_since, mut range_start) = (None, None);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "connection" => keep_alive = keep_alive && !value.eq_ignore_ascii_case("close"),
            "if-modified-since" => if_modified_since = Some(value.to_owned()),
            "range" => {
                range_start = value
                    .strip_prefix("bytes=")
                    .and_then(|range| range.strip_suffix('-'))
                    .and_then(|start| start.parse().ok());
            }
            _ => {}
        }
    }
    let path = target.split('?').next().unwrap_or_default();
    let path = decode(path.trim_start_matches('/'))?;
    Some(Request { method, path, keep_alive, if_modified_since, range_start })
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?.to_owned();
            bytes.push(u8::from_str_radix(&digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn answer(mut stream: &TcpStream, site: &Site, request: &Request) -> io::Result<()> {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return plain(stream, "405 Method Not Allowed", "only GET and HEAD\n");
    }
    if request.path.is_empty() {
        return plain(stream, "200 OK", "the lab's mirror\n");
    }
    if !is_clean(&request.path) {
        return plain(stream, "400 Bad Request", "this path isn't clean\n");
    }
    let file = match site.file(&request.path) {
        Ok(Some(file)) => file,
        Ok(None) => return plain(stream, "404 Not Found", "no such file\n"),
        Err(failure) => {
            let text = error::render(&failure);
            eprint!("{text}");
            return plain(stream, "502 Bad Gateway", &text);
        }
    };
    let (mut content, size, modified) = open(&file)?;
    if request.if_modified_since.as_deref() == Some(modified.as_str()) {
        let head = format!("HTTP/1.1 304 Not Modified\r\nLast-Modified: {modified}\r\n\r\n");
        return stream.write_all(head.as_bytes());
    }
    let start = request.range_start.filter(|start| *start > 0 && *start < size);
    let (status, range) = match start {
        Some(start) => {
            content.seek(SeekFrom::Start(start))?;
            let last = size.saturating_sub(1);
            ("206 Partial Content", format!("Content-Range: bytes {start}-{last}/{size}\r\n"))
        }
        None => ("200 OK", String::new()),
    };
    let length = size.saturating_sub(start.unwrap_or(0));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\
         Last-Modified: {modified}\r\nAccept-Ranges: bytes\r\n{range}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if request.method == "GET" {
        io::copy(&mut content.take(length), &mut stream)?;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<(File, u64, String)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let modified = metadata.modified()?;
    Ok((file, metadata.len(), date(modified)))
}

fn plain(mut stream: &TcpStream, status: &str, text: &str) -> io::Result<()> {
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"
    );
    stream.write_all(head.as_bytes())
}

/// A time as HTTP writes it (RFC 9110 5.6.7).
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let moment = Moment::of_epoch_seconds(seconds);
    let Moment { year, month, day, weekday, hour, minute, second } = moment;
    let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or_default()
    };
    format!(
        "{}, {day:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT",
        name(&weekdays, weekday),
        name(&months, month - 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_rfc() {
        assert_eq!(
            date(UNIX_EPOCH + Duration::from_secs(784_111_777)),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(
            date(UNIX_EPOCH + Duration::from_secs(951_782_400)),
            "Tue, 29 Feb 2000 00:00:00 GMT"
        );
    }

    #[test]
    fn a_request_of_apt_is_understood() {
        let head = "GET /debian/pool/g%2b%2b_1%7e.deb HTTP/1.1\r\nHost: x\r\nRange: bytes=10-\r\n\
                    If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        let request = parse(head).unwrap();
        assert_eq!(request.path, "debian/pool/g++_1~.deb");
        assert_eq!(request.range_start, Some(10));
        assert!(request.keep_alive && request.if_modified_since.is_some());
        assert!(parse("").is_none() && parse("GET /%zz HTTP/1.1\r\n").is_none());
        assert!(!is_clean(&parse("GET /a/%2e%2e/b HTTP/1.1\r\n").unwrap().path));
    }
}
