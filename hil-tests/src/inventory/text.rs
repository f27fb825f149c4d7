//! Reading an inventory.

use std::path::Path;

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
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.get(..start).unwrap_or(text).matches('\n').count();
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            InventoryError::Text { file: file.to_owned(), line, message }
        })?;
        file.clone_into(&mut inventory.file);
        inventory.validate()?;
        Ok(inventory)
    }
}
