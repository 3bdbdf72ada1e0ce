//! One line at the bottom of a terminal that shows what is going on, and for how long.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the line is drawn again, for its seconds.
const TICK: Duration = Duration::from_millis(500);

/// The line. It ends with this value.
pub struct Live {
    line: Arc<Mutex<Line>>,
    /// Its end ends the thread.
    _alive: Sender<()>,
}

#[derive(Default)]
struct Line {
    content: Option<(String, Instant)>,
    is_drawn: bool,
}

impl Live {
    /// An empty line on standard error.
    pub fn start() -> Self {
        let line = Arc::new(Mutex::new(Line::default()));
        let (alive, ended) = channel();
        let ticking = Arc::clone(&line);
        thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
                lock(&ticking).draw();
            }
        });
        Live { line, _alive: alive }
    }

    /// Takes the line away, so that something else can be printed.
    pub fn clear(&mut self) {
        let mut line = lock(&self.line);
        line.content = None;
        line.erase();
    }

    /// Shows a text and the seconds since a moment.
    pub fn show(&mut self, text: &str, since: Instant) {
        let mut line = lock(&self.line);
        line.content = Some((text.to_owned(), since));
        line.draw();
    }
}

/// How many questions wait for an answer: a line that is drawn would take them away.
static QUESTIONS: AtomicUsize = AtomicUsize::new(0);

/// While it is there, no line is drawn.
pub struct Quiet(());

/// Takes all lines away for a question to the operator.
pub fn quiet() -> Quiet {
    QUESTIONS.fetch_add(1, Ordering::SeqCst);
    let mut error = std::io::stderr().lock();
    if error.is_terminal() {
        let _ = write!(error, "\r\x1b[2K").and_then(|()| error.flush());
    }
    Quiet(())
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUESTIONS.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Line {
    fn erase(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let mut error = std::io::stderr().lock();
            // A terminal that went away needs no line.
            let _ = write!(error, "\r\x1b[2K");
            let _ = error.flush();
        }
    }

    fn draw(&mut self) {
        if QUESTIONS.load(Ordering::SeqCst) > 0 {
            return;
        }
        let Some((text, since)) = &self.content else { return };
        let columns = crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        let text = composed(text, since.elapsed(), columns);
        let mut error = std::io::stderr().lock();
        let _ = write!(error, "\r\x1b[2K{text}");
        let _ = error.flush();
        self.is_drawn = true;
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The line in less than the columns of the terminal: one that wraps can't be erased.
fn composed(text: &str, elapsed: Duration, columns: usize) -> String {
    let seconds = match elapsed.as_secs() {
        0 => String::new(),
        seconds => format!(", {seconds} s"),
    };
    let room = columns.saturating_sub(seconds.len() + 5);
    let text: String = if text.chars().count() > room {
        text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    } else {
        text.to_owned()
    };
    format!("  … {text}{seconds}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_not_drawn_over() {
        let mut line = Line { content: Some(("install".into(), Instant::now())), is_drawn: false };
        let question = quiet();
        line.draw();
        assert!(!line.is_drawn);
        drop(question);
        line.draw();
        assert!(line.is_drawn);
    }

    #[test]
    fn the_line_never_wraps() {
        for columns in [12, 30, 80] {
            let text = composed(&"é".repeat(100), Duration::from_secs(75), columns);
            assert!(text.chars().count() < columns, "{columns}: {text}");
            assert!(text.ends_with("…, 75 s"), "{text}");
        }
        assert_eq!(composed("install", Duration::ZERO, 80), "  … install");
    }
}
