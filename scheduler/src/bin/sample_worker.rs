//! `[io]` A worker to try the scheduler with: `scheduler-sample-worker PORT [MILLISECONDS [ADDRESS]]` answers
//! requests one at a time, each after so long, with a short queue in front, as the platform's workers
//! do. `/health` and `/metrics` are answered at once.

#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Requests that wait: what free users of the platform have.
const QUEUE: usize = 10;

/// The longest head of a request.
const HEAD_MOST_BYTES: usize = 8 << 10;

/// A client that says nothing is left after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request, and when it came.
type Waiting = (TcpStream, Instant);

#[derive(Default)]
struct Counters {
    arrivals: AtomicU64,
    rejects: AtomicU64,
    answered: AtomicU64,
    waiting: AtomicU64,
    busy: AtomicU64,
    /// From arrival to answer, of all that were answered, in microseconds.
    latency_microseconds: AtomicU64,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().and_then(|port| port.parse::<u16>().ok());
    let milliseconds = arguments.next().map_or(Some(0), |length| length.parse::<u64>().ok());
    let address = arguments.next().map_or(Some(Ipv4Addr::LOCALHOST), |text| text.parse().ok());
    let (Some(port), Some(milliseconds), Some(address)) = (port, milliseconds, address) else {
        eprintln!("usage: scheduler-sample-worker PORT [MILLISECONDS [ADDRESS]]");
        return ExitCode::from(2);
    };
    match serve((address, port), Duration::from_millis(milliseconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: port {port}: {error}");
            ExitCode::from(5)
        }
    }
}

fn serve((address, port): (Ipv4Addr, u16), service: Duration) -> io::Result<()> {
    let listener = TcpListener::bind((address, port))?;
    note_start()?;
    println!("listening at {port}");
    let counters = Arc::new(Counters::default());
    let (queue, waiting) = sync_channel(QUEUE);
    let work = Arc::clone(&counters);
    thread::spawn(move || work_off(&waiting, service, &work));
    for stream in listener.incoming() {
        let (queue, counters) = (queue.clone(), Arc::clone(&counters));
        thread::spawn(move || take(stream?, &queue, &counters));
    }
    Ok(())
}

/// A line for each start in the file that `$STARTS` names: tests count them.
fn note_start() -> io::Result<()> {
    let Some(path) = std::env::var_os("STARTS") else { return Ok(()) };
    let instance = std::env::var("CORRAL_INSTANCE").unwrap_or_default();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{instance}\n").as_bytes())
}

fn take(mut stream: TcpStream, queue: &SyncSender<Waiting>, counters: &Counters) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let path = path(&mut stream)?;
    match path.as_str() {
        "/health" => answer(stream, "200 OK", "healthy\n"),
        "/metrics" => answer(stream, "200 OK", &metrics(counters)),
        _ => {
            counters.arrivals.fetch_add(1, Ordering::Relaxed);
            counters.waiting.fetch_add(1, Ordering::Relaxed);
            match queue.try_send((stream, Instant::now())) {
                Ok(()) => Ok(()),
                Err(TrySendError::Full((stream, _)) | TrySendError::Disconnected((stream, _))) => {
                    counters.waiting.fetch_sub(1, Ordering::Relaxed);
                    counters.rejects.fetch_add(1, Ordering::Relaxed);
                    answer(stream, "503 Service Unavailable", "the queue is full\n")
                }
            }
        }
    }
}

/// The path of a request, after its whole head has been read.
fn path(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_MOST_BYTES {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).unwrap_or("/").to_owned())
}

fn work_off(waiting: &Receiver<Waiting>, service: Duration, counters: &Counters) {
    let version = std::env::var("CORRAL_VERSION").unwrap_or_default();
    let instance = std::env::var("CORRAL_INSTANCE").unwrap_or_default();
    let text = format!("{instance} {version}\n");
    for (stream, came) in waiting {
        counters.busy.fetch_add(1, Ordering::Relaxed);
        counters.waiting.fetch_sub(1, Ordering::Relaxed);
        thread::sleep(service);
        counters.busy.fetch_sub(1, Ordering::Relaxed);
        let latency = u64::try_from(came.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.latency_microseconds.fetch_add(latency, Ordering::Relaxed);
        counters.answered.fetch_add(1, Ordering::Relaxed);
        // Who asked may have gone away.
        let _ = answer(stream, "200 OK", &text);
    }
}

fn answer(mut stream: TcpStream, status: &str, text: &str) -> io::Result<()> {
    let length = text.len();
    stream.write_all(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        )
        .as_bytes(),
    )
}

fn metrics(counters: &Counters) -> String {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "# HELP worker_arrivals_total Requests that came.\n\
         # TYPE worker_arrivals_total counter\nworker_arrivals_total {}\n\
         # HELP worker_rejects_total Requests that were rejected.\n\
         # TYPE worker_rejects_total counter\nworker_rejects_total {}\n\
         # HELP worker_answered_total Requests that were answered.\n\
         # TYPE worker_answered_total counter\nworker_answered_total {}\n\
         # HELP worker_waiting Requests that wait.\n\
         # TYPE worker_waiting gauge\nworker_waiting {}\n\
         # HELP worker_busy Requests in work.\n\
         # TYPE worker_busy gauge\nworker_busy {}\n\
         # HELP worker_latency_seconds From arrival to answer.\n\
         # TYPE worker_latency_seconds summary\nworker_latency_seconds_sum {}.{:06}\n\
         worker_latency_seconds_count {}\n",
        of(&counters.arrivals),
        of(&counters.rejects),
        of(&counters.answered),
        of(&counters.waiting),
        of(&counters.busy),
        of(&counters.latency_microseconds) / 1_000_000,
        of(&counters.latency_microseconds) % 1_000_000,
        of(&counters.answered),
    )
}
