//! A rule, a stage, an attack, a model, a data set and a partition of one's own: what Outpost's three programs run once they
//! are in the catalogue.

mod by_label;
mod closest_pair;
mod farthest;
mod measurements;
mod nearest_mean;
mod opposite;

use scenario::catalogue::Catalogue;

/// What comes with Outpost, and what is here.
pub fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::standard();
    catalogue.rules.add::<closest_pair::ClosestPair>("closest-pair");
    catalogue.stages.add::<farthest::Farthest>("farthest");
    catalogue.attacks.add::<opposite::Opposite>("opposite");
    catalogue.models.add::<nearest_mean::NearestMean>("nearest-mean");
    catalogue.datasets.add::<measurements::Measurements>("measurements");
    catalogue.partitions.add::<by_label::ByLabel>("by-label");
    catalogue
}
