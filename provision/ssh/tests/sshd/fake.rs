//! Servers that OpenSSH can't be here: passwords without PAM, old protocols, nonsense.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provision_ssh::{ConnectOptions, Destination, ErrorKind, HostKeyPolicy, Secret, SshError};
use russh::keys::PrivateKey;
use russh::server::{Auth, Config, Handler, Response, run_stream};
use russh::{MethodKind, MethodSet, Preferred, cipher, kex};
use tokio::io::AsyncWriteExt as _;

use crate::support::{client, keygen};

#[derive(Default)]
struct Seen {
    passwords: AtomicUsize,
    answers: Mutex<Vec<String>>,
}

#[derive(Clone, Default)]
struct Rules {
    methods: Vec<MethodKind>,
    prompts: &'static [(&'static str, bool)],
    preferred: Option<Preferred>,
}

struct Door {
    rules: Rules,
    seen: Arc<Seen>,
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        if !self.rules.methods.contains(&MethodKind::Password) {
            return Ok(Auth::UnsupportedMethod);
        }
        self.seen.passwords.fetch_add(1, Ordering::SeqCst);
        Ok(if password == "right" { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(response) = response else {
            let prompts = self.rules.prompts.iter();
            return Ok(Auth::Partial {
                name: Cow::Borrowed(""),
                instructions: Cow::Borrowed(""),
                prompts: prompts.map(|(text, echo)| (Cow::Borrowed(*text), *echo)).collect(),
            });
        };
        let answers: Vec<String> =
            response.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
        let is_right = answers == ["right"];
        self.seen.answers.lock().unwrap().extend(answers);
        Ok(if is_right { Auth::Accept } else { Auth::reject() })
    }
}

async fn serve(rules: Rules) -> (Destination, ConnectOptions, Arc<Seen>) {
    let directory = tempfile::tempdir().unwrap();
    let key = keygen(directory.path(), "host", "ed25519", "");
    let key = PrivateKey::read_openssh_file(&key).unwrap();
    let config = Arc::new(Config {
        methods: MethodSet::from(&rules.methods[..]),
        keys: vec![key],
        auth_rejection_time: Duration::ZERO,
        preferred: rules.preferred.clone().unwrap_or_default(),
        ..Config::default()
    });
    let seen = Arc::new(Seen::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let doors = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let door = Door { rules: rules.clone(), seen: Arc::clone(&doors) };
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                if let Ok(session) = run_stream(config, stream, door).await {
                    let _ = session.await;
                }
            });
        }
    });
    let destination = Destination { port: Some(port), ..Destination::new("127.0.0.1") };
    let options = ConnectOptions {
        // Its key is of no interest here.
        host_key_policy: Some(HostKeyPolicy::Off),
        use_agent: Some(false),
        connect_timeout: Some(Duration::from_secs(30)),
        retries: Some(0),
        ..ConnectOptions::default()
    };
    (destination, options, seen)
}

fn with_password(options: &ConnectOptions, text: &str) -> ConnectOptions {
    ConnectOptions { password: Some(Secret::new(text)), ..options.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_log_in_and_wrong_ones_count_once() {
    let methods = vec![MethodKind::Password, MethodKind::KeyboardInteractive];
    let rules = Rules { methods, prompts: &[("Password: ", false)], ..Rules::default() };
    let (destination, options, seen) = serve(rules).await;
    client().connect(&destination, &with_password(&options, "right")).await.unwrap();
    assert_eq!(seen.passwords.load(Ordering::SeqCst), 1);
    let wrong = with_password(&options, "hunter2");
    let error = client().connect(&destination, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("password (refused)"), "{error}");
    assert!(!format!("{error} {error:?} {wrong:?}").contains("hunter2"));
    assert_eq!(seen.passwords.load(Ordering::SeqCst), 2);
    assert!(seen.answers.lock().unwrap().is_empty());
    // Without a password nothing of the kind is tried.
    let error = client().connect(&destination, &options).await.unwrap_err();
    assert!(error.to_string().contains("there was nothing to try"), "{error}");
    assert_eq!(seen.passwords.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_dialogue_is_answered() {
    let methods = vec![MethodKind::KeyboardInteractive];
    let rules = Rules { methods, prompts: &[("Password: ", false)], ..Rules::default() };
    let (destination, options, seen) = serve(rules).await;
    client().connect(&destination, &with_password(&options, "right")).await.unwrap();
    let error =
        client().connect(&destination, &with_password(&options, "wrong")).await.unwrap_err();
    assert!(error.to_string().contains("keyboard-interactive (refused)"), "{error}");
    assert_eq!(*seen.answers.lock().unwrap(), ["right", "wrong"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_questions_never_get_the_password() {
    for prompts in
        [&[("Favourite colour: ", true)][..], &[("Password: ", false), ("One-time code: ", false)]]
    {
        let methods = vec![MethodKind::KeyboardInteractive];
        let (destination, options, seen) =
            serve(Rules { methods, prompts, ..Rules::default() }).await;
        let options = with_password(&options, "right");
        let error = client().connect(&destination, &options).await.unwrap_err();
        assert!(error.to_string().contains("the server asks"), "{error}");
        assert!(seen.answers.lock().unwrap().is_empty());
    }
}

fn preferred(strict: bool, ciphers: &'static [cipher::Name]) -> Preferred {
    let mut key_exchanges = vec![kex::CURVE25519];
    if strict {
        key_exchanges.push(kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER);
    }
    Preferred { kex: key_exchanges.into(), cipher: ciphers.into(), ..Preferred::DEFAULT }
}

#[tokio::test(flavor = "multi_thread")]
async fn chacha_needs_strict_key_exchange() {
    const CHACHA: &[cipher::Name] = &[cipher::CHACHA20_POLY1305];
    const BOTH: &[cipher::Name] = &[cipher::CHACHA20_POLY1305, cipher::AES_256_GCM];
    for (strict, ciphers, expected) in [
        (false, CHACHA, None),
        (true, CHACHA, Some("chacha20-poly1305@openssh.com")),
        (false, BOTH, Some("aes256-gcm@openssh.com")),
    ] {
        let methods = vec![MethodKind::Password];
        let preferred = Some(preferred(strict, ciphers));
        let (destination, options, _) =
            serve(Rules { methods, preferred, ..Rules::default() }).await;
        let result = client().connect(&destination, &with_password(&options, "right")).await;
        match expected {
            Some(cipher) => {
                let session = result.unwrap();
                let negotiated = session.description().negotiated.clone().unwrap();
                assert_eq!((negotiated.cipher.as_str(), negotiated.strict), (cipher, strict));
            }
            None => {
                let error = result.unwrap_err();
                assert!(matches!(error, SshError::Negotiation { .. }), "{error}");
                assert!(error.to_string().contains("Terrapin"), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_old_algorithms_are_told_by_name() {
    const OLD: &[cipher::Name] = &[cipher::AES_128_CBC];
    let preferred = Some(preferred(true, OLD));
    let (destination, options, _) =
        serve(Rules { methods: vec![MethodKind::Password], preferred, ..Rules::default() }).await;
    let error = client().connect(&destination, &options).await.unwrap_err();
    assert!(error.to_string().contains("no common cipher algorithm"), "{error}");
    assert!(error.to_string().contains("aes128-cbc"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_from_the_other_side_is_an_error_and_no_panic() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut state = 1_u64;
        while let Ok((mut stream, _)) = listener.accept().await {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut bytes = b"SSH-2.0-x\r\n".to_vec();
            // A plausible packet header, a KEXINIT, and then noise.
            let length = 12 + u32::try_from(state % 200).unwrap();
            bytes.extend(length.to_be_bytes());
            bytes.extend([4, 20]);
            for index in 0..1000_u64 {
                bytes.push((state.rotate_left(u32::try_from(index % 64).unwrap()) ^ index) as u8);
            }
            let _ = stream.write_all(&bytes).await;
        }
    });
    let destination = Destination { port: Some(port), ..Destination::new("127.0.0.1") };
    let options = ConnectOptions {
        retries: Some(0),
        connect_timeout: Some(Duration::from_secs(2)),
        ..ConnectOptions::default()
    };
    for _ in 0..50 {
        let error = client().connect(&destination, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    }
}
