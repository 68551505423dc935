//! The epoch of a message.

use timely::dataflow::operators::InputCapability;

/// The epoch at which a message was sent.
///
/// timely allows messages without a time, which are sent with an empty set of capabilities. Nothing in the graph sends
/// such messages: every session has one capability.
pub(crate) fn message_epoch(capability: &InputCapability<u64>) -> u64 {
    *capability.least().expect("every message is sent with a capability")
}
