//! Fashion-MNIST, in files like those of MNIST.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Folder, Mirror, Published, Source, Spec, Split, mnist};

/// Pictures of clothing, 28x28 grey.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FashionMnist {}

impl Source for FashionMnist {
    fn spec(&self) -> Spec {
        mnist::spec("fashion-mnist")
    }

    fn comes_split(&self) -> bool {
        true
    }

    fn load(&self, folder: &Folder, _: u64) -> Result<Split, DataError> {
        mnist::load(folder)
    }

    fn load_test(&self, folder: &Folder, _: u64) -> Result<Dataset, DataError> {
        mnist::load_part(folder, "t10k")
    }

    fn published(&self) -> Option<Published> {
        Some(Published {
            licence: "MIT",
            origin: "https://github.com/zalandoresearch/fashion-mnist",
            size: "30 MiB",
            mirror: Mirror::Url(
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            ),
            content: Vec::new(),
            download: vec![
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ],
        })
    }
}
