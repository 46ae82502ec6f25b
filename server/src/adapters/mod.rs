//! What stands behind the domain's ports. No driver's type leaves its adapter's folder.

pub mod memory;
