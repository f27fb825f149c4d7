//! Data sets, their partition over devices, and shard files.
//!
//! A [`Dataset`] holds examples in memory; [`load()`] reads a [`Source`], a data set that a scenario may name, from its folder.
//! A [`Partition`] deals its training part out to devices (paper section 4.1), and a [`Shard`] is what one device then trains
//! on: a view of a shared data set on one machine, a file of its own on a board.
//!
//! ```
//! use std::sync::Arc;
//! use learning::data::{Dataset, Features, LabelGroups, Partition, Shard};
//! use learning::random::{Purpose, stream};
//!
//! let pixels = Features::Bytes((0..40).collect());
//! let dataset = Arc::new(Dataset::new(vec![2, 2], 2, pixels, vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1])?);
//! let random = &mut stream(1, Purpose::Partition, None, 0);
//! let parts = LabelGroups { non_iid: 0.5 }.deal(&dataset, 4, random);
//! let shard = Shard::new(Arc::clone(&dataset), parts[0].clone());
//! let batch = shard.minibatch(32, &mut stream(1, Purpose::Batches, None, 1));
//! assert_eq!(batch.len(), shard.len().min(32));
//! # Ok::<(), learning::data::DatasetError>(())
//! ```

mod batch;
mod breast_cancer;
mod ch_mnist;
mod cifar;
mod dataset;
mod dealing;
mod dirichlet;
mod emnist;
mod fashion_mnist;
mod features;
mod femnist;
mod file_names;
mod groups;
mod iid;
mod imported_file;
mod label_groups;
mod label_shards;
mod load;
mod mnist;
mod own;
mod partition;
mod quantity;
mod sealed;
mod shard;
mod shard_file;
mod shard_list;
mod shard_source;
mod similarity;
mod source;
mod table;
mod uci_har;
mod whole_groups;

pub use batch::Batch;
pub use breast_cancer::{BreastCancer, read_breast_cancer};
pub use ch_mnist::{ChMnist, read_ch_mnist};
pub use cifar::{Cifar10, Cifar100, CifarLabels};
pub use dataset::{Dataset, DatasetError, Split};
pub use dirichlet::Dirichlet;
pub use emnist::{Emnist, EmnistPart};
pub use fashion_mnist::FashionMnist;
pub use features::{Features, pixel};
pub use femnist::Femnist;
pub use file_names::FileName;
pub use groups::Groups;
pub use iid::Iid;
pub use imported_file::ImportedFile;
pub use label_groups::LabelGroups;
pub use label_shards::LabelShards;
pub use load::{DataError, Folder, load, load_test};
pub use mnist::Mnist;
pub use own::{Description, Imported, Misfit, OnDevices, OwnFile, TestPart};
pub use partition::{Partition, leave_none_empty};
pub use quantity::Quantity;
pub use sealed::ShardError;
pub use shard::{Drawn, Shard};
pub use shard_file::{ShardFile, ShardInfo};
pub use shard_list::{ShardEntry, ShardList};
pub use shard_source::ShardSource;
pub use similarity::Similarity;
pub use source::{Mirror, Published, Source, Spec};
pub use table::TableError;
pub use uci_har::UciHar;
pub use whole_groups::WholeGroups;
