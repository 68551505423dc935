//! Evaluates the questions of the general path where every delivery counts (`duplicates = "keep"`).

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{GeneralLeaves, LeafUpdate};
use crate::joins::{DeliveryStream, GeoProjection, PinProjection, ProjectedRow, UserProjection};
use crate::keys::route_by_ind;
use crate::version::VersionedRow;

/// The deliveries of the three streams.
type DeliveryStreams<'s> =
    (DeliveryStream<'s, PinProjection>, DeliveryStream<'s, GeoProjection>, DeliveryStream<'s, UserProjection>);

/// The deliveries of an epoch that is not complete yet.
struct PendingRows {
    capability: Capability<u64>,
    pins: Vec<VersionedRow<PinProjection>>,
    geos: Vec<VersionedRow<GeoProjection>>,
    users: Vec<VersionedRow<UserProjection>>,
}

/// Stores what the questions read of every row, and evaluates them for the `ind`s that get more rows.
pub(crate) fn evaluate_kept_rows<'s>(
    (pins, geos, users): &DeliveryStreams<'s>,
    mut leaves: GeneralLeaves,
) -> StreamVec<'s, u64, LeafUpdate> {
    let mut builder = OperatorBuilder::new("Kept rows".to_owned(), pins.scope());
    let mut pins = builder.new_input(pins.clone(), Exchange::new(route_by_ind));
    let mut geos = builder.new_input(geos.clone(), Exchange::new(route_by_ind));
    let mut users = builder.new_input(users.clone(), Exchange::new(route_by_ind));
    let (output, updates) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<LeafUpdate>>>::from(output);
    builder.build(move |_| {
        let mut pending: BTreeMap<u64, PendingRows> = BTreeMap::new();
        move |frontiers| {
            let waiting = |capability: Capability<u64>| {
                let (pins, geos, users) = (Vec::new(), Vec::new(), Vec::new());
                PendingRows { capability, pins, geos, users }
            };
            pins.for_each(|time, data| {
                pending.entry(*time.time()).or_insert_with(|| waiting(time.retain(0))).pins.append(data);
            });
            geos.for_each(|time, data| {
                pending.entry(*time.time()).or_insert_with(|| waiting(time.retain(0))).geos.append(data);
            });
            users.for_each(|time, data| {
                pending.entry(*time.time()).or_insert_with(|| waiting(time.retain(0))).users.append(data);
            });
            let mut output = output.activate();
            while let Some(entry) = pending.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let PendingRows { capability, pins, geos, users } = entry.remove();
                add_rows(&mut leaves, pins);
                add_rows(&mut leaves, geos);
                add_rows(&mut leaves, users);
                let mut session = output.session(&capability);
                leaves.emit_epoch(&mut |update| session.give(update));
            }
        }
    });
    updates
}

fn add_rows<R: ProjectedRow>(leaves: &mut GeneralLeaves, rows: Vec<VersionedRow<R>>) {
    for (ind, _, row, extra) in rows {
        leaves.add_kept_row(ind, R::RELATION, &row.as_joined(), &extra);
    }
}
