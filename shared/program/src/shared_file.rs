//! Numbers in memory that this program shares with another.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::thread;

use bytemuck::cast_slice_mut;
use memmap2::MmapRaw;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

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
pub(crate) struct SharedFile {
    /// What the program calls it.
    name: &'static str,
    file: File,
    path: String,
}

/// As [`SharedFile`], to be filled here: a file that grows and never shrinks, as a part of this process's memory. (What is
/// written to a file in the usual way is written by one thread at a time.)
#[derive(Debug)]
pub(crate) struct SharedMatrix {
    file: File,
    path: String,
    /// All of the file; `None` while it is empty.
    memory: Option<MmapRaw>,
}

/// The path at which others find a file without a name.
fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

impl SharedMatrix {
    /// An empty file.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        // Whoever has a file as memory and finds it shorter is ended by the operating system.
        fcntl_add_seals(&file, SealFlags::SHRINK)?;
        Ok(SharedMatrix { path: path_of(&file), file, memory: None })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Begins with `numbers` from now on. The memory that is there is used again.
    pub(crate) fn fill(&mut self, numbers: &Numbers<'_>) -> io::Result<()> {
        let Numbers { rows, columns, copy } = *numbers;
        let Some(memory) = self.with_room(rows * columns * size_of::<f32>())? else { return Ok(()) };
        let parts = columns.div_ceil(PART);
        let fill_part = |part: usize, buffer: &mut [f32]| {
            let (row, from) = (part / parts, part % parts * PART);
            let values = &mut buffer[..PART.min(columns - from)];
            copy(row, from, values);
            values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().to_le()));
            write_at(memory, (row * columns + from) * size_of::<f32>(), values);
        };
        let threads = match rows * columns {
            0..MANY => 1,
            _ => thread::available_parallelism().map_or(1, NonZero::get).min(rows * parts),
        };
        let fill_from = |first: usize| {
            let mut buffer = vec![0.0_f32; PART.min(columns)];
            (first..rows * parts).step_by(threads).for_each(|part| fill_part(part, &mut buffer));
        };
        // Threads of its own: one of rayon's that waits for others might be given what waits for this one.
        thread::scope(|scope| {
            let spawn = |first| thread::Builder::new().spawn_scoped(scope, move || fill_from(first));
            let others = (1..threads).map(spawn).collect::<io::Result<Vec<_>>>()?;
            fill_from(0);
            let panicked = |_| io::Error::other("a thread that copies has panicked");
            others.into_iter().try_for_each(|other| other.join().map_err(panicked))
        })
    }

    /// The memory of the file, which has at least so many bytes; `None` for none.
    fn with_room(&mut self, bytes: usize) -> io::Result<Option<&MmapRaw>> {
        if self.memory.as_ref().map_or(0, MmapRaw::len) < bytes {
            self.file.set_len(bytes as u64)?;
            self.memory = Some(MmapRaw::map_raw(&self.file)?);
        }
        Ok(self.memory.as_ref())
    }
}

/// Writes values to memory, from a place on.
fn write_at(memory: &MmapRaw, place: usize, values: &[f32]) {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    assert!(place <= memory.len() && bytes.len() <= memory.len() - place, "there is no room at {place}");
    // SAFETY: The bytes lie within the mapping, as has just been seen, and the file below it cannot shrink, by its seal. They do
    // not overlap with `bytes`, for nothing in this process ever refers to them. Another process may read them meanwhile, or
    // write; nothing here ever reads them.
    #[expect(unsafe_code, reason = "there is no other way into memory that another process may see")]
    unsafe {
        memory.as_mut_ptr().add(place).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
}

impl SharedFile {
    /// An empty file.
    pub(crate) fn new(name: &'static str) -> io::Result<Self> {
        let file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
        Ok(SharedFile { name, path: path_of(&file), file })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Has nothing in it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// What somebody has written, if it is `count` rows of `columns` finite numbers.
    ///
    /// # Errors
    /// [`Fault::Wrong`] says how much there is instead, or which number is not finite.
    pub(crate) fn rows(&self, count: usize, columns: usize) -> Result<Vec<f32>, Fault> {
        let memory = |error: io::Error| Fault::Memory(error.to_string());
        let written = self.file.metadata().map_err(memory)?.len();
        let expected = count.saturating_mul(columns).saturating_mul(size_of::<f32>());
        if written != expected as u64 {
            let what = format!(
                "it wrote {written} bytes to `{}`, where {count} x {columns} numbers of 4 bytes take {expected}",
                self.name
            );
            return Err(Fault::Wrong(what));
        }
        let mut values = vec![0.0_f32; count * columns];
        self.file.read_exact_at(cast_slice_mut(&mut values), 0).map_err(memory)?;
        values.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let (row, column, value) = (place / columns, place % columns, values[place]);
            let name = self.name;
            let what = format!("number {column} of row {row} of `{name}` is {value}, and not finite");
            return Err(Fault::Wrong(what));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_read_at_its_path_whatever_was_there_before() {
        let mut file = SharedMatrix::new("test").unwrap();
        for (rows, columns) in [(3, 5), (2, 2 * PART + 3), (33, PART), (1, 1), (0, 4)] {
            let value = |row: usize, column: usize| (row * 7 + column) as f32 - 3.5;
            let copy = |row: usize, from: usize, to: &mut [f32]| {
                to.iter_mut().enumerate().for_each(|(column, to)| *to = value(row, from + column));
            };
            file.fill(&Numbers { rows, columns, copy: &copy }).unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            let read: Vec<f32> = bytes[..rows * columns * 4]
                .chunks(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
                .collect();
            let expected: Vec<f32> =
                (0..rows).flat_map(|row| (0..columns).map(move |column| value(row, column))).collect();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn nobody_can_take_the_memory_away_that_is_written_to() {
        let mut file = SharedMatrix::new("test").unwrap();
        let ones = Numbers { rows: 2, columns: 3, copy: &|_, _, to| to.fill(1.0) };
        file.fill(&ones).unwrap();
        // A program that opens the wrong file to write its answer.
        assert!(File::create(file.path()).is_err());
        std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(1).unwrap_err();
        file.fill(&ones).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap().len(), 24);
    }

    #[test]
    fn too_few_numbers_too_many_and_such_as_are_none_are_named() {
        let file = SharedFile::new("answer").unwrap();
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
        assert!(wrong(&numbers, 2, 2).contains("number 0 of row 1 of `answer` is NaN"));
    }
}
