//! What can be wrong with an inventory.

/// What is wrong with an inventory, in one line that names the file and the line or the key.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The file cannot be read.
    #[error("{file}: {cause}; check the path")]
    Unreadable {
        /// The inventory.
        file: String,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{file}:{line}: {message}")]
    Text {
        /// The inventory.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What the TOML reader says.
        message: String,
    },
    /// A value that cannot be, or values that contradict each other or the scenario.
    #[error("{file}: {key}: {message}")]
    Invalid {
        /// The inventory.
        file: String,
        /// The key, after the device's name if it is one of a device.
        key: String,
        /// What is wrong, and what would be right.
        message: String,
    },
}
