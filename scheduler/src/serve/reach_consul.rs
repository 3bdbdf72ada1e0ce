//! How Consul is reached: the options, and the client that they make.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, Endpoint, Settings, TlsFiles, Token};

/// How long Consul may take for an answer: a server that has lost its leader finds another in less.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How Consul is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct ReachConsul {
    /// Where Consul is: the agent of this machine, or several addresses that are tried in turn.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = endpoint)]
    pub consul: Vec<Endpoint>,
    /// The file with the token for Consul; it is read again when it changes [also: CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_TOKEN].
    #[arg(long, value_name = "FILE", requires = "consul")]
    pub consul_token_file: Option<PathBuf>,
    /// The file with the authorities that vouch for an https:// Consul [also: CONSUL_CACERT].
    #[arg(long, value_name = "FILE", requires = "consul")]
    pub consul_authority: Option<PathBuf>,
    /// What the keys of the records in Consul begin with; the same for all schedulers of a cluster.
    #[arg(long, value_name = "PREFIX", default_value = "corral/scheduler", requires = "consul")]
    pub consul_prefix: String,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text, false).map_err(|error| error.to_string())
}

impl ReachConsul {
    /// The client; none if no address was given. Nobody is contacted yet.
    ///
    /// # Errors
    /// When a file can't be read or used.
    pub fn client(&self) -> Result<Option<Arc<Client>>, String> {
        let client = |settings| Client::new(settings).map(Arc::new);
        let client = self.settings()?.map(client).transpose();
        client.map_err(|error| format!("failed to {error}"))
    }

    /// Whom to ask, and as whom; none if no address was given.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn settings(&self) -> Result<Option<Settings>, String> {
        if self.consul.is_empty() {
            return Ok(None);
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let from_file = variable("CONSUL_HTTP_TOKEN_FILE").map(PathBuf::from);
        let file = self.consul_token_file.clone().or(from_file);
        let token = match file {
            Some(file) => Some(
                Token::of_file(&file)
                    .map_err(|error| format!("failed to read {}: {error}", file.display()))?,
            ),
            None => variable("CONSUL_HTTP_TOKEN").map(|text| Token::new(&text)),
        };
        let authority = self.consul_authority.clone();
        Ok(Some(Settings {
            endpoints: self.consul.clone(),
            token,
            tls: TlsFiles {
                authority: authority.or_else(|| variable("CONSUL_CACERT").map(PathBuf::from)),
                client: None,
            },
            datacenter: None,
            // What a former leader of Consul still believes must not decide who leads here.
            consistency: consul::Consistency::Consistent,
            timeout: ANSWER_TIMEOUT,
        }))
    }
}
