//! Makes posts.
