//! The real program as a server process on a port of its own.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use groundwork::service::pb::document_service_client::DocumentServiceClient;
use groundwork::service::pb::knowledge_base_service_client::KnowledgeBaseServiceClient;
use groundwork::service::pb::model_service_client::ModelServiceClient;
use groundwork::service::pb::retrieval_service_client::RetrievalServiceClient;
use parking_lot::Mutex;
use tonic::transport::Channel;

use super::models;

/// Time in which a server listens or has ended, unless it hangs.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// A server that is to be started without a language model, watched from outside.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Where its knowledge bases are.
    pub(crate) data_dir: PathBuf,
    /// Variables of its environment beside the inherited ones.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// Where its stderr is added to.
    pub(crate) stderr: PathBuf,
}

/// A server that ended before it listened.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) status: ExitStatus,
}

impl Launch {
    /// A server over `data_dir` whose stderr goes to `stderr`.
    pub(crate) fn new(data_dir: &Path, stderr: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            environment: Vec::new(),
            stderr: stderr.to_owned(),
        }
    }

    /// Starts the process without waiting for it.
    pub(crate) fn spawn(&self) -> Child {
        let stderr = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.stderr)
            .expect("a file for stderr");
        Command::new(env!("CARGO_BIN_EXE_groundwork"))
            .args(["serve", "--listen", "127.0.0.1:0", "--offline", "--json"])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--models-dir")
            .arg(models::encoder_directory())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the program starts")
    }

    /// Starts the server and waits until it listens, or ends because it cannot.
    pub(crate) fn start(&self) -> Result<Server, NotStarted> {
        let mut child = self.spawn();
        let stdout = child.stdout.take().expect("stdout is piped");
        let (told, tells) = mpsc::channel();
        let reading = std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // Nobody listens any more once the time is over.
            let _ = told.send(read.map(|_| line));
        });
        let Ok(line) = tells.recv_timeout(START_TIMEOUT) else {
            let _ = child.kill();
            panic!("the server neither listens nor ends within {START_TIMEOUT:?}");
        };
        reading.join().expect("the reader ends");
        let line = line.expect("stdout can be read");
        if line.is_empty() {
            let status = child.wait().expect("the process ends");
            return Err(NotStarted { status });
        }
        Ok(Server {
            address: address_in(&line),
            child: Mutex::new(child),
        })
    }
}

/// Returns the address that the first line of a server tells.
fn address_in(line: &str) -> String {
    let ready: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: `{line}`"));
    ready["address"].as_str().expect("an address").to_owned()
}

/// A running `groundwork serve`; killed when dropped.
pub(crate) struct Server {
    child: Mutex<Child>,
    address: String,
}

impl Server {
    /// Starts a server over `data_dir` and waits until it listens.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// Starts a server with more arguments.
    pub(crate) fn start_with(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_groundwork"))
            .args(["serve", "--listen", "127.0.0.1:0", "--offline", "--json"])
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--models-dir")
            .arg(models::directory())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("the server says where it listens");
        let address = address_in(&line);
        Self {
            child: Mutex::new(child),
            address,
        }
    }

    /// Returns `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(self) {
        self.kill_now();
    }

    /// Does the same while calls are running.
    pub(crate) fn kill_now(&self) {
        let mut child = self.child.lock();
        child.kill().expect("the process can be killed");
        child.wait().expect("the process ends");
    }

    /// Asks the process to end, and returns whether it ended well.
    pub(crate) fn terminate(self) -> bool {
        let mut child = self.child.lock();
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        child.wait().expect("the process ends").success()
    }

    /// Connects to it.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("an address");
        for _ in 0..100 {
            if let Ok(channel) = endpoint.connect().await {
                return channel;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no connection to {}", self.address);
    }

    /// Connects to it in one attempt, where it may be gone.
    pub(crate) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await
    }

    pub(crate) async fn knowledge_bases(&self) -> KnowledgeBaseServiceClient<Channel> {
        KnowledgeBaseServiceClient::new(self.channel().await)
    }

    pub(crate) async fn documents(&self) -> DocumentServiceClient<Channel> {
        DocumentServiceClient::new(self.channel().await)
    }

    pub(crate) async fn retrieval(&self) -> RetrievalServiceClient<Channel> {
        RetrievalServiceClient::new(self.channel().await)
    }

    pub(crate) async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel().await)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `kill` and `terminate`; nothing depends on the outcome.
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Runs asynchronous test code.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}
