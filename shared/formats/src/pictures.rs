//! Folders of pictures (PNG, JPEG), one folder for each class.

use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};
use input::npy::Numbers;

use crate::Wrong;
use crate::found::Found;
use crate::labels::Labels;

/// What a picture may take in memory, in bytes, whatever size it announces.
const MOST_BYTES: u64 = 64 << 20;

/// The pictures below `folder`, whose folders are the classes, in the order of their names. Where a `shape` is said, they are
/// brought to that size; they are grey where all of them are, or the shape has no third side. Where they are grouped, those of a
/// class lie in folders, which are the groups.
///
/// # Errors
/// Which file or folder is wrong, and how.
pub(crate) fn read(folder: &Path, shape: Option<&[usize]>, is_grouped: bool) -> Result<Found, Wrong> {
    let size = match shape {
        None => None,
        Some(&[height, width] | &[height, width, 1 | 3]) => {
            Some((u32::try_from(height)?, u32::try_from(width)?))
        }
        Some(other) => {
            return Err(format!(
                "pictures have the shape [height, width] or [height, width, 3], not {other:?}"
            )
            .into());
        }
    };
    let classes = folders(folder)?;
    if classes.is_empty() {
        return Err(
            "there is no folder in it; pictures of each class lie in a folder that has its name".into()
        );
    }
    let (mut labels, mut groups) = (Labels::default(), Labels::default());
    let mut pictures = Vec::new();
    for class in classes {
        for folder in if is_grouped { folders(&class)? } else { vec![class.clone()] } {
            for path in entries(&folder)?.into_iter().filter(|path| is_picture(path)) {
                let wrong = |error: Wrong| format!("{}: {error}", path.display());
                let picture = open(&path, size).map_err(wrong)?;
                labels.push(&name(&class))?;
                if is_grouped {
                    groups.push(&name(&folder))?;
                }
                pictures.push((path, picture));
            }
        }
    }
    let Some((first, model)) = pictures.first() else {
        let place = if is_grouped { "the folders of the groups in its folders" } else { "its folders" };
        return Err(format!("there is no .png, .jpg or .jpeg in {place}").into());
    };
    let (first, width, height) = (first.clone(), model.width(), model.height());
    let has_colours = match shape {
        Some(shape) => shape.len() == 3 && shape[2] == 3,
        None => pictures.iter().any(|(_, picture)| picture.color().has_color()),
    };
    let channels = if has_colours { 3 } else { 1 };
    let shape = [pictures.len(), height as usize, width as usize, channels];
    let mut values = Vec::with_capacity(shape.iter().product());
    // Each goes when its values are there.
    for (path, picture) in pictures {
        if (picture.width(), picture.height()) != (width, height) {
            let text = format!(
                "{} is {} x {} pixels, and {} is {width} x {height}; say `shape = [height, width]`, and all are brought to it",
                path.display(),
                picture.width(),
                picture.height(),
                first.display()
            );
            return Err(text.into());
        }
        if has_colours {
            values.extend_from_slice(picture.to_rgb8().as_raw());
        } else {
            values.extend_from_slice(picture.to_luma8().as_raw());
        }
    }
    Found::new(&shape, Numbers::Bytes(values), labels)?.with_groups(is_grouped.then_some(groups))
}

fn open(path: &Path, size: Option<(u32, u32)>) -> Result<DynamicImage, Wrong> {
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let picture = reader.decode()?;
    Ok(match size {
        Some((height, width)) if (picture.height(), picture.width()) != (height, width) => {
            picture.resize_exact(width, height, FilterType::Triangle)
        }
        _ => picture,
    })
}

/// What lies in a folder, in the order of its names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Wrong> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.'));
    paths.sort_unstable();
    Ok(paths)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, Wrong> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &Path, shape: Option<&[usize]>) -> Result<Found, String> {
        read(folder, shape, false).map_err(|error| error.to_string())
    }

    #[test]
    fn a_picture_that_announces_more_than_there_can_be_is_refused() {
        // 10,000 x 10,000 pixels in colour, of which none is there.
        let announced = b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x27\x10\x00\x00\x27\x10\x08\x02\x00\x00\x00\x35\x2c\xf5\x70\x00\x00\x00\x08\x49\x44\x41\x54\x78\x9c\x03\x00\x00\x00\x00\x01\x48\x06\x89\xd2\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rose")).unwrap();
        fs::write(folder.path().join("rose/1.png"), announced).unwrap();
        let error = found(folder.path(), None).unwrap_err();
        assert!(error.contains("1.png: ") && error.to_lowercase().contains("limit"), "{error}");
    }

    #[test]
    fn folders_of_pictures_are_classes() {
        let folder = tempfile::tempdir().unwrap();
        let flowers = folder.path().join("flowers");
        let save = |class: &str, name: &str, size: (u32, u32), colour: [u8; 3]| {
            fs::create_dir_all(flowers.join(class)).unwrap();
            let picture = image::RgbImage::from_pixel(size.0, size.1, image::Rgb(colour));
            picture.save(flowers.join(class).join(name)).unwrap();
        };
        save("rose", "2.png", (3, 2), [255, 0, 0]);
        save("aster", "1.png", (3, 2), [0, 0, 255]);
        save("aster", "2.PNG", (3, 2), [0, 0, 255]);
        let all = found(&flowers, None).unwrap();
        assert!(all.groups.is_none());
        assert_eq!((&all.shape[..], all.labels.classes().unwrap().len(), all.len()), (&[2, 3, 3][..], 2, 3));
        save("rose", "3.jpg", (8, 8), [0, 255, 0]);
        let error = found(&flowers, None).unwrap_err();
        assert!(
            error.contains("3.jpg is 8 x 8 pixels") && error.contains("shape = [height, width]"),
            "{error}"
        );
        assert_eq!(found(&flowers, Some(&[4, 4])).unwrap().shape, [4, 4]);
        fs::write(flowers.join("rose/4.png"), b"no picture").unwrap();
        let error = found(&flowers, Some(&[4, 4])).unwrap_err();
        assert!(error.contains("4.png: "), "{error}");
        let error = read(&flowers, None, true).unwrap_err().to_string();
        assert!(error.contains("in the folders of the groups"), "{error}");
        save("rose/field", "1.png", (3, 2), [255, 0, 0]);
        save("aster/meadow", "1.png", (3, 2), [0, 0, 255]);
        let grouped = read(&flowers, None, true).unwrap();
        assert_eq!(
            (grouped.len(), grouped.groups.unwrap().in_order()),
            (2, vec!["field".to_owned(), "meadow".to_owned()])
        );
    }
}
