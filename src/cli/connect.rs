//! Reaching a server.

use std::error::Error as _;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

use super::Problem;
use crate::proto::batch_service_client::BatchServiceClient;
use crate::proto::target_service_client::TargetServiceClient;

/// Where `flowgate serve` listens unless told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that is gone without a word is noticed after these two together;
/// a batch may be silent for far longer.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's address.
#[derive(Clone, Debug)]
pub struct Server {
    shown: String,
    endpoint: Endpoint,
}

impl Server {
    /// The address as people read it, e.g. `http://127.0.0.1:50051`.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Connects to its batch service.
    pub async fn batches(&self) -> Result<BatchServiceClient<Channel>, Problem> {
        Ok(BatchServiceClient::new(self.connect().await?))
    }

    /// Connects to its target service.
    pub async fn targets(&self) -> Result<TargetServiceClient<Channel>, Problem> {
        Ok(TargetServiceClient::new(self.connect().await?))
    }

    async fn connect(&self) -> Result<Channel, Problem> {
        self.endpoint.connect().await.map_err(|error| {
            let refused = causes(&error).any(|cause| {
                cause
                    .downcast_ref::<io::Error>()
                    .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            });
            if refused {
                Problem::no_server(&self.shown)
            } else {
                let root = causes(&error).last().map(ToString::to_string);
                Problem::unreachable(&self.shown, &root.unwrap_or_default())
            }
        })
    }
}

fn causes(
    error: &tonic::transport::Error,
) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

impl FromStr for Server {
    type Err = String;

    fn from_str(given: &str) -> Result<Server, String> {
        let shown = if given.contains("://") {
            given.trim_end_matches('/').to_owned()
        } else {
            format!("http://{given}")
        };
        let help = || format!("write it as http://host:port or host:port, e.g. {DEFAULT_SERVER}");
        let uri: Uri = shown.parse().map_err(|_| help())?;
        if uri.scheme_str() != Some("http") {
            return Err(format!(
                "only http:// is supported, without TLS; {}",
                help()
            ));
        }
        if uri.port().is_none() || !matches!(uri.path(), "" | "/") {
            return Err(help());
        }
        let endpoint = Endpoint::from(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .user_agent(concat!("flowgate-cli/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| error.to_string())?;
        Ok(Server { shown, endpoint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_the_scheme() {
        let server: Server = "localhost:50051".parse().unwrap();
        assert_eq!(server.shown(), "http://localhost:50051");
        let server: Server = "http://[::1]:9/".parse().unwrap();
        assert_eq!(server.shown(), "http://[::1]:9");
    }

    #[test]
    fn an_address_that_cannot_work_says_how_one_looks() {
        for given in ["", "localhost", "http://a:1/path", "https://a:1", "a b:1"] {
            let error = given.parse::<Server>().unwrap_err();
            assert!(error.contains("host:port"), "{given:?}: {error}");
        }
    }
}
