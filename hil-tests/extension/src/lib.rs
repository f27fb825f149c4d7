//! A rule, a stage, an attack and a model of one's own: what Outpost's three programs run once they are in the catalogue.

mod closest_pair;
mod farthest;
mod nearest_mean;
mod opposite;

use shared::catalogue::Catalogue;

/// What comes with Outpost, and what is here.
pub fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::standard();
    catalogue.rules.add::<closest_pair::ClosestPair>("closest-pair");
    catalogue.stages.add::<farthest::Farthest>("farthest");
    catalogue.attacks.add::<opposite::Opposite>("opposite");
    catalogue.models.add::<nearest_mean::NearestMean>("nearest-mean");
    catalogue
}
