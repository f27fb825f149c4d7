//! What is in the catalogue, held to what all of its kind hold.

use learning::data::{DataError, Dataset, Features, Groups, Mirror, load};
use learning::random::{Purpose, stream};
use proptest::prelude::*;
use scenario::catalogue::Catalogue;

#[test]
fn digests_are_known_for_all_files_or_none_and_for_every_download() {
    let registry = Catalogue::standard().datasets;
    // Without those that are the user's own.
    for dataset in registry.entries().filter_map(|entry| registry.with_defaults(entry.name()).ok()) {
        let name = dataset.name();
        let (source, files) = (dataset.published().unwrap(), dataset.spec().files.len());
        for digests in [&source.content, &source.download] {
            assert!(digests.is_empty() || digests.len() == files, "{name}");
            assert!(digests.iter().all(|digest| digest.len() == 64), "{name}");
        }
        if let Mirror::Url(url) = source.mirror {
            assert!(url.starts_with("https://") && !url.ends_with('/'), "{name}");
            assert!(source.content.len() + source.download.len() > 0, "{name}");
        }
    }
}

#[test]
fn the_first_file_that_is_missing_is_one_of_those_declared() {
    let datasets = tempfile::tempdir().unwrap();
    let registry = Catalogue::standard().datasets;
    for dataset in registry.entries().filter_map(|entry| registry.with_defaults(entry.name()).ok()) {
        let name = dataset.name();
        let Err(DataError::Missing { path, .. }) = load(&dataset, datasets.path(), 1) else {
            panic!("{name} is not there");
        };
        let spec = dataset.spec();
        assert_eq!(path, datasets.path().join(spec.folder).join(&*spec.files[0].name));
    }
}

proptest! {
    #[test]
    fn every_example_goes_to_exactly_one_device_in_ascending_order(
        labels in prop::collection::vec(0u16..10, 0..200),
        devices in 1usize..30,
        seed: u64,
    ) {
        // As many groups as examples, up to fifty.
        let names = (0..50).map(|name: u16| name.to_string()).collect();
        let groups = Groups::new(names, (0..labels.len() as u16).map(|example| example % 50).collect()).unwrap();
        let features = Features::Bytes(vec![0; labels.len()]);
        let train = Dataset::new(vec![1], 10, features, labels.clone()).unwrap().with_groups(groups).unwrap();
        let registry = Catalogue::standard().partitions;
        for entry in registry.entries() {
            let partition = registry.with_defaults(entry.name()).unwrap();
            if partition.fits(&train, devices).is_err() {
                continue;
            }
            let deal = || partition.deal(&train, devices, &mut stream(seed, Purpose::Partition, None, 0));
            let parts = deal();
            prop_assert_eq!(parts.len(), devices);
            prop_assert!(parts.iter().all(|part| part.is_sorted()));
            let empty = parts.iter().filter(|part| part.is_empty()).count();
            prop_assert_eq!(empty, devices.saturating_sub(labels.len()));
            let mut all = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len() as u32).collect::<Vec<_>>());
            prop_assert_eq!(deal(), parts, "the same seed deals the same");
        }
    }
}
