//! Where the data sets come from.

use shared::data::DatasetName;

/// What is known of a data set as it is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its licence.
    pub licence: &'static str,
    /// The page of its authors.
    pub origin: &'static str,
    /// About how large its files are.
    pub size: &'static str,
    /// Where its files can be downloaded from.
    pub mirror: Mirror,
    /// SHA-256 in hexadecimal of each file's content after decompression, as the files stand in
    /// [`Spec::files`](shared::data::Spec::files); empty where it is not known.
    pub content: Vec<String>,
    /// SHA-256 in hexadecimal of each file as it is downloaded; empty where it is not known.
    pub download: Vec<String>,
}

/// Whether files can be downloaded without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// Each file is at this address, a slash, and its name with `.gz`.
    Url(&'static str),
    /// They cannot; how to get them.
    ByHand(&'static str),
}

/// Licence, origin and digests of a data set.
pub fn published(name: DatasetName) -> Published {
    let digests = |digests: &[&str]| digests.iter().map(|&digest| digest.to_owned()).collect();
    match name {
        DatasetName::Mnist => Published {
            licence: "CC BY-SA 3.0",
            origin: "http://yann.lecun.com/exdb/mnist/",
            size: "11 MiB",
            mirror: Mirror::Url("https://storage.googleapis.com/cvdf-datasets/mnist"),
            content: digests(&[
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ]),
            download: Vec::new(),
        },
        DatasetName::FashionMnist => Published {
            licence: "MIT",
            origin: "https://github.com/zalandoresearch/fashion-mnist",
            size: "30 MiB",
            mirror: Mirror::Url(
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            ),
            content: Vec::new(),
            download: digests(&[
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ]),
        },
        DatasetName::ChMnist => Published {
            licence: "CC BY 4.0",
            origin: "https://doi.org/10.5281/zenodo.53169",
            size: "70 MiB",
            mirror: Mirror::ByHand(
                "Kaggle asks for an account: get hmnist_64_64_L.csv from \
                 https://www.kaggle.com/datasets/kmader/colorectal-histology-mnist, unpack it, and run \
                 `hil data fetch ch-mnist --from hmnist_64_64_L.csv`",
            ),
            content: Vec::new(),
            download: Vec::new(),
        },
        DatasetName::BreastCancer => Published {
            licence: "CC BY 4.0",
            origin: "https://doi.org/10.24432/C5DW2B",
            size: "118 KiB",
            mirror: Mirror::ByHand(
                "it comes with the repository, in datasets/breast-cancer-wisconsin; give that folder to --from, \
                 or its parent to --datasets",
            ),
            content: digests(&["fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed"]),
            download: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_known_for_all_files_or_none_and_for_every_download() {
        for name in DatasetName::ALL {
            let (source, files) = (published(name), name.spec().files.len());
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
}
