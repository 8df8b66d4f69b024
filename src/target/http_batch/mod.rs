//! The `http_batch` target.
