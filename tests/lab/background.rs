//! Where the parts of the lab that are no processes of their own run: tasks that end with their guard.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The runtime of all servers that live inside this process. It is never shut down, so that one of
/// them that waits for a stopped process does not hold the end of a test up.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("lab").enable_all().build().unwrap()
    })
}

/// A task that ends with this guard.
pub struct Task(JoinHandle<()>);

impl Task {
    pub fn start(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(runtime().spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
