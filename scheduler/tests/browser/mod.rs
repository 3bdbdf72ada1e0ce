//! A headless Chromium with one page, driven over a pair of pipes by its DevTools protocol: messages
//! of JSON that end with a zero.

#![allow(dead_code, reason = "each test uses a part")]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What comes, comes long before.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where Debian's package chromium has it.
const PROGRAM: &str = "chromium";

pub struct Browser {
    process: Child,
    to: File,
    messages: Receiver<Value>,
    /// Of the page.
    session: Option<String>,
    calls: u64,
    /// What the page complained of.
    problems: Vec<String>,
    folder: TempDir,
}

impl Browser {
    /// Opens a page.
    pub fn open(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            path
        };
        let (to, from) = (pipe("to"), pipe("from"));
        let log = File::create(folder.path().join("log")).unwrap();
        // The shell opens the pipes at the numbers that Chromium expects, one after the other.
        let process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\"", PROGRAM])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--hide-scrollbars"])
            .args(["--disable-component-update", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .env("TO", &to)
            .env("FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(&to).unwrap();
        let mut from = BufReader::new(File::open(&from).unwrap());
        let (told, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while from.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).unwrap();
                message.clear();
                if told.send(value).is_err() {
                    return;
                }
            }
        });
        let (session, problems) = (None, Vec::new());
        let mut browser = Browser { process, to, messages, session, calls: 0, problems, folder };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for method in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.call(method, &json!({}));
        }
        browser.call("Page.navigate", &json!({"url": url}));
        browser.until("the page is there", "document.readyState === 'complete'");
        browser
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let Ok(answer) = self.messages.recv_timeout(PATIENCE) else {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("Chromium doesn't answer {method}\n{log}");
            };
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.hear(&answer);
        }
    }

    /// Keeps what the page complains of.
    fn hear(&mut self, event: &Value) {
        let parameters = &event["params"];
        let is_problem = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            Some("Log.entryAdded") => parameters["entry"]["level"] == "error",
            _ => false,
        };
        if is_problem {
            self.problems.push(parameters.to_string());
        }
    }

    /// What the page complained of so far.
    pub fn problems(&mut self) -> &[String] {
        // All that was said before this was heard.
        self.evaluate("1");
        &self.problems
    }

    /// The value of an expression in the page; of a promise, when it is there.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, what: &str, expression: &str) {
        let begun = Instant::now();
        while self.evaluate(expression) != true {
            if begun.elapsed() > PATIENCE {
                let text = self.evaluate("document.body ? document.body.innerText : ''");
                panic!("the page never shows: {what}\n{}", text.as_str().unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses a key, such as `ArrowRight`.
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", &json!({"type": kind, "key": key, "code": key}));
        }
    }

    /// Takes a picture of the whole page in a window of this width, light or dark.
    pub fn picture(&mut self, width: u32, scheme: &str, file: &Path) {
        let window =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &window);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &media);
        let size = self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1});
        let wanted = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = self.call("Page.captureScreenshot", &wanted);
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
