//! Reading an inventory.

use std::path::Path;

use input::toml_file::{self, FileError};

use super::Inventory;

impl Inventory {
    /// Reads and validates the inventory in `path`.
    ///
    /// # Errors
    /// [`FileError`] with the file and the line or the key.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Inventory::parse(&path.display().to_string(), &toml_file::read(path)?)
    }

    /// As [`Inventory::load`], from text; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`Inventory::load`].
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let mut inventory: Inventory = toml_file::parse(file, text)?;
        file.clone_into(&mut inventory.file);
        inventory.validate()?;
        Ok(inventory)
    }
}
