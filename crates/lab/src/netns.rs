//! Doing things inside a node: a thread that enters its namespace and works there. Decides nothing
//! about what is done.

use std::fs::File;
use std::thread;

use anyhow::{Context, Result, bail};
use netio::testbed;

/// Runs `work` in a thread inside the namespace and waits for it.
pub(crate) fn inside<T: Send>(
    namespace: &File,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            testbed::enter_net(namespace).context("enter the namespace")?;
            work()
        });
        join_scoped(worker)
    })
}

/// Starts `work` in a thread of its own inside the namespace.
pub(crate) fn spawn<T: Send + 'static>(
    namespace: &File,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<thread::JoinHandle<Result<T>>> {
    let namespace = namespace.try_clone()?;
    Ok(thread::spawn(move || {
        testbed::enter_net(&namespace).context("enter the namespace")?;
        work()
    }))
}

/// Waits for a worker that [`spawn`] started.
pub(crate) fn join<T>(worker: thread::JoinHandle<Result<T>>) -> Result<T> {
    match worker.join() {
        Ok(result) => result,
        Err(_) => bail!("a worker of the lab panicked"),
    }
}

/// Waits for a worker of a scope.
pub(crate) fn join_scoped<T>(worker: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match worker.join() {
        Ok(result) => result,
        Err(_) => bail!("a worker of the lab panicked"),
    }
}
