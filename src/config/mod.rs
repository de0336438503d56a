//! Settings, each declared once; what a declaration is says `registry.rs`.

mod inert;
pub mod listeners;
pub mod properties;
pub mod registry;
