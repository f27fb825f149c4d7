//! Reading an inventory.

use std::path::Path;

use shared::scenario::line_and_message;

use super::{Inventory, InventoryError};

impl Inventory {
    /// Reads and validates the inventory in `path`.
    ///
    /// # Errors
    /// [`InventoryError`] with the file and the line or the key.
    pub fn load(path: &Path) -> Result<Self, InventoryError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| InventoryError::Unreadable { file: file.clone(), cause })?;
        Inventory::parse(&file, &text)
    }

    /// As [`Inventory::load`], from text; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`Inventory::load`].
    pub fn parse(file: &str, text: &str) -> Result<Self, InventoryError> {
        let mut inventory: Inventory = toml::from_str(text).map_err(|error: toml::de::Error| {
            let (line, message) = line_and_message(text, &error);
            InventoryError::Text { file: file.to_owned(), line, message }
        })?;
        file.clone_into(&mut inventory.file);
        inventory.validate()?;
        Ok(inventory)
    }
}
