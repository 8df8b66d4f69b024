//! Panics of the service. A task that panics is caught by its runtime, and
//! others may go on as if nothing had happened: so they are noted where they
//! begin. What a scripted target throws passes by here unseen.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    /// What has panicked in this thread, while anybody wanted to know.
    static NOTED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Does something; what it returns, and what panicked meanwhile.
pub fn noted<T>(does: impl FnOnce() -> T) -> (T, Vec<String>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            NOTED.with_borrow_mut(|noted| {
                if let Some(noted) = noted {
                    noted.push(panic.to_string());
                }
            });
            usual(panic);
        }));
    });
    NOTED.set(Some(Vec::new()));
    let done = does();
    (done, NOTED.take().unwrap_or_default())
}
