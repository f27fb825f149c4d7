//! Numbers in memory that this program shares with another.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::thread;

use bytemuck::{cast_slice, cast_slice_mut};
use rustix::fs::{MemfdFlags, memfd_create};

use super::Fault;

/// Values that are copied at a time: they stay in a processor's cache.
const PART: usize = 1 << 15;
/// Values from which on several threads copy.
const MANY: usize = 1 << 20;

/// A matrix that somebody has.
pub struct Numbers<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Number of values of each.
    pub columns: usize,
    /// Copies the values of a row, from a column on, as many as there is place for. Several threads call it.
    pub copy: &'a (dyn Fn(usize, usize, &mut [f32]) + Sync),
}

/// A file of 32-bit floats, little-endian, one row after the other, in memory alone: it ends with this process.
///
/// Whoever runs as the same user on this machine can open it by its path, which is short and has no blanks.
#[derive(Debug)]
pub struct SharedFile {
    file: File,
    path: String,
}

impl SharedFile {
    /// An empty file.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Ok(SharedFile { file, path })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Has nothing but `numbers` in it. The memory that is there is used again.
    pub(crate) fn fill(&self, numbers: &Numbers<'_>) -> io::Result<()> {
        let Numbers { rows, columns, copy } = *numbers;
        self.file.set_len((rows * columns * size_of::<f32>()) as u64)?;
        let parts = columns.div_ceil(PART);
        let fill_part = |part: usize, buffer: &mut [f32]| {
            let (row, from) = (part / parts, part % parts * PART);
            let values = &mut buffer[..PART.min(columns - from)];
            copy(row, from, values);
            values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().to_le()));
            let place = (row * columns + from) * size_of::<f32>();
            self.file.write_all_at(cast_slice(values), place as u64)
        };
        let threads = match rows * columns {
            0..MANY => 1,
            _ => thread::available_parallelism().map_or(1, NonZero::get).min(rows * parts),
        };
        let fill_from = |first: usize| {
            let mut buffer = vec![0.0_f32; PART.min(columns)];
            (first..rows * parts).step_by(threads).try_for_each(|part| fill_part(part, &mut buffer))
        };
        // Threads of its own: one of rayon's that waits for others might be given what waits for this one.
        thread::scope(|scope| {
            let spawn = |first| thread::Builder::new().spawn_scoped(scope, move || fill_from(first));
            let others = (1..threads).map(spawn).collect::<io::Result<Vec<_>>>()?;
            fill_from(0)?;
            let panicked = |_| io::Error::other("a thread that copies has panicked");
            others.into_iter().try_for_each(|other| other.join().map_err(panicked)?)
        })
    }

    /// Has nothing in it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// What somebody has written, if it is `count` rows of `columns` finite numbers.
    ///
    /// # Errors
    /// [`Fault::Wrong`] says how much there is instead, or which number is not finite.
    pub fn rows(&self, count: usize, columns: usize) -> Result<Vec<f32>, Fault> {
        let memory = |error: io::Error| Fault::Memory(error.to_string());
        let written = self.file.metadata().map_err(memory)?.len();
        let expected = count * columns * size_of::<f32>();
        if written != expected as u64 {
            let what = format!(
                "it wrote {written} bytes to `answer`, where {count} x {columns} numbers of 4 bytes take {expected}"
            );
            return Err(Fault::Wrong(what));
        }
        let mut values = vec![0.0_f32; count * columns];
        self.file.read_exact_at(cast_slice_mut(&mut values), 0).map_err(memory)?;
        values.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let (row, column, value) = (place / columns, place % columns, values[place]);
            return Err(Fault::Wrong(format!("number {column} of row {row} is {value}, and not finite")));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_read_at_its_path_whatever_was_there_before() {
        let file = SharedFile::new("test").unwrap();
        for (rows, columns) in [(3, 5), (2, 2 * PART + 3), (33, PART), (1, 1), (0, 4)] {
            let value = |row: usize, column: usize| (row * 7 + column) as f32 - 3.5;
            let copy = |row: usize, from: usize, to: &mut [f32]| {
                to.iter_mut().enumerate().for_each(|(column, to)| *to = value(row, from + column));
            };
            file.fill(&Numbers { rows, columns, copy: &copy }).unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            let read: Vec<f32> =
                bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            let expected: Vec<f32> =
                (0..rows).flat_map(|row| (0..columns).map(move |column| value(row, column))).collect();
            assert_eq!(read, expected);
            assert_eq!(file.rows(rows, columns).unwrap(), expected);
        }
    }

    #[test]
    fn too_few_numbers_too_many_and_such_as_are_none_are_named() {
        let file = SharedFile::new("test").unwrap();
        let wrong = |bytes: &[u8], rows, columns| {
            std::fs::write(file.path(), bytes).unwrap();
            file.rows(rows, columns).unwrap_err().to_string()
        };
        let numbers: Vec<u8> = [1.0_f32, 2.0, f32::NAN, 4.0].iter().flat_map(|it| it.to_le_bytes()).collect();
        assert!(
            wrong(&numbers, 1, 5).contains("16 bytes to `answer`, where 1 x 5 numbers of 4 bytes take 20")
        );
        assert!(wrong(&numbers, 1, 3).contains("16 bytes"));
        assert!(wrong(&[], 1, 1).contains("0 bytes"));
        assert!(wrong(&numbers, 2, 2).contains("number 0 of row 1 is NaN"));
    }
}
